//! One client in one namespace.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use engineio_proto::{CloseReason, EncodedPacket, Sid, Transport};
use hd_replay::{DUE_NONE, Place, Standing, room_set_key};
use hd_rooms::{Audience, InsertError, JoinError, MemberKey, RoomName};
use socketio_proto::{EventName, OutgoingArgs, Parser};

use super::SocketIo;
use super::acks::{AckError, MAX_ACK_TIMEOUT, PendingAck};
use super::dialect::{Dialect, Variant};
use super::emission::Emission;
use super::membership::own_room;
use super::namespace::Namespace;
use super::recovery::RecoveryOutcome;
use crate::{Connection, Sent, TokenBucket};

/// A client in a namespace. A clone is the same socket. One that is kept after
/// the client has gone keeps the memory and the file of its connection.
#[derive(Clone)]
pub struct Socket(pub(super) Arc<SocketInner>);

pub(super) struct SocketInner {
    pub(super) id: Sid,
    pub(super) namespace: Namespace,
    pub(super) connection: Arc<Connection<SocketIo>>,
    pub(super) dialect: Dialect,
    recovery: RecoveryOutcome,
    entry: OnceLock<Entry>,
    /// What its client has yet to be sent of the log.
    behind: Mutex<Option<Box<Behind>>>,
    /// The connection may be there still, and the client may have come back by
    /// another socket.
    has_left: AtomicBool,
    pub(super) announcement: Mutex<Announcement>,
    pub(super) data: Option<Box<dyn Any + Send + Sync>>,
}

/// A socket's place in its namespace.
#[derive(Debug)]
struct Entry {
    key: MemberKey,
    /// After which of the queued events it is due the events; see
    /// [`after`](super::fanout::Fanout::after). It changes under the lock of the order of publications.
    after: AtomicU64,
}

/// What a client has yet to be sent of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    /// From where on.
    pub(super) position: Place,
    /// The rooms that it was in when it resumed, as [`room_set_key`]: what it missed was for these.
    pub(super) rooms: u64,
}

/// A socket does not fit into a namespace's registry.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnterError {
    #[error(transparent)]
    Insert(#[from] InsertError),
    #[error(transparent)]
    Join(#[from] JoinError),
}

/// What the application knows of a socket. It hears of its end after it has
/// heard of its beginning, and only then, whichever task is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announcement {
    Pending,
    Connected,
    LeftBefore(DisconnectReason),
}

/// Why a socket left its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The session ended.
    Session(CloseReason),
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// The server took it out of the namespace.
    ServerNamespaceDisconnect,
}

impl DisconnectReason {
    /// The reason in Socket.IO's words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session(reason) => reason.as_str(),
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
        }
    }
}

impl Socket {
    pub(super) fn new(
        connection: &Arc<Connection<SocketIo>>,
        namespace: &Namespace,
        dialect: Dialect,
        data: Option<Box<dyn Any + Send + Sync>>,
        (id, recovery): (Sid, RecoveryOutcome),
    ) -> Self {
        Self(Arc::new(SocketInner {
            id,
            namespace: namespace.clone(),
            connection: Arc::clone(connection),
            dialect,
            recovery,
            entry: OnceLock::new(),
            behind: Mutex::new(None),
            has_left: AtomicBool::new(false),
            announcement: Mutex::new(Announcement::Pending),
            data,
        }))
    }

    /// The public id, as the client's `socket.id` has it. It is not the
    /// session id, which is a secret.
    #[must_use]
    pub fn id(&self) -> &Sid {
        &self.0.id
    }

    /// Whether the client came back, and what became of it.
    #[must_use]
    pub fn recovery(&self) -> RecoveryOutcome {
        self.0.recovery
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// What carries the client's connection now.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.0.connection.transport()
    }

