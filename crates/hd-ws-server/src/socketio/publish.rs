//! Events that are published: once each, in one order, and kept for those who
//! are away.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engineio_proto::EncodedPacket;
use hd_replay::{
    Arrival, Broker, BrokerConfig, FollowOutcome, Log, LogId, NewEntry, Offset, Place,
    PublishOutcome, SeenConfig, Trimmed, room_set_key,
};
use hd_rooms::{Audience, RoomName};
use socketio_proto::{Encoded, EventName, OutgoingArgs};
use tokio::sync::Notify;

use super::dialect::RecoveryRequest;
use super::emission::{Emission, push_logged};
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
    /// What a client has proven the shared log to have lost, until the application asks.
    lost: Mutex<Option<Place>>,
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
                    .fold(all, |audience, ahead| ahead.socket.except_self(audience));
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
        self.begin_log_knowing(id, began, Trimmed::all_up_to(began));
    }

    /// As [`begin_log_at`](Self::begin_log_at), where it is known what the log does not have: only who
    /// has missed any of that is notified. It has to be read after the log, or in one step with it, and
    /// to be all that is missing: see [`hd_replay::Link::follows_what_was_trimmed`].
    pub fn begin_log_knowing(&self, id: LogId, began: Offset, trimmed: Trimmed) {
        let began = Place {
            log: id,
            offset: began,
        };
        self.order().lock().begin_log_at(began, trimmed);
        self.order().tell_advanced();
    }

    /// A record of the shared log is not understood, since a later version has written it. It may be
    /// for anybody here, so the log begins behind it and the transports of all sockets are closed: those
    /// that have missed it are notified when they reconnect. Returns how many sockets there were.
    pub fn handle_unreadable(&self, offset: Offset) -> usize {
        if !self.order().lock().handle_unreadable(offset) {
            return 0;
        }
        self.order().tell_advanced();
        self.close_transports(&Audience::everyone())
    }

    /// Which clients have presented an offset by now, for [`handle_log_end`](Self::handle_log_end).
    #[must_use]
    pub fn arrivals(&self) -> Arrival {
        self.order().lock().arrivals()
    }

    /// The shared log ends there, and all of it has been published here. That was asked for after
    /// [`arrivals`](Self::arrivals) had returned `asked`: a client that had presented a later offset by
    /// then proves that the log has lost its end. Its transport is closed if it has been let in, and it
    /// is notified. Returns how many were closed.
    pub fn handle_log_end(&self, end: Place, asked: Arrival) -> usize {
        let proofs = self.order().lock().handle_end(end, asked);
        self.order().tell_advanced();
        for socket in &proofs {
            socket.close_transport();
        }
        proofs.len()
    }

    /// Sends the next portion of what its client has missed to a socket that is behind.
    pub(super) fn send_portion(&self, socket: &Socket) {
        let now = self.order().now();
        let mut broker = self.order().lock();
        let Some(behind) = socket.behind() else {
            return;
        };
        let rooms = socket.rooms();
        if room_set_key(&rooms) != behind.rooms {
            // Its token is a new one. An event for a room that it has left would be passed over, and
            // nobody would know. When it reconnects its cursor is compared with the token.
            drop(broker);
            if !socket.has_left() {
                socket.close_transport();
            }
            return;
        }
        match broker.next_portion(behind.position, &rooms, now) {
            Ok((events, standing)) => {
                let (mut packets, dialect) = (Vec::with_capacity(events.len()), socket.dialect());
                let mut push =
                    |&(offset, event)| push_logged(self, dialect, offset, event, &mut packets);
                if !events.iter().all(&mut push) {
                    drop(broker);
                    // It is notified when it reconnects.
                    socket.close_transport();
                    return;
                }
                // Still under the lock: what is published later is sent later. A client that is gone
                // needs nothing.
                let _gone = socket.send(&packets);
                socket.set_standing(standing, behind.rooms);
                drop(broker);
                if socket.is_behind() && !socket.has_left() {
                    socket.0.connection.tell_when_drained();
                }
            }
            Err(gap) => {
                drop(broker);
                tracing::debug!(%gap, "the log no longer has what a client has yet to be sent");
                socket.close_transport();
            }
        }
    }

    /// The place that a client has proven to be lost from the shared log since this was last asked.
    /// Another log is to begin then, as after any other loss.
    #[must_use]
    pub fn take_lost(&self) -> Option<Place> {
        self.order().lost().take()
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
            lost: Mutex::new(None),
        }
    }

    pub(super) fn lock(&self) -> OrderGuard<'_> {
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether clients may come back.
    pub(super) fn can_recover(&self) -> bool {
        self.recovery.is_some()
    }

    fn lost(&self) -> MutexGuard<'_, Option<Place>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
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
        let arrive = || self.lock().arrive();
        Terms::new(request, self.recovery.as_ref(), arrive)
    }

    /// Waits until a log that is shared has come to where a client is: what was
    /// sent to it by another process may be under way to this one. `None` when
    /// there is nothing to wait for.
    pub(super) fn catch_up(
        &self,
        presented: Option<&PresentedPid>,
    ) -> Option<impl Future<Output = ()> + Send + use<'_>> {
        let advanced = self.advanced.as_ref()?;
        let (place, arrival) = (presented?.place()?, presented?.arrival);
        let may_resume = move || self.lock().may_resume(place, arrival);
        if may_resume() {
            return None;
        }
        let waiting = async move {
            let mut told = pin!(advanced.notified());
            // Before it is looked again, so that nothing goes unnoticed.
            told.as_mut().enable();
            while !may_resume() {
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
        let resumed = recovery.resume(broker, identity, rooms, presented, self.now(), encode);
        if resumed.lost.is_some() {
            *self.lost() = resumed.lost;
        }
        resumed
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
    // MessagePack is converted for some clients, and a portion has to fit into their queues too.
    let attachments = publication.args.attachments().iter();
    let as_json = publication.args.json_bytes() + attachments.map(bytes::Bytes::len).sum::<usize>();
    NewEntry {
        rooms: publication.audience.to_rooms(),
        except: publication.audience.except_rooms(),
        ttl: publication.ttl,
        bytes: event.len_bytes().max(as_json) + EVENT_COST,
        event,
    }
}

/// What it costs to keep an event in the log, besides its bytes: hd-replay's
/// memory test counts it.
const EVENT_COST: usize = 400;
/// How long a client that comes back may wait for a process that lags behind
/// another one. Some milliseconds are usual; clients wait for 20 s.
const LAG_PATIENCE: Duration = Duration::from_secs(2);
