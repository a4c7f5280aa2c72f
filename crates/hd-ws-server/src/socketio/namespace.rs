//! A namespace: its sockets, its rooms, and its application.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use engineio_proto::Sid;
use hd_rooms::{Audience, AudienceScratch, Rooms, RoomsConfig};
use socketio_proto::{EventName, OutgoingArgs, Parser};
use tokio::sync::Notify;

use super::acks::{Answers, PendingAck};
use super::dialect::{Dialect, RecoveryRequest, Variant};
use super::emission::Emission;
use super::fanout::{Emitted, Fanout};
use super::handler::{ConnectRequest, DynHandler, NamespaceHandler, Refusal};
use super::publish::{NamespaceConfig, Order};
use super::{Socket, SocketIo};
use crate::PlainOpened;

/// A namespace. A clone is the same namespace.
#[derive(Clone)]
pub struct Namespace(Arc<Inner>);

struct Inner {
    name: socketio_proto::Namespace,
    parser: Parser,
    handler: Arc<dyn DynHandler>,
    rooms: RwLock<Rooms<Socket>>,
    /// Counts the changes of the rooms.
    version: AtomicU64,
    /// Told when rooms have come or gone, and somebody wants to know.
    rooms_changed: Notify,
    has_own_rooms: bool,
    /// Sockets of Socket.IO 2: events are encoded for them while there are any.
    socket_io_2: AtomicUsize,
    /// The same of each variant.
    variants: [AtomicUsize; Variant::ALL.len()],
    fanout: Fanout,
    order: Order,
}

/// The registry, to be changed.
pub(super) struct RoomsMut<'a> {
    /// Always there, but while it is dropped.
    guard: Option<RwLockWriteGuard<'a, Rooms<Socket>>>,
    changed: &'a Notify,
}

impl Namespace {
    pub(super) fn new(
        name: socketio_proto::Namespace,
        parser: Parser,
        config: NamespaceConfig,
        handler: impl NamespaceHandler,
    ) -> Self {
        Self(Arc::new(Inner {
            name,
            parser,
            handler: Arc::new(handler),
            rooms: RwLock::new(Rooms::new(RoomsConfig::default())),
            version: AtomicU64::new(0),
            rooms_changed: Notify::new(),
            has_own_rooms: config.own_rooms,
            socket_io_2: AtomicUsize::new(0),
            variants: Default::default(),
            fanout: Fanout::default(),
            order: Order::new(config),
        }))
    }

