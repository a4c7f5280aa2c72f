//! Socket.IO on top of Engine.IO: namespaces, sockets, rooms.

mod acks;
mod client;
mod dialect;
mod emission;
mod fanout;
mod handler;
mod membership;
mod namespace;
mod publish;
mod recovery;
mod recovery_state;
mod socket;

use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use engineio_proto::{CloseReason, EncodedPacket, Message};
use hd_replay::Standing;
use hd_rooms::RoomName;
use serde_json::value::RawValue;
use socketio_proto::{
    Client, ClientConfig, ClientError, ClientEvent, Encoded, Revision, Timeout, encode,
};

pub use acks::{AckError, Answers, PendingAck};
pub use client::SocketIoClient;
pub use fanout::Emitted;
pub use handler::{Admission, ConnectRequest, NamespaceHandler, Refusal};
pub use membership::{Moved, RoomChange, RoomChanges};
pub use namespace::Namespace;
pub use publish::{NamespaceConfig, Publication, Published, ReplayCounts};
pub use recovery::{
    Clock, CursorMac, RecoveryConfig, RecoveryOutcome, RecoveryRefusal, system_clock,
};
pub use recovery_state::RECOVERY_STATE_EVENT;
pub use socket::{DisconnectReason, Socket};

use self::client::ClientState;
use self::dialect::RecoveryRequest;
use self::emission::push_logged;
use self::recovery::Terms;
use self::recovery_state::{connect_reply, push_recovery_state};
use crate::engine::new_sid;
use crate::{Application, ClientHandshake, Connection};

/// A Socket.IO server: its namespaces. It is the [`Application`] of an
/// [`Engine`](crate::Engine).
pub struct SocketIo {
    config: Arc<ClientConfig>,
    namespaces: Vec<Namespace>,
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
        self.add_namespace_with(name, NamespaceConfig::default(), handler)
    }

    /// As [`add_namespace`](Self::add_namespace), with settings.
    pub fn add_namespace_with(
        &mut self,
        name: socketio_proto::Namespace,
        config: NamespaceConfig,
        handler: impl NamespaceHandler,
    ) -> Namespace {
        let namespace = Namespace::new(name, self.config.parser, config, handler);
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
                    let ack = socket.parser().ack(&namespace, id, &answer);
                    let _gone = socket.send(ack.packets());
                }
            }
            ClientEvent::Ack { ack, .. } => connection.client().answer(ack.id, Ok(ack.args)),
            ClientEvent::Disconnect {
                namespace,
                lost_acks,
            } => {
                let ((socket, askers), deadline) = {
                    let mut client = connection.client().lock();
                    let left = client.has_left(&namespace, &lost_acks);
                    if client.sockets.is_empty() {
                        connection.left();
                    }
                    (left, client.poll_timeout())
                };
                drop(askers); // not under the lock
                // In no namespace the client may stay for a while only.
                if let Some(deadline) = deadline {
                    connection.arm(deadline);
                }
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
        let revision = handshake.revision().into();
        let proto = Client::with_revision(Arc::clone(&self.config), revision, now);
        SocketIoClient::socket_io(handshake, proto)
    }

    /// A client of Socket.IO 2 asks for `/` by being there. It is told that it is
    /// in, even where there is no such namespace: some ask for another one only
    /// then.
    fn started(&self, connection: &Arc<Connection<Self>>) {
        if !connection.client().speaks_socket_io_2() {
            return;
        }
        let root = socketio_proto::Namespace::default();
        if let Some(namespace) = self.find(&root) {
            connect(connection, namespace.clone(), None);
            return;
        }
        let mut client = connection.client().lock();
        if client
            .proto
            .as_mut()
            .is_some_and(|proto| proto.leave_out(&root))
        {
            // A client that is gone needs no answer.
            let _gone = connection.send(encode::connect_v4(&root).packets());
        }
    }

    fn opened_plain(&self, _handshake: ClientHandshake) -> SocketIoClient {
        SocketIoClient::plain()
    }

    fn message(&self, connection: &Arc<Connection<Self>>, message: Message<'_>) {
        let (handled, deadline) = {
            let mut client = connection.client().lock();
            let Some(proto) = &mut client.proto else {
                return;
            };
            let handled = proto.handle_message(message, Instant::now());
            let deadline = proto.poll_timeout();
            if !client.hold(connection) {
                drop(client);
                connection.abort(CloseReason::TransportError);
                return;
            }
            (handled, deadline)
        };
        match (handled, deadline) {
            (Ok(Some(event)), _) => self.handle_event(connection, event),
            // Attachments may be due now, and sooner than anything else.
            (Ok(None), Some((deadline, _))) => connection.arm(deadline),
            (Ok(None), None) => {}
            (Err(error @ ClientError::TimedOut(_)), _) => {
                tracing::debug!(%error, "closing a client");
                connection.close(CloseReason::ForcedClose);
            }
            (Err(error @ ClientError::Decode(_)), _) => {
                tracing::debug!(%error, "closing a client");
                connection.abort(CloseReason::ParseError);
            }
            (Err(error), _) => {
                tracing::debug!(%error, "closing a client");
                connection.abort(CloseReason::TransportError);
            }
        }
    }

    fn upgraded(&self, connection: &Arc<Connection<Self>>) {
        let sockets = connection.client().lock().sockets.clone();
        for socket in sockets {
            socket.namespace().handler().upgraded(&socket);
        }
    }

    fn drained(&self, connection: &Arc<Connection<Self>>) {
        let sockets = connection.client().lock().sockets.clone();
        for socket in sockets {
            socket.namespace().send_portion(&socket);
        }
    }

    fn closed(&self, connection: &Arc<Connection<Self>>, reason: CloseReason) {
        let (sockets, askers) = connection.client().lock().take_all();
        drop(askers); // not under the lock
        for socket in sockets {
            socket.left(DisconnectReason::Session(reason));
        }
    }

    fn poll_timeout(&self, connection: &Arc<Connection<Self>>) -> Option<Instant> {
        connection.client().lock().poll_timeout()
    }

    fn handle_timeout(&self, connection: &Arc<Connection<Self>>, now: Instant) {
        loop {
            let timeout = {
                let mut client = connection.client().lock();
                client
                    .proto
                    .as_mut()
                    .and_then(|proto| proto.handle_timeout(now))
            };
            match timeout {
                None => return,
                Some(Timeout::Connect | Timeout::Attachment) => {
                    connection.close(CloseReason::ForcedClose);
                }
                Some(Timeout::Ack { id, .. }) => {
                    connection.client().answer(id, Err(AckError::TimedOut));
                }
            }
        }
    }
}

