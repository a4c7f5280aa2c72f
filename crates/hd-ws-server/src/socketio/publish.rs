//! Events that are published: once each, in one order, and kept for those who
//! are away.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hd_replay::{Log, LogId, NewEntry, Offset, Seen, SeenConfig};
use hd_rooms::{Audience, RoomName};
use serde_json::value::RawValue;
use socketio_proto::{Encoded, EventName, OutgoingArgs};
use tokio::sync::Notify;

use super::emission::Emission;
use super::fanout::Emitted;
use super::recovery::{CameBack, Recovery, RecoveryConfig, Resumed};
use super::{Namespace, Socket};

/// Settings of a namespace.
#[derive(Debug, Default)]
pub struct NamespaceConfig {
    /// Keeps what is published for clients that come back; `None` keeps
    /// nothing, as Socket.IO by default.
    pub recovery: Option<RecoveryConfig>,
    /// Ids of publications that are remembered.
    pub seen: SeenConfig,
    /// Whether each socket is in a room of its own, whose name is its id, as on
    /// Node's servers: other servers send to it so. Off by default.
    pub own_rooms: bool,
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
    /// Told of each event of a log that is shared; `None` for one that is not.
    advanced: Option<Notify>,
}

/// What is decided under one lock: a publication's place, who gets it now, and
/// where a client comes in.
pub(super) struct Ordered {
    pub(super) log: Option<Log<Encoded>>,
    /// Which log it is.
    pub(super) log_id: LogId,
    /// Sockets whose clients have had what is not here yet, from another
    /// process, and up to where.
    ahead: Vec<(Socket, Offset)>,
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
            append(log, offset, publication, &emission, now);
        }
        // Still under the lock: what is published later is sent later.
        let emitted = self.send(publication.audience, &emission);
        Published::Sent { emitted, forgot_id }
    }

    /// Publishes an event of a log that other processes have too, at its place
    /// there. Of an event that came before, or that is not after the last one,
    /// nothing is sent.
    pub fn publish_at(&self, offset: Offset, publication: &Publication<'_>) -> Emitted {
        let emission = Emission::new(self, publication.name, publication.args).at(offset);
        let mut ordered = self.order().lock();
        let Some(log) = &mut ordered.log else {
            return self.send(publication.audience, &emission);
        };
        if offset <= log.last_offset() {
            tracing::error!(%offset, "an event of the shared log is out of order");
            return Emitted::sent(0);
        }
        // Its life began when it was published, which may be long ago.
        append(log, offset, publication, &emission, offset.millis());
        let emitted = match ordered.audience_at(offset, publication.audience) {
            None => self.send(publication.audience, &emission),
            Some(audience) => self.send(&audience, &emission),
        };
        drop(ordered);
        self.order().tell_advanced();
        emitted
    }

    /// Begins with an empty log at an offset: that of others begins there, or
    /// some of it could not be read. Who comes back from before it, or from
    /// another log, is told that it may have missed something. A later log has
    /// a greater id.
    pub fn begin_log_at(&self, id: LogId, began: Offset) {
        let mut ordered = self.order().lock();
        ordered.log_id = id;
        ordered.ahead.clear();
        if let Some(log) = &mut ordered.log {
            *log = Log::starting_at(*log.config(), began);
        }
        drop(ordered);
        self.order().tell_advanced();
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
        let NamespaceConfig {
            recovery,
            seen,
            own_rooms,
        } = config;
        let log = recovery.as_ref().map(|recovery| recovery.log);
        let is_shared = recovery.as_ref().is_some_and(|recovery| recovery.is_shared);
        Self {
            advanced: is_shared.then(Notify::new),
            recovery: recovery.map(|recovery| Recovery::new(recovery.macs, own_rooms)),
            ordered: Mutex::new(Ordered {
                log: log.map(|config| Log::new(config, unix_millis())),
                log_id: random_log_id(),
                ahead: Vec::new(),
                seen: Seen::new(seen),
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ordered> {
        self.ordered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether clients may come back.
    pub(super) fn can_recover(&self) -> bool {
        self.recovery.is_some()
    }

    fn tell_advanced(&self) {
        if let Some(advanced) = &self.advanced {
            advanced.notify_waiters();
        }
    }

    /// What a client says of itself, where something can be recovered.
    pub(super) fn came_back(&self, auth: Option<&RawValue>) -> Option<CameBack> {
        self.recovery.as_ref()?;
        CameBack::parse(auth?)
    }

    /// Waits until a log that is shared has come to where a client is: what was
    /// sent to it by another process may be under way to this one. `None` when
    /// there is nothing to wait for.
    pub(super) fn catch_up(
        &self,
        came_back: Option<&CameBack>,
    ) -> Option<impl Future<Output = ()> + Send + use<'_>> {
        let advanced = self.advanced.as_ref()?;
        let (log_id, offset) = self.recovery.as_ref()?.place(came_back?)?;
        let has_come = move || {
            let ordered = self.lock();
            let log = ordered.log.as_ref();
            log.is_none_or(|log| (ordered.log_id, log.last_offset()) >= (log_id, offset))
        };
        if has_come() {
            return None;
        }
        let waiting = async move {
            let mut told = pin!(advanced.notified());
            // Before it is looked again, so that nothing goes unnoticed.
            told.as_mut().enable();
            while !has_come() {
                told.as_mut().await;
                told.set(advanced.notified());
                told.as_mut().enable();
            }
        };
        Some(async move {
            // What is never reached is judged as it stands.
            let _late = tokio::time::timeout(LAG_PATIENCE, waiting).await;
        })
    }

    /// Whether a client may be ahead of the log here.
    pub(super) fn is_shared(&self) -> bool {
        self.advanced.is_some()
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
        recovery.resume(ordered, identity, rooms, came_back, self.is_shared(), now)
    }
}

impl Ordered {
    /// The client of a socket has had what comes up to an offset.
    pub(super) fn is_ahead(&mut self, socket: Socket, offset: Offset) {
        // Now and then, so that those that have left do not pile up.
        if self.ahead.len().is_power_of_two() {
            self.ahead.retain(|(socket, _)| !socket.has_left());
        }
        self.ahead.push((socket, offset));
    }

    /// Whom an event is for at this moment, when it is not for all of its
    /// audience.
    fn audience_at(&mut self, offset: Offset, audience: &Audience) -> Option<Audience> {
        if self.ahead.is_empty() {
            return None;
        }
        self.ahead
            .retain(|(socket, had)| offset <= *had && !socket.has_left());
        let ahead = self.ahead.iter();
        Some(ahead.fold(audience.clone(), |audience, (socket, _)| {
            socket.except_self(audience)
        }))
    }
}

/// For a log that no other process has.
fn random_log_id() -> LogId {
    let mut id = [0; 8];
    getrandom::fill(&mut id).expect("invariant: the operating system gives random bytes");
    LogId(u64::from_ne_bytes(id))
}

fn append(
    log: &mut Log<Encoded>,
    offset: Offset,
    publication: &Publication<'_>,
    emission: &Emission<'_>,
    now_millis: u64,
) {
    let event = emission.socket_io().clone();
    let entry = NewEntry {
        rooms: publication.audience.to_rooms(),
        except: publication.audience.except_rooms(),
        ttl: publication.ttl,
        bytes: event.len_bytes() + EVENT_COST,
        event,
    };
    log.append(offset, entry, now_millis);
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
/// How long a client that comes back may wait for a process that lags behind
/// another one. Some milliseconds are usual; clients wait for 20 s.
const LAG_PATIENCE: Duration = Duration::from_secs(2);
