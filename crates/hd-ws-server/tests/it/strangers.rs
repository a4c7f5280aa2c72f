//! Clients that have joined nothing: they have a budget of their own.

use std::io::{Read as _, Write as _};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hd_ws_server::{Rejection, ServerConfig, TrustedProxies};
use socketio_proto::ClientConfig;

use crate::client::{PATIENCE, WebSocket, connect, exchange, request, rest, websocket_head};
use crate::socket_server::SocketServer;

fn start(config: ServerConfig) -> SocketServer {
    SocketServer::start(config, ClientConfig::default())
}

fn unjoined(clients: usize) -> ServerConfig {
    ServerConfig {
        max_unjoined_connections: NonZeroUsize::new(clients),
        ..ServerConfig::default()
    }
}

/// Every request comes from a proxy, which says where from.
fn behind_a_proxy(config: ServerConfig) -> ServerConfig {
    ServerConfig {
        trusted_proxies: TrustedProxies::new(["127.0.0.0/8".parse().expect("a network")]),
        ..config
    }
}

fn open_from(server: &SocketServer, address: &str) -> WebSocket {
    let head = websocket_head("", &format!("x-forwarded-for: {address}\r\n"));
    let (head, stream) = request(server.address, &head);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut client = WebSocket(stream);
    assert!(client.text().starts_with("0{"));
    client
}

/// A session by polling; the answer, when there is none.
fn poll_from(server: &SocketServer, address: &str) -> Result<String, String> {
    let answer = exchange(
        server.address,
        format!(
            "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             x-forwarded-for: {address}\r\n\r\n"
        ),
    );
    match answer.find("\"sid\":\"") {
        Some(at) => Ok(answer[at + 7..at + 27].to_owned()),
        None => Err(answer),
    }
}

fn assert_too_many(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

fn rejected(server: &SocketServer, reason: Rejection) -> u64 {
    server.engine.counts().rejected_total(reason)
}

fn is_alive(client: &mut WebSocket) {
    client.send(&crate::client::frame(0x89, b"there?"));
    assert_eq!(client.next(), Some((0x8a, b"there?".to_vec())));
}

#[test]
fn the_oldest_of_the_address_that_has_most_makes_room() {
    let server = start(behind_a_proxy(unjoined(4)));
    let mut old = open_from(&server, "192.0.2.1");
    let mut flood: Vec<_> = (0..3).map(|_| open_from(&server, "192.0.2.2")).collect();
    assert_eq!(server.engine.unjoined(), 4);
    let mut newcomer = open_from(&server, "192.0.2.3");
    flood.remove(0).closed();
    // By its transport: nothing tells the client to stay away.
    assert_eq!(rejected(&server, Rejection::UnjoinedEvicted), 1);
    assert_eq!(server.engine.unjoined(), 4);
    is_alive(&mut old);
    is_alive(&mut newcomer);
    for client in &mut flood {
        is_alive(client);
    }
    // Who has joined is no stranger.
    server.rejoin(&mut newcomer, "");
    assert_eq!(server.engine.unjoined(), 3);
    for _ in 0..20 {
        open_from(&server, "192.0.2.2");
    }
    is_alive(&mut newcomer);
    is_alive(&mut old);
}

#[test]
fn who_leaves_its_last_namespace_is_a_stranger_again() {
    let server = start(unjoined(1));
    let (mut client, _socket) = server.join("");
    client.send_text("40/other,");
    assert!(client.text().starts_with("40/other,"));
    let _second = server.next_connected();
    assert_eq!(server.engine.unjoined(), 0);
    client.send_text("41/n,");
    assert_eq!(server.next_end().socket.namespace().name().as_str(), "/n");
    assert_eq!(server.engine.unjoined(), 0);
    client.send_text("41/other,");
    server.next_end();
    assert_eq!(server.engine.unjoined(), 1);
    let socket = server.rejoin(&mut client, "");
    assert_eq!(server.engine.unjoined(), 0);
    assert!(socket.disconnect());
    assert_eq!(client.text(), "41/n,");
    assert_eq!(server.engine.unjoined(), 1);
    let _other = WebSocket::open(server.address);
    client.closed();
    assert_eq!(rejected(&server, Rejection::UnjoinedEvicted), 1);
}

#[test]
fn strangers_make_room_at_the_bound_of_all_and_those_that_joined_do_not() {
    let server = start(ServerConfig {
        max_connections: NonZeroUsize::new(3),
        ..unjoined(3)
    });
    let (mut first, _) = server.join("");
    let mut stranger = WebSocket::open(server.address);
    let mut second = WebSocket::open(server.address);
    let mut third = WebSocket::open(server.address);
    stranger.closed();
    server.rejoin(&mut second, "");
    server.rejoin(&mut third, "");
    let refused = WebSocket::upgrade(server.address, "").err().expect("503");
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert_eq!(rejected(&server, Rejection::MaxConnections), 1);
    for client in [&mut first, &mut second, &mut third] {
        is_alive(client);
    }
    drop((first, second, third));
    server.emptied();
    // Each place is there again.
    let clients: Vec<_> = (0..3).map(|_| server.join("")).collect();
    assert!(WebSocket::upgrade(server.address, "").is_err());
    drop(clients);
}

#[test]
fn one_connection_asks_for_so_many_sessions_at_most() {
    let server = start(ServerConfig {
        max_handshakes_per_connection: NonZeroU32::new(20),
        ..ServerConfig::default()
    });
    let ask = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n";
    let answers = exchange(server.address, ask.repeat(100));
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 20);
    assert_eq!(answers.matches("HTTP/1.1 429 ").count(), 1);
    assert_eq!(rejected(&server, Rejection::HandshakesPerConnection), 1);
    // A proxy carries those of many clients, be it that nobody has named it.
    let forwarded = ask.replace("host: x", "host: x\r\nx-forwarded-for: 192.0.2.1");
    let last = forwarded.replace("host: x", "host: x\r\nconnection: close");
    let answers = exchange(server.address, forwarded.repeat(99) + &last);
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 100);
}

