//! The log that several processes share: what this one appends to it, and what
//! it reads from it.

mod change;
mod record;

pub(crate) use change::{Change, ChangeKind};
pub(crate) use record::{UnreadableRecord, rooms_of};

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hd_cluster::{
    AppendError, Appended, Followed, Observer, Offset, OpenError, Place, Record, SharedLog, Source,
    Status, Trimmed,
};
use hd_replay::Arrival;
use hd_rooms::Audience;
use hd_ws_server::{Emitted, Namespace, Publication};
use serde_json::value::RawValue;
use socketio_proto::Args;
use tokio::sync::Notify;

use self::record::{LogChange, LogEvent, LogRecord};
use crate::node_peers::{LINGER_MILLIS, NodePeers};
use crate::settings::EmitWithoutRedis;
use crate::telemetry::Counters;
use crate::telemetry::events::{
    EntryRejected, EventDelivered, LogBack, LogCutOff, LogGap, LogMoved, LogOpened, LogProvenLost,
    RecordUnreadable, RedisEvicts, RedisRelieved, RoomsNotHandedOver, WaitingForLog,
};

/// This process in its cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    log: SharedLog,
    notifications: Namespace,
    /// Node's servers, where there are some beside this one.
    peers: Option<Arc<NodePeers>>,
    counters: Arc<Counters>,
    emit_without_redis: EmitWithoutRedis,
    delivered: Delivered,
    is_cut_off: AtomicBool,
    /// Which clients had presented an offset before the log was last read.
    arrivals: Mutex<Option<Arrival>>,
}

/// To how many sockets of this process the latest events went.
#[derive(Debug, Default)]
struct Delivered {
    latest: Mutex<VecDeque<(Offset, usize)>>,
    changed: Notify,
}

/// An event for the clients of every process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClusterEvent<'a> {
    pub(crate) audience: &'a Audience,
    pub(crate) name: &'a str,
    pub(crate) args: EventArgs<'a>,
    pub(crate) ttl: Option<Duration>,
    /// Whether it is for those only who are there, and not kept.
    pub(crate) is_volatile: bool,
}

