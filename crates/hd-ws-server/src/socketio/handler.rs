//! What an application does in a namespace.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hd_rooms::RoomName;
use serde_json::value::RawValue;
use socketio_proto::{Args, Event};

use super::{DisconnectReason, Socket, SocketIo};
use crate::{ClientHandshake, Connection};

/// The application of one namespace.
///
/// The calls must not block, nor may [`connect`](Self::connect) between two
/// awaits: what takes long belongs in a task of its own. For one socket
/// [`connected`](Self::connected)
/// is the first to begin and [`disconnected`](Self::disconnected) comes after it
/// has ended; the first event may come while it runs.
pub trait NamespaceHandler: Send + Sync + 'static {
    /// Decides whether a client may join. Nothing has been sent to it yet.
    ///
    /// It is polled once where the client's CONNECT is read; only when it is
    /// not ready then it gets a task of its own.
    fn connect(
        &self,
        request: ConnectRequest<'_>,
    ) -> impl Future<Output = Result<Admission, Refusal>> + Send;

    /// The client has joined; its CONNECT reply is out or queued.
    fn connected(&self, socket: &Socket) {
        let _ = socket;
    }

    /// The client has sent an event. Returns the arguments of the ack, when
    /// the client asked for one and is to get it now.
    fn event(&self, socket: &Socket, event: &Event) -> Option<Args> {
        let _ = (socket, event);
        None
    }

    /// The client has moved from polling to a WebSocket. It may come beside
    /// [`connected`](Self::connected), and beside the client's end.
    fn upgraded(&self, socket: &Socket) {
        let _ = socket;
    }

    /// The client has left. Nothing follows, but an event that came before may
    /// still be under way in another task.
    fn disconnected(&self, socket: &Socket, reason: DisconnectReason) {
        let _ = (socket, reason);
    }
}

/// A client that asks to join a namespace.
#[derive(Debug)]
pub struct ConnectRequest<'a> {
    /// The request that the client came with.
    pub handshake: &'a ClientHandshake,
    /// The `auth` object of its CONNECT packet.
    pub auth: Option<&'a RawValue>,
    /// Whether more clients of its address were kept out than
    /// [`max_auth_failures_per_address`](crate::ServerConfig::max_auth_failures_per_address).
    /// It is let in as any other; if it is kept out it gets no answer, and is
    /// counted as [`Rejection::AuthFailuresPerAddress`](crate::Rejection). That
    /// may be very often, so that a log line for each is too much.
    pub has_exceeded_failures: bool,
}

/// A client that is let in.
#[derive(Default)]
pub struct Admission {
    /// Rooms that it is in from the first moment.
    pub rooms: Vec<RoomName>,
    /// What the application keeps for it; see [`Socket::data`].
    pub data: Option<Box<dyn Any + Send + Sync>>,
    /// Who it is. A client that reconnects recovers what its own identity
    /// missed, and limits for each user count by it. `None` for one that
    /// recovers nothing and counts for nobody.
    pub identity: Option<u64>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission")
            .field("rooms", &self.rooms)
            .finish_non_exhaustive()
    }
}

/// A client that is kept out.
#[derive(Debug)]
pub enum Refusal {
    /// Answered with CONNECT_ERROR.
    ConnectError {
        /// The client's `err.message`.
        message: String,
        /// The client's `err.data`.
        data: Option<Box<RawValue>>,
    },
    /// Answered with CONNECT and DISCONNECT, as a NestJS gateway does that
    /// disconnects in its connection handler.
    ConnectThenDisconnect,
}

/// The handler as an object: its future is boxed.
pub(super) trait DynHandler: Send + Sync {
    fn connect<'a>(&'a self, request: ConnectRequest<'a>) -> Verdict<'a>;

    /// As [`connect`](Self::connect), with all that it needs in the future.
    fn connect_client(
        self: Arc<Self>,
        connection: Arc<Connection<SocketIo>>,
        auth: Option<Box<RawValue>>,
    ) -> Verdict<'static>;

    fn connected(&self, socket: &Socket);
    fn event(&self, socket: &Socket, event: &Event) -> Option<Args>;
    fn upgraded(&self, socket: &Socket);
    fn disconnected(&self, socket: &Socket, reason: DisconnectReason);
}

pub(super) type Verdict<'a> = Pin<Box<dyn Future<Output = Result<Admission, Refusal>> + Send + 'a>>;

impl<H: NamespaceHandler> DynHandler for H {
    fn connect<'a>(&'a self, request: ConnectRequest<'a>) -> Verdict<'a> {
        Box::pin(NamespaceHandler::connect(self, request))
    }

    fn connect_client(
        self: Arc<Self>,
        connection: Arc<Connection<SocketIo>>,
        auth: Option<Box<RawValue>>,
    ) -> Verdict<'static> {
        Box::pin(async move {
            let Some(handshake) = connection.client().handshake() else {
                unreachable!("invariant: only clients of Socket.IO send CONNECT");
            };
            let request = ConnectRequest {
                handshake,
                auth: auth.as_deref(),
                has_exceeded_failures: connection.has_exceeded_failures(),
            };
            NamespaceHandler::connect(&*self, request).await
        })
    }

    fn connected(&self, socket: &Socket) {
        NamespaceHandler::connected(self, socket);
    }

    fn event(&self, socket: &Socket, event: &Event) -> Option<Args> {
        NamespaceHandler::event(self, socket, event)
    }

    fn upgraded(&self, socket: &Socket) {
        NamespaceHandler::upgraded(self, socket);
    }

    fn disconnected(&self, socket: &Socket, reason: DisconnectReason) {
        NamespaceHandler::disconnected(self, socket, reason);
    }
}
