//! Clients that come back, and what they missed.

use std::time::Duration;

use hd_replay::{CursorError, Gap, LogConfig, MAC_BYTES, SeenConfig};
use hd_rooms::{Audience, RoomName};
use hd_ws_server::{
    CursorMac, NamespaceConfig, Publication, Published, RecoveryConfig, RecoveryOutcome,
    RecoveryRefusal, ServerConfig, Socket, system_clock,
};
use serde_json::Value;
use serde_json::value::RawValue;
use socketio_proto::{ClientConfig, EventName, OutgoingArgs};

use crate::client::{PATIENCE, WebSocket};
use crate::socket_server::SocketServer;

/// More than are served where an event is published.
pub(crate) const MANY: usize = 65;
pub(crate) const ANA: &str = r#""user":42,"room":"ana""#;

pub(crate) fn mac(key: u8) -> CursorMac {
    Box::new(move |bytes| {
        let mut code = [key; MAC_BYTES];
        for (index, byte) in bytes.iter().enumerate() {
            let place = index % MAC_BYTES;
            code[place] = code[place].wrapping_mul(31).wrapping_add(*byte);
        }
        code
    })
}

pub(crate) fn start_with(log: LogConfig, macs: Vec<CursorMac>) -> SocketServer {
    start_as(log, macs, false)
}

pub(crate) fn start_as(log: LogConfig, macs: Vec<CursorMac>, is_shared: bool) -> SocketServer {
    let config = NamespaceConfig {
        recovery: Some(RecoveryConfig {
            log,
            is_shared,
            macs,
            clock: system_clock(),
        }),
        seen: SeenConfig::default(),
        own_rooms: true,
    };
    SocketServer::start_with(ServerConfig::default(), ClientConfig::default(), config)
}

fn start() -> SocketServer {
    start_with(LogConfig::default(), vec![mac(1)])
}

pub(crate) fn to(room: &str) -> Audience {
    Audience::room(RoomName::new(room).expect("a room"))
}

/// Publishes an event with this number.
pub(crate) fn publish(server: &SocketServer, audience: &Audience, number: u32) {
    publish_with_id(server, audience, number, None);
}

fn publish_with_id(
    server: &SocketServer,
    audience: &Audience,
    number: u32,
    id: Option<&str>,
) -> Published {
    let number = RawValue::from_string(number.to_string()).expect("a number");
    server.namespace.publish(&Publication {
        audience,
        name: EventName::new("e").expect("not reserved"),
        args: OutgoingArgs::new(&[&*number]),
        ttl: None,
        id,
    })
}

/// An event as it came: its number and its offset.
fn event(text: &str) -> (u32, String) {
    let json = text.strip_prefix("42/n,").expect("an event");
    let json: Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(json[0], "e");
    assert_eq!(json.as_array().map(Vec::len), Some(3), "{json}");
    let number = json[1]
        .as_u64()
        .and_then(|number| u32::try_from(number).ok());
    let offset = json[2].as_str().expect("an offset").to_owned();
    (number.expect("a number"), offset)
}

/// A client that connects and remembers what a client remembers.
pub(crate) struct Peer {
    websocket: WebSocket,
    socket: Socket,
    sid: String,
    pid: String,
    /// What it had missed, which follows the reply.
    replayed: Vec<u32>,
    pub(crate) offset: Option<String>,
}

impl Peer {
    pub(crate) fn connect(server: &SocketServer, auth: &str) -> Self {
        Self::let_in(server, Self::ask(server, auth))
    }

    pub(crate) fn ask(server: &SocketServer, auth: &str) -> WebSocket {
        let mut websocket = WebSocket::open(server.address);
        websocket.send_text(&format!("40/n,{{{auth}}}"));
        websocket
    }

