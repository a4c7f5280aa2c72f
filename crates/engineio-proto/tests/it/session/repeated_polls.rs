//! Polls that something on the way sends again.

use engineio_proto::{
    CacheBuster, CloseReason, Event, ProtocolViolation, Revision, TimerReason, Transport,
    UpgradeStep,
};

use crate::pair::{Pair, secs};

const REPEATED: Result<(), ProtocolViolation> = Err(ProtocolViolation::RepeatedPoll);
const ERROR: Event = Event::Closed(CloseReason::TransportError);

/// The answer may be lost, and may have arrived: the client knows.
#[test]
fn a_poll_that_was_answered_already_ends_the_session() {
    let mut pair = Pair::polling();
    pair.send("lost on the way");
    assert_eq!(pair.get().unwrap(), "4lost on the way");
    pair.send("later");
    assert_eq!(pair.repeat_poll(0), REPEATED);
    pair.assert_closed(ERROR);
    assert_eq!(pair.response(), None);
    assert_eq!(pair.poll(), Err(ProtocolViolation::SessionEnded));
}

#[test]
fn the_poll_after_the_handshake_may_be_repeated_too() {
    let mut pair = Pair::polling();
    assert_eq!(pair.get(), None);
    assert_eq!(
        pair.next_timeout(),
        Some(TimerReason::PingInterval),
        "what the answer holds makes no difference"
    );
    assert_eq!(pair.response().unwrap(), "2");
    assert_eq!(pair.repeat_poll(0), REPEATED);
    pair.assert_closed(ERROR);
}

#[test]
fn a_poll_that_is_repeated_while_it_waits_ends_the_session() {
    let mut pair = Pair::polling();
    assert_eq!(pair.get(), None);
    assert_eq!(pair.repeat_poll(0), Err(ProtocolViolation::OverlappingPoll));
    // For the first of the two, whose client may be there.
    assert_eq!(pair.response().unwrap(), "1");
    pair.assert_closed(ERROR);
}

/// It was held up on the way, and its client has polled since.
#[test]
fn a_poll_of_some_time_ago_is_recognized() {
    for age in 0..16 {
        let mut pair = Pair::polling();
        pair.pass(secs(1));
        for _ in 0..16 {
            pair.send("x");
            assert_eq!(pair.get().unwrap(), "4x");
        }
        pair.send("not for it");
        assert_eq!(pair.repeat_poll(age), REPEATED);
        pair.assert_closed(ERROR);
        assert_eq!(pair.response(), None);
    }
}

#[test]
fn a_poll_of_some_time_ago_does_not_get_what_another_waits_for() {
    let mut pair = Pair::polling();
    pair.send("x");
    assert_eq!(pair.get().unwrap(), "4x");
    assert_eq!(pair.get(), None);
    assert_eq!(pair.repeat_poll(1), Err(ProtocolViolation::OverlappingPoll));
    assert_eq!(pair.response().unwrap(), "1");
    pair.assert_closed(ERROR);
}

#[test]
fn a_repeated_poll_ends_a_closing_session() {
    let mut pair = Pair::polling();
    pair.send("lost on the way");
    pair.session.close(CloseReason::TooOld, pair.now);
    assert_eq!(pair.get().unwrap(), "4lost on the way");
    assert_eq!(pair.repeat_poll(0), REPEATED);
    pair.assert_closed(ERROR);
    assert_eq!(pair.response(), None);
}

#[test]
fn a_repeated_poll_for_the_close_packet_finds_no_session() {
    let mut pair = Pair::polling();
    pair.session.close(CloseReason::TooOld, pair.now);
    assert_eq!(pair.get().unwrap(), "1");
    assert_eq!(pair.repeat_poll(0), Err(ProtocolViolation::SessionEnded));
    pair.assert_closed(Event::Closed(CloseReason::TooOld));
}

/// The client completes the upgrade when it has the answer to its poll.
#[test]
fn a_repeated_poll_ends_a_session_that_upgrades() {
    let mut pair = Pair::upgrading();
    assert_eq!(pair.get(), None);
    assert!(matches!(
        pair.upgrade_frame("2probe"),
        UpgradeStep::Answer(_)
    ));
    assert_eq!(pair.response().unwrap(), "6");
    assert_eq!(pair.repeat_poll(0), REPEATED);
    pair.assert_closed(ERROR);
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Refused);
}

#[test]
fn a_repeated_poll_does_not_touch_a_session_that_has_upgraded() {
    let mut pair = Pair::upgrading();
    pair.send("x");
    assert_eq!(pair.get().unwrap(), "4x");
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Complete);
    assert_eq!(pair.session.poll_event(), Some(Event::Upgraded));
    assert_eq!(
        pair.repeat_poll(0),
        Err(ProtocolViolation::TransportMismatch)
    );
    pair.assert_open(Transport::WebSocket);
}

#[test]
fn clients_of_revision_3_are_served_alike() {
    let mut pair = Pair::opening_as(Revision::V3, Transport::Polling, Default::default(), true);
    assert!(pair.get().unwrap().contains(":0{"));
    pair.send("lost");
    assert_eq!(pair.get().unwrap(), "5:4lost");
    assert_eq!(pair.repeat_poll(0), REPEATED);
    pair.assert_closed(ERROR);
}

/// curl, and clients with `timestampRequests: false`.
#[test]
fn polls_without_a_cache_buster_are_all_new() {
    let mut pair = Pair::opening(Transport::Polling, Default::default(), true);
    for message in ["", "one", "two", "two"] {
        if !message.is_empty() {
            pair.send(message);
        }
        pair.session.handle_poll(None, pair.now).unwrap();
        assert!(pair.response().unwrap().ends_with(message));
    }
    pair.assert_open(Transport::Polling);
}

/// A handshake has no session id, so the poll after it is another request
/// whatever it looks like.
#[test]
fn a_cache_buster_that_never_changes_says_nothing() {
    let mut pair = Pair::opening(Transport::Polling, Default::default(), true);
    for message in ["", "one", "two", "two"] {
        if !message.is_empty() {
            pair.send(message);
        }
        let constant = CacheBuster::new("constant");
        pair.session.handle_poll(constant, pair.now).unwrap();
        assert!(pair.response().unwrap().ends_with(message));
    }
    pair.assert_open(Transport::Polling);
}