#[test]
fn one_address_asks_so_often_at_most_unless_it_joins() {
    let server = start(behind_a_proxy(ServerConfig {
        max_handshakes_per_address: NonZeroU32::new(1),
        ..ServerConfig::default()
    }));
    // Ten in a row, and one a second.
    let stranger = "192.0.2.1";
    let answers: Vec<_> = (0..40).map(|_| poll_from(&server, stranger)).collect();
    let refused: Vec<_> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .collect();
    assert!(refused.len() >= 20, "{} refused", refused.len());
    assert_too_many(refused[0]);
    // Others are not concerned, nor is who joins.
    for _ in 0..40 {
        let mut client = open_from(&server, "192.0.2.2");
        server.rejoin(&mut client, "");
    }
    // An IPv6 address is as good as all of its network.
    let refused = (0..40).filter(|n| poll_from(&server, &format!("2001:db8::{n}")).is_err());
    assert!(refused.count() >= 20);
}

/// Somebody has used up what their address may ask for, and goes on: the places
/// of strangers there are for those who come, once who has them had time to join.
#[test]
fn who_uses_up_the_handshakes_of_an_address_does_not_keep_its_colleagues_out() {
    let server = start(behind_a_proxy(ServerConfig {
        max_handshakes_per_address: NonZeroU32::new(1),
        max_connections_per_address: NonZeroUsize::new(12),
        ..ServerConfig::default()
    }));
    let neighbour = "192.0.2.1";
    let held: Vec<_> = (0..12).map(|_| open_from(&server, neighbour)).collect();
    // All places are taken by who may be about to join.
    let refused = poll_from(&server, neighbour).expect_err("it has used up its rate");
    assert_too_many(&refused);
    // As clients do.
    let patience = Instant::now() + PATIENCE;
    let is_in = || poll_from(&server, neighbour).is_ok();
    while !is_in() {
        assert!(Instant::now() < patience, "nobody of the address comes in");
        std::thread::sleep(Duration::from_millis(50));
    }
    // More than the rate gives in that time.
    for _ in 0..5 {
        poll_from(&server, neighbour).expect("a session");
    }
    assert_eq!(rejected(&server, Rejection::ConnectionsPerAddress), 6);
    assert_eq!(server.engine.unjoined(), 12);
    let mut colleague = open_from(&server, neighbour);
    server.rejoin(&mut colleague, "");
    drop(held);
}

