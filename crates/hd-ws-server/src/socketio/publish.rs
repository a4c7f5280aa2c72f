//! Events that are published: once each, in one order, and kept for those who
//! are away.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hd_replay::{Log, NewEntry, Seen, SeenConfig};
use hd_rooms::{Audience, RoomName};
use serde_json::value::RawValue;
use socketio_proto::{Encoded, EventName, OutgoingArgs};

use super::Namespace;
use super::emission::Emission;
use super::fanout::Emitted;
use super::recovery::{CameBack, Recovery, RecoveryConfig, Resumed};

/// Settings of a namespace.
#[derive(Debug, Default)]
pub struct NamespaceConfig {
    /// Keeps what is published for clients that come back; `None` keeps
    /// nothing, as Socket.IO by default.
    pub recovery: Option<RecoveryConfig>,
    /// Ids of publications that are remembered.
    pub seen: SeenConfig,
}

/// An event that everyone it is for is to get, once, now or when they come
/// back.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// Whom it is for. Single members that are excepted are so now only: they
    /// are others when they come back.
    pub audience: &'a Audience,
    /// The event.
    pub name: EventName<'a>,
    /// Its arguments.
    pub args: OutgoingArgs<'a>,
    /// How long it is worth replaying; as long as the log keeps it if `None`.
    pub ttl: Option<Duration>,
    /// Of several publications with the same id only the first is one.
    pub id: Option<&'a str>,
}

/// What became of a publication.
#[derive(Debug)]
pub enum Published {
    /// It is on its way, and in the log where there is one.
    Sent {
        /// How many sockets took it.
        emitted: Emitted,
        /// Whether the id of another publication had to be forgotten for its
        /// own, before its time.
        forgot_id: bool,
    },
    /// Its id was published before.
    Repeated,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    /// Events in the log.
    pub events: usize,
    /// Bytes that they count for.
    pub bytes: usize,
    /// Ids of publications.
    pub ids: usize,
}

/// The order of a namespace's publications.
pub(super) struct Order {
    recovery: Option<Recovery>,
    ordered: Mutex<Ordered>,
}

/// What is decided under one lock: a publication's place, who gets it now, and
/// where a client comes in.
pub(super) struct Ordered {
    pub(super) log: Option<Log<Encoded>>,
    seen: Seen<()>,
}

impl Namespace {
    /// Publishes an event. Each client of its audience gets it once and in the
    /// order of publication, over all its rooms: now if it is there, else when
    /// it comes back, as far as the log reaches.
    ///
    /// How it is sent now, see [`emit`](Self::emit).
    pub fn publish(&self, publication: &Publication<'_>) -> Published {
        let now = unix_millis();
        let mut ordered = self.order().lock();
        let mut forgot_id = false;
        if let Some(id) = publication.id {
            if ordered.seen.find(id, now).is_some() {
                return Published::Repeated;
            }
            forgot_id = ordered.seen.insert(id, (), now);
        }
        let mut emission = Emission::new(self, publication.name, publication.args);
        if let Some(log) = &mut ordered.log {
            let offset = log.next_offset(now);
            emission = emission.at(offset);
            let event = emission.socket_io().clone();
            let entry = NewEntry {
                rooms: publication.audience.to_rooms(),
                except: publication.audience.except_rooms(),
                ttl: publication.ttl,
                bytes: event.len_bytes() + EVENT_COST,
                event,
            };
            log.append(offset, entry, now);
        }
        // Still under the lock: what is published later is sent later.
        let emitted = self.send(publication.audience, &emission);
        Published::Sent { emitted, forgot_id }
    }

    /// How much is kept for clients that are away, and of publications.
    #[must_use]
    pub fn replay_counts(&self) -> ReplayCounts {
        let ordered = self.order().lock();
        let log = ordered.log.as_ref();
        ReplayCounts {
            events: log.map_or(0, Log::len),
            bytes: log.map_or(0, Log::bytes),
            ids: ordered.seen.len(),
        }
    }
}

impl Order {
    pub(super) fn new(config: NamespaceConfig) -> Self {
        let NamespaceConfig { recovery, seen } = config;
        let log = recovery.as_ref().map(|recovery| recovery.log);
        Self {
            recovery: recovery.map(|recovery| Recovery::new(recovery.macs)),
            ordered: Mutex::new(Ordered {
                log: log.map(|config| Log::new(config, unix_millis())),
                seen: Seen::new(seen),
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ordered> {
        self.ordered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a client says of itself, where something can be recovered.
    pub(super) fn came_back(&self, auth: Option<&RawValue>) -> Option<CameBack> {
        self.recovery.as_ref()?;
        CameBack::parse(auth?)
    }

    /// Gives a client its place in the log. It has to enter its rooms before
    /// the lock is given up.
    pub(super) fn resume(
        &self,
        ordered: &mut Ordered,
        identity: Option<u64>,
        rooms: &[RoomName],
        came_back: Option<CameBack>,
    ) -> Resumed {
        let (Some(recovery), Some(identity)) = (&self.recovery, identity) else {
            return Resumed::without_recovery();
        };
        let now = unix_millis();
        if let Some(log) = &mut ordered.log {
            log.expire(now);
        }
        recovery.resume(ordered, identity, rooms, came_back, now)
    }
}

/// By the system's clock: offsets outlive the process.
fn unix_millis() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// What it costs to keep an event in the log, besides its bytes: hd-replay's
/// memory test counts it.
const EVENT_COST: usize = 400;
