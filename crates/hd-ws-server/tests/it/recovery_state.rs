//! Clients that cannot read the CONNECT reply, and keep `pid` and offset themselves.

use hd_replay::{LogConfig, SeenConfig};
use hd_rooms::Audience;
use hd_ws_server::{
    NamespaceConfig, Publication, Published, RecoveryConfig, ServerConfig, system_clock,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use socketio_proto::{ClientConfig, EventName, OutgoingArgs, Parser};

use crate::client::{WebSocket, exchange, frame};
use crate::recovery::{MANY, mac, to};
use crate::socket_server::SocketServer;

/// A kind of client, and how it wants its offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Argument,
    Payload,
    SocketIo2Argument,
    SocketIo2Payload,
    Plain,
}

const KINDS: [Kind; 5] = [
    Kind::Argument,
    Kind::Payload,
    Kind::SocketIo2Argument,
    Kind::SocketIo2Payload,
    Kind::Plain,
];

/// What a client keeps from one connection to the next.
#[derive(Clone, Debug)]
struct Kept {
    pid: String,
    offset: String,
}

/// A client that keeps its position as the guide says.
struct Client {
    kind: Kind,
    websocket: WebSocket,
    recovered: bool,
    kept: Option<Kept>,
}

fn start_with(log: LogConfig, parser: Parser) -> SocketServer {
    start_bounded(log, parser, ServerConfig::default().engine.send_queue_bytes)
}

fn start_bounded(log: LogConfig, parser: Parser, send_queue_bytes: usize) -> SocketServer {
    let namespace = NamespaceConfig {
        recovery: Some(RecoveryConfig {
            log,
            is_shared: false,
            macs: vec![mac(1)],
            clock: system_clock(),
        }),
        seen: SeenConfig::default(),
        own_rooms: false,
    };
    let mut config = ServerConfig::default();
    config.engine.allow_eio3 = true;
    config.engine.send_queue_bytes = send_queue_bytes;
    let clients = ClientConfig {
        parser,
        ..ClientConfig::default()
    };
    SocketServer::start_with(config, clients, namespace)
}

fn start() -> SocketServer {
    start_with(LogConfig::default(), Parser::Text)
}

impl Client {
    fn connect(server: &SocketServer, kind: Kind, user: u64, kept: Option<&Kept>) -> Self {
        let mut fields = vec![
            ("recovery", "1".to_owned()),
            ("user", user.to_string()),
            ("room", format!("user_{user}")),
        ];
        if let Some(kept) = kept {
            fields.push(("pid", kept.pid.clone()));
            fields.push(("offset", kept.offset.clone()));
        }
        if matches!(kind, Kind::Payload | Kind::SocketIo2Payload) {
            fields.push(("offsets", "payload".to_owned()));
        }
        let pairs: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let query = pairs.join("&");
        let websocket = match kind {
            Kind::Plain => server.join_plain_with(&format!("&{query}")).0,
            Kind::SocketIo2Argument | Kind::SocketIo2Payload => {
                let mut client = WebSocket::upgrade(server.address, "&EIO=3").expect("101");
                assert!(client.text().starts_with("0{"));
                assert_eq!(client.text(), "40");
                client.send_text(&format!("40/n?{query},"));
                assert_eq!(client.text(), "40/n,");
                server.next_connected();
                client
            }
            Kind::Argument | Kind::Payload => {
                let fields = fields.into_iter();
                let auth: serde_json::Map<_, _> = fields
                    .map(|(name, value)| (name.to_owned(), Value::from(value)))
                    .collect();
                let mut client = WebSocket::open(server.address);
                client.send_text(&format!("40/n,{}", Value::from(auth)));
                let reply = client.text();
                // A client that does not get its offset as the last argument must not recover by itself.
                assert_eq!(reply.contains("pid"), kind == Kind::Argument, "{reply}");
                server.next_connected();
                client
            }
        };
        let mut client = Self {
            kind,
            websocket,
            recovered: false,
            kept: None,
        };
        let (name, state, offset) = client.next();
        assert_eq!((name.as_str(), offset), ("recovery:state", None));
        client.recovered = state["recovered"].as_bool().expect("a truth value");
        let field = |name: &str| state[name].as_str().map(str::to_owned);
        client.kept = field("pid")
            .zip(field("offset"))
            .map(|(pid, offset)| Kept { pid, offset });
        client
    }

    fn kept(&self) -> &Kept {
        self.kept.as_ref().expect("a position")
    }

