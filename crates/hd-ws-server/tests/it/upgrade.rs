//! Moving a session from polling to a WebSocket, and failing at it.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use engineio_proto::CloseReason;
use hd_ws_server::ServerConfig;

use crate::client::{PATIENCE, WebSocket, exchange, frame, reset, rest, websocket_head};
use crate::echo_server::EchoServer;

fn start() -> EchoServer {
    EchoServer::start(ServerConfig::default())
}

/// A polling session, and the query that names it.
fn polling_session(server: &EchoServer) -> String {
    format!("&sid={}", server.open_polling())
}

/// Checks that the session is there and carries messages by polling.
fn polls_on(server: &EchoServer, query: &str) {
    assert!(server.request("POST", query, "4polled").ends_with("ok"));
    assert!(server.request("GET", query, "").ends_with("4polled"));
}

/// Opens a new transport and probes it.
fn probed(server: &EchoServer, query: &str) -> WebSocket {
    let mut socket = WebSocket::upgrade(server.address, query).expect("101");
    socket.send_text("2probe");
    assert_eq!(socket.text(), "3probe");
    socket
}

/// Waits until the session takes an upgrade again, and completes that.
fn upgrades_again(server: &EchoServer, query: &str) {
    let patience = Instant::now() + PATIENCE;
    let mut socket = loop {
        let attempt = WebSocket::upgrade(server.address, query);
        if let Ok(mut socket) = attempt {
            socket.send_text("2probe");
            if socket.next() == Some((0x81, b"3probe".to_vec())) {
                break socket;
            }
        }
        assert!(Instant::now() < patience, "no second upgrade");
        std::thread::yield_now();
    };
    socket.send_text("5");
    socket.send_text("4moved");
    assert_eq!(socket.text(), "4moved");
    drop(socket);
    assert_eq!(server.next_end(), CloseReason::TransportClose);
}

#[test]
fn an_upgrade_releases_the_poll_and_keeps_the_order() {
    let server = start();
    let query = polling_session(&server);
    assert!(server.request("POST", &query, "4one").ends_with("ok"));
    let mut socket = WebSocket::upgrade(server.address, &query).expect("101");
    // Before the probe, polling carries messages.
    assert!(server.request("GET", &query, "").ends_with("4one"));
    let mut poll = server.send("GET", &query, "");
    socket.send_text("2probe");
    assert_eq!(socket.text(), "3probe");
    // Nothing waits: a noop lets the poll go.
    assert!(rest(&mut poll).ends_with("\r\n\r\n6"));
    for body in ["4two", "4three\x1e4four"] {
        assert!(server.request("POST", &query, body).ends_with("ok"));
    }
    socket.send_text("5");
    socket.send_text("4five");
    for expected in ["4two", "4three", "4four", "4five"] {
        assert_eq!(socket.text(), expected);
    }
    assert_eq!(server.engine.counts().upgraded_total(), 1);
    assert_eq!(server.engine.counts().websocket(), 1);
    assert_eq!(server.engine.counts().polling(), 0);
}

#[test]
fn an_upgrade_that_takes_too_long_leaves_the_session_polling() {
    let mut config = ServerConfig::default();
    config.engine.upgrade_timeout = Duration::from_millis(50);
    let server = EchoServer::start(config);
    let query = polling_session(&server);
    let mut silent = WebSocket::upgrade(server.address, &query).expect("101");
    assert_eq!(silent.next(), None);
    polls_on(&server, &query);
    let mut half_a_frame = WebSocket::upgrade(server.address, &query).expect("101");
    half_a_frame.send(&[0x81, 0xfe]);
    assert_eq!(half_a_frame.next(), None);
    polls_on(&server, &query);
}

#[test]
fn an_upgrade_that_is_given_up_leaves_the_session_polling() {
    let server = start();
    for give_up in [
        |socket: WebSocket| drop(socket),
        |socket: WebSocket| reset(socket.0),
        |mut socket: WebSocket| {
            socket.send(&frame(0x88, b""));
            while socket.next().is_some() {}
        },
    ] {
        let query = polling_session(&server);
        give_up(WebSocket::upgrade(server.address, &query).expect("101"));
        polls_on(&server, &query);
        // It may take the server a moment to see it.
        upgrades_again(&server, &query);

        let query = polling_session(&server);
        give_up(probed(&server, &query));
        polls_on(&server, &query);
        upgrades_again(&server, &query);
    }
}