/// What stands before the entry that the proxy adds is the client's own.
#[test]
fn a_forged_entry_of_x_forwarded_for_is_no_other_address() {
    let server = start(behind_a_proxy(ServerConfig {
        max_handshakes_per_address: NonZeroU32::new(1),
        ..ServerConfig::default()
    }));
    let from = |n: u32| poll_from(&server, &format!("198.51.100.{n}, 192.0.2.1"));
    let refused = (0..40).filter(|n| from(*n).is_err()).count();
    assert!(refused >= 20, "{refused} refused");
    poll_from(&server, "198.51.100.1").expect("it has asked nothing itself");
}

#[test]
fn of_one_address_so_many_may_have_joined_nothing() {
    let server = start(behind_a_proxy(ServerConfig {
        max_connections_per_address: NonZeroUsize::new(2),
        ..ServerConfig::default()
    }));
    let mut other = open_from(&server, "192.0.2.2");
    let mut first = open_from(&server, "192.0.2.1");
    let mut second = open_from(&server, "192.0.2.1");
    let mut third = open_from(&server, "192.0.2.1");
    first.closed();
    assert_eq!(rejected(&server, Rejection::ConnectionsPerAddress), 1);
    for client in [&mut other, &mut second, &mut third] {
        is_alive(client);
        server.rejoin(client, "");
    }
    let mut more = open_from(&server, "192.0.2.1");
    is_alive(&mut more);
}

