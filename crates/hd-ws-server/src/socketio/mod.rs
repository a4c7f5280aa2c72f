//! Socket.IO on top of Engine.IO: namespaces, sockets, rooms.

mod handler;
mod namespace;
mod socket;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use engineio_proto::{CloseReason, Message};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use socketio_proto::{Client, ClientConfig, ClientError, ClientEvent, Timeout, encode};

pub use handler::{Admission, ConnectRequest, NamespaceHandler, Refusal};
pub use namespace::Namespace;
pub use socket::{DisconnectReason, Socket};

use self::socket::SocketInner;
use crate::engine::new_sid;
use crate::{Application, ClientHandshake, Connection};

/// A Socket.IO server: its namespaces. It is the [`Application`] of an
/// [`Engine`](crate::Engine).
pub struct SocketIo {
    config: Arc<ClientConfig>,
    namespaces: Vec<Namespace>,
}

/// What is kept for each client.
pub struct SocketIoClient {
    handshake: ClientHandshake,
    state: Mutex<ClientState>,
}

pub(super) struct ClientState {
    pub(super) proto: Client,
    pub(super) sockets: SmallVec<[Socket; 1]>,
}

impl SocketIo {
    /// A server without namespaces: every CONNECT is answered with `Invalid
    /// namespace`.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self {
            config: Arc::new(config),
            namespaces: Vec::new(),
        }
    }

    /// Adds a namespace and returns it. One of the same name that was added
    /// before stays the one that clients join.
    pub fn add_namespace(
        &mut self,
        name: socketio_proto::Namespace,
        handler: impl NamespaceHandler,
    ) -> Namespace {
        let namespace = Namespace::new(name, handler);
        self.namespaces.push(namespace.clone());
        namespace
    }

    fn find(&self, name: &socketio_proto::Namespace) -> Option<&Namespace> {
        self.namespaces
            .iter()
            .find(|namespace| namespace.name() == name)
    }

    fn handle_event(&self, connection: &Arc<Connection<Self>>, event: ClientEvent) {
        match event {
            ClientEvent::Connect { namespace, auth } => match self.find(&namespace) {
                Some(namespace) => connect(connection, namespace.clone(), auth),
                None => refuse(
                    connection,
                    &namespace,
                    Refusal::ConnectError {
                        message: "Invalid namespace".into(),
                        data: None,
                    },
                ),
            },
            ClientEvent::Event { namespace, event } => {
                let Some(socket) = connection.client().find(&namespace) else {
                    return;
                };
                let answer = socket.namespace().handler().event(&socket, &event);
                if let (Some(id), Some(answer)) = (event.id, answer) {
                    // A client that is gone needs no answer.
                    let _gone = socket.send(&encode::ack(&namespace, id, &answer));
                }
            }
            // No event of ours asks for an ack, so none is awaited.
            ClientEvent::Ack { .. } => {}
            ClientEvent::Disconnect { namespace, .. } => {
                let socket = {
                    let mut client = connection.client().lock();
                    let position = client
                        .sockets
                        .iter()
                        .position(|socket| *socket.namespace().name() == namespace);
                    position.map(|position| client.sockets.remove(position))
                };
                if let Some(socket) = socket {
                    socket.left(DisconnectReason::ClientNamespaceDisconnect);
                }
            }
        }
    }
}

impl Application for SocketIo {
    type Client = SocketIoClient;

    fn opened(&self, handshake: ClientHandshake, now: Instant) -> SocketIoClient {
        SocketIoClient {
            handshake,
            state: Mutex::new(ClientState {
                proto: Client::new(Arc::clone(&self.config), now),
                sockets: SmallVec::new(),
            }),
        }
    }

    fn message(&self, connection: &Arc<Connection<Self>>, message: Message<'_>) {
        let handled = connection
            .client()
            .lock()
            .proto
            .handle_message(message, Instant::now());
        match handled {
            Ok(Some(event)) => self.handle_event(connection, event),
            Ok(None) => {}
            Err(error @ ClientError::Decode(_)) => {
                tracing::debug!(%error, "closing a client");
                connection.abort(CloseReason::ParseError);
            }
            Err(error) => {
                tracing::debug!(%error, "closing a client");
                connection.abort(CloseReason::TransportError);
            }
        }
    }