#[test]
fn what_is_no_probe_is_refused_and_the_session_goes_on_polling() {
    let server = start();
    let query = polling_session(&server);
    for bytes in [
        frame(0x81, b"4too early"),
        frame(0x81, b"2"),
        frame(0x81, b"3probe"),
        frame(0x81, b"1"),
        frame(0x81, b"x"),
        frame(0x82, b"2probe"),
        frame(0x81, b"\xff"),
        // CVE-2022-21676
        b"test".to_vec(),
        vec![0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0],
    ] {
        let patience = Instant::now() + PATIENCE;
        let mut socket = loop {
            // The one before may not be forgotten yet.
            match WebSocket::upgrade(server.address, &query) {
                Ok(socket) => break socket,
                Err(answer) => assert!(Instant::now() < patience, "{answer}"),
            }
        };
        socket.send(&bytes);
        while let Some((first, payload)) = socket.next() {
            assert_eq!(first, 0x88, "{bytes:?} was answered: {payload:?}");
        }
        polls_on(&server, &query);
    }
    upgrades_again(&server, &query);
}

/// A WebSocket too many is opened, and closed before it carries anything.
fn is_closed_again(attempt: Result<WebSocket, String>) {
    let mut socket = attempt.expect("101");
    // What it says to nobody does not matter.
    socket.send_text("2probe");
    assert_eq!(socket.next(), Some((0x88, Vec::new())));
    assert_eq!(socket.next(), None);
}

#[test]
fn one_upgrade_runs_at_a_time() {
    let server = start();
    let query = polling_session(&server);
    let mut first = probed(&server, &query);
    is_closed_again(WebSocket::upgrade(server.address, &query));
    first.send_text("5");
    first.send_text("4first");
    assert_eq!(first.text(), "4first");
    // Nor can a session be upgraded that is on a WebSocket.
    is_closed_again(WebSocket::upgrade(server.address, &query));
    first.send_text("4still");
    assert_eq!(first.text(), "4still");
}

#[test]
fn an_upgrade_needs_a_session() {
    let server = start();
    let unknown = [
        "&sid=AAAAAAAAAAAAAAAAAAAA",
        "&sid=x",
        "&sid=../../etc",
        "&sid=%00",
    ];
    for query in unknown {
        let answer = WebSocket::upgrade(server.address, query).err().unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("Session ID unknown"), "{answer}");
    }
    assert!(server.engine.is_empty());
}

#[test]
fn a_bad_handshake_leaves_the_session_polling() {
    let server = start();
    let query = polling_session(&server);
    let good = websocket_head(&query, "");
    for request in [
        good.replace("sec-websocket-version: 13", "sec-websocket-version: 8"),
        good.replace("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"),
        good.replace("upgrade: websocket\r\n", ""),
        good.replace("upgrade: websocket", "upgrade: h2c"),
        good.replace("GET", "POST"),
        good.replace("GET", "DELETE"),
    ] {
        let request = request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        let answer = exchange(server.address, request);
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        polls_on(&server, &query);
    }
}

#[test]
fn another_version_of_websocket_is_told_the_right_one() {
    let server = start();
    let head = websocket_head("", "").replace("version: 13", "version: 8");
    let answer = exchange(server.address, head).to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 426 "), "{answer}");
    for header in [
        "upgrade: websocket",
        "connection: upgrade, close",
        "sec-websocket-version: 13",
    ] {
        assert!(answer.contains(&format!("\r\n{header}\r\n")), "{answer}");
    }
}

#[test]
fn the_new_transport_of_a_session_that_makes_room_is_closed_with_it() {
    let mut config = ServerConfig {
        max_unjoined_connections: NonZeroUsize::new(1),
        ..ServerConfig::default()
    };
    config.engine.upgrade_timeout = 20 * PATIENCE;
    let server = EchoServer::start(config);
    let query = polling_session(&server);
    let mut socket = probed(&server, &query);
    let _newcomer = polling_session(&server);
    assert_eq!(server.next_end(), CloseReason::ForcedClose);
    // Its file is free again long before the upgrade would have timed out.
    assert_eq!(rest(&mut socket.0), "");
}

#[test]
fn a_second_websocket_counts_until_it_is_closed() {
    let server = EchoServer::start(ServerConfig {
        close_linger: 20 * PATIENCE,
        ..ServerConfig::default()
    });
    let query = polling_session(&server);
    let mut socket = probed(&server, &query);
    socket.send_text("5");
    socket.send_text("4moved");
    assert_eq!(socket.text(), "4moved");
    let mut surplus = WebSocket::upgrade(server.address, &query).expect("101");
    surplus.closed();
    // It has not closed its side: its file is open.
    let patience = Instant::now() + Duration::from_millis(300);
    while server.engine.open_sockets() >= 2 && Instant::now() < patience {
        std::thread::yield_now();
    }
    assert!(server.engine.open_sockets() >= 2);
}