#[test]
fn of_one_address_so_many_connections_may_have_said_nothing() {
    let server = start(ServerConfig {
        max_connections_per_address: NonZeroUsize::new(2),
        ..ServerConfig::default()
    });
    let mut silent = [connect(server.address), connect(server.address)];
    assert_eq!(rest(&mut connect(server.address)), "");
    assert_eq!(rejected(&server, Rejection::ConnectionsPerAddress), 1);
    // Who has asked something is not silent.
    for stream in &mut silent {
        stream
            .write_all(b"GET /socket.io/ HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        assert_ne!(stream.read(&mut [0; 512]).unwrap(), 0);
    }
    let asked = exchange(server.address, "GET /socket.io/ HTTP/1.0\r\n\r\n");
    assert!(asked.starts_with("HTTP/1.0 400 "), "{asked}");
}

/// Ten in a row get an answer, and one a second.
fn refuses_few() -> SocketServer {
    start(behind_a_proxy(ServerConfig {
        max_auth_failures_per_address: NonZeroU32::new(1),
        max_unjoined_packets: NonZeroU32::new(20),
        ..ServerConfig::default()
    }))
}

/// Has clients of this address refused until one gets no answer.
fn is_refused_until_nothing_is_answered(server: &SocketServer, address: &str) {
    let mut answered = 0;
    let is_over = (0..40).any(|_| {
        let mut client = open_from(server, address);
        client.send_text(r#"40/n,{"refuse":true}"#);
        assert_eq!(server.next_event().what, "connect");
        let is_answered = client.next().is_some_and(|(first, _)| first == 0x81);
        answered += u32::from(is_answered);
        !is_answered
    });
    assert!(is_over && answered >= 10, "{answered} were answered");
    assert_eq!(rejected(server, Rejection::AuthFailuresPerAddress), 1);
}

#[test]
fn after_too_many_refused_clients_a_good_one_of_the_address_is_let_in() {
    let server = refuses_few();
    is_refused_until_nothing_is_answered(&server, "192.0.2.1");
    let plain = |path| {
        let head = websocket_head("", "x-forwarded-for: 192.0.2.1\r\n");
        head.replacen("/socket.io/", path, 1)
    };
    assert_too_many(&exchange(server.address, plain("/plain?refuse")));
    assert_eq!(rejected(&server, Rejection::AuthFailuresPerAddress), 2);
    let mut colleague = open_from(&server, "192.0.2.1");
    server.rejoin(&mut colleague, "");
    let (head, _stream) = request(server.address, &plain("/plain"));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut other = open_from(&server, "192.0.2.2");
    server.rejoin(&mut other, "");
}

/// Each costs a verdict, which is worth as much as a handshake.
#[test]
fn after_too_many_refused_clients_a_connection_gets_one_verdict() {
    let server = refuses_few();
    is_refused_until_nothing_is_answered(&server, "192.0.2.1");
    let connect = r#"40/n,{"refuse":true}"#;
    let frame = crate::client::frame(0x81, connect.as_bytes());
    let mut client = open_from(&server, "192.0.2.1");
    client.send(&frame.repeat(15));
    client.closed();
    let sid = poll_from(&server, "192.0.2.1").expect("a session");
    let body = [connect; 15].join("\u{1e}");
    exchange(
        server.address,
        format!(
            "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: x\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let mut colleague = open_from(&server, "192.0.2.1");
    server.rejoin(&mut colleague, "");
    let verdicts: Vec<_> = std::iter::from_fn(|| server.next_event_now()).collect();
    assert_eq!(verdicts.len(), 3, "{verdicts:?}");
}

/// No proxy is trusted: an address of a private network may be one that nobody
/// has named.
#[test]
fn private_addresses_are_not_limited_where_they_may_be_a_proxys() {
    let server = start(ServerConfig {
        max_handshakes_per_address: NonZeroU32::new(1),
        max_connections_per_address: NonZeroUsize::new(1),
        limit_private_addresses: false,
        ..ServerConfig::default()
    });
    let _silent = [connect(server.address), connect(server.address)];
    for _ in 0..40 {
        WebSocket::open(server.address);
    }
}

/// Many connections ask for one session after the other, and read the answers.
#[test]
fn a_flood_of_handshakes_does_not_keep_a_good_client_out() {
    let server = start(ServerConfig {
        max_connections: NonZeroUsize::new(500),
        ..unjoined(100)
    });
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let ask = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n";
                let ask = ask.repeat(100);
                let mut stream = connect(server.address);
                let mut buffer = vec![0; 64 * 1024];
                while !ends.load(Ordering::Relaxed) {
                    // After so many requests the server closes the connection.
                    if stream.write_all(ask.as_bytes()).is_err() {
                        stream = connect(server.address);
                        continue;
                    }
                    stream
                        .set_read_timeout(Some(Duration::from_millis(10)))
                        .unwrap();
                    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
                }
            });
        }
        let patience = Instant::now() + PATIENCE;
        while rejected(&server, Rejection::UnjoinedEvicted) < 100 {
            assert!(Instant::now() < patience, "the pool is never full");
            std::thread::yield_now();
        }
        let good: Vec<_> = (0..50).map(|_| join(&server)).collect();
        ends.store(true, Ordering::Relaxed);
        assert_eq!(good.len(), 50);
        assert!(server.engine.unjoined() <= 100);
    });
}

/// As a client does that tries again when its transport is closed.
fn join(server: &SocketServer) -> WebSocket {
    for _ in 0..20 {
        let mut client = WebSocket::open(server.address);
        client.send_text("40/n,");
        if client.next().is_some_and(|(first, _)| first == 0x81) {
            server.next_connected();
            return client;
        }
    }
    panic!("it never joins");
}

