use std::time::Duration;

use engineio_proto::{
    CloseReason, Config, Event, ProtocolViolation, TimerReason, Transport, UpgradeStep,
};

use crate::pair::{Pair, secs};
use crate::wire::{Received, text};

const PING: TimerReason = TimerReason::PingInterval;
const PONG: TimerReason = TimerReason::PingTimeout;

#[test]
fn the_server_pings_after_the_interval_over_polling() {
    let mut pair = Pair::polling();
    assert_eq!(pair.timeout(), Some((secs(25), PING)));
    assert_eq!(pair.get(), None);
    assert_eq!(pair.next_timeout(), Some(PING));
    assert_eq!(pair.response().unwrap(), "2");
    assert_eq!(pair.timeout(), Some((secs(20), PONG)));
    pair.assert_open(Transport::Polling);
}

#[test]
fn the_server_pings_after_the_interval_over_websocket() {
    let mut pair = Pair::websocket();
    assert_eq!(pair.next_timeout(), Some(PING));
    assert_eq!(pair.read(), [text("2")]);
    assert_eq!(pair.timeout(), Some((secs(20), PONG)));
    pair.assert_open(Transport::WebSocket);
}

#[test]
fn the_interval_begins_with_the_pong() {
    let mut pair = Pair::websocket();
    pair.next_timeout();
    pair.pass(secs(7));
    assert_eq!(pair.frame("3"), Ok(None));
    assert_eq!(pair.timeout(), Some((secs(25), PING)));

    let mut pair = Pair::polling();
    pair.next_timeout();
    pair.pass(secs(7));
    assert_eq!(pair.post("3").unwrap(), Vec::<String>::new());
    assert_eq!(pair.timeout(), Some((secs(25), PING)));
}

#[test]
fn a_pong_that_nobody_asked_for_restarts_the_interval() {
    let mut pair = Pair::websocket();
    for _ in 0..10 {
        pair.pass(secs(24));
        pair.frame("3").unwrap();
        assert_eq!(pair.timeout(), Some((secs(25), PING)));
    }
    assert!(pair.read().is_empty(), "no ping was due");
}

#[test]
fn other_packets_do_not_count_as_pongs() {
    let mut pair = Pair::websocket();
    pair.next_timeout();
    pair.frame("4alive").unwrap();
    pair.session.handle_ping_frame(b"", pair.now);
    assert_eq!(pair.timeout(), Some((secs(20), PONG)));
}

#[test]
fn a_missing_pong_ends_a_polling_session() {
    let mut pair = Pair::polling();
    pair.next_timeout();
    assert_eq!(pair.get().unwrap(), "2");
    assert_eq!(pair.get(), None);
    assert_eq!(pair.next_timeout(), Some(PONG));
    assert_eq!(pair.response().unwrap(), "1");
    pair.assert_closed(Event::Closed(CloseReason::PingTimeout));
}

#[test]
fn a_missing_pong_ends_a_websocket_session() {
    let mut pair = Pair::websocket();
    pair.next_timeout();
    assert_eq!(pair.next_timeout(), Some(PONG));
    pair.assert_closed(Event::Closed(CloseReason::PingTimeout));
    assert_eq!(
        pair.read(),
        [Received::Close(None)],
        "the ping that was not written is dropped"
    );
}

#[test]
fn a_pong_after_the_end_changes_nothing() {
    let mut pair = Pair::websocket();
    pair.next_timeout();
    pair.next_timeout();
    assert_eq!(pair.frame("3"), Ok(None));
    pair.assert_closed(Event::Closed(CloseReason::PingTimeout));
}

#[test]
fn a_ping_by_the_client_has_the_wrong_direction() {
    for ping in ["2", "2probe"] {
        let mut polling = Pair::polling();
        assert_eq!(polling.get(), None);
        assert_eq!(
            polling.post(&format!("4first\x1e{ping}\x1e4never")),
            Err(ProtocolViolation::HeartbeatDirection)
        );
        assert_eq!(polling.response().unwrap(), "1");
        polling.assert_closed(Event::Closed(CloseReason::TransportError));

        let mut websocket = Pair::websocket();
        assert_eq!(
            websocket.frame(ping),
            Err(ProtocolViolation::HeartbeatDirection)
        );
        assert_eq!(websocket.read(), [Received::Close(None)]);
        websocket.assert_closed(Event::Closed(CloseReason::TransportError));
    }
}

#[test]
fn goes_on_while_an_upgrade_runs() {
    let config = Config {
        upgrade_timeout: secs(100),
        ..Config::default()
    };
    let mut pair = Pair::open(Transport::Polling, config);
    assert!(pair.start_upgrade());
    assert_eq!(pair.next_timeout(), Some(PING));
    assert_eq!(pair.get().unwrap(), "2");
    pair.post("3").unwrap();
    assert_eq!(pair.timeout(), Some((secs(25), PING)));
    assert_eq!(pair.next_timeout(), Some(PING));
    assert_eq!(pair.next_timeout(), Some(PONG));
    pair.assert_closed(Event::Closed(CloseReason::PingTimeout));
}