/// Asks the application: here and now, and in a task of its own only when it
/// takes its time.
fn connect(
    connection: &Arc<Connection<SocketIo>>,
    namespace: Namespace,
    auth: Option<Box<RawValue>>,
) {
    let handler = Arc::clone(namespace.handler());
    let revision = match connection.client().speaks_socket_io_2() {
        true => Revision::V4,
        false => Revision::V5,
    };
    let request = RecoveryRequest::from_auth(revision, auth.as_deref());
    let terms = namespace.order().terms(request);
    let mut verdict = handler.connect_client(Arc::clone(connection), auth);
    // The task polls again, with a waker of its own.
    let mut cx = Context::from_waker(Waker::noop());
    match verdict.as_mut().poll(&mut cx) {
        Poll::Ready(verdict) => answer_connect(connection, &namespace, verdict, terms),
        Poll::Pending => {
            let waiting = Arc::clone(connection);
            connection.spawn(async move {
                let verdict = verdict.await;
                answer_connect(&waiting, &namespace, verdict, terms);
            });
        }
    }
}

fn answer_connect(
    connection: &Arc<Connection<SocketIo>>,
    namespace: &Namespace,
    verdict: Result<Admission, Refusal>,
    terms: Terms,
) {
    match verdict {
        // Before anything that costs more than the answer.
        Ok(admission) if !is_allowed(connection, &admission) => {}
        Ok(admission) => match namespace.order().catch_up(terms.presented.as_ref()) {
            None => admit(connection, namespace, admission, terms),
            Some(_) => {
                let (waiting, namespace) = (Arc::clone(connection), namespace.clone());
                connection.spawn(async move {
                    if let Some(caught_up) = namespace.order().catch_up(terms.presented.as_ref()) {
                        caught_up.await;
                    }
                    admit(&waiting, &namespace, admission, terms);
                });
            }
        },
        Err(refusal) if connection.kept_out() => refuse(connection, namespace.name(), refusal),
        // Whatever else it has sent is not looked at.
        Err(_) => connection.close(CloseReason::ForcedClose),
    }
}

/// Whether the client's user may have this connection; if not, it is closed.
fn is_allowed(connection: &Arc<Connection<SocketIo>>, admission: &Admission) -> bool {
    let identity = admission.identity;
    identity.is_none_or(|identity| connection.identify(identity))
}

/// Lets a client in that has sent CONNECT.
fn admit(
    connection: &Arc<Connection<SocketIo>>,
    namespace: &Namespace,
    admission: Admission,
    terms: Terms,
) {
    let mut client = connection.client().lock();
    let is_new = client
        .proto
        .as_mut()
        .is_some_and(|proto| proto.accept(namespace.name()));
    if is_new {
        let entered = resume(connection, client, namespace, admission, terms);
        announce(entered);
    }
}