/// What an event says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EventArgs<'a> {
    /// What the back end emits.
    Payload(&'a RawValue),
    /// What came as a packet.
    Packet(&'a Args),
}

/// What became of an event of the log here.
enum Delivery {
    /// It was a change, of so many sockets.
    Changed(usize),
    Over(usize),
    UnderWay(Emitted),
}

impl Cluster {
    pub(crate) fn new(
        log: SharedLog,
        notifications: Namespace,
        peers: Option<Arc<NodePeers>>,
        counters: Arc<Counters>,
        emit_without_redis: EmitWithoutRedis,
    ) -> Self {
        Self {
            log,
            notifications,
            peers,
            counters,
            emit_without_redis,
            delivered: Delivered::default(),
            is_cut_off: AtomicBool::new(false),
            arrivals: Mutex::default(),
        }
    }

    /// Whether what is appended reaches this process.
    pub(crate) fn is_following(&self) -> bool {
        self.log.status() == Status::Following
    }

    /// Whether Redis did not answer when it was last asked. One that answers may
    /// have more than this process has read yet.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::Relaxed)
    }

    /// Appends an event, unless one with this id was appended before. It is on
    /// its way to every process then.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    pub(crate) async fn publish(
        &self,
        event: &ClusterEvent<'_>,
        id: Option<&str>,
    ) -> Result<Appended, AppendError> {
        let record = event.to_record();
        // Some 2 kB, which every request would have to have room for.
        let appended = Box::pin(self.log.append(id, &record)).await?;
        if let (Some(peers), Appended::New(_)) = (&self.peers, appended) {
            // Before it is acknowledged: what is emitted after that comes later.
            Box::pin(peers.publish(event)).await;
        }
        Ok(appended)
    }

    /// Appends an event that every process has heard of one of Node's servers.
    /// Returns its place.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    pub(crate) async fn observe_event(
        &self,
        observer: &Observer,
        source: Source<'_>,
        event: &ClusterEvent<'_>,
    ) -> Result<Offset, AppendError> {
        self.observe(observer, source, &event.to_record()).await
    }

    /// Appends a change that every process has heard one of Node's servers ask
    /// for. Returns its place.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    pub(crate) async fn observe_change(
        &self,
        observer: &Observer,
        source: Source<'_>,
        change: &Change<'_>,
    ) -> Result<Offset, AppendError> {
        self.observe(observer, source, &change.to_record()).await
    }

    async fn observe(
        &self,
        observer: &Observer,
        source: Source<'_>,
        record: &[u8],
    ) -> Result<Offset, AppendError> {
        match Box::pin(self.log.append_observed(observer, source, record)).await? {
            Appended::New(offset) | Appended::Repeated(offset) => Ok(offset),
        }
    }

    /// To how many sockets of this process an event went. It is here in a
    /// moment, unless this process is cut off.
    pub(crate) async fn delivered(&self, offset: Offset) -> usize {
        let wait = self.delivered.wait(offset);
        tokio::time::timeout(DELIVERY_PATIENCE, wait)
            .await
            .unwrap_or_default()
    }

    /// Takes over what is in the log, once Redis answers. Returns where it ends.
    ///
    /// # Errors
    ///
    /// Redis has something else in its place.
    pub(crate) async fn open(&self) -> anyhow::Result<Place> {
        let began = Instant::now();
        let mut told_at = None;
        let events = AtomicUsize::new(0);
        let end = loop {
            events.store(0, Ordering::Relaxed);
            let loading = self.log.load(|followed| {
                events.fetch_add(self.take_loaded(followed), Ordering::Relaxed);
                std::future::ready(())
            });
            match loading.await {
                Ok(loaded) => break loaded.end,
                Err(error @ OpenError::NotALog(_)) => return Err(error.into()),
                Err(error @ OpenError::Unavailable(_)) => {
                    if told_at.is_none_or(|at: Instant| at.elapsed() > REMIND) {
                        told_at = Some(Instant::now());
                        let elapsed = began.elapsed();
                        WaitingForLog {
                            error: &error,
                            elapsed,
                        }
                        .emit();
                    }
                    tokio::time::sleep(OPEN_PAUSE).await;
                }
            }
        };
        let events = events.into_inner();
        LogOpened { events }.emit();
        if let Some(policy) = self.log.eviction_policy().await {
            RedisEvicts { policy: &policy }.emit();
        }
        Ok(end)
    }

    /// Takes over what was in the log before this instance started. Returns how
    /// many events there were.
    fn take_loaded(&self, followed: Followed) -> usize {
        match followed {
            Followed::Records(records) => {
                let now = self.log.now_millis();
                let is_recent =
                    |offset: Offset| offset.millis().saturating_add(LINGER_MILLIS) >= now;
                for record in &records {
                    match self.parse(record) {
                        Some(LogRecord::Event(event)) => {
                            drop(self.publish_event(record.offset, &event));
                        }
                        // No client is connected yet, so changes are skipped, except recent
                        // ones: clients of an instance that just exited may still be
                        // reconnecting.
                        Some(LogRecord::Change(change)) if is_recent(record.offset) => {
                            self.apply(&change);
                        }
                        Some(LogRecord::Change(_)) => {}
                        None => {
                            self.notifications.handle_unreadable(record.offset);
                        }
                    }
                }
                return records.len();
            }
            Followed::Gap(began, trimmed) => self.begin_at(began, trimmed),
            Followed::Rejected(offset, rejection) => {
                EntryRejected { offset, rejection }.emit(&self.counters);
            }
            // Only what is followed is cut off.
            Followed::CutOff(_) | Followed::Back | Followed::Moved | Followed::End(_) => {}
        }
        0
    }

    /// Leaves it to the others to hear what Node's servers publish for clients
    /// that were here: those are on their way, and nobody else may listen for
    /// them yet. Returns when the others do, as far as one can tell, and in the
    /// time that is left, or a little more.
    pub(crate) async fn leave(&self, left: Duration) {
        let rooms = self.peers.as_ref().map(|peers| peers.followed_rooms());
        let rooms = rooms.unwrap_or_default();
        if rooms.is_empty() {
            return;
        }
        let patience = left.saturating_sub(HAND_OVER).max(HAND_OVER_PATIENCE);
        let handing_over = async {
            for rooms in rooms.chunks(ROOMS_OF_A_RECORD) {
                let change = Change {
                    kind: ChangeKind::Follow,
                    audience: &Audience::everyone(),
                    rooms,
                };
                self.log.append(None, &change.to_record()).await?;
            }
            Ok(())
        };
        let result: Result<(), AppendError> =
            tokio::time::timeout(patience, Box::pin(handing_over))
                .await
                .unwrap_or(Err(AppendError::Unavailable(None)));
        match result {
            // This process listens on meanwhile.
            Ok(()) => tokio::time::sleep(HAND_OVER).await,
            Err(error) => RoomsNotHandedOver { error: &error }.emit(),
        }
    }

    /// Delivers to this instance's clients what is appended, and keeps the log
    /// within its bounds, for ever.
    pub(crate) async fn follow(self: Arc<Self>, from: Place) {
        let log = self.log.clone();
        let following = log.follow(from, |followed| self.take(followed));
        let trimming = log.keep_trimmed(|records| RedisRelieved { records }.emit(&self.counters));
        tokio::join!(Box::pin(trimming), following);
    }

    async fn take(&self, followed: Followed) {
        self.handle(followed).await;
        // The next read begins after this.
        *self.arrivals() = Some(self.notifications.arrivals());
    }

    async fn handle(&self, followed: Followed) {
        match followed {
            Followed::Records(records) => {
                let mut under_way = Vec::with_capacity(records.len());
                for record in &records {
                    let offset = record.offset;
                    match self.parse(record) {
                        Some(LogRecord::Event(event)) => {
                            under_way.push((offset, self.publish_event(offset, &event)));
                        }
                        Some(LogRecord::Change(change)) => {
                            // What came before it goes to who was there before it.
                            self.finish(&mut under_way).await;
                            let sockets = self.apply(&change);
                            under_way.push((offset, Delivery::Changed(sockets)));
                        }
                        None => {
                            self.finish(&mut under_way).await;
                            self.notifications.handle_unreadable(offset);
                            self.delivered.note(offset, 0);
                        }
                    }
                }
                self.finish(&mut under_way).await;
            }
            Followed::Gap(began, trimmed) => {
                self.begin_at(began, trimmed);
                self.notify_clients();
            }
            Followed::Rejected(offset, rejection) => {
                EntryRejected { offset, rejection }.emit(&self.counters);
            }
            Followed::CutOff(error) => {
                self.is_cut_off.store(true, Ordering::Relaxed);
                LogCutOff {
                    error: &*error,
                    emits: self.emit_without_redis,
                }
                .emit();
            }
            Followed::Back => {
                self.is_cut_off.store(false, Ordering::Relaxed);
                LogBack.emit();
            }
            Followed::Moved => LogMoved.emit(),
            Followed::End(end) => self.handle_end(end).await,
        }
    }

    /// All of the log has been published here. A client that had presented a later offset proves
    /// that Redis has lost the end, though no instance remembers it.
    async fn handle_end(&self, end: Place) {
        let asked = self.arrivals().take();
        if let Some(asked) = asked {
            self.notifications.handle_log_end(end, asked);
        }
        let Some(lost) = self.notifications.take_lost() else {
            return;
        };
        let beginning = Box::pin(self.log.begin_another(lost.log));
        match beginning.await {
            Ok(()) => LogProvenLost.emit(),
            // The next client that proves it has it begun.
            Err(error) => tracing::debug!(%error, "Cannot begin another log in Redis"),
        }
    }

    fn arrivals(&self) -> MutexGuard<'_, Option<Arrival>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn finish(&self, under_way: &mut Vec<(Offset, Delivery)>) {
        for (offset, delivery) in under_way.drain(..) {
            let sockets = match delivery {
                Delivery::UnderWay(emitted) => self.count(emitted.await),
                Delivery::Over(sockets) => self.count(sockets),
                Delivery::Changed(sockets) => sockets,
            };
            self.delivered.note(offset, sockets);
        }
    }

    /// Counts the sockets that an event went to, whichever instance accepted it.
    fn count(&self, sockets: usize) -> usize {
        EventDelivered { sockets }.emit(&self.counters);
        sockets
    }

    fn begin_at(&self, place: Place, trimmed: Trimmed) {
        self.notifications
            .begin_log_knowing(place.log, place.offset, trimmed);
    }

    /// Closes the transports of all clients: they reconnect, and those that have
    /// missed something get `recovered: false`.
    fn notify_clients(&self) {
        let sockets = self.notifications.len();
        LogGap { sockets }.emit();
        self.notifications.close_transports(&Audience::everyone());
    }

    /// `None` when the record is not understood.
    fn parse<'a>(&self, record: &'a Record) -> Option<LogRecord<'a>> {
        LogRecord::parse(&record.bytes)
            .inspect_err(|why| {
                let offset = record.offset;
                RecordUnreadable { offset, why: *why }.emit(&self.counters);
            })
            .ok()
    }

    fn apply(&self, change: &LogChange) -> usize {
        let LogChange {
            kind,
            audience,
            rooms,
        } = change;
        let kind = *kind;
        let change = Change {
            kind,
            audience,
            rooms,
        };
        change.carry_out(&self.notifications, self.peers.as_deref())
    }

    fn publish_event(&self, offset: Offset, event: &LogEvent<'_>) -> Delivery {
        let audience = &event.audience;
        if event.is_volatile {
            if !self.is_following() {
                // It is late: what was appended while this process was cut off,
                // or had not begun, is being read.
                return Delivery::Over(0);
            }
            let (name, args) = (event.name(), event.args());
            return Delivery::Over(self.notifications.emit_volatile(audience, name, args));
        }
        let publication = Publication {
            audience,
            name: event.name(),
            args: event.args(),
            ttl: event.ttl,
            id: None,
        };
        Delivery::UnderWay(self.notifications.publish_at(offset, &publication))
    }
}

