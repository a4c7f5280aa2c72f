//! The log that several processes share: what this one appends to it, and what
//! it reads from it.

mod change;

pub(crate) use change::{Change, ChangeKind};

use std::borrow::Cow;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hd_cluster::{
    AppendError, Appended, Followed, Observer, Offset, OpenError, Place, Record, SharedLog, Source,
    Status,
};
use hd_rooms::{Audience, RoomName};
use hd_ws_server::{Emitted, Namespace, Publication};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use socketio_proto::{Args, EventName, OutgoingArgs};
use tokio::sync::Notify;

use crate::node_peers::{LINGER_MILLIS, NodePeers};
use crate::telemetry::Counters;
use crate::telemetry::events::{
    EventDelivered, LogBack, LogCutOff, LogGap, LogMoved, LogOpened, RedisEvicts,
    RoomsNotHandedOver, WaitingForLog,
};

/// This process in its cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    log: SharedLog,
    notifications: Namespace,
    /// Node's servers, where there are some beside this one.
    peers: Option<Arc<NodePeers>>,
    delivered: Delivered,
    counters: Arc<Counters>,
    is_cut_off: AtomicBool,
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

/// An event in the log.
#[derive(Default, Deserialize, Serialize)]
struct SharedEvent<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    /// The only argument, and nothing binary.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    /// The arguments, where that does not do.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    args: Option<Vec<&'a RawValue>>,
    /// In base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<String>,
    /// None for everyone.
    #[serde(borrow, default)]
    rooms: Vec<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<Cow<'a, str>>,
    /// In milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    volatile: bool,
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
    ) -> Self {
        Self {
            log,
            notifications,
            peers,
            delivered: Delivered::default(),
            counters,
            is_cut_off: AtomicBool::new(false),
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
        let snapshot = loop {
            match self.log.open().await {
                Ok(snapshot) => break snapshot,
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
        let events = snapshot.records.len();
        LogOpened { events }.emit();
        if let Some(policy) = self.log.eviction_policy().await {
            RedisEvicts { policy: &policy }.emit();
        }
        self.begin_at(snapshot.began);
        let end = snapshot.end.offset.millis();
        let is_lately = |offset: Offset| offset.millis().saturating_add(LINGER_MILLIS) >= end;
        for record in snapshot.records {
            // Nobody is here yet whom a change could move. But those may be on
            // their way for whom a process listened that has ended lately.
            if !change::is_change(&record.bytes) || is_lately(record.offset) {
                drop(self.publish_record(&record));
            }
        }
        Ok(snapshot.end)
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

    /// Brings to this process' clients what is appended, for ever.
    pub(crate) async fn follow(self: Arc<Self>, from: Place) {
        let log = self.log.clone();
        log.follow(from, |followed| self.take(followed)).await;
    }

    async fn take(&self, followed: Followed) {
        match followed {
            Followed::Records(records) => {
                let mut under_way = Vec::with_capacity(records.len());
                for record in &records {
                    if change::is_change(&record.bytes) {
                        // What came before it goes to who was there before it.
                        self.finish(&mut under_way).await;
                    }
                    under_way.push((record.offset, self.publish_record(record)));
                }
                self.finish(&mut under_way).await;
            }
            Followed::Gap(began) => {
                let sockets = self.notifications.len();
                LogGap { sockets }.emit();
                self.begin_at(began);
                // They come back, and are told.
                self.notifications.close_transports(&Audience::everyone());
            }
            Followed::CutOff => {
                self.is_cut_off.store(true, Ordering::Relaxed);
                LogCutOff.emit();
            }
            Followed::Back => {
                self.is_cut_off.store(false, Ordering::Relaxed);
                LogBack.emit();
            }
            Followed::Moved => LogMoved.emit(),
        }
    }

    async fn finish(&self, under_way: &mut Vec<(Offset, Option<Delivery>)>) {
        for (offset, delivery) in under_way.drain(..) {
            let sockets = match delivery {
                Some(Delivery::UnderWay(emitted)) => self.count(emitted.await),
                Some(Delivery::Over(sockets)) => self.count(sockets),
                Some(Delivery::Changed(sockets)) => sockets,
                None => 0,
            };
            self.delivered.note(offset, sockets);
        }
    }

    /// Counts the sockets that an event went to, whichever instance accepted it.
    fn count(&self, sockets: usize) -> usize {
        EventDelivered { sockets }.emit(&self.counters);
        sockets
    }

    fn begin_at(&self, place: Place) {
        self.notifications.begin_log_at(place.log, place.offset);
    }

    /// `None` when the record is not understood.
    fn publish_record(&self, record: &Record) -> Option<Delivery> {
        let delivery = self.parse_and_publish(record);
        if delivery.is_none() {
            tracing::error!(offset = %record.offset, "an event of the shared log is not understood");
            // Nobody knows for whom it is.
            self.notifications.handle_unreadable(record.offset);
        }
        delivery
    }

    fn parse_and_publish(&self, record: &Record) -> Option<Delivery> {
        if change::is_change(&record.bytes) {
            let peers = self.peers.as_deref();
            return change::carry_out(&record.bytes, &self.notifications, peers)
                .map(Delivery::Changed);
        }
        let event: SharedEvent<'_> = serde_json::from_slice(&record.bytes).ok()?;
        let mut audience = Audience::everyone();
        for room in &event.rooms {
            audience = audience.to(RoomName::new(room).ok()?);
        }
        for room in &event.except {
            audience = audience.except(RoomName::new(room).ok()?);
        }
        let values: Vec<&RawValue> = event
            .args
            .into_iter()
            .flatten()
            .chain(event.payload)
            .collect();
        let attachments: Option<Vec<Bytes>> = event
            .attachments
            .iter()
            .map(|text| Some(BASE64_STANDARD.decode(text).ok()?.into()))
            .collect();
        let attachments = attachments?;
        let args = OutgoingArgs::with_attachments(&values, &attachments);
        let name = EventName::new(&event.event).ok()?;
        if event.volatile {
            if !self.is_following() {
                // It is late: what was appended while this process was cut off,
                // or had not begun, is being read.
                return Some(Delivery::Over(0));
            }
            let sockets = self.notifications.emit_volatile(&audience, name, args);
            return Some(Delivery::Over(sockets));
        }
        let publication = Publication {
            audience: &audience,
            name,
            args,
            ttl: event.ttl.map(Duration::from_millis),
            id: None,
        };
        let emitted = self.notifications.publish_at(record.offset, &publication);
        Some(Delivery::UnderWay(emitted))
    }
}

impl ClusterEvent<'_> {
    /// The event as it is in the log.
    fn to_record(self) -> Vec<u8> {
        let names = |rooms: &[RoomName]| -> Vec<Cow<'static, str>> {
            rooms.iter().map(|room| room.to_string().into()).collect()
        };
        let event = SharedEvent {
            event: self.name.into(),
            rooms: names(self.audience.to_rooms()),
            except: names(self.audience.except_rooms()),
            ttl: self
                .ttl
                .map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
            volatile: self.is_volatile,
            ..match self.args {
                EventArgs::Payload(payload) => SharedEvent {
                    payload: Some(payload),
                    ..SharedEvent::default()
                },
                EventArgs::Packet(args) => SharedEvent {
                    args: Some(args.iter().collect()),
                    attachments: args
                        .attachments()
                        .iter()
                        .map(|data| BASE64_STANDARD.encode(data))
                        .collect(),
                    ..SharedEvent::default()
                },
            }
        };
        serde_json::to_vec(&event).expect("invariant: text and numbers are JSON")
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
