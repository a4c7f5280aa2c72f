//! Clients that fall silent.

use std::time::{Duration, Instant};

use engineio_proto::CloseReason;
use hd_ws_server::ServerConfig;

use crate::client::{WebSocket, rest};
use crate::echo_server::EchoServer;

fn start() -> EchoServer {
    let mut config = ServerConfig::default();
    config.engine.ping_interval = Duration::from_millis(50);
    config.engine.ping_timeout = Duration::from_millis(50);
    EchoServer::start(config)
}

#[test]
fn a_websocket_that_answers_no_ping_is_closed() {
    let server = start();
    let mut client = WebSocket::open(server.address);
    assert_eq!(client.next(), Some((0x81, b"2".to_vec())));
    assert_eq!(server.next_end(), CloseReason::PingTimeout);
    assert_eq!(client.close_code(), None);
    assert!(server.engine.is_empty());
}

/// Nor does what is no pong count for one, or half a message.
#[test]
fn a_client_that_talks_and_answers_no_ping_is_closed() {
    let server = start();
    for bytes in [
        &b"\x81\x82\0\0\0\x004a"[..],
        b"\x01\x82\0\0\0\x004a",
        b"\x8a\x80\0\0\0\0",
        &[0x81],
    ] {
        let mut client = WebSocket::open(server.address);
        client.send(bytes);
        assert_eq!(server.next_end(), CloseReason::PingTimeout, "{bytes:?}");
    }
}

#[test]
fn a_polling_session_that_nobody_polls_ends() {
    let server = start();
    let query = format!("&sid={}", server.open_polling());
    assert_eq!(server.next_end(), CloseReason::PingTimeout);
    assert!(server.engine.is_empty());
    let answer = server.request("GET", &query, "");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.ends_with(r#"{"code":1,"message":"Session ID unknown"}"#),
        "{answer}"
    );
}

/// The wheel ticks once a second here, and the request comes before it.
#[test]
fn a_request_after_a_deadline_finds_no_session() {
    let mut config = ServerConfig::default();
    config.engine.close_timeout = Duration::ZERO;
    let server = EchoServer::start(config);
    let query = format!("&sid={}", server.open_polling());
    let posted = server.request("POST", &query, "4close me");
    assert!(posted.ends_with("ok"), "{posted}");
    let answer = server.request("GET", &query, "");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.ends_with(r#"{"code":1,"message":"Session ID unknown"}"#),
        "{answer}"
    );
    assert_eq!(server.next_end(), CloseReason::ForcedClose);
}

#[test]
fn a_polling_session_that_answers_no_ping_ends_and_its_poll_is_answered() {
    let server = start();
    let mut answers = Vec::new();
    // A slow machine may come too late for the first poll.
    while answers.is_empty() {
        let query = format!("&sid={}", server.open_polling());
        // The ping, and the end: which poll gets which depends on the machine.
        while !server.engine.is_empty() {
            answers.push(rest(&mut server.send("GET", &query, "")));
        }
        assert_eq!(server.next_end(), CloseReason::PingTimeout);
    }
}

/// The next ping counts from the pong, and not from when that would have been
/// given up.
#[test]
fn a_client_that_answers_pings_stays_and_gets_the_next_in_time() {
    let mut config = ServerConfig::default();
    config.engine.ping_interval = Duration::from_millis(10);
    let server = EchoServer::start(config);
    let mut client = WebSocket::open(server.address);
    let start = Instant::now();
    for _ in 0..50 {
        assert_eq!(client.next(), Some((0x81, b"2".to_vec())));
        client.send_text("3");
    }
    // Thirty times what it takes, and half of what it took when it was late.
    let taken = start.elapsed();
    assert!(taken < Duration::from_secs(15), "{taken:?}");
    client.send_text("4here");
    assert_eq!(client.text(), "4here");
}

#[test]
fn an_upgrade_does_not_stop_the_heartbeat() {
    let server = start();
    let mut socket = loop {
        let query = format!("&sid={}", server.open_polling());
        // A slow machine may come too late.
        match WebSocket::upgrade(server.address, &query) {
            Ok(socket) => break socket,
            Err(_) => assert_eq!(server.next_end(), CloseReason::PingTimeout),
        }
    };
    assert_eq!(server.next_end(), CloseReason::PingTimeout);
    // The new transport has no session to move.
    socket.send_text("2probe");
    while let Some((first, payload)) = socket.next() {
        assert_eq!(first, 0x88, "{payload:?}");
    }
}