    /// A socket that speaks this has entered.
    pub(super) fn has_entered(&self, dialect: Dialect) {
        if let Some(count) = self.count_of(dialect) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A socket that speaks this has left.
    pub(super) fn has_left(&self, dialect: Dialect) {
        if let Some(count) = self.count_of(dialect) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Where the sockets are counted that speak this, if they are.
    fn count_of(&self, dialect: Dialect) -> Option<&AtomicUsize> {
        match dialect {
            Dialect::SocketIo | Dialect::Plain => None,
            Dialect::SocketIo2 => Some(&self.0.socket_io_2),
            Dialect::Variant(variant) => Some(&self.0.variants[variant.index()]),
        }
    }

    /// The variants that clients in the namespace have requested.
    pub(super) fn variants(&self) -> impl Iterator<Item = Variant> {
        let counts = Variant::ALL.into_iter().zip(&self.0.variants);
        counts
            .filter(|(_, count)| count.load(Ordering::Relaxed) > 0)
            .map(|(variant, _)| variant)
    }

    /// Whether a client of Socket.IO 2 is in the namespace.
    pub(super) fn has_socket_io_2(&self) -> bool {
        self.0.socket_io_2.load(Ordering::Relaxed) > 0
    }

    /// The name, with its slash.
    #[must_use]
    pub fn name(&self) -> &socketio_proto::Namespace {
        &self.0.name
    }

    /// Sockets in the namespace now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rooms().len()
    }

    /// Whether no socket is in the namespace.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sockets of an audience now, as `fetchSockets` of Socket.IO.
    #[must_use]
    pub fn sockets(&self, audience: &Audience) -> Vec<Socket> {
        self.resolve(audience)
    }

    /// Sends an event to an audience, whether the [`Emitted`] is polled or not.
    /// That resolves to how many sockets took the event: it was written to
    /// them, or waits for them.
    ///
    /// An event for up to 64 sockets is sent here and now. One for more is
    /// queued, and events that are queued for the same audience are sent
    /// together. While any is queued, every event that is emitted here waits
    /// behind it. The queue has no bound but its emitters: who emits without
    /// end has to await what was emitted.
    pub fn emit(
        &self,
        audience: &Audience,
        name: EventName<'_>,
        args: OutgoingArgs<'_>,
    ) -> Emitted {
        self.send(audience, &Emission::new(self, name, args))
    }

    /// Sends an event now, or queues it.
    pub(super) fn send(&self, audience: &Audience, emission: &Emission<'_>) -> Emitted {
        let at_most = self.max_recipients(audience);
        if at_most == 0 {
            return Emitted::sent(0);
        }
        // What is in the log, those that are behind get from there.
        let is_due = |socket: &&Socket| !emission.is_in_log() || !socket.is_behind();
        let sent = |socket: &&Socket| socket.send(emission.packets_for(socket)).is_some();
        if self.0.fanout.is_direct(at_most) {
            let sockets = self.resolve(audience);
            return Emitted::sent(sockets.iter().filter(is_due).filter(sent).count());
        }
        if !emission.is_in_log() && self.order().can_recover() {
            let behind = self.resolve(audience);
            let behind = behind.iter().filter(|socket| socket.is_behind());
            // Not counted: its client is due nothing of the queue.
            behind.for_each(|socket| {
                sent(&socket);
            });
        }
        let fanout = &self.0.fanout;
        fanout.queue(audience.clone(), emission.to_event(), || {
            super::fanout::run(self.clone())
        })
    }

    /// As [`emit`](Self::emit), but only to sockets that the event leaves for
    /// at once; see [`Socket::emit_volatile`]. Returns how many these were.
    pub fn emit_volatile(
        &self,
        audience: &Audience,
        name: EventName<'_>,
        args: OutgoingArgs<'_>,
    ) -> usize {
        let emission = Emission::new(self, name, args);
        self.resolve(audience)
            .iter()
            .filter(|socket| socket.send_volatile(emission.packets_for(socket)))
            .count()
    }

    /// Sends an event to an audience, and waits until each socket has answered
    /// it, has left, or `timeout` is over; see [`Socket::emit_with_ack`].
    ///
    /// The event is sent here and now, whether the future is polled or not.
    /// Each socket has an id of its own in it, so it is encoded for each.
    ///
    /// # Cancel safety
    ///
    /// Safe to cancel: the answers are ignored then.
    pub fn emit_with_ack(
        &self,
        audience: &Audience,
        name: EventName<'_>,
        args: OutgoingArgs<'_>,
        timeout: Duration,
    ) -> impl Future<Output = Answers> + Send + use<> {
        let asked: Vec<(Socket, PendingAck)> = self
            .resolve(audience)
            .into_iter()
            .map(|socket| {
                let ack = socket.emit_with_ack(name, args, timeout);
                (socket, ack)
            })
            .collect();
        async move {
            let mut answers = Answers::default();
            // One after the other: none takes longer than the timeout, and
            // answers that have come wait.
            for (socket, ack) in asked {
                match ack.await {
                    Ok(args) => answers.answered.push((socket, args)),
                    Err(error) => answers.missing.push((socket, error)),
                }
            }
            answers
        }
    }

    /// Takes an audience out of the namespace; see [`Socket::disconnect`].
    /// Returns how many sockets were in it.
    pub fn disconnect(&self, audience: &Audience) -> usize {
        self.resolve(audience)
            .iter()
            .filter(|socket| socket.disconnect())
            .count()
    }

    /// Closes the transports under an audience; see
    /// [`Socket::close_transport`]. Returns how many sockets there were.
    pub fn close_transports(&self, audience: &Audience) -> usize {
        let sockets = self.resolve(audience);
        for socket in &sockets {
            socket.close_transport();
        }
        sockets.len()
    }

    /// Asks the application to let in a client that speaks WebSocket and
    /// nothing above it. It then gets each event as one text frame, `{"event":
    /// …, "data": …}`. One whose handshake kept the query `recovery=1` is sent
    /// its recovery state first, and offsets as `"id"`; it reconnects with
    /// `pid` and `offset` in its query. Hand the result on as
    /// [`HttpReply::UpgradePlain`](crate::HttpReply::UpgradePlain).
    ///
    /// # Errors
    ///
    /// The application's [`Refusal`].
    ///
    /// # Cancel safety
    ///
    /// Safe to cancel: the client is in the namespace only when the result has
    /// been called.
    pub async fn admit_plain(
        &self,
        request: ConnectRequest<'_>,
    ) -> Result<PlainOpened<SocketIo>, Refusal> {
        let recovery = RecoveryRequest::from_query(request.handshake.query());
        let admission = self.handler().connect(request).await?;
        let terms = self.order().terms(recovery);
        if let Some(caught_up) = self.order().catch_up(terms.presented.as_ref()) {
            caught_up.await;
        }
        let namespace = self.clone();
        Ok(Box::new(move |connection| {
            super::admit_plain(connection, &namespace, admission, terms);
        }))
    }

    /// What its clients of Socket.IO speak.
    pub(super) fn parser(&self) -> Parser {
        self.0.parser
    }

    pub(super) fn handler(&self) -> &Arc<dyn DynHandler> {
        &self.0.handler
    }

    pub(super) fn fanout(&self) -> &Fanout {
        &self.0.fanout
    }

    pub(super) fn order(&self) -> &Order {
        &self.0.order
    }

    /// The socket with this id in a room.
    pub(super) fn find_in(&self, room: &str, id: &Sid) -> Option<Socket> {
        let rooms = self.rooms();
        let mut members = rooms.members_of(room).map(|(_, socket)| socket);
        members.find(|socket| socket.id() == id).cloned()
    }

    /// How many sockets an audience has, or more: one that is in several of its
    /// rooms is counted for each, and so are those that it leaves out.
    #[must_use]
    pub fn max_recipients(&self, audience: &Audience) -> usize {
        let rooms = self.rooms();
        match audience.to_rooms() {
            [] => rooms.len(),
            named => named.iter().map(|room| rooms.room_len(room.as_str())).sum(),
        }
    }

    /// The sockets of an audience. The registry's lock is released by then.
    pub(super) fn resolve(&self, audience: &Audience) -> Vec<Socket> {
        self.resolve_at_version(audience).0
    }

    /// The same, and the version of the rooms that it is true of.
    pub(super) fn resolve_at_version(&self, audience: &Audience) -> (Vec<Socket>, u64) {
        let mut sockets = Vec::new();
        let rooms = self.rooms();
        rooms.resolve(audience, &mut AudienceScratch::default(), &mut sockets);
        (sockets, self.version())
    }

    /// Counts the changes of the rooms. A socket that had entered when an event
    /// was queued is counted for who finds that event in the queue.
    pub(super) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Relaxed)
    }

    pub(super) fn rooms(&self) -> RwLockReadGuard<'_, Rooms<Socket>> {
        self.0.rooms.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rooms_mut(&self) -> RoomsMut<'_> {
        let rooms = self.0.rooms.write().unwrap_or_else(PoisonError::into_inner);
        // Behind the lock, so that who sees the change sees the count.
        self.0.version.fetch_add(1, Ordering::Relaxed);
        RoomsMut {
            guard: Some(rooms),
            changed: &self.0.rooms_changed,
        }
    }

    pub(super) fn rooms_changed(&self) -> &Notify {
        &self.0.rooms_changed
    }

    pub(super) fn has_own_rooms(&self) -> bool {
        self.0.has_own_rooms
    }
}

impl Deref for RoomsMut<'_> {
    type Target = Rooms<Socket>;

    fn deref(&self) -> &Rooms<Socket> {
        self.guard.as_deref().expect(IS_LOCKED)
    }
}

impl DerefMut for RoomsMut<'_> {
    fn deref_mut(&mut self) -> &mut Rooms<Socket> {
        self.guard.as_deref_mut().expect(IS_LOCKED)
    }
}

/// Wakes whoever wants to know, when the lock is released.
impl Drop for RoomsMut<'_> {
    fn drop(&mut self) {
        let has_changed = self.has_changed();
        self.guard = None;
        if has_changed {
            self.changed.notify_one();
        }
    }
}

const IS_LOCKED: &str = "invariant: the lock is held until this is dropped";

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}
