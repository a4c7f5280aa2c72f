//! Socket.IO packets that no client of good will sends.

use std::time::Duration;

use engineio_proto::CloseReason;
use hd_ws_server::{DisconnectReason, ServerConfig};
use socketio_proto::{ClientConfig, Limits};

use crate::client::{WebSocket, frame};
use crate::socket_server::SocketServer;

const SOON: Duration = Duration::from_millis(50);

fn start(config: ClientConfig) -> SocketServer {
    SocketServer::start(ServerConfig::default(), config)
}

/// Checks that a client of `/n` that sends these messages is closed for it, and
/// that another client is not.
#[track_caller]
fn is_closed_for(
    server: &SocketServer,
    bystander: &mut WebSocket,
    name: &str,
    frames: &[Vec<u8>],
    reason: CloseReason,
) {
    let mut client = server.join("").0;
    client.send(&frames.concat());
    client.closed();
    let reason = DisconnectReason::Session(reason);
    assert_eq!(server.next_end().reason, reason, "{name}");
    bystander.send_text("42/n,1[\"are you there\"]");
    assert_eq!(bystander.text(), "43/n,1[]");
}

fn text(text: impl AsRef<[u8]>) -> Vec<u8> {
    frame(0x81, text.as_ref())
}

fn binary(len: usize) -> Vec<u8> {
    frame(0x82, &vec![0; len])
}