    /// The next event: its name, its payload and its offset.
    fn next(&mut self) -> (String, Value, Option<String>) {
        let text = self.websocket.text();
        let json = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
        if self.kind == Kind::Plain {
            let frame = json(&text);
            let offset = frame["id"].as_str().map(str::to_owned);
            let name = frame["event"].as_str().expect("a name").to_owned();
            return (name, frame["data"].clone(), offset);
        }
        let array = json(text.strip_prefix("42/n,").expect("an event"));
        let mut payload = array[1].clone();
        let offset = match self.kind {
            Kind::Payload | Kind::SocketIo2Payload => {
                assert_eq!(array.as_array().map(Vec::len), Some(2), "{array}");
                payload.as_object_mut().and_then(|it| it.remove("_offset"))
            }
            Kind::Argument | Kind::SocketIo2Argument | Kind::Plain => array.get(2).cloned(),
        };
        let offset = offset.and_then(|offset| offset.as_str().map(str::to_owned));
        let name = array[0].as_str().expect("a name").to_owned();
        (name, payload, offset)
    }

    /// The number of the next event, which is handled.
    fn next_number(&mut self) -> u64 {
        let (_, payload, offset) = self.next();
        if let Some(kept) = &mut self.kept {
            kept.offset = offset.expect("an offset");
        }
        payload["n"].as_u64().expect("a number")
    }

    fn numbers(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.next_number()).collect()
    }

    fn reconnect(self, server: &SocketServer) -> Self {
        let _closed = self.websocket.0.shutdown(std::net::Shutdown::Both);
        Self::connect(server, self.kind, 42, self.kept.as_ref())
    }
}

fn publish_json(server: &SocketServer, audience: &Audience, payload: &Value) {
    let payload = RawValue::from_string(payload.to_string()).expect("JSON");
    let published = server.namespace.publish(&Publication {
        audience,
        name: EventName::new("e").expect("not reserved"),
        args: OutgoingArgs::new(&[&*payload]),
        ttl: None,
        id: None,
    });
    assert!(matches!(published, Published::Sent { .. }));
}

fn publish(server: &SocketServer, number: u64) {
    publish_json(server, &to("user_42"), &json!({ "n": number }));
}

#[test]
fn each_kind_of_client_gets_what_it_missed_once_and_in_order() {
    for kind in KINDS {
        let server = start();
        publish(&server, 0);
        let mut client = Client::connect(&server, kind, 42, None);
        assert!(!client.recovered, "{kind:?}");
        publish(&server, 1);
        assert_eq!(client.numbers(1), [1]);
        let pid = client.kept().pid.clone();
        let _closed = client.websocket.0.shutdown(std::net::Shutdown::Both);
        for number in 2..=4 {
            publish(&server, number);
        }
        publish_json(&server, &to("user_7"), &json!({"n": 9}));
        let mut client = client.reconnect(&server);
        assert!(client.recovered, "{kind:?}");
        assert_eq!(client.kept().pid, pid);
        publish(&server, 5);
        assert_eq!(client.numbers(4), [2, 3, 4, 5], "{kind:?}");
        // And again, without anything in between.
        let mut client = client.reconnect(&server);
        assert!(client.recovered, "{kind:?}");
        publish(&server, 6);
        assert_eq!(client.numbers(1), [6], "{kind:?}");
    }
}

#[test]
fn a_client_that_was_sent_nothing_recovers_from_the_offset_of_its_state() {
    for kind in KINDS {
        let server = start();
        publish(&server, 1);
        let client = Client::connect(&server, kind, 42, None);
        let _closed = client.websocket.0.shutdown(std::net::Shutdown::Both);
        publish(&server, 2);
        let mut client = client.reconnect(&server);
        assert!(client.recovered, "{kind:?}");
        assert_eq!(client.numbers(1), [2], "{kind:?}");
    }
}

#[test]
fn a_client_that_missed_more_than_is_kept_is_notified_and_misses_nothing_from_there() {
    let few = LogConfig {
        max_events: 2,
        ..LogConfig::default()
    };
    for kind in KINDS {
        let server = start_with(few, Parser::Text);
        let client = Client::connect(&server, kind, 42, None);
        let _closed = client.websocket.0.shutdown(std::net::Shutdown::Both);
        for number in 1..=3 {
            publish(&server, number);
        }
        let client = client.reconnect(&server);
        assert!(!client.recovered, "{kind:?}");
        let _closed = client.websocket.0.shutdown(std::net::Shutdown::Both);
        publish(&server, 4);
        let mut client = client.reconnect(&server);
        assert!(client.recovered, "{kind:?}");
        assert_eq!(client.numbers(1), [4], "{kind:?}");
    }
}