    pub(crate) fn let_in(server: &SocketServer, mut websocket: WebSocket) -> Self {
        let reply = websocket.text();
        let reply = reply.strip_prefix("40/n,").expect("a CONNECT reply");
        let reply: Value = serde_json::from_str(reply).expect("JSON");
        let socket = server.next_connected();
        let missed = match socket.recovery() {
            RecoveryOutcome::Recovered { events } => events,
            RecoveryOutcome::None | RecoveryOutcome::Refused(_) => 0,
        };
        let (replayed, offsets): (Vec<u32>, Vec<String>) =
            (0..missed).map(|_| event(&websocket.text())).unzip();
        Self {
            websocket,
            socket,
            sid: reply["sid"].as_str().expect("a sid").to_owned(),
            pid: reply["pid"].as_str().expect("a pid").to_owned(),
            replayed,
            offset: offsets.last().cloned(),
        }
    }

    /// Its `auth` when it comes back.
    pub(crate) fn auth(&self, auth: &str) -> String {
        let offset = match &self.offset {
            Some(offset) => format!(r#","offset":"{offset}""#),
            None => String::new(),
        };
        format!(r#""pid":"{}"{offset},{auth}"#, self.pid)
    }

    pub(crate) fn back(&self, server: &SocketServer, auth: &str) -> Self {
        let mut back = Self::connect(server, &self.auth(auth));
        back.offset = back.offset.or_else(|| self.offset.clone());
        back
    }

    /// The next event's number.
    pub(crate) fn next(&mut self) -> u32 {
        let (number, offset) = event(&self.websocket.text());
        self.offset = Some(offset);
        number
    }

    /// Leaves without a word.
    pub(crate) fn drop_connection(&self, server: &SocketServer) {
        let _closed = self.websocket.0.shutdown(std::net::Shutdown::Both);
        assert_eq!(server.next_end().socket, self.socket);
    }

    /// What it had missed, as far as it followed the reply.
    pub(crate) fn replayed(&self) -> &[u32] {
        &self.replayed
    }

    /// That the server has closed its transport.
    pub(crate) fn assert_ended(&self, server: &SocketServer) {
        assert_eq!(server.next_end().socket, self.socket);
    }

    /// That it kept its place: its id and its `pid`.
    pub(crate) fn assert_recovered(&self, before: &Self, replayed: &[u32]) {
        assert_eq!(self.replayed, replayed);
        assert_eq!((&self.sid, &self.pid), (&before.sid, &before.pid));
        let events = u32::try_from(replayed.len()).expect("a few");
        assert_eq!(
            self.socket.recovery(),
            RecoveryOutcome::Recovered { events }
        );
    }

    pub(crate) fn assert_refused(&self, before: &Self, refusal: RecoveryRefusal) {
        assert_eq!(self.socket.recovery(), RecoveryOutcome::Refused(refusal));
        assert_eq!(self.replayed, [0; 0]);
        assert_ne!(self.sid, before.sid);
        assert_ne!(self.pid, before.pid);
    }
}

#[test]
fn what_was_missed_follows_the_reply_and_the_rest_follows_that() {
    let server = start();
    let mut client = Peer::connect(&server, ANA);
    assert_eq!(client.socket.recovery(), RecoveryOutcome::None);
    publish(&server, &to("ana"), 1);
    assert_eq!(client.next(), 1);
    client.drop_connection(&server);

    publish(&server, &to("ana"), 2);
    publish(&server, &to("luis"), 3);
    publish(&server, &Audience::everyone(), 4);
    let mut back = client.back(&server, ANA);
    back.assert_recovered(&client, &[2, 4]);
    publish(&server, &to("ana"), 5);
    assert_eq!(back.next(), 5);

    back.drop_connection(&server);
    publish(&server, &to("ana"), 6);
    back.back(&server, ANA).assert_recovered(&client, &[6]);
}

#[test]
fn a_client_that_was_sent_nothing_comes_back_by_its_pid_alone() {
    let server = start();
    publish(&server, &to("ana"), 1);
    let client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    publish(&server, &to("ana"), 2);
    let back = client.back(&server, ANA);
    back.assert_recovered(&client, &[2]);
}

#[test]
fn what_was_for_the_id_of_a_client_is_missed_by_it_alone() {
    let server = start();
    let [client, other] = [(), ()].map(|()| Peer::connect(&server, ANA));
    client.drop_connection(&server);
    publish(&server, &to(&client.sid), 1);
    client.back(&server, ANA).assert_recovered(&client, &[1]);
    other.back(&server, ANA).assert_recovered(&other, &[]);
}

#[test]
fn a_client_that_missed_nothing_has_recovered() {
    let server = start();
    let client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    client.back(&server, ANA).assert_recovered(&client, &[]);
}

#[test]
fn what_is_published_for_many_at_that_moment_comes_once() {
    let server = start();
    let others: Vec<Peer> = (0..MANY)
        .map(|_| Peer::connect(&server, r#""room":"x","user":1"#))
        .collect();
    let client = Peer::connect(&server, ANA);
    client.drop_connection(&server);

    // In the log, and still on its way to everyone, when the client comes back.
    let worker = server.hold_worker();
    for number in 1..=3 {
        publish(&server, &Audience::everyone(), number);
    }
    drop(worker);
    let mut back = client.back(&server, ANA);
    back.assert_recovered(&client, &[1, 2, 3]);
    publish(&server, &to("ana"), 4);
    assert_eq!(back.next(), 4);
    for mut other in others {
        assert_eq!([other.next(), other.next(), other.next()], [1, 2, 3]);
    }
}

#[test]
fn the_socket_that_is_left_behind_is_closed() {
    let server = start();
    let mut client = Peer::connect(&server, ANA);
    // The server does not know yet that it is gone.
    let back = client.back(&server, ANA);
    back.assert_recovered(&client, &[]);
    assert_eq!(client.websocket.close_code(), None);
    assert_eq!(server.next_end().socket, client.socket);
    publish(&server, &to("ana"), 1);
}

#[test]
fn a_pid_is_good_for_its_own_user_only() {
    let server = start();
    let client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    publish(&server, &to("ana"), 1);
    let thief = client.back(&server, r#""user":43,"room":"luis""#);
    thief.assert_refused(&client, RecoveryRefusal::OtherIdentity);
}

/// Node.js' server joins the rooms and replays before any middleware runs.
#[test]
fn a_good_pid_does_not_replay_to_a_client_that_is_refused() {
    let server = start();
    let client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    publish(&server, &to("ana"), 1);
    let refused = client.auth(&format!(r#""refuse":true,{ANA}"#));
    let mut websocket = Peer::ask(&server, &refused);
    assert_eq!(websocket.text(), r#"44/n,{"message":"no"}"#);
    // What was missed still waits for the client once it is let in.
    let back = client.back(&server, ANA);
    back.assert_recovered(&client, &[1]);
    publish(&server, &to("ana"), 2);
    websocket.send_text("40/other,");
    assert!(
        websocket.text().starts_with("40/other,"),
        "nothing was sent in between"
    );
}

#[test]
fn what_somebody_else_was_sent_on_the_same_page_does_not_count() {
    let server = start();
    let mut client = Peer::connect(&server, ANA);
    publish(&server, &to("ana"), 1);
    assert_eq!(client.next(), 1);
    client.drop_connection(&server);
    publish(&server, &to("luis"), 2);

    // It goes on showing Ana's offset until Luis is sent something.
    let luis = r#""user":43,"room":"luis""#;
    let first = client.back(&server, luis);
    first.assert_refused(&client, RecoveryRefusal::OtherIdentity);
    first.drop_connection(&server);
    publish(&server, &to("luis"), 3);
    first.back(&server, luis).assert_recovered(&first, &[3]);
}

#[test]
fn a_pid_that_was_made_up_or_sealed_by_others_recovers_nothing() {
    let (server, other) = (start(), start_with(LogConfig::default(), vec![mac(2)]));
    let mut client = Peer::connect(&other, ANA);
    let forged = RecoveryRefusal::Pid(CursorError::Forged);
    client.back(&server, ANA).assert_refused(&client, forged);

    let malformed = RecoveryRefusal::Pid(CursorError::Malformed);
    for pid in ["", "x", "gibberish that is no base64", "AAAA"] {
        client.pid = pid.to_owned();
        client.back(&server, ANA).assert_refused(&client, malformed);
    }
}

#[test]
fn a_pid_of_a_former_key_is_good_but_not_of_a_former_log() {
    let old = start_with(LogConfig::default(), vec![mac(1)]);
    let client = Peer::connect(&old, ANA);
    let new = start_with(LogConfig::default(), vec![mac(2), mac(1)]);
    let other_log = RecoveryRefusal::OtherLog;
    client.back(&new, ANA).assert_refused(&client, other_log);
}

#[test]
fn an_offset_that_is_none_or_of_no_event_recovers_nothing() {
    let server = start();
    let mut client = Peer::connect(&server, ANA);
    let after_log = RecoveryRefusal::Gap(Gap::AfterLog);
    for (offset, refusal) in [
        ("later", RecoveryRefusal::Offset),
        ("99999999999999-0", after_log),
    ] {
        client.offset = Some(offset.to_owned());
        let back = client.back(&server, ANA);
        back.assert_refused(&client, refusal);
    }
}

#[test]
fn an_offset_from_before_the_pid_says_that_nothing_was_sent_since() {
    let server = start();
    publish(&server, &to("ana"), 1);
    let mut client = Peer::connect(&server, ANA);
    client.offset = Some("1-0".to_owned());
    publish(&server, &to("ana"), 2);
    client.back(&server, ANA).assert_recovered(&client, &[2]);
}

#[test]
fn who_missed_more_than_is_kept_is_told() {
    let few = LogConfig {
        max_events: 2,
        ..LogConfig::default()
    };
    let server = start_with(few, vec![mac(1)]);
    let client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    for number in 0..3 {
        publish(&server, &to("ana"), number);
    }
    let mut back = client.back(&server, ANA);
    back.assert_refused(&client, RecoveryRefusal::Gap(Gap::Dropped));
    // From here on it misses nothing.
    publish(&server, &to("ana"), 9);
    assert_eq!(back.next(), 9);
    back.drop_connection(&server);
    publish(&server, &to("ana"), 10);
    back.back(&server, ANA).assert_recovered(&back, &[10]);
}

#[test]
fn pid_and_offset_that_are_no_text_are_not_there() {
    let server = start();
    let client = Peer::connect(&server, ANA);
    let odd = Peer::connect(&server, &format!(r#""pid":7,"offset":[],{ANA}"#));
    assert_eq!(odd.socket.recovery(), RecoveryOutcome::None);
    let auth = format!(r#""pid":"{}","offset":null,{ANA}"#, client.pid);
    let back = Peer::connect(&server, &auth);
    back.assert_recovered(&client, &[]);
}

#[test]
fn without_recovery_or_an_identity_there_is_no_pid_and_events_are_as_they_are() {
    let server = SocketServer::start(ServerConfig::default(), ClientConfig::default());
    let (mut client, _) = server.join(&format!("{{{ANA}}}"));
    publish(&server, &to("ana"), 1);
    assert_eq!(client.text(), r#"42/n,["e",1]"#);

    let server = start();
    let mut nobody = WebSocket::open(server.address);
    nobody.send_text(r#"40/n,{"room":"ana"}"#);
    let reply = nobody.text();
    assert!(!reply.contains("pid"), "{reply}");
}

/// socket.io-client takes the last string of an event for its offset, be it the
/// event's name, and would be told for nothing when it comes back.
#[test]
fn an_event_without_an_offset_does_not_end_in_a_string() {
    let server = start();
    let mut client = Peer::connect(&server, ANA);
    let name = EventName::new("n").unwrap();
    let [text, number] = [r#""a""#, "7"].map(|json| RawValue::from_string(json.into()).unwrap());
    for (args, expected) in [
        (&[][..], r#"42/n,["n",null]"#),
        (&[&*text], r#"42/n,["n","a",null]"#),
        (&[&*text, &*number], r#"42/n,["n","a",7]"#),
    ] {
        client.socket.emit(name, OutgoingArgs::new(args)).unwrap();
        assert_eq!(client.websocket.text(), expected);
        let everyone = Audience::everyone();
        server
            .namespace
            .emit_volatile(&everyone, name, OutgoingArgs::new(args));
        assert_eq!(client.websocket.text(), expected);
    }
    let args = OutgoingArgs::new(&[]);
    drop(client.socket.emit_with_ack(name, args, PATIENCE));
    assert_eq!(client.websocket.text(), r#"42/n,0["n"]"#);
}

#[test]
fn a_plain_websocket_sees_no_offset() {
    let server = start();
    let (mut plain, _) = server.join_plain();
    publish(&server, &Audience::everyone(), 1);
    assert_eq!(plain.text(), r#"{"event":"e","data":1}"#);
}

#[test]
fn what_has_an_id_is_published_once() {
    let server = start();
    let mut client = Peer::connect(&server, ANA);
    let ana = to("ana");
    let sent = publish_with_id(&server, &ana, 1, Some("a"));
    assert!(matches!(
        sent,
        Published::Sent {
            forgot_id: false,
            ..
        }
    ));
    for _ in 0..3 {
        let again = publish_with_id(&server, &ana, 2, Some("a"));
        assert!(matches!(again, Published::Repeated), "{again:?}");
    }
    publish_with_id(&server, &ana, 3, Some("b"));
    assert_eq!([client.next(), client.next()], [1, 3]);
    let counts = server.namespace.replay_counts();
    assert_eq!((counts.events, counts.ids), (2, 2));
}

#[test]
fn an_event_has_a_life_of_its_own() {
    let server = start();
    let client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    let ana = to("ana");
    for ttl in [Duration::ZERO, Duration::from_secs(3600)] {
        server.namespace.publish(&Publication {
            audience: &ana,
            name: EventName::new("e").expect("not reserved"),
            args: OutgoingArgs::new(&[]),
            ttl: Some(ttl),
            id: None,
        });
    }
    let auth = format!(r#""pid":"{}",{ANA}"#, client.pid);
    let mut websocket = WebSocket::open(server.address);
    websocket.send_text(&format!("40/n,{{{auth}}}"));
    let reply = websocket.text();
    assert!(reply.starts_with("40/n,"), "{reply}");
    let missed = websocket.text();
    assert!(missed.starts_with(r#"42/n,["e","#), "{missed}");
    publish(&server, &ana, 1);
    assert_eq!(event(&websocket.text()).0, 1);
}

/// A client may have given up a connection before it was let in, and be back by another one.
#[test]
fn a_connection_that_is_gone_before_it_is_let_in_takes_nobodys_place() {
    let server = start();
    let client = Peer::connect(&server, ANA);
    assert_eq!(server.next_event().what, "connect");
    client.drop_connection(&server);
    let waiting = format!(r#"{},"wait":true"#, client.auth(ANA));
    let given_up = Peer::ask(&server, &waiting);
    assert_eq!(server.next_event().what, "connect");
    let _closed = given_up.0.shutdown(std::net::Shutdown::Both);
    server.emptied();

    let mut back = client.back(&server, ANA);
    back.assert_recovered(&client, &[]);
    server.let_in.notify_one();
    assert_eq!(server.next_event().what, "connect");
    assert_eq!(server.next_event().what, "let in");
    drop(server.hold_worker());
    publish(&server, &to("ana"), 1);
    assert_eq!(back.next(), 1);
}
