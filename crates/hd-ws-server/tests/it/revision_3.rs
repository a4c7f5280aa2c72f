//! Clients of Engine.IO 3 and Socket.IO 2, which have to be allowed.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use bytes::Bytes;
use engineio_proto::CloseReason;
use hd_replay::LogConfig;
use hd_rooms::Audience;
use hd_ws_server::{
    AllowedOrigins, NamespaceConfig, Publication, Published, RecoveryConfig, ServerConfig,
    system_clock,
};
use serde_json::value::RawValue;
use socketio_proto::{ClientConfig, EventName, OutgoingArgs, Parser};

use crate::client::{WebSocket, connect, exchange, frame, websocket_head};
use crate::echo_server::EchoServer;
use crate::recovery::{MANY, mac, to};
use crate::socket_server::SocketServer;

fn allowing() -> ServerConfig {
    let mut config = ServerConfig::default();
    config.engine.allow_eio3 = true;
    config
}

fn echo() -> EchoServer {
    EchoServer::start(allowing())
}

/// Opens a session by polling, and returns the query that names it.
fn polling(server: &EchoServer, query: &str) -> String {
    let answer = server.request("GET", &format!("&EIO=3{query}"), "");
    let body = answer.split("\r\n\r\n").nth(1).expect("a body");
    let start = body
        .find(r#""sid":""#)
        .or_else(|| body.find(r#"\"sid\":\""#));
    let sid = &body[start.expect("an open packet")..];
    let sid: String = sid
        .chars()
        .skip_while(|&c| c != ':')
        .skip_while(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_'))
        .take(20)
        .collect();
    format!("&EIO=3&sid={sid}")
}

fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a body").1
}

/// A WebSocket session of revision 3 whose open packet has come.
fn open(address: std::net::SocketAddr) -> WebSocket {
    let mut client = WebSocket::upgrade(address, "&EIO=3").expect("101");
    assert!(client.text().starts_with("0{"));
    client
}

/// A client of Socket.IO 2 that believes to be in `/`.
fn open_2(server: &SocketServer) -> WebSocket {
    let mut client = open(server.address);
    assert_eq!(client.text(), "40");
    client
}

#[test]
fn revision_3_is_refused_unless_it_is_allowed() {
    let server = EchoServer::start(ServerConfig::default());
    let refused = r#"{"code":5,"message":"Unsupported protocol version"}"#;
    for revision in ["3", "abc", ""] {
        let query = format!("&EIO={revision}");
        let answer = server.request("GET", &query, "");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.ends_with(refused), "{answer}");
        let answer = WebSocket::upgrade(server.address, &query).err().unwrap();
        assert!(answer.ends_with("Unsupported protocol version"), "{answer}");
    }
    assert!(server.engine.is_empty());
}

#[test]
fn a_polling_session_speaks_in_lengths() {
    let server = echo();
    let query = polling(&server, "");
    let posted = server.request("POST", &query, "6:4hello4:4é🙂10:b4AQIDBA==");
    assert!(posted.ends_with("ok"), "{posted}");
    let answer = server.request("GET", &query, "");
    assert_eq!(body_of(&answer), "6:4hello4:4é🙂");
    assert!(answer.contains("text/plain; charset=UTF-8"), "{answer}");
    // The client's ping.
    assert!(server.request("POST", &query, "1:2").ends_with("ok"));
    assert_eq!(body_of(&server.request("GET", &query, "")), "1:3");
}

/// The type of the body says how it is read.
#[test]
fn a_body_of_bytes_is_read_as_such() {
    let server = echo();
    let query = polling(&server, "");
    let body = [&[0, 6, 255][..], b"4hello", &[1, 5, 255, 4, 1, 2, 3, 4]].concat();
    let mut stream = connect(server.address);
    write!(
        stream,
        "POST /socket.io/?EIO=3&transport=polling{query} HTTP/1.1\r\nhost: x\r\n\
         content-type: application/octet-stream\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("ok"), "{answer}");
    assert_eq!(body_of(&server.request("GET", &query, "")), "6:4hello");
}

#[test]
fn what_is_no_payload_ends_the_session() {
    let server = echo();
    for body in ["abc", "", "7:4hello", "1:7", "6:4hello,", "1:3"] {
        let query = polling(&server, "");
        let answer = server.request("POST", &query, body);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
        let expected = match body {
            "1:3" => CloseReason::TransportError,
            _ => CloseReason::ParseError,
        };
        assert_eq!(server.next_end(), expected, "{body}");
    }
    let mut client = open(server.address);
    client.send(&frame(0x82, b"\x02"));
    client.closed();
    assert_eq!(server.next_end(), CloseReason::ParseError);
}

#[test]
fn a_body_has_a_bounded_number_of_packets() {
    let mut config = allowing();
    config.engine.max_packets_per_payload = 10;
    let server = EchoServer::start(config);
    let query = polling(&server, "");
    let answer = server.request("POST", &query, &"1:2".repeat(10));
    assert!(answer.ends_with("ok"), "{answer}");
    let answer = server.request("POST", &query, &"1:2".repeat(11));
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(server.next_end(), CloseReason::ParseError);
}

#[test]
fn jsonp_carries_packets_both_ways() {
    let server = echo();
    let query = polling(&server, "&j=7");
    let posted = server.request("POST", &query, r"d=8%3A4a%5C%5Cn%22+%F0%9F%99%82");
    assert!(posted.ends_with("ok"), "{posted}");
    let answer = server.request("GET", &query, "");
    assert_eq!(body_of(&answer), r#"___eio[7]("8:4a\\n\" 🙂");"#);
    // A body without the form's field.
    let answer = server.request("POST", &query, "1:2");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let answer = server.request("GET", "&EIO=3&j=alert", "");
    assert!(
        answer.ends_with(r#"{"code":3,"message":"Bad request"}"#),
        "{answer}"
    );
}

/// A script brings no `Origin`, and a form that of its page.
#[test]
fn jsonp_is_judged_by_the_origin() {
    let page = "http://front.example";
    let mut config = allowing();
    config.origins.allowed = AllowedOrigins::List(vec![page.to_owned()]);
    config.origins.allow_missing = false;
    let server = EchoServer::start(config.clone());
    let answer = server.request("GET", "&EIO=3&j=0", "");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");

    config.origins.allow_missing = true;
    let server = EchoServer::start(config);
    let cross_site = "GET /socket.io/?EIO=3&transport=polling&j=0 HTTP/1.1\r\nhost: x\r\n\
                      sec-fetch-site: cross-site\r\nconnection: close\r\n\r\n";
    let answer = exchange(server.address, cross_site);
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let query = polling(&server, "&j=0");
    for (origin, expected) in [("http://evil.example", "403"), (page, "200")] {
        let request = format!(
            "POST /socket.io/?transport=polling{query} HTTP/1.1\r\nhost: x\r\norigin: {origin}\r\n\
             connection: close\r\ncontent-length: 7\r\n\r\nd=1%3A2"
        );
        let answer = exchange(server.address, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{answer}"
        );
    }
}

#[test]
fn a_session_is_upgraded_and_pings() {
    let server = echo();
    let query = polling(&server, "");
    let mut socket = WebSocket::upgrade(server.address, &query).expect("101");
    socket.send_text("2probe");
    assert_eq!(socket.text(), "3probe");
    assert_eq!(body_of(&server.request("GET", &query, "")), "1:6");
    socket.send_text("5");
    socket.send_text("4moved");
    assert_eq!(socket.text(), "4moved");
    socket.send_text("2");
    assert_eq!(socket.text(), "3");
}

#[test]
fn a_client_that_does_not_ping_is_closed() {
    let mut config = allowing();
    config.engine.ping_interval = Duration::from_millis(50);
    config.engine.ping_timeout = Duration::from_millis(50);
    let server = EchoServer::start(config);
    let mut client = open(server.address);
    client.closed();
    assert_eq!(server.next_end(), CloseReason::PingTimeout);
}

#[test]
fn a_session_is_served_to_its_own_revision_only() {
    let server = echo();
    let query = polling(&server, "").replace("EIO=3", "EIO=4");
    let answer = server.request("GET", &query, "");
    assert!(
        answer.ends_with(r#"{"code":3,"message":"Bad request"}"#),
        "{answer}"
    );
    let query = format!("&EIO=3&sid={}", server.open_polling());
    let answer = server.request("GET", &query, "");
    assert!(
        answer.ends_with(r#"{"code":3,"message":"Bad request"}"#),
        "{answer}"
    );
}

// ===== Socket.IO =====

#[test]
fn a_client_of_socket_io_2_joins_a_namespace() {
    let server = SocketServer::start(allowing(), ClientConfig::default());
    let mut client = open_2(&server);
    // It is in no namespace yet, whatever it believes.
    client.send_text(r#"42["to nobody"]"#);
    client.send_text("40/n?room=a&user=1,");
    assert_eq!(client.text(), "40/n,");
    let socket = server.next_connected();
    assert!(socket.rooms().iter().any(|room| room.as_str() == "a"));
    client.send_text(r#"42/n,7["ev",1]"#);
    assert_eq!(client.text(), "43/n,7[1]");
    client.send_text("40/other?refuse=true,");
    assert_eq!(client.text(), r#"44/other,"no""#);
    client.send_text("40/elsewhere,");
    assert_eq!(client.text(), r#"44/elsewhere,"Invalid namespace""#);
}

#[test]
fn a_polling_client_of_socket_io_2_is_told_that_it_is_in_the_main_namespace() {
    let server = SocketServer::start(allowing(), ClientConfig::default());
    let get = |query: &str| {
        let request = format!(
            "GET /socket.io/?EIO=3&transport=polling{query} HTTP/1.1\r\nhost: x\r\n\
             connection: close\r\n\r\n"
        );
        exchange(server.address, request)
    };
    let answer = get("");
    let (_, sid) = body_of(&answer).split_once(r#""sid":""#).expect("a sid");
    // The open packet comes alone, as from Node.
    assert_eq!(body_of(&get(&format!("&sid={}", &sid[..20]))), "2:40");
}

/// The main namespace that is not there is no place to stay.
#[test]
fn a_client_of_socket_io_2_that_joins_nothing_is_closed() {
    let clients = ClientConfig {
        connect_timeout: Duration::from_millis(50),
        ..ClientConfig::default()
    };
    let server = SocketServer::start(allowing(), clients);
    let mut client = open_2(&server);
    client.closed();
    server.emptied();
}

/// Its events have no offset, and no argument in the place of one.
#[test]
fn events_for_clients_of_socket_io_2_are_as_they_were_emitted() {
    let config = NamespaceConfig {
        recovery: Some(RecoveryConfig {
            log: LogConfig::default(),
            is_shared: false,
            macs: vec![mac(1)],
            clock: system_clock(),
        }),
        ..NamespaceConfig::default()
    };
    let server = SocketServer::start_with(allowing(), ClientConfig::default(), config);
    let text = RawValue::from_string(r#""text""#.to_owned()).unwrap();
    let args = [&*text];
    let name = EventName::new("ev").unwrap();
    let join = |query: &str| {
        let mut client = open_2(&server);
        client.send_text(&format!("40/n?{query},"));
        assert_eq!(client.text(), "40/n,");
        server.next_connected();
        client
    };
    let mut of_2 = join("room=a&pid=x&offset=y");
    let (mut of_4, _) = server.join(r#"{"room":"a","user":42}"#);
    let publish = |audience: &Audience| {
        let published = server.namespace.publish(&Publication {
            audience,
            name,
            args: OutgoingArgs::new(&args),
            ttl: None,
            id: None,
        });
        assert!(matches!(published, Published::Sent { .. }));
    };
    let expected = r#"42/n,["ev","text"]"#;
    let with_offset = r#"42/n,["ev","text",""#;
    // For a few, here and now.
    publish(&to("a"));
    assert_eq!(of_2.text(), expected);
    assert!(of_4.text().starts_with(with_offset));
    // What is not in the log has no argument in the place of an offset.
    server.wait(
        server
            .namespace
            .emit(&to("a"), name, OutgoingArgs::new(&args)),
    );
    assert_eq!(of_2.text(), expected);
    assert_eq!(of_4.text(), r#"42/n,["ev","text",null]"#);
    // For many, in turns.
    let mut others: Vec<WebSocket> = (0..MANY).map(|_| join("room=a")).collect();
    publish(&to("a"));
    for client in others.iter_mut().chain([&mut of_2]) {
        assert_eq!(client.text(), expected);
    }
    assert!(of_4.text().starts_with(with_offset));
}

/// A binary argument has the type of its packet before it.
#[test]
fn attachments_go_out_with_their_type() {
    let server = SocketServer::start(allowing(), ClientConfig::default());
    let mut client = open_2(&server);
    client.send_text("40/n,");
    assert_eq!(client.text(), "40/n,");
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    let mut frames = frame(0x81, format!(r#"451-/n,1["ev",{placeholder}]"#).as_bytes());
    frames.extend(frame(0x82, &[4, 1, 2, 3]));
    client.send(&frames);
    assert_eq!(client.text(), format!("461-/n,1[{placeholder}]"));
    assert_eq!(client.next(), Some((0x82, vec![4, 1, 2, 3])));
}

/// Where other clients have the MessagePack parser, an event is one packet for
/// them, and several for these.
#[test]
fn clients_of_socket_io_2_have_the_default_parser_beside_msgpack() {
    let clients = ClientConfig {
        parser: Parser::Msgpack,
        ..ClientConfig::default()
    };
    let server = SocketServer::start(allowing(), clients);
    let mut clients: Vec<WebSocket> = (0..MANY)
        .map(|_| {
            let mut client = open_2(&server);
            client.send_text("40/n,");
            assert_eq!(client.text(), "40/n,");
            server.next_connected();
            client
        })
        .collect();
    let placeholder = RawValue::from_string(r#"{"_placeholder":true,"num":0}"#.to_owned());
    let (values, attachments) = ([&*placeholder.unwrap()], [Bytes::from_static(&[1, 2])]);
    let args = OutgoingArgs::with_attachments(&values, &attachments);
    let worker = server.hold_worker();
    let emitted = ["first", "second", "third"].map(|name| {
        let name = EventName::new(name).unwrap();
        server.namespace.emit(&Audience::everyone(), name, args)
    });
    drop(worker);
    for emitted in emitted {
        assert_eq!(server.wait(emitted), MANY);
    }
    for client in &mut clients {
        for name in ["first", "second", "third"] {
            let text = format!(r#"451-/n,["{name}",{{"_placeholder":true,"num":0}}]"#);
            assert_eq!(client.text(), text);
            assert_eq!(client.next(), Some((0x82, vec![4, 1, 2])));
        }
    }
}

#[test]
fn floods_of_connects_by_a_client_of_socket_io_2_are_bounded() {
    let server = SocketServer::start(allowing(), ClientConfig::default());
    let mut client = open_2(&server);
    let connects: Vec<u8> = (0..100)
        .flat_map(|_| frame(0x81, b"40/elsewhere,"))
        .collect();
    client.send(&connects);
    client.closed();
    server.emptied();
}

/// A client of Socket.IO 4 finds the same server as ever.
#[test]
fn clients_of_revision_4_are_served_beside_those_of_3() {
    let server = SocketServer::start(allowing(), ClientConfig::default());
    let (mut client, _) = server.join("");
    client.send_text(r#"42/n,7["ev",1]"#);
    assert_eq!(client.text(), "43/n,7[1]");
    let head = websocket_head("", "");
    assert!(head.contains("EIO=4"));
}
