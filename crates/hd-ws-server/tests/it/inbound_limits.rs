//! Clients that send more than they may.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use engineio_proto::CloseReason;
use hd_ws_server::{DisconnectReason, Rejection, ServerConfig};
use socketio_proto::ClientConfig;

use crate::client::{PATIENCE, WebSocket, frame, rest};
use crate::echo_server::EchoServer;
use crate::socket_server::SocketServer;

fn config(messages: u32, bytes: u32) -> ServerConfig {
    ServerConfig {
        max_messages_per_second: NonZeroU32::new(messages),
        max_inbound_bytes_per_second: NonZeroU32::new(bytes),
        ..ServerConfig::default()
    }
}

/// A short text frame under a mask: what waits to be read must stay as it came.
fn masked(payload: &[u8]) -> Vec<u8> {
    let mask = [0x5a, 0xc3, 0x17, 0x88];
    let mut bytes = vec![0x81, 0x80 | payload.len() as u8];
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

#[test]
fn a_client_over_its_rate_is_read_more_slowly_and_loses_nothing() {
    let server = EchoServer::start(config(100, 0));
    let mut client = WebSocket::open(server.address);
    let started = Instant::now();
    let all: Vec<u8> = (0..600)
        .flat_map(|number| masked(format!("4{number}").as_bytes()))
        .collect();
    client.send(&all);
    for number in 0..600 {
        assert_eq!(client.text(), format!("4{number}"));
    }
    // 500 at once, and a hundred in the second after.
    assert!(started.elapsed() >= Duration::from_millis(900));
    assert_eq!(server.engine.counts().throttled_total(), 1);
    assert_eq!(server.end(), None);
}

#[test]
fn what_an_application_says_first_is_not_too_much() {
    let server = EchoServer::start(config(50, 65_536));
    let mut client = WebSocket::open(server.address);
    let mut all = frame(0x81, format!("4{}", "x".repeat(65_535)).as_bytes());
    for _ in 0..100 {
        all.extend(frame(0x81, b"4hello"));
    }
    let started = Instant::now();
    client.send(&all);
    for _ in 0..101 {
        assert!(client.text().starts_with('4'));
    }
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(server.engine.counts().throttled_total(), 0);
}

#[test]
fn a_client_that_floods_is_closed_whatever_it_sends_and_others_are_served() {
    for (what, bytes, reason) in [
        ("noop", frame(0x81, b"6"), Rejection::MaxMessagesPerSecond),
        ("pong", frame(0x81, b"3"), Rejection::MaxMessagesPerSecond),
        (
            "ping frame",
            frame(0x89, b"x"),
            Rejection::MaxMessagesPerSecond,
        ),
        (
            "pong frame",
            frame(0x8a, b"x"),
            Rejection::MaxMessagesPerSecond,
        ),
        ("binary", frame(0x82, b"x"), Rejection::MaxMessagesPerSecond),
        (
            "empty fragments",
            [
                frame(0x01, b"4"),
                frame(0x00, b"").repeat(16_000),
                frame(0x80, b""),
            ]
            .concat(),
            Rejection::MaxInboundBytesPerSecond,
        ),
        (
            "large message",
            frame(0x82, &[0; 60_000]),
            Rejection::MaxInboundBytesPerSecond,
        ),
    ] {
        let mut config = config(50, 65_536);
        config.throttle_timeout = Duration::from_millis(200);
        config.engine.max_payload = 65_536;
        let server = EchoServer::start(config);
        let flooding = WebSocket::open(server.address);
        let mut stream = flooding.0.try_clone().expect("a clone");
        let bytes = bytes.repeat((64 * 1024 / bytes.len()).max(1));
        std::thread::scope(|scope| {
            let flood = scope.spawn(move || {
                let patience = Instant::now() + PATIENCE;
                while stream.write_all(&bytes).is_ok() {
                    assert!(Instant::now() < patience, "{what} is read on and on");
                }
            });
            while !flood.is_finished() {
                let mut other = WebSocket::open(server.address);
                other.send_text("4served");
                assert_eq!(other.text(), "4served");
            }
        });
        assert_eq!(server.engine.counts().rejected_total(reason), 1, "{what}");
        let patience = Instant::now() + PATIENCE;
        while server.next_end() != CloseReason::RateLimited {
            assert!(Instant::now() < patience, "{what}");
        }
    }
}

#[test]
fn a_flooding_client_is_told_that_it_broke_the_policy() {
    let mut config = config(10, 0);
    config.throttle_timeout = Duration::ZERO;
    let server = EchoServer::start(config);
    let mut client = WebSocket::open(server.address);
    client.send(&frame(0x81, b"6").repeat(51));
    assert_eq!(client.close_code(), Some(1008));
    assert_eq!(server.next_end(), CloseReason::RateLimited);
    server.serves_on();
}

#[test]
fn a_post_over_the_rate_is_answered_later_and_one_far_over_it_is_refused() {
    let server = EchoServer::start(config(100, 0));
    let query = format!("&sid={}", server.open_polling());
    let noops = |count: usize| vec!["6"; count].join("\x1e");
    assert!(server.request("POST", &query, &noops(500)).ends_with("ok"));
    let started = Instant::now();
    assert!(server.request("POST", &query, &noops(50)).ends_with("ok"));
    assert!(started.elapsed() >= Duration::from_millis(400));
    assert_eq!(server.engine.counts().throttled_total(), 1);
    let answer = server.request("POST", &query, &noops(5000));
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert_eq!(server.next_end(), CloseReason::RateLimited);
    let counts = server.engine.counts();
    assert_eq!(counts.rejected_total(Rejection::MaxMessagesPerSecond), 1);
    server.serves_on();
}

/// Four hours that it would have to wait, which is longer than the test has patience.
fn is_answered_before_its_time(send_away: impl FnOnce(&EchoServer)) {
    let mut config = config(1, 0);
    config.throttle_timeout = Duration::from_secs(24 * 60 * 60);
    let server = EchoServer::start(config);
    let query = format!("&sid={}", server.open_polling());
    let noops = vec!["6"; 15_000].join("\x1e");
    let mut waiting = server.send("POST", &query, &noops);
    waiting.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let patience = Instant::now() + PATIENCE;
    while server.engine.counts().throttled_total() == 0 {
        assert!(Instant::now() < patience, "it does not wait");
        std::thread::yield_now();
    }
    send_away(&server);
    let answer = rest(&mut waiting);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_post_that_waits_is_answered_when_its_client_is_drained() {
    is_answered_before_its_time(|server| {
        server.engine.drain(Some(Duration::ZERO));
    });
}

#[test]
fn a_post_that_waits_is_answered_when_the_server_stops() {
    is_answered_before_its_time(|server| {
        server.engine.stop(Duration::from_secs(30));
    });
}

#[test]
fn a_probe_that_sends_too_much_is_refused_and_polling_goes_on() {
    let server = EchoServer::start(config(10, 0));
    let query = format!("&sid={}", server.open_polling());
    let mut probe = WebSocket::upgrade(server.address, &query).expect("101");
    probe.send(&frame(0x89, b"").repeat(51));
    assert_eq!(probe.closed(), b"");
    assert_eq!(server.end(), None);
}

#[test]
fn all_clients_of_a_user_share_its_rate() {
    let mut config = config(20, 0);
    config.throttle_timeout = Duration::ZERO;
    let server = SocketServer::start(config, ClientConfig::default());
    let (mut first, _) = server.join(r#"{"user":42}"#);
    let (mut second, socket) = server.join(r#"{"user":42}"#);
    let (mut other, _) = server.join(r#"{"user":43}"#);
    let event = frame(0x81, br#"42/n,["x"]"#);
    // Each of them may send 98 more, and both together 100.
    first.send(&event.repeat(90));
    for _ in 0..90 {
        server.next_event();
    }
    second.send(&event.repeat(60));
    assert_eq!(second.close_code(), Some(1008));
    let end = server.next_end();
    assert_eq!(end.socket, socket);
    assert_eq!(
        end.reason,
        DisconnectReason::Session(CloseReason::RateLimited)
    );
    // Another user has a rate of its own.
    other.send(&event.repeat(60));
    other.send_text(r#"42/n,7["last"]"#);
    assert_eq!(other.text(), "43/n,7[]");
}
