//! Replays that are larger than what may be sent at once.

use std::time::{Duration, Instant};

use hd_replay::{Gap, LogConfig, LogId, Place};
use hd_ws_server::{RecoveryRefusal, Socket};

use crate::client::{PATIENCE, exchange};
use crate::recovery::{ANA, MANY, Peer, mac, publish, start_as, to};
use crate::shared_log::shared_offsets;
use crate::socket_server::SocketServer;

/// Three events, some 450 bytes each as they count, are a portion.
fn small_portions() -> LogConfig {
    LogConfig {
        max_replay_bytes: 1400,
        ..LogConfig::default()
    }
}

#[test]
fn a_replay_in_portions_is_whole_and_in_order() {
    let server = start_as(small_portions(), vec![mac(1)], false);
    let client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    for number in 0..100 {
        publish(&server, &to("ana"), number);
    }
    let mut back = client.back(&server, ANA);
    let first = back.replayed().to_vec();
    assert_eq!(first, [0, 1, 2]);
    for number in 3..100 {
        assert_eq!(back.next(), number);
    }
    publish(&server, &to("ana"), 100);
    assert_eq!(back.next(), 100);
}

#[test]
fn what_is_published_during_a_replay_in_portions_follows_it() {
    let server = start_as(small_portions(), vec![mac(1)], false);
    let client = Peer::connect(&server, ANA);
    let others: Vec<Peer> = (0..MANY).map(|_| Peer::connect(&server, ANA)).collect();
    client.drop_connection(&server);
    for number in 0..50 {
        publish(&server, &to("ana"), number);
    }
    let websocket = Peer::ask(&server, &client.auth(ANA));
    // Those that are queued when it resumes are a part of the replay.
    for number in 50..60 {
        publish(&server, &to("ana"), number);
    }
    let mut back = Peer::let_in(&server, websocket);
    for number in 60..70 {
        publish(&server, &to("ana"), number);
    }
    let seen = u32::try_from(back.replayed().len()).expect("a few");
    for number in seen..70 {
        assert_eq!(back.next(), number);
    }
    drop(others);
}

#[test]
fn a_client_that_reconnects_amid_a_replay_goes_on_where_it_was() {
    let server = start_as(small_portions(), vec![mac(1)], false);
    let mut client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    for number in 0..100 {
        publish(&server, &to("ana"), number);
    }
    let mut expected = 0;
    while expected < 100 {
        client = client.back(&server, ANA);
        expected += u32::try_from(client.replayed().len()).expect("a few");
        while expected % 40 != 0 && expected < 100 {
            assert_eq!(client.next(), expected);
            expected += 1;
        }
        client.drop_connection(&server);
    }
}

#[test]
fn a_client_in_other_rooms_is_notified() {
    let server = start_as(LogConfig::default(), vec![mac(1)], false);
    let client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    publish(&server, &to("luis"), 1);
    let luis = r#""user":42,"room":"luis""#;
    let mut back = client.back(&server, luis);
    back.assert_refused(&client, RecoveryRefusal::RoomsChanged);
    publish(&server, &to("luis"), 2);
    assert_eq!(back.next(), 2);
    back.drop_connection(&server);
    publish(&server, &to("luis"), 3);
    back.back(&server, luis).assert_recovered(&back, &[3]);
}

/// A client that polls, and is sent no portion before it has fetched the one before.
struct Polling<'s> {
    server: &'s SocketServer,
    query: String,
    socket: Socket,
}

