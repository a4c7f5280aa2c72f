//! How a server stops.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use engineio_proto::CloseReason;
use hd_ws_server::{ClientHandshake, HttpHandler, HttpReply, Phase, RemoteAddress, ServerConfig};
use http::Request;
use hyper::body::Incoming;
use socket2::SockRef;
use tokio::sync::Notify;

use crate::client::{PATIENCE, WebSocket, connect, read_until, websocket_head};
use crate::echo_server::{Echo, EchoServer};

/// A session would wait far longer than a test does for what it has to say.
fn start() -> EchoServer {
    let mut config = ServerConfig::default();
    config.engine.close_timeout = 10 * PATIENCE;
    EchoServer::start(config)
}

#[test]
fn a_client_that_does_not_poll_again_does_not_hold_up_the_end() {
    let mut server = start();
    let query = format!("&sid={}", server.open_polling());
    assert!(
        server
            .request("POST", &query, "4never fetched")
            .ends_with("ok")
    );
    let (told, timeout) = (Instant::now(), Duration::from_secs(4));
    server.engine.stop(timeout);
    server.stopped();
    assert!(told.elapsed() < timeout);
    assert_eq!(server.next_end(), CloseReason::ServerShuttingDown);
    assert_eq!(server.engine.counts().lost_total(), 1);
}

#[test]
fn a_client_that_polls_again_gets_what_waits() {
    let mut server = start();
    let query = format!("&sid={}", server.open_polling());
    assert!(server.request("POST", &query, "4fetched").ends_with("ok"));
    server.engine.stop(PATIENCE);
    server.wait_for_drained(1);
    assert!(server.request("GET", &query, "").ends_with("4fetched"));
    assert!(server.request("GET", &query, "").ends_with("\r\n1"));
    server.stopped();
    assert_eq!(server.next_end(), CloseReason::ServerShuttingDown);
    assert_eq!(server.engine.counts().lost_total(), 0);
}

#[test]
fn a_websocket_is_told_to_try_again() {
    let mut server = start();
    let mut client = WebSocket::open(server.address);
    let plan = server.engine.stop(PATIENCE);
    assert_eq!(plan.clients, 1);
    assert_eq!(client.close_code(), Some(1012));
    drop(client);
    server.stopped();
    assert_eq!(server.next_end(), CloseReason::ServerShuttingDown);
}

#[test]
fn nobody_connected_is_nobody_to_wait_for() {
    let mut server = start();
    let told = Instant::now();
    server.engine.stop(10 * PATIENCE);
    server.stopped();
    assert!(told.elapsed() < PATIENCE);
    assert!(matches!(server.engine.phase(), Phase::Stopped(plan) if plan.clients == 0));
}

#[test]
fn a_second_stop_closes_the_rest_at_once() {
    let config = ServerConfig {
        drain_rate: NonZeroU32::MIN,
        ..ServerConfig::default()
    };
    let mut server = EchoServer::start(config);
    let clients: Vec<_> = (0..20).map(|_| WebSocket::open(server.address)).collect();
    let told = Instant::now();
    // One a second.
    let plan = server.engine.stop(2 * PATIENCE);
    assert_eq!(plan.window, Duration::from_secs(20));
    server.engine.stop(2 * PATIENCE);
    for mut client in clients {
        assert_eq!(client.close_code(), Some(1012));
    }
    server.stopped();
    assert!(told.elapsed() < Duration::from_secs(10));
}

/// It is cut off with what waits for it, and that is told.
#[test]
fn a_client_that_does_not_read_is_left_at_the_deadline() {
    let mut config = ServerConfig::default();
    config.engine.send_queue_bytes = usize::MAX;
    let mut server = EchoServer::start(config);
    let mut client = WebSocket::open(server.address);
    SockRef::from(&client.0)
        .set_recv_buffer_size(4096)
        .expect("a buffer size");
    // More than the kernel keeps for the server's side.
    for _ in 0..32 {
        client.send_text(&format!("4{}", "x".repeat(500_000)));
    }
    server.engine.stop(Duration::from_millis(400));
    server.stopped();
    assert_eq!(server.next_end(), CloseReason::ServerShuttingDown);
    assert_eq!(server.engine.counts().lost_total(), 1);
    assert!(server.engine.is_empty());
}

/// Lets plain WebSockets in when the test says so.
struct Hesitant {
    asked: mpsc::Sender<()>,
    let_in: Arc<Notify>,
}

impl HttpHandler<Echo> for Hesitant {
    async fn handle(
        &self,
        request: Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> HttpReply<Echo> {
        let handshake = ClientHandshake::new(remote_address, None, request.headers(), &[], &[]);
        self.asked.send(()).expect("the test waits");
        self.let_in.notified().await;
        HttpReply::UpgradePlain(handshake, Box::new(|_| ()))
    }
}

/// It comes when all others have been told to go.
#[test]
fn a_client_that_is_let_in_too_late_does_not_hold_up_the_end() {
    let (sender, asked) = mpsc::channel();
    let let_in = Arc::new(Notify::new());
    let handler = Hesitant {
        asked: sender,
        let_in: Arc::clone(&let_in),
    };
    let mut server = EchoServer::start_with(ServerConfig::default(), handler);
    let mut stream = connect(server.address);
    let head = websocket_head("", "").replacen("/socket.io/", "/plain", 1);
    stream.write_all(head.as_bytes()).expect("a request");
    asked.recv_timeout(PATIENCE).expect("a question");
    server.engine.stop(2 * PATIENCE);
    let_in.notify_one();
    let head = read_until(&mut stream, "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(WebSocket(stream).close_code(), Some(1012));
    server.stopped();
    assert_eq!(server.next_end(), CloseReason::ServerShuttingDown);
}
