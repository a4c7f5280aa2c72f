//! A Socket.IO server on a free port, with the server's side of its sockets in
//! the test's hands.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};

use hd_rooms::RoomName;
use hd_ws_server::{
    Admission, ClientHandshake, ConnectRequest, DisconnectReason, Engine, HttpHandler, HttpReply,
    Namespace, NamespaceConfig, NamespaceHandler, Refusal, RemoteAddress, Server, ServerConfig,
    Socket, SocketIo,
};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use socketio_proto::{Args, ClientConfig, Event};
use tokio::sync::Notify;

use crate::client::{PATIENCE, WebSocket, connect, read_until, websocket_head};

/// A running server with the namespaces `/n` and `/other`; it stops with its
/// runtime.
pub(crate) struct SocketServer {
    pub(crate) address: SocketAddr,
    pub(crate) namespace: Namespace,
    /// Lets those in that wait for it.
    pub(crate) let_in: Arc<Notify>,
    connected: mpsc::Receiver<Socket>,
    events: mpsc::Receiver<Place>,
    ended: mpsc::Receiver<End>,
    pub(crate) engine: Arc<Engine<SocketIo>>,
    runtime: tokio::runtime::Runtime,
}

/// Where a callback ran.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) what: String,
    pub(crate) task: Option<tokio::task::Id>,
}

/// The end of a socket, and where the application heard of it.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) socket: Socket,
    pub(crate) reason: DisconnectReason,
    pub(crate) thread: std::thread::ThreadId,
}

/// Puts each client into the room that its CONNECT names, `{"room":"a"}`. One
/// that says `{"wait":true}` is let in when the test says so, and one that says
/// `{"user":42}` is user 42. A plain WebSocket says the same in its query. Events
/// are answered with their arguments.
#[derive(Clone)]
struct Lobby {
    let_in: Arc<Notify>,
    connected: mpsc::Sender<Socket>,
    events: mpsc::Sender<Place>,
    ended: mpsc::Sender<End>,
}

impl Lobby {
    /// The test may have ended, and hears nothing then.
    fn tell(&self, what: &str) {
        let (what, task) = (what.to_owned(), tokio::task::try_id());
        let _unheard = self.events.send(Place { what, task });
    }
}

impl NamespaceHandler for Lobby {
    async fn connect(&self, request: ConnectRequest<'_>) -> Result<Admission, Refusal> {
        let auth: serde_json::Value = request
            .auth
            .and_then(|auth| serde_json::from_str(auth.get()).ok())
            .unwrap_or_default();
        self.tell("connect");
        if auth["wait"] == true {
            self.let_in.notified().await;
            self.tell("let in");
        }
        // The query of a client of Socket.IO 2 has text only.
        if auth["refuse"] == true || auth["refuse"] == "true" {
            return Err(Refusal::ConnectError {
                message: "no".into(),
                data: None,
            });
        }
        if auth["legacy"] == true {
            return Err(Refusal::ConnectThenDisconnect);
        }
        let query = |name: &str| {
            let mut pairs = request.handshake.query().split('&');
            pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let rooms = auth["room"].as_str().or_else(|| query("room")).into_iter();
        let user = auth["user"].as_str().or_else(|| query("user"));
        Ok(Admission {
            rooms: rooms.filter_map(|room| RoomName::new(room).ok()).collect(),
            data: None,
            identity: auth["user"].as_u64().or_else(|| user?.parse().ok()),
        })
    }

    fn connected(&self, socket: &Socket) {
        let _unheard = self.connected.send(socket.clone());
    }

    fn event(&self, _socket: &Socket, event: &Event) -> Option<Args> {
        self.tell(event.name().as_str());
        Some(event.args.clone())
    }

    fn upgraded(&self, socket: &Socket) {
        self.tell(&format!("upgraded {}", socket.id()));
    }

    fn disconnected(&self, socket: &Socket, reason: DisconnectReason) {
        let _unheard = self.ended.send(End {
            socket: socket.clone(),
            reason,
            thread: std::thread::current().id(),
        });
    }
}

/// Plain WebSockets at every path. One that says `?refuse` is refused.
struct Plain(Namespace);

impl HttpHandler<SocketIo> for Plain {
    async fn handle(
        &self,
        request: Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> HttpReply<SocketIo> {
        let (query, headers) = (request.uri().query(), request.headers());
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        if query.is_some_and(|query| query.starts_with("refuse")) {
            return HttpReply::Response(response);
        }
        let handshake = ClientHandshake::new(remote_address, query, headers, &[], &KEPT_QUERY);
        let asked = ConnectRequest {
            handshake: &handshake,
            auth: None,
            has_exceeded_failures: false,
        };
        let opened = self.0.admit_plain(asked).await.expect("it is let in");
        HttpReply::UpgradePlain(handshake, opened)
    }
}

impl SocketServer {
    pub(crate) fn start(config: ServerConfig, clients: ClientConfig) -> Self {
        Self::start_with(config, clients, NamespaceConfig::default())
    }

