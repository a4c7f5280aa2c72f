//! One client in one namespace.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use engineio_proto::{CloseReason, Sid};
use hd_rooms::{JoinError, MemberKey, RoomName};
use socketio_proto::{Encoded, encode};

use super::SocketIo;
use super::namespace::Namespace;
use crate::{Connection, Sent};

/// A client in a namespace. A clone is the same socket.
#[derive(Clone)]
pub struct Socket(pub(super) Arc<SocketInner>);

pub(super) struct SocketInner {
    pub(super) id: Sid,
    pub(super) namespace: Namespace,
    pub(super) connection: Arc<Connection<SocketIo>>,
    pub(super) key: OnceLock<MemberKey>,
    pub(super) data: Option<Box<dyn Any + Send + Sync>>,
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
    /// The public id, as the client's `socket.id` has it. It is not the
    /// session id, which is a secret.
    #[must_use]
    pub fn id(&self) -> &Sid {
        &self.0.id
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// What the application keeps for this socket, when it is a `T`.
    #[must_use]
    pub fn data<T: 'static>(&self) -> Option<&T> {
        self.0.data.as_ref()?.downcast_ref()
    }

    /// Sends an encoded packet. Returns `None` when the client is gone.
    pub fn send(&self, encoded: &Encoded) -> Option<Sent> {
        self.0.connection.send(encoded.packets()).ok()
    }

    /// Sends an encoded packet if it would leave at once. Returns whether it
    /// did.
    #[must_use]
    pub fn send_volatile(&self, encoded: &Encoded) -> bool {
        self.0.connection.send_volatile(encoded.packets())
    }

    /// Joins a room.
    ///
    /// # Errors
    ///
    /// [`JoinError`], for instance when the socket has left the namespace.
    pub fn join(&self, room: &RoomName) -> Result<(), JoinError> {
        let key = self.0.key.get().ok_or(JoinError::UnknownMember)?;
        self.0.namespace.rooms_mut().join(*key, room).map(drop)
    }

    /// Leaves a room. Returns whether the socket was in it.
    pub fn leave(&self, room: &str) -> bool {
        let Some(key) = self.0.key.get() else {
            return false;
        };
        self.0.namespace.rooms_mut().leave(*key, room)
    }

    /// Takes the client out of the namespace, by a DISCONNECT packet: clients
    /// do not come back after it.
    pub fn disconnect(&self) {
        let namespace = self.0.namespace.name();
        let taken_out = {
            let mut client = self.0.connection.client().lock();
            let is_in = client.proto.disconnect(namespace, Instant::now()).is_some();
            client.sockets.retain(|socket| socket.0.id != self.0.id);
            is_in
        };
        if taken_out {
            // It is gone, which is what is wanted.
            let _gone = self.send(&encode::disconnect(namespace));
            self.left(DisconnectReason::ServerNamespaceDisconnect);
        }
    }

    /// Closes the transport under the client once what waits has left. Clients
    /// come back after it.
    pub fn close_transport(&self) {
        self.0.connection.close(CloseReason::ForcedClose);
    }

    pub(super) fn left(&self, reason: DisconnectReason) {
        if let Some(key) = self.0.key.get() {
            // Dropped after the lock is released.
            let _member = self.0.namespace.rooms_mut().remove(*key);
        }
        self.0.namespace.handler().disconnected(self, reason);
    }
}

/// Shows the public id only.
impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}
