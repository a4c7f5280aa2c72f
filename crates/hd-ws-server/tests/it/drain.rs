//! How a server moves its clients away.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use engineio_proto::CloseReason;
use futures_util::FutureExt as _;
use hd_rooms::Audience;
use hd_ws_server::{CancelDrain, DisconnectReason, Drain, Phase, ServerConfig};
use serde_json::value::RawValue;
use socketio_proto::{ClientConfig, EventName, OutgoingArgs};

use crate::client::{PATIENCE, WebSocket, exchange, websocket_head};
use crate::echo_server::EchoServer;
use crate::socket_server::SocketServer;

/// Far longer than a test takes.
const LONG: Duration = PATIENCE.saturating_mul(10);

fn clients(server: &EchoServer, count: usize) -> Vec<WebSocket> {
    (0..count)
        .map(|_| WebSocket::open(server.address))
        .collect()
}

/// When sessions ended, from the beginning of the drain. They are heard of after
/// they were closed, never before.
fn ends(server: &EchoServer, count: usize) -> Vec<Duration> {
    let Phase::Draining(plan) = server.engine.phase() else {
        panic!("it does not drain");
    };
    let end = |_| {
        assert_eq!(server.next_end(), CloseReason::ServerShuttingDown);
        plan.began.elapsed()
    };
    (0..count).map(end).collect()
}

#[test]
fn websockets_are_closed_one_by_one_all_over_the_window() {
    let server = EchoServer::start(ServerConfig::default());
    let clients = clients(&server, 20);
    let Drain::Begun(plan) = server.engine.drain(Some(Duration::from_secs(1))) else {
        panic!("no drain was under way");
    };
    assert_eq!((plan.clients, plan.window), (20, Duration::from_secs(1)));
    let ends = ends(&server, 20);
    let early = ends.iter().filter(|at| **at < Duration::from_millis(500));
    assert!(early.count() <= 10, "{ends:?}");
    assert!(ends[19] >= Duration::from_millis(950), "{ends:?}");
    for mut client in clients {
        assert_eq!(client.close_code(), Some(1012));
    }
    // The server stays.
    assert!(matches!(server.engine.phase(), Phase::Draining(_)));
    assert_eq!(server.engine.counts().drained_total(), 20);
    assert_eq!(server.engine.counts().lost_total(), 0);
    let answer = exchange(server.address, "GET / HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 404 "), "{answer}");
}

#[test]
fn no_more_are_closed_in_a_second_than_the_rate_allows() {
    let server = EchoServer::start(ServerConfig {
        drain_rate: NonZeroU32::new(20).unwrap(),
        ..ServerConfig::default()
    });
    let _clients = clients(&server, 30);
    server.engine.drain(Some(Duration::ZERO));
    let ends = ends(&server, 30);
    let first = ends.iter().filter(|at| **at < Duration::from_secs(1));
    assert!(first.count() <= 20, "{ends:?}");
    assert!(ends[29] >= Duration::from_millis(1450), "{ends:?}");
}

#[test]
fn new_clients_are_sent_elsewhere() {
    let server = EchoServer::start(ServerConfig::default());
    server.engine.drain(None);
    let polling = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n";
    let websocket = websocket_head("", "");
    let plain = websocket.replacen("/socket.io/", "/plain", 1);
    for head in [polling, &websocket, &plain] {
        let answer = exchange(server.address, head);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    }
}

