//! Frames that break RFC 6455 or this server's bounds.

use std::io::Write as _;

use engineio_proto::CloseReason;
use hd_ws_server::ServerConfig;

use crate::client::{WebSocket, connect, frame, read_until, reset, rest, websocket_head};
use crate::echo_server::EchoServer;

const MAX_PAYLOAD: usize = 1000;

fn start() -> EchoServer {
    let mut config = ServerConfig::default();
    config.engine.max_payload = MAX_PAYLOAD;
    EchoServer::start(config)
}

#[test]
fn what_breaks_the_protocol_is_closed_with_its_status() {
    let server = start();
    let mut close = 1005_u16.to_be_bytes().to_vec();
    let mut fragments = frame(0x01, b"4begun");
    fragments.extend(frame(0x81, b"another"));
    for (name, bytes, status) in [
        ("not masked", vec![0x81, 0x01, b'4'], Some(1002)),
        ("a reserved bit", frame(0xc1, b"4"), Some(1002)),
        ("a reserved opcode", frame(0x83, b"4"), Some(1002)),
        ("a reserved control opcode", frame(0x8b, b""), Some(1002)),
        ("a fragmented ping", frame(0x09, b""), Some(1002)),
        ("a ping of 126 bytes", frame(0x89, &[0; 126]), Some(1002)),
        ("no message to continue", frame(0x80, b"4"), Some(1002)),
        ("a message within a message", fragments, Some(1002)),
        (
            "a close frame of one byte",
            frame(0x88, b"\x03"),
            Some(1002),
        ),
        ("close status 1005", frame(0x88, &close), Some(1002)),
        (
            "close status 999",
            frame(0x88, &999_u16.to_be_bytes()),
            Some(1002),
        ),
        ("text that is not UTF-8", frame(0x81, b"4\xff"), Some(1007)),
        (
            "a surrogate in UTF-8",
            frame(0x81, b"4\xed\xa0\x80"),
            Some(1007),
        ),
        (
            "a close reason that is not UTF-8",
            frame(0x88, b"\x03\xe8\xff"),
            Some(1007),
        ),
        (
            "a message over the limit",
            frame(0x81, &[b'4'; MAX_PAYLOAD + 1]),
            Some(1009),
        ),
        (
            "binary over the limit",
            frame(0x82, &[0; MAX_PAYLOAD + 1]),
            Some(1009),
        ),
        (
            "a declared length of 2^40",
            vec![0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0],
            Some(1009),
        ),
        (
            "a declared length of 2^64",
            [&[0x82, 0xff][..], &[0xff; 8]].concat(),
            Some(1009),
        ),
        ("not an Engine.IO packet", frame(0x81, b"x"), None),
        (
            "a ping packet, which is the server's",
            frame(0x81, b"2"),
            None,
        ),
    ] {
        let mut client = WebSocket::open(server.address);
        client.send(&bytes);
        assert_eq!(client.close_code(), status, "{name}");
        drop(client);
        server.next_end();
    }
    // Also when the reason is as long as a close frame can hold.
    close.extend([b'x'; 123]);
    let mut client = WebSocket::open(server.address);
    client.send(&frame(0x88, &close));
    assert_eq!(client.close_code(), Some(1002));
    server.next_end();
    server.serves_on();
}

#[test]
fn a_message_may_be_as_large_as_the_limit() {
    let server = start();
    let mut client = WebSocket::open(server.address);
    let text = "4".repeat(MAX_PAYLOAD);
    client.send_text(&text);
    assert_eq!(client.text(), text);
}

#[test]
fn the_fragments_of_a_message_are_bounded_together() {
    let server = start();
    let mut client = WebSocket::open(server.address);
    client.send(&frame(0x01, &[b'4'; 600]));
    client.send(&frame(0x00, &[b'4'; 401]));
    assert_eq!(client.close_code(), Some(1009));
    assert_eq!(server.next_end(), CloseReason::TransportError);
    server.serves_on();
}

#[test]
fn a_message_in_endless_empty_fragments_is_given_up() {
    let server = start();
    let mut client = WebSocket::open(server.address);
    let mut fragments = frame(0x01, b"4");
    for _ in 0..16_384 {
        fragments.extend(frame(0x00, b""));
    }
    client.send(&fragments);
    // As many are taken: the ping in between is answered.
    client.send(&frame(0x89, b"so far"));
    assert_eq!(client.next(), Some((0x8a, b"so far".to_vec())));
    client.send(&frame(0x00, b""));
    assert_eq!(client.close_code(), Some(1008));
    assert_eq!(server.next_end(), CloseReason::TransportError);
    server.serves_on();
}

#[test]
fn a_large_fragment_after_a_small_one_is_taken() {
    let server = EchoServer::start(ServerConfig::default());
    let mut client = WebSocket::open(server.address);
    let text = "a".repeat(900_000);
    client.send(&frame(0x01, b"4"));
    client.send(&frame(0x80, text.as_bytes()));
    assert_eq!(client.text(), format!("4{text}"));
}

#[test]
fn a_ping_is_answered_with_what_it_carried() {
    let server = start();
    let mut client = WebSocket::open(server.address);
    for payload in [&b""[..], b"\x00\xff", &[b'p'; 125]] {
        client.send(&frame(0x89, payload));
        assert_eq!(client.next(), Some((0x8a, payload.to_vec())));
    }
    // A pong that nobody asked for is allowed (§5.5.3).
    client.send(&frame(0x8a, b"unasked"));
    client.send_text("4after");
    assert_eq!(client.text(), "4after");
}

#[test]
fn a_close_frame_is_answered_with_its_status_and_no_reason() {
    let server = start();
    for (sent, answer) in [
        (&b""[..], &b""[..]),
        (b"\x03\xe8", b"\x03\xe8"),
        (b"\x03\xe8bye", b"\x03\xe8"),
        (b"\x0f\xa0private", b"\x0f\xa0"),
    ] {
        let mut client = WebSocket::open(server.address);
        client.send(&frame(0x88, sent));
        assert_eq!(client.closed(), answer, "{sent:?}");
        assert_eq!(server.next_end(), CloseReason::TransportClose);
    }
}

/// CVE-2022-21676: the bytes come in one piece with the request.
#[test]
fn garbage_right_after_the_handshake_closes_the_connection() {
    let server = start();
    let mut stream = connect(server.address);
    let request = websocket_head("", "") + "test";
    stream.write_all(request.as_bytes()).unwrap();
    let answer = rest(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert_eq!(server.next_end(), CloseReason::TransportError);
    server.serves_on();
}

/// The bytes after it come in several reads, of which the second begins within
/// a frame.
#[test]
fn a_violation_is_answered_by_a_close_frame_whatever_follows_it() {
    let server = EchoServer::start(ServerConfig::default());
    let mut stream = connect(server.address);
    let mut bytes = websocket_head("", "").into_bytes();
    bytes.extend(frame(0x81, b"2"));
    bytes.extend(frame(0x81, &[b'4'; 50_000]));
    stream.write_all(&bytes).unwrap();
    read_until(&mut stream, "\r\n\r\n");
    assert_eq!(WebSocket(stream).close_code(), None);
    assert_eq!(server.next_end(), CloseReason::TransportError);
    server.serves_on();
}

#[test]
fn a_reset_ends_the_session() {
    let server = start();
    for begun in [&b""[..], &[0x81], &[0x81, 0xfe, 3], b"\x01\x82\0\0\0\x004a"] {
        let mut client = WebSocket::open(server.address);
        client.send(begun);
        reset(client.0);
        server.next_end();
    }
    server.serves_on();
}