    /// Whether the client speaks WebSocket and nothing above it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.dialect.is_plain()
    }

    /// What the application keeps for this socket, when it is a `T`.
    #[must_use]
    pub fn data<T: 'static>(&self) -> Option<&T> {
        self.0.data.as_ref()?.downcast_ref()
    }

    /// A bucket that all connections of the same
    /// [identity](crate::Admission::identity) share, for what an application
    /// limits for each of its users. `None` when the server keeps nothing for
    /// identities, since nothing of theirs is limited.
    #[must_use]
    pub fn shared_bucket(&self) -> Option<&TokenBucket> {
        self.0.connection.shared_bucket()
    }

    /// Sends an event, here and now: before those for many sockets that are
    /// queued, see [`Namespace::emit`]. Returns `None` when the socket has left
    /// the namespace.
    pub fn emit(&self, name: EventName<'_>, args: OutgoingArgs<'_>) -> Option<Sent> {
        self.send(Emission::new(self.namespace(), name, args).packets_for(self))
    }

    /// Sends an event if it leaves at once: over a WebSocket on which nothing
    /// waits, or in the answer to a poll that waits. Otherwise it is dropped.
    /// Returns whether it was sent.
    pub fn emit_volatile(&self, name: EventName<'_>, args: OutgoingArgs<'_>) -> bool {
        self.send_volatile(Emission::new(self.namespace(), name, args).packets_for(self))
    }

    /// Sends an event that the client is to answer, and waits for its answer,
    /// at most `timeout`, which is at most a day.
    ///
    /// The event is sent here and now, whether the [`PendingAck`] is polled or
    /// not; what keeps it from being sent is the result of the future.
    pub fn emit_with_ack(
        &self,
        name: EventName<'_>,
        args: OutgoingArgs<'_>,
        timeout: Duration,
    ) -> PendingAck {
        if self.is_plain() {
            return PendingAck::failed(match self.emit(name, args) {
                Some(_) => AckError::PlainWebSocket,
                None => AckError::Disconnected,
            });
        }
        let deadline = Instant::now() + timeout.min(MAX_ACK_TIMEOUT);
        let asked = self.0.connection.client().lock().ask(self, deadline);
        let (id, pending) = match asked {
            Ok(asked) => asked,
            Err(error) => return PendingAck::failed(error),
        };
        let event = self
            .parser()
            .event(self.namespace().name(), Some(id), name, args);
        if self.send(event.packets()).is_none() {
            return PendingAck::failed(AckError::Disconnected);
        }
        self.0.connection.arm(deadline);
        pending
    }

    /// An audience without this socket: `socket.broadcast` of Socket.IO is an
    /// [`emit`](Namespace::emit) to everyone but oneself.
    #[must_use]
    pub fn except_self(&self, audience: Audience) -> Audience {
        match self.0.entry.get() {
            Some(entry) => audience.except_member(entry.key),
            None => audience,
        }
    }

    /// After which of the queued events the socket is due the events.
    pub(super) fn entered_after(&self) -> u64 {
        let entry = self.0.entry.get();
        entry.map_or(0, |entry| entry.after.load(Ordering::Relaxed))
    }

    /// Whether its client gets what is published from the log, in portions.
    pub(super) fn is_behind(&self) -> bool {
        self.entered_after() == DUE_NONE
    }

    /// What its client has yet to be sent of the log.
    pub(super) fn behind(&self) -> Option<Behind> {
        self.lock_behind().as_deref().copied()
    }

    /// Its client stands so to the log now, for which it is in these rooms. Under the lock of the order
    /// of publications.
    pub(super) fn set_standing(&self, standing: Standing, rooms: u64) {
        let Some(entry) = self.0.entry.get() else {
            return;
        };
        *self.lock_behind() = match standing {
            Standing::Behind(position) => Some(Box::new(Behind { position, rooms })),
            Standing::Current | Standing::Ahead(_) => None,
        };
        let after = self.namespace().fanout().after(standing);
        entry.after.store(after, Ordering::Relaxed);
    }

    fn lock_behind(&self) -> MutexGuard<'_, Option<Box<Behind>>> {
        self.0.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// How packets for the client are encoded.
    pub(super) fn parser(&self) -> Parser {
        match self.0.dialect {
            Dialect::SocketIo
            | Dialect::Variant(Variant::SocketIoBare | Variant::SocketIoPayload) => {
                self.0.namespace.parser()
            }
            // Socket.IO 2 has the default parser, and a plain WebSocket is sent no packets.
            Dialect::SocketIo2
            | Dialect::Plain
            | Dialect::Variant(
                Variant::SocketIo2Argument | Variant::SocketIo2Payload | Variant::PlainId,
            ) => Parser::Text,
        }
    }

    pub(super) fn send(&self, packets: &[EncodedPacket]) -> Option<Sent> {
        if self.has_left() {
            return None;
        }
        self.0.connection.send(packets).ok()
    }

    pub(super) fn send_volatile(&self, packets: &[EncodedPacket]) -> bool {
        !self.has_left() && self.0.connection.send_volatile(packets)
    }

    pub(super) fn has_left(&self) -> bool {
        self.0.has_left.load(Ordering::Relaxed)
    }

    pub(super) fn forget_ack(&self, id: u64) {
        let asker = self.0.connection.client().lock().forget_ack(id);
        drop(asker); // not under the lock
    }

    /// Joins a room.
    ///
    /// # Errors
    ///
    /// [`JoinError`], for instance when the socket has left the namespace.
    pub fn join(&self, room: &RoomName) -> Result<(), JoinError> {
        let entry = self.0.entry.get().ok_or(JoinError::UnknownMember)?;
        self.0.namespace.rooms_mut().join(entry.key, room).map(drop)
    }

    /// Leaves a room. Returns whether the socket was in it.
    pub fn leave(&self, room: &str) -> bool {
        let Some(entry) = self.0.entry.get() else {
            return false;
        };
        self.0.namespace.rooms_mut().leave(entry.key, room)
    }

    /// The rooms that the socket is in.
    #[must_use]
    pub fn rooms(&self) -> Vec<RoomName> {
        let rooms = self.0.namespace.rooms();
        let entry = self.0.entry.get();
        entry.map_or_else(Vec::new, |entry| {
            rooms.rooms_of(entry.key).cloned().collect()
        })
    }

    /// Takes the client out of the namespace, by a DISCONNECT packet: clients
    /// do not come back after it. A plain WebSocket is closed. Returns whether
    /// the client was in the namespace.
    ///
    /// The socket is in no room when this returns, or when a plain WebSocket has
    /// closed; the application hears of its end from another task.
    pub fn disconnect(&self) -> bool {
        let connection = &self.0.connection;
        if self.is_plain() {
            let is_in = connection.client().lock().position(self).is_some();
            self.close_transport();
            return is_in;
        }
        let (askers, deadline) = {
            let mut client = connection.client().lock();
            let Some(askers) = client.take_out(self, Instant::now()) else {
                return false;
            };
            if client.sockets.is_empty() {
                connection.left();
            }
            (askers, client.poll_timeout())
        };
        drop(askers); // not under the lock
        // When it is gone, that is what is wanted.
        let packet = self.parser().disconnect(self.namespace().name());
        let _gone = self.send(packet.packets());
        if let Some(deadline) = deadline {
            connection.arm(deadline);
        }
        if self.leave_rooms(DisconnectReason::ServerNamespaceDisconnect) {
            let socket = self.clone();
            connection.spawn(async move {
                socket.tell_end(DisconnectReason::ServerNamespaceDisconnect);
            });
        }
        true
    }

    /// Closes the transport under the client once what waits has left. Clients
    /// come back after it.
    pub fn close_transport(&self) {
        self.0.connection.close(CloseReason::ForcedClose);
    }

    /// Enters the namespace's registry and these rooms.
    pub(super) fn enter_rooms(
        &self,
        rooms: &[RoomName],
        standing: Standing,
    ) -> Result<(), EnterError> {
        let mut registry = self.namespace().rooms_mut();
        let fanout = self.namespace().fanout();
        fanout.set_runtime(self.0.connection.runtime());
        let after = AtomicU64::new(0);
        let key = registry.insert(self.clone())?;
        let is_first = self.0.entry.set(Entry { key, after }).is_ok();
        debug_assert!(is_first, "a socket enters once");
        self.namespace().has_entered(self.0.dialect);
        let own = self.namespace().has_own_rooms();
        let own = own.then(|| own_room(self.id()));
        let mut rooms = own.iter().chain(rooms);
        let joined = rooms.try_for_each(|room| registry.join(key, room).map(drop));
        let rooms = match standing {
            Standing::Behind(_) => registry.rooms_of(key).cloned().collect(),
            Standing::Current | Standing::Ahead(_) => Vec::new(),
        };
        self.set_standing(standing, room_set_key(&rooms));
        Ok(joined?)
    }

    /// Tells the application of the socket.
    pub(super) fn announce(&self) {
        let handler = self.namespace().handler();
        handler.connected(self);
        let left_before = {
            let mut announcement = self.announcement();
            match *announcement {
                Announcement::Pending | Announcement::Connected => {
                    *announcement = Announcement::Connected;
                    None
                }
                Announcement::LeftBefore(reason) => Some(reason),
            }
        };
        if let Some(reason) = left_before {
            handler.disconnected(self, reason);
        }
    }

    /// Takes the socket out of the rooms and tells the application.
    pub(super) fn left(&self, reason: DisconnectReason) {
        if self.leave_rooms(reason) {
            self.tell_end(reason);
        }
    }

    /// Takes the socket out of the rooms. Returns whether the application is to
    /// be told now; otherwise it is told once it has heard of the beginning.
    fn leave_rooms(&self, reason: DisconnectReason) -> bool {
        self.0.has_left.store(true, Ordering::Relaxed);
        if let Some(entry) = self.0.entry.get() {
            // Dropped after the lock is released.
            let member = self.namespace().rooms_mut().remove(entry.key);
            if member.is_some() {
                self.namespace().has_left(self.0.dialect);
            }
        }
        let mut announcement = self.announcement();
        match *announcement {
            Announcement::Connected => true,
            Announcement::Pending | Announcement::LeftBefore(_) => {
                *announcement = Announcement::LeftBefore(reason);
                false
            }
        }
    }

    fn tell_end(&self, reason: DisconnectReason) {
        self.namespace().handler().disconnected(self, reason);
    }

    fn announcement(&self) -> MutexGuard<'_, Announcement> {
        self.0
            .announcement
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket equals its clones: one that has come back under the same id is
/// another one.
impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Socket {}

/// Shows the public id only.
impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}