/// 300 bytes a message before joining and 1,000 after.
fn short_messages() -> SocketServer {
    start(ServerConfig {
        max_unjoined_message_bytes: NonZeroUsize::new(300),
        max_message_bytes: NonZeroUsize::new(1000),
        ..ServerConfig::default()
    })
}

fn text_of(len: usize, start: &str, end: &str) -> Vec<u8> {
    let filling = "x".repeat(len - start.len() - end.len());
    crate::client::frame(0x81, format!("{start}{filling}{end}").as_bytes())
}

#[test]
fn messages_are_shorter_before_joining() {
    let server = short_messages();
    for frames in [
        text_of(301, "40/n,{\"a\":\"", "\"}"),
        // Its header is enough.
        text_of(301, "40/n,{\"a\":\"", "\"}")[..8].to_vec(),
        [
            crate::client::frame(0x01, &[b'4'; 200]),
            crate::client::frame(0x80, &[b'4'; 101]),
        ]
        .concat(),
    ] {
        let mut client = WebSocket::open(server.address);
        client.send(&frames);
        assert_eq!(client.close_code(), Some(1009));
    }
    assert_eq!(rejected(&server, Rejection::UnjoinedMessageBytes), 3);
    let mut client = WebSocket::open(server.address);
    client.send(&text_of(300, "40/n,{\"a\":\"", "\"}"));
    assert!(client.text().starts_with("40/n,"));
    let _socket = server.next_connected();
    client.send(&text_of(1000, "42/n,[\"a\",\"", "\"]"));
    client.send(&text_of(1001, "42/n,[\"a\",\"", "\"]"));
    assert_eq!(client.close_code(), Some(1009));
    assert_eq!(rejected(&server, Rejection::MessageBytes), 1);
}