impl<'s> Polling<'s> {
    fn back(server: &'s SocketServer, client: &Peer) -> Self {
        let opened = request(server, "GET", "", "");
        let sid = opened.split(r#""sid":""#).nth(1).expect("an open packet");
        let query = format!("&sid={}", &sid[..20]);
        let connect = format!("40/n,{{{}}}", client.auth(ANA));
        assert!(request(server, "POST", &query, &connect).ends_with("ok"));
        let socket = server.next_connected();
        Self {
            server,
            query,
            socket,
        }
    }

    /// What the next poll is answered with.
    fn poll(&self) -> String {
        let answer = request(self.server, "GET", &self.query, "");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        body.to_owned()
    }

    /// The offsets of the events that the next poll is answered with.
    fn offsets(&self) -> Vec<String> {
        let body = self.poll();
        let events = body.split('\x1e').filter_map(|it| it.strip_prefix("42/n,"));
        let offset = |event| {
            let event: serde_json::Value = serde_json::from_str(event).expect("JSON");
            event[2].as_str().expect("an offset").to_owned()
        };
        events.map(offset).collect()
    }
}

fn request(server: &SocketServer, method: &str, query: &str, body: &str) -> String {
    let head = format!("{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\n");
    let length = body.len();
    let rest = format!("host: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    exchange(server.address, format!("{head}{rest}{body}"))
}

/// What it missed was for the rooms that it was in.
#[test]
fn a_client_that_changes_rooms_amid_a_replay_is_disconnected_and_goes_on_where_it_was() {
    let server = start_as(small_portions(), vec![mac(1)], false);
    let client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    for number in 0..9 {
        publish(&server, &to("ana"), number);
    }
    let polling = Polling::back(&server, &client);
    assert!(polling.socket.leave("ana"));
    assert_eq!(polling.offsets().len(), 3);
    assert_eq!(polling.poll(), "1");
    assert_eq!(server.next_end().socket, polling.socket);
    client
        .back(&server, ANA)
        .assert_recovered(&client, &[0, 1, 2]);
}

#[test]
fn a_drain_amid_a_replay_costs_a_client_nothing() {
    let server = start_as(small_portions(), vec![mac(1)], false);
    let mut client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    for number in 0..9 {
        publish(&server, &to("ana"), number);
    }
    let polling = Polling::back(&server, &client);
    assert_eq!(polling.offsets().len(), 3);
    // Else the drain might come before the second portion.
    drop(server.hold_worker());
    server.engine.drain(Some(Duration::ZERO));
    let patience = Instant::now() + PATIENCE;
    while server.engine.counts().drained_total() == 0 {
        assert!(Instant::now() < patience, "it is not closed");
        std::thread::yield_now();
    }
    // It is closed by the task that has counted it.
    drop(server.hold_worker());
    let second = polling.offsets();
    assert_eq!(second.len(), 3);
    assert_eq!(polling.poll(), "1");
    assert_eq!(server.next_end().socket, polling.socket);
    server.engine.cancel_drain();
    client.offset = second.last().cloned();
    client
        .back(&server, ANA)
        .assert_recovered(&client, &[6, 7, 8]);
}

#[test]
fn a_record_that_is_not_understood_notifies_everybody_that_it_may_be_for() {
    let server = start_as(LogConfig::default(), vec![mac(1)], true);
    let at = shared_offsets();
    server.namespace.begin_log_at(LogId(1), at(0));
    let client = Peer::connect(&server, ANA);
    assert_eq!(server.namespace.handle_unreadable(at(1)), 1);
    client.assert_ended(&server);
    assert_eq!(server.namespace.handle_unreadable(at(1)), 0);
    let back = client.back(&server, ANA);
    back.assert_refused(&client, RecoveryRefusal::Gap(Gap::BeforeLog));
}

#[test]
fn an_offset_beyond_the_end_of_the_log_proves_that_it_has_lost_its_end() {
    let at = shared_offsets();
    let (began, later) = (at(0), at(1));
    let start = |began| {
        let server = start_as(LogConfig::default(), vec![mac(1)], true);
        server.namespace.begin_log_at(LogId(1), began);
        server
    };
    let (other, server) = (start(later), start(began));
    // Its cursor begins at the later offset.
    let client = Peer::connect(&other, ANA);
    let asked = server.namespace.arrivals();
    let websocket = Peer::ask(&server, &client.auth(ANA));
    assert_eq!(server.next_event().what, "connect");
    let end = Place {
        log: LogId(1),
        offset: began,
    };
    // It was asked for before the client came: the client may only be ahead.
    server.namespace.handle_log_end(end, asked);
    server
        .namespace
        .handle_log_end(end, server.namespace.arrivals());
    let back = Peer::let_in(&server, websocket);
    back.assert_refused(&client, RecoveryRefusal::LostEnd);
    let lost = Place {
        log: LogId(1),
        offset: later,
    };
    assert_eq!(server.namespace.take_lost(), Some(lost));
    assert_eq!(server.namespace.take_lost(), None);
}