#[test]
fn a_ping_that_was_not_fetched_moves_to_the_websocket() {
    let mut pair = Pair::polling();
    pair.next_timeout();
    assert!(pair.start_upgrade());
    pair.upgrade_frame("2probe");
    pair.upgrade_frame("5");
    assert_eq!(pair.read(), [text("2")]);
    assert_eq!(pair.timeout(), Some((secs(20), PONG)));
    pair.frame("3").unwrap();
    assert_eq!(pair.timeout(), Some((secs(25), PING)));
}

/// A client counts `pingInterval + pingTimeout` from the last ping, and so does
/// the server whose timer is a little late.
#[test]
fn a_ping_that_is_a_little_late_does_not_move_the_end() {
    let mut pair = Pair::websocket();
    pair.pass(secs(26));
    pair.session.handle_timeout(pair.now);
    assert_eq!(pair.read(), [text("2")]);
    assert_eq!(pair.timeout(), Some((secs(19), PONG)));
}

/// What arrives when the time for the pong is over, and the timer has not fired.
#[test]
fn input_after_the_ping_timeout_finds_the_session_ended() {
    let overdue = |transport| {
        let mut pair = match transport {
            Transport::Polling => Pair::polling(),
            Transport::WebSocket => Pair::websocket(),
        };
        pair.next_timeout();
        pair.pass(secs(20));
        pair
    };
    let ended = Err(ProtocolViolation::SessionEnded);

    let mut pair = overdue(Transport::Polling);
    assert_eq!(pair.session.handle_poll(None, pair.now), ended);
    assert_eq!(pair.response(), None);
    pair.assert_closed(Event::Closed(CloseReason::PingTimeout));
    assert_eq!(pair.session.handle_post(pair.now), ended, "nor later");

    let mut pair = overdue(Transport::Polling);
    assert_eq!(pair.session.handle_post(pair.now), ended);
    pair.assert_closed(Event::Closed(CloseReason::PingTimeout));

    let mut pair = overdue(Transport::Polling);
    let upgrade = pair.session.handle_upgrade(pair.now);
    assert_eq!(upgrade, Err(ProtocolViolation::SessionEnded));
    pair.assert_closed(Event::Closed(CloseReason::PingTimeout));

    for packet in ["3", "4late", "1"] {
        let mut pair = overdue(Transport::WebSocket);
        assert_eq!(pair.frame(packet), Err(ProtocolViolation::SessionEnded));
        assert_eq!(pair.read(), [Received::Close(None)]);
        pair.assert_closed(Event::Closed(CloseReason::PingTimeout));
    }

    let mut pair = overdue(Transport::WebSocket);
    pair.session.handle_ping_frame(b"late", pair.now);
    assert_eq!(pair.read(), [Received::Close(None)]);
    pair.assert_closed(Event::Closed(CloseReason::PingTimeout));
}

#[test]
fn a_post_that_is_read_past_the_ping_timeout_ends_the_session() {
    let mut pair = Pair::polling();
    pair.next_timeout();
    pair.pass(secs(19));
    assert_eq!(pair.session.handle_post(pair.now), Ok(()));
    pair.pass(secs(1));
    assert_eq!(
        pair.post_body("3\x1e4late"),
        Err(ProtocolViolation::SessionEnded)
    );
    pair.assert_closed(Event::Closed(CloseReason::PingTimeout));
}

#[test]
fn a_frame_on_the_new_transport_is_too_late_after_the_ping_timeout() {
    let mut pair = Pair::polling();
    pair.next_timeout();
    pair.pass(secs(15));
    assert!(pair.start_upgrade());
    pair.pass(secs(5));
    assert_eq!(pair.upgrade_frame("2probe"), UpgradeStep::Refused);
    pair.assert_closed(Event::Closed(CloseReason::PingTimeout));
}

#[test]
fn a_late_call_counts_from_when_it_comes() {
    let mut pair = Pair::websocket();
    pair.pass(secs(100));
    pair.session.handle_timeout(pair.now);
    assert_eq!(pair.read(), [text("2")], "one ping, however late");
    assert_eq!(pair.timeout(), Some((secs(20), PONG)));
}

#[test]
fn the_settings_are_used() {
    let config = Config {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let mut pair = Pair::open(Transport::WebSocket, config);
    assert_eq!(pair.timeout(), Some((Duration::from_millis(300), PING)));
    pair.next_timeout();
    assert_eq!(pair.timeout(), Some((Duration::from_millis(200), PONG)));
}
