//! Clients that take less than they are sent.

use std::io::Write as _;
use std::time::Instant;

use engineio_proto::CloseReason;
use futures_util::FutureExt as _;
use hd_rooms::Audience;
use hd_ws_server::{DisconnectReason, Rejection, ServerConfig, Socket};
use serde_json::value::RawValue;
use socket2::SockRef;
use socketio_proto::{ClientConfig, EventName, OutgoingArgs};

use crate::client::{PATIENCE, WebSocket, frame};
use crate::echo_server::EchoServer;
use crate::socket_server::SocketServer;

/// Far more than the kernel keeps for both ends.
const MUCH: usize = 256 * 1024 * 1024;

/// Makes the kernel keep little for a client.
fn take_little(client: &WebSocket) {
    SockRef::from(&client.0)
        .set_recv_buffer_size(4096)
        .expect("a buffer size");
}

#[test]
fn a_client_that_never_reads_is_closed_and_nobody_waits_for_it() {
    let server = SocketServer::start(ServerConfig::default(), ClientConfig::default());
    let slow = server.join("").0;
    take_little(&slow);
    let mut other = server.join("").0;
    let text = format!("\"{}\"", "x".repeat(16 * 1024));
    let expected = format!("42/n,[\"news\",{text}]");
    let value = RawValue::from_string(text).unwrap();
    let emit = || {
        let name = EventName::new("news").unwrap();
        let args = [&*value];
        server
            .namespace
            .emit(&Audience::everyone(), name, OutgoingArgs::new(&args))
            .now_or_never()
    };
    let mut sent = 0;
    while emit() == Some(2) {
        assert_eq!(other.text(), expected);
        sent += expected.len();
        assert!(sent < MUCH, "it is never closed");
    }
    // The event that did not fit went to the other, as all after it do.
    assert_eq!(other.text(), expected);
    assert_eq!(
        server.next_end().reason,
        DisconnectReason::Session(CloseReason::SendQueueFull)
    );
    assert_eq!(emit(), Some(1));
    assert_eq!(other.text(), expected);
}

#[test]
fn a_client_that_asks_and_never_reads_the_answers_is_closed() {
    for asking in [
        frame(0x81, format!("4{}", "x".repeat(10_000)).as_bytes()),
        // Pongs, too, have to wait somewhere.
        frame(0x89, &[b'x'; 125]).repeat(100),
    ] {
        let mut config = ServerConfig::default();
        config.engine.send_queue_bytes = 50_000;
        let server = EchoServer::start(config);
        let mut client = WebSocket::open(server.address);
        take_little(&client);
        let mut sent = 0;
        let reason = loop {
            if let Some(reason) = server.end() {
                break reason;
            }
            assert!(sent < MUCH, "it is never closed");
            // It may be closed since.
            if client.0.write_all(&asking).is_err() {
                break server.next_end();
            }
            sent += asking.len();
        };
        assert_eq!(reason, CloseReason::SendQueueFull);
        server.serves_on();
    }
}

#[test]
fn a_client_that_never_polls_is_closed() {
    let mut config = ServerConfig::default();
    config.engine.send_queue_bytes = 10_000;
    let server = EchoServer::start(config);
    let query = format!("&sid={}", server.open_polling());
    let body = format!("4{}", "x".repeat(6000));
    assert!(server.request("POST", &query, &body).ends_with("ok"));
    server.request("POST", &query, &body);
    assert_eq!(server.next_end(), CloseReason::SendQueueFull);
    // Many that are small cost more than their bytes.
    let query = format!("&sid={}", server.open_polling());
    server.request(
        "POST",
        &query,
        &(0..200).map(|_| "4x").collect::<Vec<_>>().join("\x1e"),
    );
    assert_eq!(server.next_end(), CloseReason::SendQueueFull);
    server.serves_on();
}

#[test]
fn the_clients_with_the_largest_queues_are_closed_when_all_together_are_too_large() {
    let mut config = ServerConfig {
        max_send_queue_total_bytes: 8 * 1024 * 1024,
        ..ServerConfig::default()
    };
    config.engine.send_queue_bytes = 64 * 1024 * 1024;
    let server = SocketServer::start(config, ClientConfig::default());
    let (large, large_socket) = server.join(r#"{"room":"large"}"#);
    let (small, small_socket) = server.join(r#"{"room":"small"}"#);
    for client in [&large, &small] {
        take_little(client);
    }
    let (mut other, _) = server.join("");
    assert_eq!(server.engine.queued_bytes(), 0);
    let value = RawValue::from_string(format!("\"{}\"", "x".repeat(64 * 1024))).unwrap();
    let emit = |socket: &Socket| {
        let name = EventName::new("news").unwrap();
        let args = [&*value];
        socket.emit(name, OutgoingArgs::new(&args)).is_some()
    };
    let is_queued = |socket: &Socket| {
        let before = server.engine.queued_bytes();
        assert!(emit(socket), "it is closed");
        server.engine.queued_bytes() > before
    };
    // The kernel takes what it takes.
    while !is_queued(&small_socket) {}
    let mut sent = 0;
    while emit(&large_socket) {
        sent += value.get().len();
        assert!(sent < MUCH, "it is never closed");
    }
    let end = server.next_end();
    assert_eq!(end.socket, large_socket);
    assert_eq!(
        end.reason,
        DisconnectReason::Session(CloseReason::SendQueueFull)
    );
    let counts = server.engine.counts();
    assert_eq!(counts.rejected_total(Rejection::MaxSendQueueTotalBytes), 1);
    assert!(emit(&small_socket));
    other.send_text(r#"42/n,1["x"]"#);
    assert_eq!(other.text(), "43/n,1[]");
    drop((large, small, other));
    server.emptied();
    drop((large_socket, small_socket, end));
    while server.next_end_now().is_some() {}
    wait_until(|| server.engine.queued_bytes() == 0);
}

fn wait_until(is_so: impl Fn() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < patience, "it is never so");
        std::thread::yield_now();
    }
}
