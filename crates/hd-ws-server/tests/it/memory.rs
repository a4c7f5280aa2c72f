//! What a connection costs, in bytes of heap.
//!
//! Allocations are counted by thread, so the server runs on the test's, and the
//! clients are blocking sockets, which allocate nothing.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;

use hd_rooms::{Audience, RoomName};
use hd_ws_server::{
    Admission, ConnectRequest, Engine, Namespace, NamespaceHandler, NotFound, Refusal, Server,
    ServerConfig, SocketIo,
};
use serde_json::value::RawValue;
use socketio_proto::{ClientConfig, EventName, OutgoingArgs};
use tokio::runtime::Runtime;

#[test]
fn an_idle_websocket_client_costs_at_most_3_kib() {
    let bytes = World::start().bytes_per_client(Kind::WebSocket);
    assert!(bytes <= 3 * 1024, "{bytes} bytes");
    // Where nothing was counted, the count is wrong.
    assert!(bytes >= 256, "{bytes} bytes");
}

/// What the application does not ask for is not kept.
#[test]
fn a_long_query_costs_at_most_a_kib_and_a_half() {
    let without = World::start().bytes_per_client(Kind::WebSocket);
    let with = World::start().bytes_per_client(Kind::LongQuery);
    assert!(
        with <= without + 1536,
        "{with} bytes, and {without} without"
    );
}

#[test]
fn a_waiting_poll_costs_at_most_21_kib() {
    let bytes = World::start().bytes_per_client(Kind::Polling);
    assert!(bytes <= 21 * 1024, "{bytes} bytes");
    assert!(bytes >= 8 * 1024, "{bytes} bytes");
}

#[test]
fn a_client_that_never_reads_costs_at_most_its_queue() {
    let mut world = World::start();
    world.add(Kind::WebSocket, 1);
    let value = RawValue::from_string(format!("\"{}\"", "x".repeat(16 * 1024))).unwrap();
    let mut sent = 0;
    let counted = allocation_counter::measure(|| {
        while world.engine.len() == 1 {
            assert!(sent < 256 * 1024 * 1024, "it is never closed");
            let args = [&*value];
            let name = EventName::new("news").unwrap();
            world
                .namespace
                .emit(&Audience::everyone(), name, OutgoingArgs::new(&args));
            sent += value.get().len();
            // The connection's task, and the one that tells of the end.
            world.turn();
        }
    });
    let queue = ServerConfig::default().engine.send_queue_bytes;
    assert!(sent > queue, "closed after {sent} bytes");
    // As much again waits in the kernel, and what the client's takes.
    assert!(sent <= 2 * queue + 1024 * 1024, "closed after {sent} bytes");
    let bytes = usize::try_from(counted.bytes_max).unwrap();
    assert!(bytes <= queue + 64 * 1024, "{bytes} bytes");
    assert!(bytes >= queue / 2, "{bytes} bytes");
}

/// Lets everyone in, each into a room of its own and into four that many share.
struct Rooms;

