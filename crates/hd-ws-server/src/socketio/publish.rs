//! Events that are published: once each, in one order, and kept for those who
//! are away.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engineio_proto::EncodedPacket;
use hd_replay::{
    Broker, BrokerConfig, FollowOutcome, Log, LogId, NewEntry, Offset, Place, PublishOutcome,
    SeenConfig,
};
use hd_rooms::{Audience, RoomName};
use socketio_proto::{Encoded, EventName, OutgoingArgs};
use tokio::sync::Notify;

use super::dialect::RecoveryRequest;
use super::emission::Emission;
use super::fanout::Emitted;
use super::recovery::{
    Clock, PresentedPid, Recovery, RecoveryConfig, Resumed, Terms, system_clock,
};
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
    broker: Mutex<Broker<Encoded, Socket>>,
    clock: Clock,
    /// Told of each event of a log that is shared; `None` for one that is not.
    advanced: Option<Notify>,
}

/// What decides under one lock about a publication's offset, who gets it now, and where a client
/// resumes.
pub(super) type OrderGuard<'a> = MutexGuard<'a, Broker<Encoded, Socket>>;

impl Namespace {
    /// Publishes an event. Each client of its audience gets it once and in the
    /// order of publication, over all its rooms: now if it is there, else when
    /// it comes back, as far as the log reaches.
    ///
    /// How it is sent now, see [`emit`](Self::emit).
    pub fn publish(&self, publication: &Publication<'_>) -> Published {
        let now = self.order().now();
        let mut broker = self.order().lock();
        let mut emission = Emission::new(self, publication.name, publication.args);
        let outcome = broker.publish(publication.id, now, |offset| {
            emission.set_offset(offset);
            to_entry(publication, &emission)
        });
        let PublishOutcome::Accepted { forgot_id, .. } = outcome else {
            return Published::Repeated;
        };
        // Still under the lock: what is published later is sent later.
        let emitted = self.send(publication.audience, &emission);
        Published::Sent { emitted, forgot_id }
    }

    /// Publishes an event of a log that other processes have too, at its place
    /// there. Of an event that came before, or that is not after the last one,
    /// nothing is sent.
    pub fn publish_at(&self, offset: Offset, publication: &Publication<'_>) -> Emitted {
        let mut emission = Emission::new(self, publication.name, publication.args);
        emission.set_offset(offset);
        let mut broker = self.order().lock();
        let outcome = broker.publish_at(offset, Socket::has_left, || {
            to_entry(publication, &emission)
        });
        let emitted = match outcome {
            FollowOutcome::Accepted { except: [] } => self.send(publication.audience, &emission),
            FollowOutcome::Accepted { except } => {
                let all = publication.audience.clone();
                let audience = except
                    .iter()
                    .fold(all, |audience, (socket, _)| socket.except_self(audience));
                self.send(&audience, &emission)
            }
            FollowOutcome::OutOfOrder => {
                tracing::error!(%offset, "an event of the shared log is out of order");
                return Emitted::sent(0);
            }
        };
        drop(broker);
        self.order().tell_advanced();
        emitted
    }

    /// Begins with an empty log at an offset: that of others begins there, or
    /// some of it could not be read. Who comes back from before it, or from
    /// another log, is told that it may have missed something. A later log has
    /// a greater id.
    pub fn begin_log_at(&self, id: LogId, began: Offset) {
        let began = Place {
            log: id,
            offset: began,
        };
        self.order().lock().begin_log_at(began);
        self.order().tell_advanced();
    }

    /// How much is kept for clients that are away, and of publications.
    #[must_use]
    pub fn replay_counts(&self) -> ReplayCounts {
        let broker = self.order().lock();
        let log = broker.log();
        ReplayCounts {
            events: log.map_or(0, Log::len),
            bytes: log.map_or(0, Log::bytes),
            ids: broker.id_count(),
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
        let config = BrokerConfig {
            log: recovery.as_ref().map(|recovery| recovery.log),
            is_shared: recovery.as_ref().is_some_and(|recovery| recovery.is_shared),
            ids: seen,
        };
        let (recovery, clock) = recovery
            .map(|RecoveryConfig { macs, clock, .. }| (Recovery::new(macs, own_rooms), clock))
            .unzip();
        let clock = clock.unwrap_or_else(system_clock);
        Self {
            advanced: config.is_shared.then(Notify::new),
            recovery,
            broker: Mutex::new(Broker::new(config, random_log_id(), clock())),
            clock,
        }
    }

    pub(super) fn lock(&self) -> OrderGuard<'_> {
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether clients may come back.
    pub(super) fn can_recover(&self) -> bool {
        self.recovery.is_some()
    }

    fn now(&self) -> u64 {
        (self.clock)()
    }

    fn tell_advanced(&self) {
        if let Some(advanced) = &self.advanced {
            advanced.notify_waiters();
        }
    }

    /// On which terms a client connects that requests this.
    pub(super) fn terms(&self, request: RecoveryRequest) -> Terms {
        Terms::new(request, self.recovery.as_ref())
    }

    /// Waits until a log that is shared has come to where a client is: what was
    /// sent to it by another process may be under way to this one. `None` when
    /// there is nothing to wait for.
    pub(super) fn catch_up(
        &self,
        presented: Option<&PresentedPid>,
    ) -> Option<impl Future<Output = ()> + Send + use<'_>> {
        let advanced = self.advanced.as_ref()?;
        let place = presented?.place()?;
        let has_come = move || self.lock().has_reached(place);
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

    /// Decides where a client resumes. It has to enter its rooms before the lock is released.
    pub(super) fn resume(
        &self,
        broker: &mut Broker<Encoded, Socket>,
        identity: Option<u64>,
        rooms: &[RoomName],
        presented: Option<PresentedPid>,
        encode: impl FnMut(Offset, &Encoded, &mut Vec<EncodedPacket>),
    ) -> Resumed {
        let (Some(recovery), Some(identity)) = (&self.recovery, identity) else {
            return Resumed::without_recovery();
        };
        recovery.resume(broker, identity, rooms, presented, self.now(), encode)
    }
}

/// For a log that no other process has.
fn random_log_id() -> LogId {
    let mut id = [0; 8];
    getrandom::fill(&mut id).expect("invariant: the operating system gives random bytes");
    LogId(u64::from_ne_bytes(id))
}

fn to_entry<'a>(publication: &Publication<'a>, emission: &Emission<'_>) -> NewEntry<'a, Encoded> {
    let event = emission.socket_io().clone();
    NewEntry {
        rooms: publication.audience.to_rooms(),
        except: publication.audience.except_rooms(),
        ttl: publication.ttl,
        bytes: event.len_bytes() + EVENT_COST,
        event,
    }
}

/// What it costs to keep an event in the log, besides its bytes: hd-replay's
/// memory test counts it.
const EVENT_COST: usize = 400;
/// How long a client that comes back may wait for a process that lags behind
/// another one. Some milliseconds are usual; clients wait for 20 s.
const LAG_PATIENCE: Duration = Duration::from_secs(2);
