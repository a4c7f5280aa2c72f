//! What a server does with sockets, one by one and by audience.

use std::time::Instant;

use engineio_proto::{CloseReason, Transport};
use futures_util::FutureExt as _;
use hd_rooms::{Audience, RoomName};
use hd_ws_server::{DisconnectReason, ServerConfig, Socket};
use socketio_proto::{ClientConfig, EventName, OutgoingArgs};

use crate::client::{PATIENCE, WebSocket, exchange, frame};
use crate::socket_server::SocketServer;

fn start() -> SocketServer {
    SocketServer::start(ServerConfig::default(), ClientConfig::default())
}

fn room(name: &str) -> Audience {
    Audience::room(RoomName::new(name).expect("a room"))
}

fn name(name: &str) -> EventName<'_> {
    EventName::new(name).expect("not reserved")
}

const NO_ARGS: OutgoingArgs<'_> = OutgoingArgs::new(&[]);

/// A request of a polling client.
fn request(server: &SocketServer, method: &str, query: &str, body: &str) -> String {
    exchange(server.address, polling(method, query, body))
}

fn polling(method: &str, query: &str, body: &str) -> String {
    format!(
        "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn the_application_sees_which_sockets_there_are_and_what_carries_them() {
    let server = start();
    let (_plain, plain) = server.join_plain();
    let (_websocket, socket) = server.join(r#"{"room":"a"}"#);
    let open = request(&server, "GET", "", "");
    let sid = open.split(r#""sid":""#).nth(1).expect("a session");
    let query = format!("&sid={}", &sid[..20]);
    assert!(request(&server, "POST", &query, r#"40/n,{"room":"a"}"#).ends_with("ok"));
    let polling = server.next_connected();
    let in_room = server.namespace.sockets(&room("a"));
    assert_eq!(in_room, [socket.clone(), polling.clone()]);
    assert_eq!(server.namespace.sockets(&Audience::everyone()).len(), 3);
    let carried = |socket: &Socket| (socket.transport(), socket.is_plain());
    assert_eq!(carried(&plain), (Transport::WebSocket, true));
    assert_eq!(carried(&socket), (Transport::WebSocket, false));
    assert_eq!(carried(&polling), (Transport::Polling, false));

    let mut upgrade = WebSocket::upgrade(server.address, &query).expect("101");
    upgrade.send_text("2probe");
    assert_eq!(upgrade.text(), "3probe");
    upgrade.send_text("5");
    let told = format!("upgraded {}", polling.id());
    while server.next_event().what != told {}
    assert_eq!(carried(&polling), (Transport::WebSocket, false));
}

#[test]
fn a_volatile_event_is_dropped_where_it_cannot_leave_at_once() {
    let server = start();
    let (mut websocket, _) = server.join("");
    let open = request(&server, "GET", "", "");
    let sid = open.split(r#""sid":""#).nth(1).expect("a session");
    let query = format!("&sid={}", &sid[..20]);
    assert!(request(&server, "POST", &query, "40/n,").ends_with("ok"));
    let polling_socket = server.next_connected();
    let joined = request(&server, "GET", &query, "");
    assert!(joined.contains("40/n,"), "{joined}");

    // It does not poll now.
    assert!(!polling_socket.emit_volatile(name("lost"), NO_ARGS));
    let everyone = Audience::everyone();
    let taken = server
        .namespace
        .emit_volatile(&everyone, name("some"), NO_ARGS);
    assert_eq!(taken, 1);
    assert_eq!(websocket.text(), r#"42/n,["some"]"#);

    let poll = std::thread::spawn({
        let (address, query) = (server.address, query);
        move || exchange(address, polling("GET", &query, ""))
    });
    let patience = Instant::now() + PATIENCE;
    while !polling_socket.emit_volatile(name("taken"), NO_ARGS) {
        assert!(Instant::now() < patience, "the poll does not take it");
        std::thread::yield_now();
    }
    let answer = poll.join().expect("an answer");
    assert!(answer.ends_with("\r\n\r\n42/n,[\"taken\"]"), "{answer}");
}

#[test]
fn a_volatile_event_does_not_wait_behind_others() {
    let mut config = ServerConfig::default();
    config.engine.send_queue_bytes = 64 * 1024 * 1024;
    let server = SocketServer::start(config, ClientConfig::default());
    let (_client, socket) = server.join("");
    let text = serde_json::value::to_raw_value(&"x".repeat(1024 * 1024)).expect("JSON");
    // More than the buffers of both ends hold, and the client reads nothing.
    for _ in 0..32 {
        assert!(
            socket
                .emit(name("large"), OutgoingArgs::new(&[&text]))
                .is_some()
        );
    }
    assert!(!socket.emit_volatile(name("lost"), NO_ARGS));
    assert!(socket.emit(name("queued"), NO_ARGS).is_some());
}

#[test]
fn a_socket_knows_its_rooms() {
    let server = start();
    let (_client, socket) = server.join(r#"{"room":"a"}"#);
    let names = || {
        let rooms = socket.rooms();
        rooms.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["a"]);
    socket
        .join(&RoomName::new("b").expect("a room"))
        .expect("joined");
    assert_eq!(names(), ["a", "b"]);
    assert!(socket.leave("a"));
    assert_eq!(names(), ["b"]);
    socket.disconnect();
    assert_eq!(names(), [""; 0]);
}

#[test]
fn an_audience_is_taken_out_of_the_namespace() {
    let server = start();
    let (mut first, _) = server.join(r#"{"room":"a"}"#);
    let (mut second, _) = server.join(r#"{"room":"a"}"#);
    let (mut third, _) = server.join(r#"{"room":"b"}"#);
    let (mut plain, plain_socket) = server.join_plain();
    plain_socket
        .join(&RoomName::new("a").expect("a room"))
        .expect("joined");

    assert_eq!(server.namespace.disconnect(&room("a")), 3);
    assert_eq!(first.text(), "41/n,");
    assert_eq!(second.text(), "41/n,");
    assert_eq!(plain.next().expect("a frame").0, 0x88);
    let mut reasons: Vec<_> = (0..3).map(|_| server.next_end().reason).collect();
    reasons.sort_by_key(|reason| reason.as_str());
    let by_server = DisconnectReason::ServerNamespaceDisconnect;
    let closed = DisconnectReason::Session(CloseReason::ForcedClose);
    assert_eq!(reasons, [closed, by_server, by_server]);
    assert_eq!(server.namespace.disconnect(&room("a")), 0);

    // The others hear nothing of it, and the connection serves on.
    server
        .namespace
        .emit(&Audience::everyone(), name("hi"), NO_ARGS);
    assert_eq!(third.text(), r#"42/n,["hi"]"#);
    server.rejoin(&mut first, "");
}

#[test]
fn transports_of_an_audience_are_closed_without_a_word() {
    let server = start();
    let (mut first, _) = server.join(r#"{"room":"a"}"#);
    let (mut second, _) = server.join(r#"{"room":"b"}"#);
    assert_eq!(server.namespace.close_transports(&room("a")), 1);
    // A DISCONNECT would be a text frame.
    let (opcode, _) = first.next().expect("a frame");
    assert_eq!(opcode, 0x88);
    let reason = server.next_end().reason;
    assert_eq!(reason, DisconnectReason::Session(CloseReason::ForcedClose));
    server
        .namespace
        .emit(&Audience::everyone(), name("hi"), NO_ARGS);
    assert_eq!(second.text(), r#"42/n,["hi"]"#);
}

#[test]
fn the_application_hears_of_an_end_outside_of_its_own_call() {
    let server = start();
    let (_client, socket) = server.join("");
    assert!(socket.disconnect());
    assert!(!socket.disconnect());
    let end = server.next_end();
    assert_eq!(end.socket.id(), socket.id());
    assert_ne!(end.thread, std::thread::current().id());
}

#[test]
fn a_socket_that_the_application_keeps_does_not_keep_the_stream_open() {
    let server = start();
    let (mut client, socket) = server.join("");
    client.send(&frame(0x88, b"\x03\xe8"));
    // Reads to the end of the stream.
    assert_eq!(client.close_code(), Some(1000));
    assert_eq!(server.next_end().socket.id(), socket.id());
}

/// The client may have come back over the same connection, as somebody else.
#[test]
fn a_socket_that_has_left_sends_nothing() {
    let server = start();
    let (mut client, left) = server.join("");
    client.send_text("41/n,");
    server.next_end();
    let taken_out = server.rejoin(&mut client, "");
    assert!(taken_out.disconnect());
    assert_eq!(client.text(), "41/n,");
    server.next_end();
    let back = server.rejoin(&mut client, "");
    for socket in [left, taken_out] {
        assert_eq!(socket.emit(name("stray"), NO_ARGS), None);
        assert!(!socket.emit_volatile(name("stray"), NO_ARGS));
    }
    assert!(back.emit(name("hi"), NO_ARGS).is_some());
    assert_eq!(client.text(), r#"42/n,["hi"]"#);
}

#[test]
fn a_broadcast_leaves_its_sender_out() {
    let server = start();
    let (mut first, socket) = server.join("");
    let (mut second, _) = server.join("");
    let others = socket.except_self(Audience::everyone());
    let emitted = server.namespace.emit(&others, name("joined"), NO_ARGS);
    assert_eq!(emitted.now_or_never(), Some(1));
    assert_eq!(second.text(), r#"42/n,["joined"]"#);
    server
        .namespace
        .emit(&Audience::everyone(), name("all"), NO_ARGS);
    assert_eq!(first.text(), r#"42/n,["all"]"#);
}