#[test]
fn the_pid_of_another_user_and_malformed_values_recover_nothing() {
    for kind in KINDS {
        let server = start();
        let client = Client::connect(&server, kind, 42, None);
        publish(&server, 1);
        let own = client.kept().clone();
        let with = |pid: &str, offset: &str| Kept {
            pid: pid.to_owned(),
            offset: offset.to_owned(),
        };
        let long = "x".repeat(600);
        let cases = [
            (7, own.clone()),
            (42, with("", &own.offset)),
            (42, with("gibberish", &own.offset)),
            (42, with(&long, &own.offset)),
            (42, with(&own.pid, "later")),
            (42, with(&own.pid, "99999999999999-0")),
            (42, with(&own.pid, &long)),
        ];
        for (user, presented) in cases {
            let mut other = Client::connect(&server, kind, user, Some(&presented));
            assert!(!other.recovered, "{kind:?}: {presented:?}");
            assert_ne!(other.kept().pid, presented.pid);
            // It is served like any other.
            publish_json(&server, &to(&format!("user_{user}")), &json!({"n": 3}));
            assert_eq!(other.numbers(1), [3]);
        }
    }
}

#[test]
fn events_for_many_reach_each_kind_of_client_once_and_in_order() {
    let server = start();
    let mut clients: Vec<Client> = (0..MANY)
        .map(|index| Client::connect(&server, KINDS[index % KINDS.len()], 42, None))
        .collect();
    let worker = server.hold_worker();
    for number in 1..=3 {
        publish_json(&server, &Audience::everyone(), &json!({ "n": number }));
    }
    drop(worker);
    for client in &mut clients {
        assert_eq!(client.numbers(3), [1, 2, 3], "{:?}", client.kind);
    }
    for client in clients {
        let kind = client.kind;
        assert!(client.reconnect(&server).recovered, "{kind:?}");
    }
}

/// The offset is left out: a handler with one parameter must not get two.
#[test]
fn a_payload_that_is_no_object_stays_as_it_is() {
    let server = start();
    let mut client = Client::connect(&server, Kind::Payload, 42, None);
    for (payload, expected) in [
        (json!([1]), json!([1])),
        (json!("text"), json!("text")),
        (json!(null), json!(null)),
    ] {
        publish_json(&server, &to("user_42"), &payload);
        assert_eq!(client.next(), ("e".to_owned(), expected, None));
    }
    // An empty object, and a member of the same name, which gives way.
    for payload in [json!({}), json!({"_offset": 7})] {
        publish_json(&server, &to("user_42"), &payload);
        let (_, payload, offset) = client.next();
        assert_eq!(payload, json!({}));
        assert!(offset.is_some());
    }
}