#[test]
fn polling_bodies_are_shorter_before_joining() {
    let server = short_messages();
    let sid = poll_from(&server, "192.0.2.1").unwrap();
    let post = |body: &str| {
        let head = format!(
            "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: x\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        exchange(server.address, head + body)
    };
    let body = |len: usize| format!("42/n,[\"a\",\"{}\"]", "x".repeat(len - 13));
    let answer = post(&body(301));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(post("40/n,").ends_with("ok"));
    server.next_connected();
    assert!(post(&body(1000)).ends_with("ok"));
    let answer = post(&body(1001));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(rejected(&server, Rejection::UnjoinedMessageBytes), 1);
    assert_eq!(rejected(&server, Rejection::MessageBytes), 1);
}

#[test]
fn before_joining_packets_are_few_and_have_a_meaning() {
    let server = start(ServerConfig {
        max_unjoined_packets: NonZeroU32::new(20),
        ..ServerConfig::default()
    });
    for noise in ["6", "0{}", "5"] {
        let mut client = WebSocket::open(server.address);
        client.send_text(noise);
        client.closed();
    }
    for flood in [
        crate::client::frame(0x8a, b""),
        crate::client::frame(0x81, b"3"),
    ] {
        let mut client = WebSocket::open(server.address);
        client.send(&flood.repeat(20));
        client.send(&crate::client::frame(0x89, b"one more"));
        client.closed();
    }
    assert_eq!(rejected(&server, Rejection::UnjoinedPackets), 5);
    let sid = poll_from(&server, "192.0.2.1").unwrap();
    let body = ["3"; 21].join("\x1e");
    let answer = exchange(
        server.address,
        format!(
            "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: x\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert_eq!(rejected(&server, Rejection::UnjoinedPackets), 6);
    // Who has joined is bounded by what it sends in a second, if at all.
    let (mut client, _socket) = server.join("");
    client.send(&crate::client::frame(0x81, b"6").repeat(100));
    is_alive(&mut client);
}

/// Unfinished frames, fragments, attachments and bodies: all of them count, and
/// what is given up is given back.
#[test]
fn what_has_come_in_part_is_bounded_over_all_clients() {
    let server = start(ServerConfig {
        max_partial_input_bytes: NonZeroUsize::new(200_000),
        ..ServerConfig::default()
    });
    let patience = Instant::now() + PATIENCE;
    let held = |least: usize, most: usize| {
        while !(least..=most).contains(&server.engine.partial_input_bytes()) {
            let bytes = server.engine.partial_input_bytes();
            assert!(Instant::now() < patience, "{bytes} bytes");
            std::thread::yield_now();
        }
    };
    let begun = &crate::client::frame(0x81, &[b'4'; 60_000])[..50_000];
    let mut stranger = WebSocket::open(server.address);
    stranger.send(begun);
    held(50_000, 61_000);
    // Half of it is for those that have joined.
    let mut another = WebSocket::open(server.address);
    another.send(begun);
    assert_eq!(another.close_code(), Some(1008));
    held(50_000, 61_000);
    let (mut client, _socket) = server.join("");
    client.send_text("452-/n,[\"a\"]");
    client.send(&crate::client::frame(0x82, &[0; 60_000]));
    held(110_000, 125_000);
    client.send(&crate::client::frame(0x02, &[0; 50_000]));
    held(160_000, 185_000);
    let (mut next, _socket) = server.join("");
    next.send(begun);
    assert_eq!(next.close_code(), Some(1008));
    assert_eq!(rejected(&server, Rejection::PartialInputBytes), 2);
    drop(stranger);
    held(110_000, 125_000);
    // The packet is whole, and nothing of it is kept.
    client.send(&crate::client::frame(0x80, &[0; 10]));
    held(0, 0);
    let sid = poll_from(&server, "192.0.2.1").unwrap();
    let mut stream = connect(server.address);
    let head = format!(
        "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: x\r\n\
         content-length: 60000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&[b'4'; 50_000]).unwrap();
    held(50_000, 61_000);
    drop(stream);
    held(0, 0);
}

/// What the unfinished things of a client cost that has joined nothing.
#[test]
fn nothing_that_a_stranger_begins_is_kept_beyond_48_kib() {
    let server = start(ServerConfig {
        max_unjoined_message_bytes: NonZeroUsize::new(16 * 1024),
        max_unjoined_packets: NonZeroU32::new(100),
        ..ServerConfig::default()
    });
    let mut client = WebSocket::open(server.address);
    client.send(&crate::client::frame(0x01, &[b'4'; 8 * 1024]));
    client.send(&crate::client::frame(0x00, &[b'4'; 8 * 1024]));
    let begun = crate::client::frame(0x81, &[b'4'; 16 * 1024]);
    client.send(&begun[..begun.len() - 1]);
    let patience = Instant::now() + PATIENCE;
    while server.engine.partial_input_bytes() < 32 * 1024 {
        assert!(Instant::now() < patience);
        std::thread::yield_now();
    }
    assert!(server.engine.partial_input_bytes() <= 48 * 1024);
    // A packet of which attachments would be due is of a namespace that it has
    // not joined.
    let mut client = WebSocket::open(server.address);
    client.send_text("451-/n,[\"a\"]");
    client.send(&crate::client::frame(0x82, &[0; 10_000]));
    client.closed();
}

#[test]
fn a_refusal_in_the_words_of_connect_and_disconnect_does_not_keep_a_client() {
    let server = SocketServer::start(
        ServerConfig::default(),
        ClientConfig {
            connect_timeout: Duration::from_millis(200),
            max_connects_per_minute: u32::MAX,
            ..ClientConfig::default()
        },
    );
    let mut client = WebSocket::open(server.address);
    let mut refusals = 0;
    // As long as it is there.
    while client
        .0
        .write_all(&crate::client::frame(0x81, br#"40/n,{"legacy":true}"#))
        .is_ok()
        && client.next().is_some_and(|(first, _)| first == 0x81)
        && client.next().is_some_and(|(first, _)| first == 0x81)
    {
        refusals += 1;
    }
    assert!(refusals > 0);
    server.emptied();
}
