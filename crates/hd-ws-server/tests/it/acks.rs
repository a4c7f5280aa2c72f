//! Events of the server that clients answer.

use std::time::{Duration, Instant};

use hd_rooms::{Audience, RoomName};
use hd_ws_server::{AckError, ServerConfig};
use serde_json::value::RawValue;
use socketio_proto::{ClientConfig, EventName, OutgoingArgs};

use crate::client::{PATIENCE, WebSocket};
use crate::socket_server::SocketServer;

fn start() -> SocketServer {
    let mut config = ServerConfig::default();
    // Deadlines are looked at every 625 ms. Nothing else than those of acks is
    // due for longer than tests are patient, and the wheel takes longer to turn.
    config.engine.ping_interval = Duration::from_secs(600);
    config.engine.ping_timeout = Duration::from_secs(10);
    SocketServer::start(
        config,
        ClientConfig {
            max_awaited_acks: 2,
            ..ClientConfig::default()
        },
    )
}

fn ask() -> EventName<'static> {
    EventName::new("ask").expect("not reserved")
}

const NO_ARGS: OutgoingArgs<'_> = OutgoingArgs::new(&[]);

#[test]
fn an_answer_reaches_who_asked() {
    let server = start();
    let (mut client, socket) = server.join("");
    let one: &RawValue = serde_json::from_str("1").expect("JSON");
    let first = socket.emit_with_ack(ask(), OutgoingArgs::new(&[one]), PATIENCE);
    let second = socket.emit_with_ack(ask(), NO_ARGS, PATIENCE);
    assert_eq!(client.text(), r#"42/n,0["ask",1]"#);
    assert_eq!(client.text(), r#"42/n,1["ask"]"#);
    client.send_text(r#"43/n,1["second",{"a":[]}]"#);
    client.send_text("43/n,0[]");
    assert_eq!(server.wait(first).expect("an answer").json(), "[]");
    let answer = server.wait(second).expect("an answer");
    assert_eq!(answer.json(), r#"["second",{"a":[]}]"#);
}

#[test]
fn an_answer_may_have_attachments() {
    let server = start();
    let (mut client, socket) = server.join("");
    let pending = socket.emit_with_ack(ask(), NO_ARGS, PATIENCE);
    assert_eq!(client.text(), r#"42/n,0["ask"]"#);
    client.send_text(r#"461-/n,0[{"_placeholder":true,"num":0}]"#);
    client.send(&crate::client::frame(0x82, b"bytes"));
    let answer = server.wait(pending).expect("an answer");
    assert_eq!(answer.attachments(), [&b"bytes"[..]]);
}

#[test]
fn an_answer_that_does_not_come_times_out_and_is_ignored_later() {
    let server = start();
    let (mut client, socket) = server.join("");
    let timeout = Duration::from_millis(30);
    let asked_at = Instant::now();
    let pending = socket.emit_with_ack(ask(), NO_ARGS, timeout);
    assert_eq!(server.wait(pending).err(), Some(AckError::TimedOut));
    assert!(asked_at.elapsed() >= timeout);
    client.send_text("43/n,0[]");
    let pending = socket.emit_with_ack(ask(), NO_ARGS, Duration::MAX);
    assert_eq!(client.text(), r#"42/n,0["ask"]"#);
    assert_eq!(client.text(), r#"42/n,1["ask"]"#);
    client.send_text("43/n,1[7]");
    assert_eq!(server.wait(pending).expect("an answer").json(), "[7]");
}

#[test]
fn no_answer_comes_from_a_client_that_is_gone() {
    let server = start();
    let leave: [fn(&mut WebSocket, &hd_ws_server::Socket); 4] = [
        |client, _| client.send_text("41/n,"),
        |_, socket| assert!(socket.disconnect()),
        |_, socket| socket.close_transport(),
        |client, _| client.0.shutdown(std::net::Shutdown::Both).expect("an end"),
    ];
    for leave in leave {
        let (mut client, socket) = server.join("");
        let pending = socket.emit_with_ack(ask(), NO_ARGS, PATIENCE);
        leave(&mut client, &socket);
        assert_eq!(server.wait(pending).err(), Some(AckError::Disconnected));
        let pending = socket.emit_with_ack(ask(), NO_ARGS, PATIENCE);
        assert_eq!(server.wait(pending).err(), Some(AckError::Disconnected));
    }
}

#[test]
fn a_socket_that_left_does_not_speak_for_its_successor() {
    let server = start();
    let (mut client, old) = server.join("");
    client.send_text("41/n,");
    let new = server.rejoin(&mut client, "");
    let pending = old.emit_with_ack(ask(), NO_ARGS, PATIENCE);
    assert_eq!(server.wait(pending).err(), Some(AckError::Disconnected));
    assert!(!old.disconnect());
    let pending = new.emit_with_ack(ask(), NO_ARGS, PATIENCE);
    assert_eq!(client.text(), r#"42/n,0["ask"]"#);
    client.send_text("43/n,0[]");
    server.wait(pending).expect("an answer");
}

#[test]
fn awaited_acks_are_bounded_and_dropping_one_makes_room() {
    let server = start();
    let (mut client, socket) = server.join("");
    let emit = || socket.emit_with_ack(ask(), NO_ARGS, PATIENCE);
    let (first, second) = (emit(), emit());
    let too_many = AckError::TooManyAcks { limit: 2 };
    assert_eq!(server.wait(emit()).err(), Some(too_many));
    drop(first);
    let third = emit();
    for id in [0, 1, 2] {
        assert_eq!(client.text(), format!(r#"42/n,{id}["ask"]"#));
        client.send_text(&format!("43/n,{id}[{id}]"));
    }
    assert_eq!(server.wait(second).expect("an answer").json(), "[1]");
    assert_eq!(server.wait(third).expect("an answer").json(), "[2]");
}

#[test]
fn an_audience_answers_one_by_one() {
    let server = start();
    let room = r#"{"room":"a"}"#;
    let (mut answers, answering) = server.join(room);
    let (_busy, busy) = server.join(room);
    let (mut leaves, leaving) = server.join(room);
    let (mut other, _) = server.join("");
    let audience = Audience::room(RoomName::new("a").expect("a room"));
    let others = [(); 2].map(|()| busy.emit_with_ack(ask(), NO_ARGS, PATIENCE));
    let pending = server
        .namespace
        .emit_with_ack(&audience, ask(), NO_ARGS, PATIENCE);
    assert_eq!(answers.text(), r#"42/n,0["ask"]"#);
    answers.send_text(r#"43/n,0["yes"]"#);
    leaves.send_text("41/n,");
    server.next_end();
    let result = server.wait(pending);
    let [(socket, args)] = &result.answered[..] else {
        panic!("{result:?}");
    };
    assert_eq!((socket.id(), args.json()), (answering.id(), r#"["yes"]"#));
    let missing: Vec<_> = result
        .missing
        .iter()
        .map(|(socket, error)| (socket.id(), *error))
        .collect();
    let expected = [
        (busy.id(), AckError::TooManyAcks { limit: 2 }),
        (leaving.id(), AckError::Disconnected),
    ];
    assert_eq!(missing, expected);
    drop(others);
    // Who is not in the room was not asked.
    let name = EventName::new("all").expect("not reserved");
    server.namespace.emit(&Audience::everyone(), name, NO_ARGS);
    assert_eq!(other.text(), r#"42/n,["all"]"#);
}

#[test]
fn a_plain_websocket_gets_the_event_and_cannot_answer() {
    let server = start();
    let (mut client, socket) = server.join_plain();
    let pending = socket.emit_with_ack(ask(), NO_ARGS, PATIENCE);
    assert_eq!(client.text(), r#"{"event":"ask"}"#);
    assert_eq!(server.wait(pending).err(), Some(AckError::PlainWebSocket));
}