impl Delivered {
    fn note(&self, offset: Offset, sockets: usize) {
        let mut latest = self.lock();
        if latest.len() == LATEST {
            latest.pop_front();
        }
        latest.push_back((offset, sockets));
        drop(latest);
        self.changed.notify_waiters();
    }

    async fn wait(&self, offset: Offset) -> usize {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before it is looked, so that nothing goes unnoticed.
            changed.as_mut().enable();
            if let Some(sockets) = self.find(offset) {
                return sockets;
            }
            changed.await;
        }
    }

    /// `None` when the event has not come yet; 0 for one that was too long ago.
    fn find(&self, offset: Offset) -> Option<usize> {
        let latest = self.lock();
        let place = latest.partition_point(|(other, _)| *other < offset);
        match latest.get(place) {
            Some((other, sockets)) if *other == offset => Some(*sockets),
            Some(_) => Some(0),
            None => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Offset, usize)>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From one look for Redis to the next.
const OPEN_PAUSE: Duration = Duration::from_millis(200);
/// From one line about it to the next.
const REMIND: Duration = Duration::from_secs(10);
/// Rooms that are handed over in one record: some 20 kB.
const ROOMS_OF_A_RECORD: usize = 1000;
/// How long an end waits for Redis to take them, also when its time is over. With
/// what follows it is within the second that it may last beyond that.
const HAND_OVER_PATIENCE: Duration = Duration::from_millis(600);
/// In which the others read them and subscribe: some milliseconds, unless they are busy.
const HAND_OVER: Duration = Duration::from_millis(300);
/// How long an answer waits for a count.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(1);
/// Counts that are kept: of what is appended and read in a second.
const LATEST: usize = 4096;