#[test]
fn a_client_without_offsets_gets_events_as_they_were_emitted_and_no_pid() {
    let server = start();
    for auth in [r#""offsets":"none""#, r#""offsets":"none","recovery":true"#] {
        let mut client = WebSocket::open(server.address);
        client.send_text(&format!(r#"40/n,{{{auth},"user":42,"room":"user_42"}}"#));
        let reply = client.text();
        assert!(!reply.contains("pid"), "{reply}");
        server.next_connected();
        if auth.contains("recovery") {
            let state = r#"42/n,["recovery:state",{"recovered":false}]"#;
            assert_eq!(client.text(), state);
        }
        publish_json(&server, &to("user_42"), &json!("text"));
        assert_eq!(client.text(), r#"42/n,["e","text"]"#);
    }
}

#[test]
fn without_a_log_the_state_says_that_nothing_can_be_recovered() {
    let server = SocketServer::start(ServerConfig::default(), ClientConfig::default());
    let mut client = server.join_plain_with("&recovery=1&user=42").0;
    let state = r#"{"event":"recovery:state","data":{"recovered":false}}"#;
    assert_eq!(client.text(), state);
}

/// A plain WebSocket that requests nothing gets the frames that are documented for it.
#[test]
fn a_plain_websocket_has_to_request_recovery() {
    let server = start();
    let (mut client, _) = server.join_plain_with("&pid=x&offset=7-0&user=42&room=user_42");
    publish(&server, 1);
    assert_eq!(client.text(), r#"{"event":"e","data":{"n":1}}"#);
}

/// The log keeps MessagePack, of which the frames of others are made.
#[test]
fn what_was_missed_is_converted_from_messagepack() {
    let server = start_with(LogConfig::default(), Parser::Msgpack);
    let payload = json!({"n": 1, "text": "ñ€\"\\", "list": [1.5, -3, null, true, {}]});
    for kind in [Kind::Plain, Kind::SocketIo2Argument, Kind::SocketIo2Payload] {
        let client = Client::connect(&server, kind, 42, None);
        let _closed = client.websocket.0.shutdown(std::net::Shutdown::Both);
        publish_json(&server, &to("user_42"), &payload);
        let mut client = client.reconnect(&server);
        assert!(client.recovered);
        let (_, missed, offset) = client.next();
        assert_eq!(missed, payload);
        assert!(offset.is_some());
    }
}

#[test]
fn attachments_are_replayed_with_the_offset_in_the_payload() {
    let server = start();
    let client = Client::connect(&server, Kind::Payload, 42, None);
    let _closed = client.websocket.0.shutdown(std::net::Shutdown::Both);
    let payloads = [
        r#"{"file":{"_placeholder":true,"num":0}}"#,
        r#"{"_placeholder":true,"num":0}"#,
    ];
    for payload in payloads {
        let payload = RawValue::from_string(payload.to_owned()).expect("JSON");
        let data = [bytes::Bytes::from_static(b"data")];
        let published = server.namespace.publish(&Publication {
            audience: &to("user_42"),
            name: EventName::new("e").expect("not reserved"),
            args: OutgoingArgs::with_attachments(&[&*payload], &data),
            ttl: None,
            id: None,
        });
        assert!(matches!(published, Published::Sent { .. }));
    }
    let mut client = client.reconnect(&server);
    let first = client.websocket.text();
    let expected = r#"451-/n,["e",{"file":{"_placeholder":true,"num":0},"_offset":""#;
    assert!(first.starts_with(expected), "{first}");
    assert_eq!(client.websocket.next(), Some((0x82, b"data".to_vec())));
    // An object that stands for an attachment is none.
    let second = client.websocket.text();
    assert_eq!(second, r#"451-/n,["e",{"_placeholder":true,"num":0}]"#);
    assert_eq!(client.websocket.next(), Some((0x82, b"data".to_vec())));
    client.websocket.send(&frame(0x88, b""));
}

#[test]
fn a_replay_in_portions_is_whole_and_in_order_for_each_kind_of_client() {
    let small_portions = LogConfig {
        max_replay_bytes: 1400,
        ..LogConfig::default()
    };
    for kind in KINDS {
        let server = start_with(small_portions, Parser::Text);
        let client = Client::connect(&server, kind, 42, None);
        let _closed = client.websocket.0.shutdown(std::net::Shutdown::Both);
        for number in 0..50 {
            publish(&server, number);
        }
        let mut client = client.reconnect(&server);
        assert!(client.recovered, "{kind:?}");
        publish(&server, 50);
        let expected: Vec<u64> = (0..=50).collect();
        assert_eq!(client.numbers(51), expected, "{kind:?}");
    }
}

/// MessagePack takes a byte for a small number, and JSON four. What is due to be sent at once has to
/// fit into the queue in either.
#[test]
fn a_portion_fits_into_the_queue_of_a_client_for_which_it_is_converted() {
    const EVENTS: u64 = 40;
    let (queue, log) = (
        100_000,
        LogConfig {
            max_bytes: 1_000_000,
            max_replay_bytes: 50_000,
            ..LogConfig::default()
        },
    );
    let server = start_bounded(log, Parser::Msgpack, queue);
    let client = Client::connect(&server, Kind::SocketIo2Argument, 42, None);
    let kept = client.kept().clone();
    let _closed = client.websocket.0.shutdown(std::net::Shutdown::Both);
    for number in 0..EVENTS {
        let payload = json!({"n": number, "list": vec![100; 2500]});
        publish_json(&server, &to("user_42"), &payload);
    }
    // It polls, so that all of it is queued.
    let poll = |query: &str| {
        let head = format!("GET /socket.io/?EIO=3&transport=polling{query} HTTP/1.1\r\n");
        exchange(
            server.address,
            format!("{head}host: x\r\nconnection: close\r\n\r\n"),
        )
    };
    let opened = poll("");
    let sid = opened.split(r#""sid":""#).nth(1).expect("an open packet");
    let query = format!("&sid={}", &sid[..20]);
    let fields = "recovery=1&user=42&room=user_42";
    let packet = format!("40/n?{fields}&pid={}&offset={},", kept.pid, kept.offset);
    let body = format!("{}:{packet}", packet.len());
    let head = format!("POST /socket.io/?EIO=3&transport=polling{query} HTTP/1.1\r\nhost: x\r\n");
    let length = body.len();
    let rest = format!("connection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    assert!(exchange(server.address, format!("{head}{rest}")).ends_with("ok"));
    let mut replayed = Vec::new();
    while replayed.len() < EVENTS as usize {
        let answer = poll(&query);
        assert!(
            answer.starts_with("HTTP/1.1 200 "),
            "{replayed:?} {answer:.200}"
        );
        let numbers = answer.split(r#""n":"#).skip(1);
        replayed.extend(numbers.map(|text| {
            let digits = text.split(|c: char| !c.is_ascii_digit()).next();
            digits
                .and_then(|digits| digits.parse::<u64>().ok())
                .expect("a number")
        }));
    }
    assert_eq!(replayed, (0..EVENTS).collect::<Vec<_>>());
}