impl NamespaceHandler for Rooms {
    async fn connect(&self, request: ConnectRequest<'_>) -> Result<Admission, Refusal> {
        let user = request.handshake.remote_address().peer().port();
        let rooms = [
            format!("user_{user}"),
            format!("role_{}", user % 4),
            format!("department_{}", user % 20),
            format!("region_{}", user % 9),
            format!("position_{}", user % 12),
        ];
        let name = |room: &String| RoomName::new(room).expect("a room name");
        Ok(Admission {
            rooms: rooms.iter().map(name).collect(),
            data: None,
            identity: Some(u64::from(user)),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// In the namespace, by WebSocket.
    WebSocket,
    /// The same, and its handshake had 15 KiB of query.
    LongQuery,
    /// In no namespace, with a poll that waits.
    Polling,
}

struct World {
    runtime: Runtime,
    engine: Arc<Engine<SocketIo>>,
    namespace: Namespace,
    address: SocketAddr,
    clients: Vec<TcpStream>,
}

impl World {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let entered = runtime.enter();
        let mut io = SocketIo::new(ClientConfig::default());
        let namespace = io.add_namespace("/n".parse().expect("a name"), Rooms);
        // What each user is remembered by counts, too.
        let config = ServerConfig {
            max_messages_per_second: NonZeroU32::new(50),
            max_inbound_bytes_per_second: NonZeroU32::new(65_536),
            max_connections_per_user: NonZeroUsize::new(50),
            kept_query_parameters: vec!["token"],
            ..ServerConfig::default()
        };
        let engine = Arc::new(Engine::new(config, io));
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = server.local_addr().expect("an address");
        let handler = Arc::new(NotFound);
        runtime.spawn(server.serve(Arc::clone(&engine), handler));
        drop(entered);
        Self {
            runtime,
            engine,
            namespace,
            address,
            clients: Vec::with_capacity(WARM_UP + CLIENTS),
        }
    }

    /// What each client adds once tables have grown and buffers are there.
    fn bytes_per_client(mut self, kind: Kind) -> usize {
        self.add(kind, WARM_UP);
        let counted = allocation_counter::measure(|| self.add(kind, CLIENTS));
        usize::try_from(counted.bytes_current).expect("more than before") / CLIENTS
    }

    fn add(&mut self, kind: Kind, count: usize) {
        for _ in 0..count {
            let mut client = TcpStream::connect(self.address).expect("a connection");
            match kind {
                Kind::WebSocket => client.write_all(WEBSOCKET),
                Kind::LongQuery => client.write_all(long_query().as_bytes()),
                Kind::Polling => client.write_all(HANDSHAKE),
            }
            .expect("a request");
            self.clients.push(client);
            let expected = self.clients.len();
            self.run_until(|world| world.engine.len() == expected);
            let client = self.clients.last_mut().expect("the one just added");
            match kind {
                Kind::WebSocket | Kind::LongQuery => {
                    client.write_all(CONNECT).expect("a frame");
                    self.run_until(|world| world.namespace.len() == expected);
                }
                Kind::Polling => poll(client),
            }
        }
        // Tasks that end, and requests that arrive, take a few turns.
        let mut turns = 0;
        self.run_until(|_| {
            turns += 1;
            turns == 2000
        });
    }

    /// Lets each task run that can.
    fn turn(&self) {
        self.runtime.block_on(tokio::task::yield_now());
    }

    fn run_until(&self, mut is_reached: impl FnMut(&Self) -> bool) {
        self.runtime.block_on(async {
            while !is_reached(self) {
                tokio::task::yield_now().await;
            }
        });
    }
}

/// Takes the session's id from the answer to the handshake, which has come, and
/// sends a poll after it on the same connection.
fn poll(client: &mut TcpStream) {
    use std::io::Read as _;
    let mut answer = [0; 1024];
    let len = client.read(&mut answer).expect("the answer");
    let answer = std::str::from_utf8(&answer[..len]).expect("text");
    let start = answer.find("\"sid\":\"").expect("an open packet") + 7;
    let sid = &answer[start..start + 20];
    // In one write, as clients do: hyper doubles its buffer for a head that
    // comes in pieces.
    let request = format!(
        "GET /socket.io/?EIO=4&transport=polling&t=poll&sid={sid} HTTP/1.1\r\nhost: x\r\n\r\n"
    );
    client.write_all(request.as_bytes()).expect("a request");
}

/// With a short token, and much else.
fn long_query() -> String {
    let head = std::str::from_utf8(WEBSOCKET).expect("text");
    let query = format!("&token=abc.def.ghi&other={} ", "x".repeat(15 * 1024));
    head.replacen("websocket ", &format!("websocket{query}"), 1)
}

const HANDSHAKE: &[u8] =
    b"GET /socket.io/?EIO=4&transport=polling&t=open HTTP/1.1\r\nhost: x\r\n\r\n";
const WEBSOCKET: &[u8] = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\n\
    upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// `40/n,` under a mask of zero.
const CONNECT: &[u8] = b"\x81\x85\0\0\0\x0040/n,";
/// Not a power of two, so that tables are not measured right after they grew,
/// nor right before.
const WARM_UP: usize = 700;
const CLIENTS: usize = 700;