/// Lets a plain WebSocket in, which is in once it is open.
fn admit_plain(
    connection: &Arc<Connection<SocketIo>>,
    namespace: &Namespace,
    admission: Admission,
    terms: Terms,
) {
    if !is_allowed(connection, &admission) {
        return;
    }
    let client = connection.client().lock();
    announce(resume(connection, client, namespace, admission, terms));
}

/// A socket that was let in, or was not.
struct Entered {
    socket: Socket,
    is_in: bool,
    /// The socket that the client had before, if it is still there.
    predecessor: Option<Socket>,
}

/// Lets a client in where it was. The reply is followed by the client's recovery state if it requested
/// that, by what it missed, and then by what is published meanwhile.
fn resume(
    connection: &Arc<Connection<SocketIo>>,
    mut client: MutexGuard<'_, ClientState>,
    namespace: &Namespace,
    admission: Admission,
    terms: Terms,
) -> Entered {
    let Admission {
        rooms,
        data,
        identity,
    } = admission;
    let identity = identity.filter(|_| terms.can_recover);
    let dialect = terms.dialect;
    let mut is_complete = true;
    let encode = |offset, event: &Encoded, packets: &mut Vec<EncodedPacket>| {
        is_complete &= push_logged(namespace, dialect, offset, event, packets);
    };
    let arrival = terms
        .presented
        .as_ref()
        .map(|presented| presented.arrival)
        .unwrap_or_default();
    let order = namespace.order();
    let mut broker = order.lock();
    let resumed = order.resume(&mut broker, identity, &rooms, terms.presented, encode);
    let predecessor = resumed.outcome.has_recovered().then(|| {
        let own = rooms.first().map(RoomName::as_str);
        namespace.find_in(own.unwrap_or_default(), &resumed.sid)
    });
    let pid = resumed.pid.as_deref().filter(|_| terms.reads_reply);
    let mut packets = connect_reply(namespace, dialect, resumed.sid.as_str(), pid);
    if terms.wants_state {
        push_recovery_state(namespace, dialect, &resumed, is_complete, &mut packets);
    }
    packets.extend(resumed.missed);
    let identification = (resumed.sid, resumed.outcome);
    let socket = Socket::new(connection, namespace, dialect, data, identification);
    let standing = resumed.standing;
    let is_in = enter(&mut client, &socket, (&rooms, standing), &packets);
    if is_in {
        broker.enter(socket.clone(), (standing, arrival), Socket::has_left);
    }
    if is_in && socket.is_behind() {
        connection.tell_when_drained();
    }
    Entered {
        socket,
        is_in,
        // One that was not let in has been given up: its client may be the predecessor's.
        predecessor: predecessor.flatten().filter(|_| is_in),
    }
}

/// Tells the application of a socket. No lock is held any more.
fn announce(entered: Entered) {
    // The client has given that connection up, which may not have shown yet.
    if let Some(predecessor) = entered.predecessor {
        predecessor.close_transport();
    }
    if entered.is_in {
        entered.socket.announce();
    }
}

/// Gives `reply` its place in the queue and lets the rooms know the socket, as
/// one: no event comes before it and none after it is missed. Returns
/// false when the client is gone, or cannot be taken in and is closed.
fn enter(
    client: &mut ClientState,
    socket: &Socket,
    (rooms, standing): (&[RoomName], Standing),
    reply: &[EncodedPacket],
) -> bool {
    let connection = &socket.0.connection;
    let mut joined = Ok(());
    let sent = connection.send_then(reply, || joined = socket.enter_rooms(rooms, standing));
    if sent.is_err() {
        return false;
    }
    client.sockets.push(socket.clone());
    connection.joined();
    if let Err(error) = joined {
        // It would sit there and hear nothing; elsewhere there may be room.
        tracing::error!(%error, "closing a client that fits into no room");
        connection.close(CloseReason::ForcedClose);
    }
    true
}

fn refuse(
    connection: &Arc<Connection<SocketIo>>,
    namespace: &socketio_proto::Namespace,
    refusal: Refusal,
) {
    let mut client = connection.client().lock();
    let Some(proto) = &mut client.proto else {
        return;
    };
    let parser = proto.parser();
    // A client that is gone needs no answer.
    let _gone = match refusal {
        Refusal::ConnectError { message, data } => {
            if !proto.refuse(namespace) {
                return;
            }
            let data = data.as_deref();
            let error = match proto.revision() {
                Revision::V5 => parser.connect_error(namespace, &message, data),
                Revision::V4 => encode::connect_error_v4(namespace, &message, data),
            };
            connection.send(error.packets())
        }
        Refusal::ConnectThenDisconnect => {
            if !proto.leave_out(namespace) {
                return;
            }
            let connect = match proto.revision() {
                Revision::V5 => parser.connect(namespace, new_sid().as_str(), None),
                Revision::V4 => encode::connect_v4(namespace),
            };
            let disconnect = parser.disconnect(namespace);
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