    /// As [`start`](Self::start), with settings for `/n`.
    pub(crate) fn start_with(
        config: ServerConfig,
        clients: ClientConfig,
        namespace: NamespaceConfig,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let entered = runtime.enter();
        let let_in = Arc::new(Notify::new());
        let (connected_sender, connected) = mpsc::channel();
        let (events_sender, events) = mpsc::channel();
        let (ended_sender, ended) = mpsc::channel();
        let mut io = SocketIo::new(clients);
        let lobby = Lobby {
            let_in: Arc::clone(&let_in),
            connected: connected_sender,
            events: events_sender,
            ended: ended_sender,
        };
        let name = |name: &str| name.parse().expect("a name");
        let namespace = io.add_namespace_with(name("/n"), namespace, lobby.clone());
        io.add_namespace(name("/other"), lobby);
        let engine = Arc::new(Engine::new(config, io));
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = server.local_addr().expect("an address");
        let plain = Arc::new(Plain(namespace.clone()));
        runtime.spawn(server.serve(Arc::clone(&engine), plain));
        drop(entered);
        Self {
            address,
            namespace,
            let_in,
            connected,
            events,
            ended,
            engine,
            runtime,
        }
    }

    /// A client by WebSocket that is in `/n`, and its socket.
    pub(crate) fn join(&self, auth: &str) -> (WebSocket, Socket) {
        let mut client = WebSocket::open(self.address);
        let socket = self.rejoin(&mut client, auth);
        (client, socket)
    }

    /// A client by WebSocket alone that is in `/n`, and its socket.
    pub(crate) fn join_plain(&self) -> (WebSocket, Socket) {
        self.join_plain_with("")
    }

    /// The same, with a query that begins with `&`.
    pub(crate) fn join_plain_with(&self, query: &str) -> (WebSocket, Socket) {
        let mut stream = connect(self.address);
        let head = websocket_head(query, "").replacen("/socket.io/", "/plain", 1);
        stream.write_all(head.as_bytes()).expect("a request");
        let head = read_until(&mut stream, "\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        (WebSocket(stream), self.next_connected())
    }

    /// Lets a connected client join.
    pub(crate) fn rejoin(&self, client: &mut WebSocket, auth: &str) -> Socket {
        client.send_text(&format!("40/n,{auth}"));
        let reply = client.text();
        assert!(reply.starts_with(r#"40/n,{"sid":""#), "{reply}");
        self.next_connected()
    }

    /// The next socket that is let in.
    pub(crate) fn next_connected(&self) -> Socket {
        self.connected.recv_timeout(PATIENCE).expect("a socket")
    }

    /// The next call of the handler, but for the one that lets a socket in.
    pub(crate) fn next_event(&self) -> Place {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }

    /// The next end of a socket.
    pub(crate) fn next_end(&self) -> End {
        self.ended.recv_timeout(PATIENCE).expect("an end")
    }

    /// The next end of a socket, when there has been one.
    pub(crate) fn next_end_now(&self) -> Option<End> {
        self.ended.try_recv().ok()
    }

    /// The next call of the handler, when there has been one.
    pub(crate) fn next_event_now(&self) -> Option<Place> {
        self.events.try_recv().ok()
    }

    /// Waits until no session is left.
    pub(crate) fn emptied(&self) {
        self.wait(self.engine.emptied());
    }

    /// Keeps the server's only worker busy until the result is dropped.
    pub(crate) fn hold_worker(&self) -> mpsc::Sender<()> {
        let (held, release) = mpsc::channel();
        let (begins, begun) = mpsc::channel();
        self.runtime.spawn(async move {
            begins.send(()).expect("the test waits");
            // Fails when the sender is dropped, which is what is awaited.
            let _released: Result<(), _> = release.recv();
        });
        begun.recv_timeout(PATIENCE).expect("a worker");
        held
    }

    /// The output of a future, which has to come.
    pub(crate) fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, future).await })
            .expect("in time")
    }
}

const KEPT_QUERY: [&str; 5] = ["user", "room", "recovery", "pid", "offset"];
