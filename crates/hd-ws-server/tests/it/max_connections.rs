//! How many clients there may be.

use std::num::NonZeroUsize;

use engineio_proto::CloseReason;
use hd_ws_server::{AllowedOrigins, Rejection, ServerConfig};
use socketio_proto::ClientConfig;

use crate::client::{WebSocket, exchange, request, websocket_head};
use crate::echo_server::EchoServer;
use crate::socket_server::SocketServer;

fn at_most(clients: usize) -> ServerConfig {
    ServerConfig {
        max_connections: NonZeroUsize::new(clients),
        ..ServerConfig::default()
    }
}

const POLLING: &str = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n";

fn assert_rejected(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    // It holds no file any longer.
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

fn plain_head() -> String {
    websocket_head("", "").replacen("/socket.io/", "/plain", 1)
}

#[test]
fn new_clients_beyond_the_bound_are_sent_elsewhere_and_those_that_are_in_served() {
    let server = EchoServer::start(at_most(2));
    let mut client = WebSocket::open(server.address);
    let query = format!("&sid={}", server.open_polling());
    for head in [POLLING, &websocket_head("", ""), &plain_head()] {
        assert_rejected(&exchange(server.address, head));
    }
    assert_eq!(
        server
            .engine
            .counts()
            .rejected_total(Rejection::MaxConnections),
        3
    );
    assert_eq!(server.engine.counts().opened_total(), 2);

    client.send_text("4one");
    assert_eq!(client.text(), "4one");
    assert!(server.request("POST", &query, "4two").ends_with("ok"));
    assert!(server.request("GET", &query, "").ends_with("4two"));
    let answer = exchange(server.address, "GET / HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 404 "), "{answer}");
}

#[test]
fn a_client_that_is_in_may_move_to_a_websocket() {
    let server = EchoServer::start(at_most(1));
    let query = format!("&sid={}", server.open_polling());
    let mut client = WebSocket::upgrade(server.address, &query).expect("101");
    client.send_text("2probe");
    assert_eq!(client.text(), "3probe");
}

#[test]
fn whoever_ends_makes_room_for_one() {
    let server = EchoServer::start(at_most(1));
    for _ in 0..3 {
        let client = WebSocket::open(server.address);
        assert!(WebSocket::upgrade(server.address, "").is_err());
        drop(client);
        assert_eq!(server.next_end(), CloseReason::TransportClose);
        let query = format!("&sid={}", server.open_polling());
        assert_rejected(&exchange(server.address, POLLING));
        assert!(server.request("POST", &query, "1").ends_with("ok"));
        assert_eq!(server.next_end(), CloseReason::TransportClose);
    }
}

/// What is refused for another reason takes no place.
#[test]
fn a_handshake_that_fails_leaves_its_place() {
    let server = EchoServer::start(at_most(1));
    for _ in 0..3 {
        let bad = websocket_head("", "").replacen("version: 13", "version: 12", 1);
        let answer = exchange(server.address, bad);
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
        // The handler has no plain WebSockets.
        let (answer, _) = request(server.address, &plain_head());
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    WebSocket::open(server.address);
}

#[test]
fn plain_websockets_count_like_others() {
    let server = SocketServer::start(at_most(2), ClientConfig::default());
    let (plain, _) = server.join_plain();
    let client = WebSocket::open(server.address);
    assert_rejected(&exchange(server.address, plain_head()));
    assert_rejected(&exchange(server.address, POLLING));
    drop((plain, client));
    server.emptied();
    server.join_plain();
}

/// A page has to be able to read the status.
#[test]
fn a_browser_is_told_so() {
    let mut config = at_most(1);
    config.origins.allowed = AllowedOrigins::Any;
    let server = EchoServer::start(config);
    let _client = WebSocket::open(server.address);
    let page = POLLING.replacen("host: x", "host: x\r\norigin: http://a.example", 1);
    let answer = exchange(server.address, page);
    assert_rejected(&answer);
    assert!(
        answer.contains("\r\naccess-control-allow-origin: "),
        "{answer}"
    );
}