#[test]
fn what_is_no_packet_closes_the_connection_of_its_sender() {
    let server = start(ClientConfig::default());
    let mut bystander = server.join("").0;
    let deep = "[".repeat(300_000);
    for (name, frames) in [
        ("no packet type", vec![text("4")]),
        ("an unknown type", vec![text("49")]),
        (
            "CVE-2022-2421",
            vec![
                text(r#"451-/n,["hello",{"_placeholder":true,"num":"splice"}]"#),
                binary(1),
            ],
        ),
        (
            "a placeholder without attachment",
            vec![text(r#"451-/n,["hello",{"_placeholder":true,"num":1}]"#)],
        ),
        ("CVE-2023-32695", vec![text(r#"42/n,[{"toString":"foo"}]"#)]),
        (
            "CVE-2026-33151",
            vec![text(r#"4510000-/n,["a"]"#), binary(1)],
        ),
        ("eleven attachments", vec![text(r#"4511-/n,["a"]"#)]),
        (
            "no attachments",
            vec![text(r#"450-/n,["a"]"#), text(r#"42/n,["b"]"#)],
        ),
        (
            "text among attachments",
            vec![text(r#"451-/n,["a"]"#), text(r#"42/n,["b"]"#)],
        ),
        ("an attachment of nothing", vec![binary(1)]),
        ("a reserved name", vec![text(r#"42/n,["connect"]"#)]),
        (
            "a reserved name, escaped",
            vec![text(r#"42/n,["dis\u0063onnect"]"#)],
        ),
        (
            "a reserved name of Node's",
            vec![text(r#"42/n,["newListener"]"#)],
        ),
        ("no name", vec![text("42/n,[]")]),
        ("no array", vec![text(r#"42/n,{"a":1}"#)]),
        ("not JSON", vec![text("42/n,[\"a\",")]),
        (
            "an id over 2^53",
            vec![text(r#"42/n,9007199254740992["a"]"#)],
        ),
        (
            "an id over 2^64",
            vec![text(r#"42/n,99999999999999999999["a"]"#)],
        ),
        (
            "an ack's id over 2^53",
            vec![text("43/n,9007199254740992[]")],
        ),
        (
            "brackets without end",
            vec![text(format!("42/n,[\"a\",{deep}"))],
        ),
        (
            "brackets around a placeholder",
            vec![text(format!("451-/n,[\"a\",{deep}"))],
        ),
        (
            "a name of 300 bytes",
            vec![text(format!("40/{},", "n".repeat(300)))],
        ),
    ] {
        is_closed_for(
            &server,
            &mut bystander,
            name,
            &frames,
            CloseReason::ParseError,
        );
    }
}

#[test]
fn packets_out_of_place_close_the_connection_of_their_sender() {
    let server = start(ClientConfig::default());
    let mut bystander = server.join("").0;
    for (name, packet) in [
        ("a second CONNECT", "40/n,"),
        ("CONNECT_ERROR", r#"44/n,{"message":"no"}"#),
        ("an event elsewhere", r#"42/other,["a"]"#),
        ("an ack elsewhere", "43/other,1[]"),
        ("leaving elsewhere", "41/other,"),
    ] {
        let reason = CloseReason::TransportError;
        is_closed_for(&server, &mut bystander, name, &[text(packet)], reason);
    }
}

#[test]
fn a_client_that_has_its_connect_reply_is_in() {
    let server = start(ClientConfig::default());
    let mut clients = Vec::new();
    for expected in 1..=200 {
        clients.push(server.join("").0);
        assert_eq!(server.namespace.len(), expected);
    }
}

/// GHSA-25hc-qcg6-38wj, and acks that nobody asked for.
#[test]
fn odd_packets_that_are_allowed_do_no_harm() {
    let server = start(ClientConfig::default());
    let mut client = server.join("").0;
    for packet in [
        r#"42/n,["error",{"x":1}]"#,
        r#"42/n,["__proto__",{"__proto__":{"constructor":1}}]"#,
        "43/n,0[]",
        "43/n,[]",
        "43/n,9007199254740991[1]",
        r#"461-/n,7[{"_placeholder":true,"num":0}]"#,
    ] {
        client.send_text(packet);
    }
    client.send(&binary(3));
    client.send_text(r#"42/n,9007199254740991["error",1]"#);
    assert_eq!(client.text(), "43/n,9007199254740991[1]");
}

/// CVE-2020-36049
#[test]
fn a_packet_as_large_as_allowed_comes_back() {
    let server = start(ClientConfig::default());
    let mut client = server.join("").0;
    let numbers = "1,".repeat(490_000) + "1";
    client.send_text(&format!("42/n,1[\"a\",{numbers}]"));
    assert_eq!(client.text(), format!("43/n,1[{numbers}]"));
    let nested = format!("{}{}", "[".repeat(400_000), "]".repeat(400_000));
    client.send_text(&format!("42/n,2[\"a\",{nested}]"));
    assert_eq!(client.text(), format!("43/n,2[{nested}]"));
}

#[test]
fn attachments_are_bounded_in_bytes() {
    let server = start(ClientConfig {
        limits: Limits {
            max_attachment_bytes: 1000,
            ..Limits::default()
        },
        ..ClientConfig::default()
    });
    let mut bystander = server.join("").0;
    let event = text(r#"452-/n,["a",{"_placeholder":true,"num":0}]"#);
    let frames = [event, binary(600), binary(401)];
    let (name, reason) = ("attachments", CloseReason::ParseError);
    is_closed_for(&server, &mut bystander, name, &frames, reason);
}

#[test]
fn attachments_that_do_not_come_close_the_connection() {
    let server = start(ClientConfig {
        limits: Limits {
            attachment_timeout: SOON,
            ..Limits::default()
        },
        ..ClientConfig::default()
    });
    let mut client = server.join("").0;
    client.send_text(r#"452-/n,["a"]"#);
    client.send(&binary(1));
    client.closed();
    assert_eq!(
        server.next_end().reason,
        DisconnectReason::Session(CloseReason::ForcedClose)
    );
    server.emptied();
}

#[test]
fn a_client_that_joins_nothing_is_closed() {
    let server = start(ClientConfig {
        connect_timeout: SOON,
        max_connects_per_minute: u32::MAX,
        ..ClientConfig::default()
    });
    let mut silent = WebSocket::open(server.address);
    silent.closed();
    // Asking over and over for what is not there is no joining.
    let mut refused = WebSocket::open(server.address);
    while let Some((0x81, answer)) = {
        refused.send_text("40/nowhere,");
        refused.next()
    } {
        assert!(answer.starts_with(b"44/nowhere,"), "{answer:?}");
    }
    server.emptied();
}

#[test]
fn asking_to_join_again_and_again_closes_the_connection() {
    let server = start(ClientConfig {
        max_connects_per_minute: 3,
        ..ClientConfig::default()
    });
    let mut client = server.join("").0;
    client.send_text("40/nowhere,");
    assert!(client.text().starts_with("44/nowhere,"));
    client.send_text("41/n,");
    client.send_text("40/n,");
    assert!(client.text().starts_with("40/n,"));
    client.send_text("40/other,");
    client.closed();
    assert_eq!(
        [server.next_end().reason, server.next_end().reason],
        [
            DisconnectReason::ClientNamespaceDisconnect,
            DisconnectReason::Session(CloseReason::TransportError),
        ]
    );
}

#[test]
fn a_client_in_a_namespace_may_stay_there() {
    let server = start(ClientConfig {
        connect_timeout: Duration::from_secs(1),
        ..ClientConfig::default()
    });
    let mut joined = server.join("").0;
    let mut idle = WebSocket::open(server.address);
    idle.closed();
    joined.send_text("42/n,1[\"a\"]");
    assert_eq!(joined.text(), "43/n,1[]");
}

#[test]
fn the_namespaces_of_a_client_are_bounded() {
    let server = start(ClientConfig {
        max_namespaces: 2,
        ..ClientConfig::default()
    });
    let mut client = server.join("").0;
    // What is not there is refused, and does not count.
    for _ in 0..3 {
        client.send_text("40/nowhere,");
        assert!(client.text().starts_with("44/nowhere,"));
    }
    client.send_text("40/other,");
    assert!(client.text().starts_with("40/other,"));
    client.send_text("40/nowhere,");
    client.closed();
    for _ in 0..2 {
        assert_eq!(
            server.next_end().reason,
            DisconnectReason::Session(CloseReason::TransportError)
        );
    }
}