#[test]
fn a_client_that_polls_is_served_until_it_is_its_turn() {
    let server = EchoServer::start(ServerConfig::default());
    let query = format!("&sid={}", server.open_polling());
    server.engine.drain(Some(LONG));
    for message in ["4one", "4two"] {
        assert!(server.request("POST", &query, message).ends_with("ok"));
        assert!(server.request("GET", &query, "").ends_with(message));
    }
    assert!(server.request("POST", &query, "4three").ends_with("ok"));
    server.engine.drain(Some(Duration::ZERO));
    server.wait_for_drained(1);
    // What waited comes before the close packet, and not with it.
    let answer = server.request("GET", &query, "");
    assert!(answer.ends_with("\r\n4three"), "{answer}");
    let answer = server.request("GET", &query, "");
    assert!(answer.ends_with("\r\n1"), "{answer}");
    assert_eq!(server.next_end(), CloseReason::ServerShuttingDown);
    assert_eq!(server.engine.counts().lost_total(), 0);
}

/// Neither before nor after does anything tell it to stay away.
#[test]
fn a_socket_gets_all_that_was_emitted_and_no_disconnect() {
    let server = SocketServer::start(ServerConfig::default(), ClientConfig::default());
    let mut client = server.join("").0;
    server.engine.drain(Some(LONG));
    let emit = |number: usize| {
        let value = RawValue::from_string(number.to_string()).unwrap();
        let name = EventName::new("number").unwrap();
        let args = [&*value];
        server
            .namespace
            .emit(&Audience::everyone(), name, OutgoingArgs::new(&args))
            .now_or_never()
    };
    for number in 0..100 {
        assert_eq!(emit(number), Some(1));
    }
    server.engine.drain(Some(Duration::ZERO));
    for number in 0..100 {
        assert_eq!(client.text(), format!("42/n,[\"number\",{number}]"));
    }
    let (first, payload) = client.next().expect("a close frame");
    assert_eq!(
        (first, payload.as_slice()),
        (0x88, &1012_u16.to_be_bytes()[..])
    );
    assert_eq!(client.next(), None);
    assert_eq!(
        server.next_end().reason,
        DisconnectReason::Session(CloseReason::ServerShuttingDown)
    );
}

#[test]
fn a_cancelled_drain_keeps_the_clients_and_admits_new_ones() {
    let server = EchoServer::start(ServerConfig::default());
    assert_eq!(server.engine.cancel_drain(), CancelDrain::NotDraining);
    let mut stays = WebSocket::open(server.address);
    let Drain::Begun(plan) = server.engine.drain(Some(LONG)) else {
        panic!("no drain was under way");
    };
    assert_eq!(server.engine.cancel_drain(), CancelDrain::Cancelled(plan));
    assert!(!server.engine.is_draining());
    let mut comes = WebSocket::open(server.address);
    // The task that closes clients waits for the next drain, and not for the first one's moments.
    server.engine.drain(Some(Duration::ZERO));
    assert_eq!(stays.close_code(), Some(1012));
    assert_eq!(comes.close_code(), Some(1012));
    server.engine.stop(PATIENCE);
    assert_eq!(server.engine.cancel_drain(), CancelDrain::Stopping);
}

#[test]
fn a_plain_websocket_is_closed_likewise() {
    let server = SocketServer::start(ServerConfig::default(), ClientConfig::default());
    let mut client = server.join_plain().0;
    server.engine.drain(None);
    assert_eq!(client.close_code(), Some(1012));
}

#[test]
fn a_connection_that_is_too_old_is_told_to_try_again() {
    let mut config = ServerConfig {
        max_connection_age: Some(Duration::from_millis(200)),
        ..ServerConfig::default()
    };
    config.engine.ping_interval = Duration::from_millis(3200);
    let server = EchoServer::start(config);
    let opened = Instant::now();
    let mut client = WebSocket::open(server.address);
    assert_eq!(client.close_code(), Some(1012));
    assert!(opened.elapsed() >= Duration::from_millis(180));
    assert_eq!(server.next_end(), CloseReason::TooOld);
    assert_eq!(server.engine.counts().too_old_total(), 1);
    // It does not drain: another one may come at once.
    WebSocket::open(server.address);
    // And one that polls.
    let query = format!("&sid={}", server.open_polling());
    assert!(server.request("GET", &query, "").ends_with("\r\n\r\n1"));
}
