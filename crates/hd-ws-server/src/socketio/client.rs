//! What is kept for each client.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use smallvec::SmallVec;
use socketio_proto::{Args, Client, Revision};

use super::acks::{AckError, Asker, AwaitedAcks, PendingAck};
use super::{Socket, SocketIo};
use crate::engine::Held;
use crate::{ClientHandshake, Connection};

/// What is kept for each client.
pub struct SocketIoClient {
    /// Each CONNECT of the client's is judged by it, and one may come at any
    /// time: after a DISCONNECT of the same namespace, too. `None` for a plain
    /// WebSocket, which has been judged.
    handshake: Option<ClientHandshake>,
    state: Mutex<ClientState>,
}

pub(super) struct ClientState {
    /// `None` for a plain WebSocket, which speaks no Socket.IO.
    pub(super) proto: Option<Client>,
    pub(super) sockets: SmallVec<[Socket; 1]>,
    acks: AwaitedAcks,
    /// What is kept of a packet that has come in part.
    held: Option<Held>,
}

impl SocketIoClient {
    pub(super) fn socket_io(handshake: ClientHandshake, proto: Client) -> Self {
        Self::new(Some(handshake), Some(proto))
    }

    pub(super) fn plain() -> Self {
        Self::new(None, None)
    }

    fn new(handshake: Option<ClientHandshake>, proto: Option<Client>) -> Self {
        Self {
            handshake,
            state: Mutex::new(ClientState {
                proto,
                sockets: SmallVec::new(),
                acks: AwaitedAcks::default(),
                held: None,
            }),
        }
    }

    pub(super) const fn handshake(&self) -> Option<&ClientHandshake> {
        self.handshake.as_ref()
    }

    pub(super) fn speaks_socket_io_2(&self) -> bool {
        let revision = self.handshake.as_ref().map(ClientHandshake::revision);
        revision.is_some_and(|revision| Revision::from(revision) == Revision::V4)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ClientState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, namespace: &socketio_proto::Namespace) -> Option<Socket> {
        self.lock()
            .sockets
            .iter()
            .find(|socket| socket.namespace().name() == namespace)
            .cloned()
    }

    /// Ends the wait for an ack.
    pub(super) fn answer(&self, id: u64, result: Result<Args, AckError>) {
        let asker = self.lock().acks.take(id);
        if let Some(asker) = asker {
            asker.answer(result);
        }
    }
}

impl ClientState {
    /// Where this socket is, and not another one of the same namespace that the
    /// client has joined again.
    pub(super) fn position(&self, socket: &Socket) -> Option<usize> {
        self.sockets
            .iter()
            .position(|candidate| candidate.id() == socket.id())
    }

    /// Accounts for a packet that has come in part. Returns false when there is
    /// no room for it.
    pub(super) fn hold(&mut self, connection: &Connection<SocketIo>) -> bool {
        let bytes = self.proto.as_ref().map_or(0, Client::partial_memory);
        if bytes == 0 {
            self.held = None;
            return true;
        }
        let held = self.held.get_or_insert_with(|| connection.hold());
        connection.hold_bytes(held, bytes).is_ok()
    }

    /// Registers an ack of the next event to a socket, and gives it its id.
    pub(super) fn ask(
        &mut self,
        socket: &Socket,
        deadline: Instant,
    ) -> Result<(u64, PendingAck), AckError> {
        self.position(socket).ok_or(AckError::Disconnected)?;
        let proto = self.proto.as_mut().ok_or(AckError::PlainWebSocket)?;
        let id = proto.await_ack(socket.namespace().name(), deadline)?;
        let (pending, asker) = PendingAck::of(socket, id);
        self.acks.push(id, asker);
        Ok((id, pending))
    }

    pub(super) fn forget_ack(&mut self, id: u64) -> Option<Asker> {
        if let Some(proto) = &mut self.proto {
            // Answered, or lost, by now: that is as good.
            let _was_awaited = proto.forget_ack(id);
        }
        self.acks.take(id)
    }

    /// Takes a socket out of its namespace. Returns who waits for an ack of it
    /// in vain, or `None` when it is not there.
    pub(super) fn take_out(&mut self, socket: &Socket, now: Instant) -> Option<Vec<Asker>> {
        let position = self.position(socket)?;
        let proto = self.proto.as_mut()?;
        let lost = proto.disconnect(socket.namespace().name(), now)?;
        self.sockets.swap_remove(position);
        Some(self.acks.take_all(&lost))
    }

    /// The client itself has left a namespace. Returns its socket, and who
    /// waits for an ack of it in vain.
    pub(super) fn has_left(
        &mut self,
        namespace: &socketio_proto::Namespace,
        lost_acks: &[u64],
    ) -> (Option<Socket>, Vec<Asker>) {
        let position = self
            .sockets
            .iter()
            .position(|socket| socket.namespace().name() == namespace);
        let socket = position.map(|position| self.sockets.swap_remove(position));
        (socket, self.acks.take_all(lost_acks))
    }

    /// The session has ended.
    pub(super) fn take_all(&mut self) -> (SmallVec<[Socket; 1]>, AwaitedAcks) {
        self.held = None;
        let sockets = std::mem::take(&mut self.sockets);
        (sockets, std::mem::take(&mut self.acks))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.proto.as_ref()?.poll_timeout().map(|(at, _)| at)
    }
}

impl fmt::Debug for SocketIoClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketIoClient").finish_non_exhaustive()
    }
}
