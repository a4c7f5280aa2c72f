//! Clients that come back to a process whose log others have too.

use std::time::Duration;

use hd_replay::{Gap, LogConfig, LogId, Offset};
use hd_rooms::Audience;
use hd_ws_server::{Publication, RecoveryRefusal};
use serde_json::value::RawValue;
use socketio_proto::{EventName, OutgoingArgs};

use crate::recovery::{ANA, MANY, Peer, mac, start_as, to};
use crate::socket_server::SocketServer;

/// A server whose log others have too.
fn start_shared(began: Offset) -> SocketServer {
    let server = start_as(LogConfig::default(), vec![mac(1)], true);
    server.namespace.begin_log_at(LogId(1), began);
    server
}

fn publish_at(server: &SocketServer, audience: &Audience, number: u32, offset: Offset) {
    publish_at_with_ttl(server, audience, number, offset, None);
}

fn publish_at_with_ttl(
    server: &SocketServer,
    audience: &Audience,
    number: u32,
    offset: Offset,
    ttl: Option<Duration>,
) {
    let number = RawValue::from_string(number.to_string()).expect("a number");
    server.namespace.publish_at(
        offset,
        &Publication {
            audience,
            name: EventName::new("e").expect("not reserved"),
            args: OutgoingArgs::new(&[&*number]),
            ttl,
            id: None,
        },
    );
}

/// Offsets of a log that began a second ago.
pub(crate) fn shared_offsets() -> impl Fn(u64) -> Offset {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    let began = u64::try_from(now.as_millis()).expect("a time") - 1000;
    move |count| Offset::new(began, count)
}

#[test]
fn a_client_of_one_process_comes_back_to_another() {
    let at = shared_offsets();
    let servers = [start_shared(at(0)), start_shared(at(0))];
    let mut client = Peer::connect(&servers[0], ANA);
    let ana = to("ana");
    for server in &servers {
        publish_at(server, &ana, 1, at(1));
    }
    assert_eq!(client.next(), 1);
    client.drop_connection(&servers[0]);
    for server in &servers {
        publish_at(server, &ana, 2, at(2));
        // Twice does not count.
        publish_at(server, &ana, 2, at(2));
    }
    let mut back = client.back(&servers[1], ANA);
    back.assert_recovered(&client, &[2]);
    publish_at(&servers[1], &ana, 3, at(3));
    assert_eq!(back.next(), 3);
}

#[test]
fn a_process_that_lags_behind_waits_until_it_is_where_the_client_was() {
    let at = shared_offsets();
    let (ahead, behind) = (start_shared(at(0)), start_shared(at(0)));
    let mut client = Peer::connect(&ahead, ANA);
    let ana = to("ana");
    publish_at(&ahead, &ana, 1, at(1));
    publish_at(&ahead, &ana, 2, at(2));
    assert_eq!([client.next(), client.next()], [1, 2]);
    let websocket = Peer::ask(&behind, &client.auth(ANA));
    // It has asked, and is not let in yet.
    assert_eq!(behind.next_event().what, "connect");
    // Else it might be let in before the third.
    let held = behind.hold_worker();
    for number in 1..=3 {
        publish_at(&behind, &ana, number, at(number.into()));
    }
    drop(held);
    let back = Peer::let_in(&behind, websocket);
    back.assert_recovered(&client, &[3]);
}

#[test]
fn a_process_that_lags_behind_waits_for_a_client_that_was_sent_nothing() {
    let at = shared_offsets();
    let (ahead, behind) = (start_shared(at(0)), start_shared(at(0)));
    publish_at(&ahead, &to("luis"), 1, at(1));
    let client = Peer::connect(&ahead, ANA);
    let websocket = Peer::ask(&behind, &client.auth(ANA));
    assert_eq!(behind.next_event().what, "connect");
    publish_at(&behind, &to("luis"), 1, at(1));
    Peer::let_in(&behind, websocket).assert_recovered(&client, &[]);
}

