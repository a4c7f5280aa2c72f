//! How a server stops.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};

use engineio_proto::CloseReason;
use hd_ws_server::{ClientHandshake, HttpHandler, HttpReply, ServerConfig};
use http::Request;
use hyper::body::Incoming;
use tokio::sync::Notify;

use crate::client::{PATIENCE, WebSocket, connect, read_until, websocket_head};
use crate::echo_server::{Echo, EchoServer};

/// A session would wait far longer than a test does for what it has to say.
fn start() -> EchoServer {
    let mut config = ServerConfig::default();
    config.engine.close_timeout = 10 * PATIENCE;
    EchoServer::start(config)
}

/// Its next poll finds the port closed, so there is nothing to wait for.
#[test]
fn a_client_between_two_polls_does_not_hold_up_the_end() {
    let mut server = start();
    let query = format!("&sid={}", server.open_polling());
    assert!(
        server
            .request("POST", &query, "4never fetched")
            .ends_with("ok")
    );
    assert_eq!(server.stop(), 0);
    assert_eq!(server.next_end(), CloseReason::ServerShuttingDown);
}

#[test]
fn a_websocket_is_told_to_try_again() {
    let mut server = start();
    let mut client = WebSocket::open(server.address);
    assert_eq!(server.stop(), 0);
    assert_eq!(server.next_end(), CloseReason::ServerShuttingDown);
    assert_eq!(client.close_code(), Some(1012));
}

/// Lets plain WebSockets in when the test says so.
struct Hesitant {
    asked: mpsc::Sender<()>,
    let_in: Arc<Notify>,
}

impl HttpHandler<Echo> for Hesitant {
    async fn handle(&self, request: Request<Incoming>, peer: SocketAddr) -> HttpReply<Echo> {
        let handshake = ClientHandshake::new(peer, None, request.headers(), &[]);
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
    server.begin_stop();
    let_in.notify_one();
    let head = read_until(&mut stream, "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(WebSocket(stream).close_code(), Some(1012));
    assert_eq!(server.stop(), 0);
    assert_eq!(server.next_end(), CloseReason::ServerShuttingDown);
}