    fn closed(&self, connection: &Arc<Connection<Self>>, reason: CloseReason) {
        let sockets = std::mem::take(&mut connection.client().lock().sockets);
        for socket in sockets {
            socket.left(DisconnectReason::Session(reason));
        }
    }

    fn poll_timeout(&self, connection: &Arc<Connection<Self>>) -> Option<Instant> {
        let timeout = connection.client().lock().proto.poll_timeout();
        timeout.map(|(at, _)| at)
    }

    fn handle_timeout(&self, connection: &Arc<Connection<Self>>, now: Instant) {
        loop {
            let timeout = connection.client().lock().proto.handle_timeout(now);
            match timeout {
                None => return,
                Some(Timeout::Connect | Timeout::Attachment) => {
                    connection.close(CloseReason::ForcedClose);
                }
                // No event of ours asks for an ack.
                Some(Timeout::Ack { .. }) => {}
            }
        }
    }
}

impl SocketIoClient {
    pub(super) fn lock(&self) -> MutexGuard<'_, ClientState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, namespace: &socketio_proto::Namespace) -> Option<Socket> {
        self.lock()
            .sockets
            .iter()
            .find(|socket| socket.namespace().name() == namespace)
            .cloned()
    }
}

/// Asks the application in a task of its own, since it may take its time.
fn connect(
    connection: &Arc<Connection<SocketIo>>,
    namespace: Namespace,
    auth: Option<Box<RawValue>>,
) {
    let connection = Arc::clone(connection);
    tokio::spawn(async move {
        let request = ConnectRequest {
            handshake: &connection.client().handshake,
            auth: auth.as_deref(),
        };
        match namespace.handler().connect(request).await {
            Ok(admission) => admit(&connection, &namespace, admission),
            Err(refusal) => refuse(&connection, namespace.name(), refusal),
        }
    });
}

/// Lets a client in. Its CONNECT reply gets its place in the queue, and then
/// the rooms know the socket, so no event can come before the reply and none
/// after it is missed.
fn admit(connection: &Arc<Connection<SocketIo>>, namespace: &Namespace, admission: Admission) {
    let socket = Socket(Arc::new(SocketInner {
        id: new_sid(),
        namespace: namespace.clone(),
        connection: Arc::clone(connection),
        key: OnceLock::new(),
        data: admission.data,
    }));
    let reply = encode::connect(namespace.name(), socket.id().as_str(), None);
    let is_in = {
        let mut client = connection.client().lock();
        if !client.proto.accept(namespace.name()) {
            return;
        }
        let sent = connection.send_then(reply.packets(), || {
            let mut rooms = namespace.rooms_mut();
            let Ok(key) = rooms.insert(socket.clone()) else {
                return;
            };
            for room in &admission.rooms {
                if let Err(error) = rooms.join(key, room) {
                    tracing::error!(%error, "a socket could not join a room of its own");
                }
            }
            let is_first = socket.0.key.set(key).is_ok();
            debug_assert!(is_first, "a socket is admitted once");
        });
        if sent.is_ok() {
            client.sockets.push(socket.clone());
        }
        sent.is_ok()
    };
    if is_in {
        namespace.handler().connected(&socket);
    }
}

fn refuse(
    connection: &Arc<Connection<SocketIo>>,
    namespace: &socketio_proto::Namespace,
    refusal: Refusal,
) {
    let mut client = connection.client().lock();
    // A client that is gone needs no answer.
    let _gone = match refusal {
        Refusal::ConnectError { message, data } => {
            if !client.proto.refuse(namespace) {
                return;
            }
            let error = encode::connect_error(namespace, &message, data.as_deref());
            connection.send(error.packets())
        }
        Refusal::ConnectThenDisconnect => {
            if !client.proto.accept(namespace) {
                return;
            }
            let now = Instant::now();
            let _no_acks = client.proto.disconnect(namespace, now);
            let connect = encode::connect(namespace, new_sid().as_str(), None);
            let disconnect = encode::disconnect(namespace);
            connection
                .send(connect.packets())
                .and_then(|_| connection.send(disconnect.packets()))
        }
    };
}

impl fmt::Debug for SocketIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketIo")
            .field("namespaces", &self.namespaces)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SocketIoClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketIoClient").finish_non_exhaustive()
    }
}