/// A process that does not reach Redis may lag behind for long.
#[test]
fn who_is_ahead_of_a_process_is_not_sent_again_what_that_reads_later() {
    let at = shared_offsets();
    let (ahead, behind) = (start_shared(at(0)), start_shared(at(0)));
    let mut client = Peer::connect(&ahead, ANA);
    let mut other = Peer::connect(&behind, ANA);
    let everyone = Audience::everyone();
    for number in 1..=2 {
        publish_at(&ahead, &everyone, number, at(number.into()));
        assert_eq!(client.next(), number);
    }
    let back = client.back(&behind, ANA);
    back.assert_recovered(&client, &[]);
    // It comes back there once more, and has been sent nothing meanwhile.
    back.drop_connection(&behind);
    let mut again = back.back(&behind, ANA);
    again.assert_recovered(&client, &[]);
    // More than are served where an event is published.
    let many: Vec<_> = (0..MANY)
        .map(|_| Peer::connect(&behind, r#""user":7,"room":"luis""#))
        .collect();
    for number in 1..=4 {
        publish_at(&behind, &everyone, number, at(number.into()));
    }
    assert_eq!([again.next(), again.next()], [3, 4]);
    assert_eq!([(); 4].map(|()| other.next()), [1, 2, 3, 4]);
    drop(many);
}

#[test]
fn an_offset_from_the_far_future_is_of_no_process() {
    let at = shared_offsets();
    let server = start_shared(at(0));
    let mut client = Peer::connect(&server, ANA);
    publish_at(&server, &to("ana"), 1, at(1));
    client.next();
    client.offset = Some(Offset::new(u64::MAX / 2, 0).to_string());
    client
        .back(&server, ANA)
        .assert_refused(&client, RecoveryRefusal::Gap(Gap::AfterLog));
}

#[test]
fn who_was_ahead_of_a_log_has_no_part_in_the_next_one() {
    let at = shared_offsets();
    let (ahead, behind) = (start_shared(at(0)), start_shared(at(0)));
    let mut client = Peer::connect(&ahead, ANA);
    publish_at(&ahead, &to("ana"), 1, at(5));
    assert_eq!(client.next(), 1);
    let mut back = client.back(&behind, ANA);
    back.assert_recovered(&client, &[]);
    // Redis has lost that event, and what comes next is before it by a clock that was set back.
    behind.namespace.begin_log_at(LogId(2), at(1));
    publish_at(&behind, &to("ana"), 2, at(2));
    assert_eq!(back.next(), 2);
}

#[test]
fn the_life_of_an_event_of_a_shared_log_began_when_it_was_published() {
    let at = shared_offsets(); // a second ago
    let server = start_shared(at(0));
    let client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    let ana = to("ana");
    for (number, ttl) in [
        (1, Duration::from_millis(500)),
        (2, Duration::from_secs(60)),
    ] {
        publish_at_with_ttl(&server, &ana, number, at(number.into()), Some(ttl));
    }
    client.back(&server, ANA).assert_recovered(&client, &[2]);
}

#[test]
fn who_was_there_before_a_log_that_begins_anew_is_told() {
    let at = shared_offsets();
    let server = start_shared(at(0));
    let client = Peer::connect(&server, ANA);
    client.drop_connection(&server);
    publish_at(&server, &to("ana"), 1, at(1));
    server.namespace.begin_log_at(LogId(1), at(5));
    let back = client.back(&server, ANA);
    back.assert_refused(&client, RecoveryRefusal::Gap(Gap::BeforeLog));
}

#[test]
fn who_was_there_before_another_log_is_told_though_its_offset_is_in_both() {
    let at = shared_offsets();
    let server = start_shared(at(0));
    let mut client = Peer::connect(&server, ANA);
    publish_at(&server, &to("ana"), 1, at(2));
    assert_eq!(client.next(), 1);
    client.drop_connection(&server);
    server.namespace.begin_log_at(LogId(2), at(0));
    publish_at(&server, &to("ana"), 2, at(1));
    publish_at(&server, &to("ana"), 3, at(2));
    let back = client.back(&server, ANA);
    back.assert_refused(&client, RecoveryRefusal::OtherLog);
}

#[test]
fn a_process_that_has_not_heard_of_another_log_waits_for_it() {
    let at = shared_offsets();
    let (ahead, behind) = (start_shared(at(0)), start_shared(at(0)));
    ahead.namespace.begin_log_at(LogId(2), at(3));
    let client = Peer::connect(&ahead, ANA);
    let websocket = Peer::ask(&behind, &client.auth(ANA));
    assert_eq!(behind.next_event().what, "connect");
    // Else it might be let in before the event.
    let held = behind.hold_worker();
    behind.namespace.begin_log_at(LogId(2), at(3));
    publish_at(&behind, &to("ana"), 1, at(4));
    drop(held);
    Peer::let_in(&behind, websocket).assert_recovered(&client, &[1]);
}
