//! Clients with `socket.io-msgpack-parser`, and plain WebSockets beside them.

use std::time::Instant;

use engineio_proto::Message;
use hd_replay::{LogConfig, SeenConfig};
use hd_rooms::Audience;
use hd_ws_server::{
    NamespaceConfig, Publication, RecoveryConfig, RecoveryOutcome, ServerConfig, Socket,
    system_clock,
};
use serde_json::Value;
use serde_json::value::RawValue;
use socketio_proto::{
    ClientConfig, Decoder, Encoded, EventName, Limits, OutgoingArgs, Packet, PacketData, Parser,
};

use crate::client::{PATIENCE, WebSocket, frame};
use crate::recovery::{ANA, MANY, mac, to};
use crate::socket_server::SocketServer;

const MSGPACK: Parser = Parser::Msgpack;

fn start() -> SocketServer {
    let clients = ClientConfig {
        parser: MSGPACK,
        ..ClientConfig::default()
    };
    let namespace = NamespaceConfig {
        recovery: Some(RecoveryConfig {
            log: LogConfig::default(),
            is_shared: false,
            macs: vec![mac(1)],
            clock: system_clock(),
        }),
        seen: SeenConfig::default(),
        own_rooms: false,
    };
    SocketServer::start_with(ServerConfig::default(), clients, namespace)
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

fn name(name: &str) -> EventName<'_> {
    EventName::new(name).expect("not reserved")
}

fn namespace() -> socketio_proto::Namespace {
    "/n".parse().expect("a name")
}

fn send(client: &mut WebSocket, packet: &Encoded) {
    for packet in packet.packets() {
        client.send(&frame(0x82, packet.frame().payload()));
    }
}

/// The next packet, which is one binary frame.
fn packet(client: &mut WebSocket) -> Packet {
    loop {
        let (first, payload) = client.next().expect("a frame");
        if (first, &payload[..]) == (0x81, b"2") {
            client.send_text("3");
            continue;
        }
        assert_eq!(first, 0x82, "{payload:?}");
        let mut decoder = Decoder::with_parser(MSGPACK);
        let packet = decoder.add(
            Message::Binary(payload.into()),
            &Limits::default(),
            Instant::now(),
        );
        return packet.expect("MessagePack").expect("one message");
    }
}

/// The next event: its id, its name, and its arguments.
fn event(client: &mut WebSocket) -> (Option<u64>, String, Vec<Value>) {
    let PacketData::Event(event) = packet(client).data else {
        panic!("not an event")
    };
    let args = event.args.deserialize().expect("JSON");
    (event.id, event.name().to_string(), args)
}

/// What a client is answered when it asks to join.
fn ask(client: &mut WebSocket, auth: &str) -> PacketData {
    send(
        client,
        &MSGPACK.connect_request(&namespace(), Some(&raw(auth))),
    );
    packet(client).data
}

/// A client that is let in: what it is told, and its socket.
fn join(server: &SocketServer, auth: &str) -> (WebSocket, Value, Socket) {
    let mut client = WebSocket::open(server.address);
    let PacketData::Connect { auth: Some(reply) } = ask(&mut client, auth) else {
        panic!("not let in")
    };
    let reply = serde_json::from_str(reply.get()).expect("JSON");
    (client, reply, server.next_connected())
}

fn publish(server: &SocketServer, number: u32) {
    let number = raw(&number.to_string());
    server.namespace.publish(&Publication {
        audience: &to("ana"),
        name: name("e"),
        args: OutgoingArgs::new(&[&*number]),
        ttl: None,
        id: None,
    });
}

#[test]
fn acks_go_both_ways() {
    let server = start();
    let (mut client, _, socket) = join(&server, "{}");
    let args = raw(r#"[1,"a"]"#);
    let asked = socket.emit_with_ack(name("ask"), OutgoingArgs::new(&[&*args]), PATIENCE);
    let (id, what, args) = event(&mut client);
    assert_eq!((id, what.as_str()), (Some(0), "ask"));
    assert_eq!(Value::from(args).to_string(), r#"[[1,"a"]]"#);
    let data = [bytes::Bytes::from_static(b"bytes")];
    let placeholder = raw(r#"{"_placeholder":true,"num":0}"#);
    let answer = [&*placeholder];
    let answer = OutgoingArgs::with_attachments(&answer, &data);
    send(&mut client, &MSGPACK.ack(&namespace(), 0, answer));
    let answer = server.wait(asked).expect("an answer");
    assert_eq!(answer.attachments(), data);

    let question = MSGPACK.event(&namespace(), Some(300), name("q"), &answer);
    send(&mut client, &question);
    let PacketData::Ack { id, args } = packet(&mut client).data else {
        panic!("not an ack")
    };
    assert_eq!((id, args.attachments()), (Some(300), &data[..]));
}

#[test]
fn refusals_and_disconnects_are_packets_of_messagepack() {
    let server = start();
    let mut client = WebSocket::open(server.address);
    let PacketData::ConnectError { error } = ask(&mut client, r#"{"refuse":true}"#) else {
        panic!("not refused")
    };
    assert_eq!(error.get(), r#"{"message":"no"}"#);
    let (mut client, _, socket) = join(&server, "{}");
    assert!(socket.disconnect());
    assert!(matches!(packet(&mut client).data, PacketData::Disconnect));
}

#[test]
fn a_client_of_the_other_parser_is_closed() {
    let server = start();
    let mut client = WebSocket::open(server.address);
    client.send_text("40/n,");
    client.closed();
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed() {
    let server = start();
    let auth = format!("{{{ANA}}}");
    let (mut client, reply, _) = join(&server, &auth);
    publish(&server, 1);
    let (_, _, args) = event(&mut client);
    assert_eq!(args[0], 1);
    client.0.shutdown(std::net::Shutdown::Both).expect("an end");
    server.next_end();
    publish(&server, 2);
    publish(&server, 3);

    let back = format!("{{{ANA},\"pid\":{},\"offset\":{}}}", reply["pid"], args[1]);
    let (mut client, again, socket) = join(&server, &back);
    assert_eq!(
        (&again["sid"], &again["pid"]),
        (&reply["sid"], &reply["pid"])
    );
    assert_eq!(socket.recovery(), RecoveryOutcome::Recovered { events: 2 });
    assert_eq!(event(&mut client).2[0], 2);
    assert_eq!(event(&mut client).2[0], 3);
    publish(&server, 4);
    assert_eq!(event(&mut client).2[0], 4);
}

#[test]
fn an_event_for_many_is_messagepack_for_some_and_json_for_others() {
    let server = start();
    let mut clients: Vec<WebSocket> = (0..MANY).map(|_| join(&server, "{}").0).collect();
    let (mut plain, _) = server.join_plain();
    let payload = raw(r#"{"mensaje":"ñ","n":[1.5,null]}"#);
    let emitted = server
        .namespace
        .emit(&Audience::everyone(), name("e"), (&[&*payload]).into());
    assert_eq!(server.wait(emitted), MANY + 1);
    for client in &mut clients {
        let (_, what, args) = event(client);
        assert_eq!((what.as_str(), &args[0]["n"][0]), ("e", &Value::from(1.5)));
    }
    assert_eq!(
        plain.text(),
        r#"{"event":"e","data":{"mensaje":"ñ","n":[1.5,null]}}"#
    );
}

#[test]
fn volatile_events_reach_clients_that_are_ready() {
    let server = start();
    let (mut client, _, socket) = join(&server, "{}");
    assert!(socket.emit_volatile(name("e"), OutgoingArgs::new(&[])));
    assert_eq!(event(&mut client).1, "e");
}
