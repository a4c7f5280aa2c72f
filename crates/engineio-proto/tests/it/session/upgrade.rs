use std::time::Duration;

use engineio_proto::{
    CloseReason, EncodedPacket, Event, Packet, PacketType, ProtocolViolation, TimerReason,
    Transport, UpgradeStep,
};

use crate::pair::{Pair, secs};
use crate::wire::{Received, text};

fn pong_probe() -> UpgradeStep {
    UpgradeStep::Answer(EncodedPacket::control(PacketType::Pong, "probe"))
}

/// A session that has just moved to its WebSocket.
fn upgraded() -> Pair {
    let mut pair = Pair::upgrading();
    assert_eq!(pair.upgrade_frame("2probe"), pong_probe());
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Complete);
    assert_eq!(pair.session.poll_event(), Some(Event::Upgraded));
    pair
}

#[test]
fn a_probe_and_an_upgrade_packet_move_the_session() {
    let mut pair = Pair::upgrading();
    pair.assert_open(Transport::Polling);
    assert_eq!(pair.upgrade_frame("2probe"), pong_probe());
    pair.assert_open(Transport::Polling);
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Complete);
    assert_eq!(pair.session.poll_event(), Some(Event::Upgraded));
    pair.assert_open(Transport::WebSocket);
    assert_eq!(pair.frame("4hi"), Ok(Some("hi".to_owned())));
}

#[test]
fn the_upgrade_packet_is_taken_without_a_probe() {
    let mut pair = Pair::upgrading();
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Complete);
    assert_eq!(pair.session.poll_event(), Some(Event::Upgraded));
    pair.assert_open(Transport::WebSocket);
}

#[test]
fn the_probe_may_be_repeated() {
    let mut pair = Pair::upgrading();
    assert_eq!(pair.upgrade_frame("2probe"), pong_probe());
    assert_eq!(pair.upgrade_frame("2probe"), pong_probe());
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Complete);
}

#[test]
fn a_waiting_poll_is_released_once_the_probe_is_answered() {
    let mut pair = Pair::upgrading();
    assert_eq!(pair.get(), None, "not before the probe");
    pair.upgrade_frame("2probe");
    assert_eq!(pair.response().unwrap(), "6");
    assert_eq!(pair.get().unwrap(), "6", "and so is the next");
}

#[test]
fn data_goes_on_by_polling_until_the_upgrade_packet() {
    let mut pair = Pair::upgrading();
    pair.send("one");
    assert_eq!(pair.get().unwrap(), "4one");
    pair.upgrade_frame("2probe");
    pair.send("two");
    assert!(pair.session.poll_transmit().is_none());
    assert_eq!(pair.get().unwrap(), "4two");
    assert_eq!(pair.post("4up").unwrap(), ["up"]);
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Complete);
    pair.send("three");
    assert_eq!(pair.read(), [text("4three")]);
}

#[test]
fn what_was_not_fetched_is_written_in_order() {
    let mut pair = Pair::upgrading();
    pair.upgrade_frame("2probe");
    pair.send("one");
    pair.send("two");
    pair.upgrade_frame("5");
    pair.send("three");
    assert_eq!(pair.read(), [text("4one"), text("4two"), text("4three")]);
}

#[test]
fn a_poll_that_waits_when_the_session_moves_is_released_without_data() {
    let mut pair = Pair::upgrading();
    assert_eq!(pair.get(), None);
    pair.upgrade_frame("5");
    pair.send("data");
    assert_eq!(pair.response().unwrap(), "6");
    assert_eq!(pair.response(), None);
    assert_eq!(pair.read(), [text("4data")]);
}

#[test]
fn a_poll_given_up_after_the_move_is_no_loss() {
    let mut pair = Pair::upgrading();
    assert_eq!(pair.get(), None);
    pair.upgrade_frame("5");
    pair.session.handle_poll_aborted();
    assert_eq!(pair.session.poll_event(), Some(Event::Upgraded));
    pair.assert_open(Transport::WebSocket);

    // Nor while the WebSocket is closing.
    let mut pair = Pair::upgrading();
    assert_eq!(pair.get(), None);
    pair.upgrade_frame("5");
    pair.send("last");
    pair.session.close(CloseReason::ForcedClose, pair.now);
    pair.session.handle_poll_aborted();
    assert_eq!(pair.read(), [text("4last"), Received::Close(None)]);
}

#[test]
fn a_poll_left_from_before_the_move_is_released_by_the_end() {
    for (written, reason, body) in [
        (0, CloseReason::TransportError, "1"),
        (3, CloseReason::TransportError, "1"),
        (0, CloseReason::TransportClose, "6"),
    ] {
        let mut pair = Pair::upgrading();
        assert_eq!(pair.get(), None);
        pair.upgrade_frame("5");
        pair.send("written");
        pair.write(written);
        pair.session.abort(reason);
        assert_eq!(pair.response().unwrap(), body);
        assert!(pair.session.poll_transmit().is_some(), "the close frame");
    }
}

#[test]
fn a_post_that_was_being_read_when_the_session_moved_is_finished() {
    let mut pair = Pair::upgrading();
    pair.session.handle_post(pair.now).unwrap();
    pair.upgrade_frame("2probe");
    pair.upgrade_frame("5");
    assert_eq!(pair.post_body("4late\x1e3").unwrap(), ["late"]);
    pair.session.handle_post_end();
    assert_eq!(pair.session.poll_event(), Some(Event::Upgraded));
    pair.assert_open(Transport::WebSocket);
    assert_eq!(
        pair.post_body("4too late"),
        Ok(vec![]),
        "only that one POST"
    );
}

#[test]
fn a_post_given_up_after_the_move_is_no_loss() {
    let mut pair = Pair::upgrading();
    pair.session.handle_post(pair.now).unwrap();
    pair.upgrade_frame("5");
    pair.session.handle_post_aborted();
    assert_eq!(pair.session.poll_event(), Some(Event::Upgraded));
    pair.assert_open(Transport::WebSocket);
}

#[test]
fn polling_after_the_move_is_refused() {
    let mut pair = upgraded();
    let mismatch = Err(ProtocolViolation::TransportMismatch);
    assert_eq!(pair.session.handle_poll(None, pair.now), mismatch);
    assert_eq!(pair.session.handle_post(pair.now), mismatch);
    pair.assert_open(Transport::WebSocket);
}

#[test]
fn any_other_packet_closes_the_new_transport_only() {
    for packet in [
        "0{}", "1", "2", "2prob", "2probe ", "3", "3probe", "4hi", "6", "bAQI=",
    ] {
        for is_probed in [false, true] {
            let mut pair = Pair::upgrading();
            if is_probed {
                pair.upgrade_frame("2probe");
            }
            assert_eq!(pair.upgrade_frame(packet), UpgradeStep::Refused, "{packet}");
            assert_eq!(
                pair.upgrade_frame("5"),
                UpgradeStep::Refused,
                "the upgrade is over"
            );
            pair.assert_open(Transport::Polling);
            assert_eq!(pair.get(), None, "polls wait again");
        }
    }
}

#[test]
fn a_binary_frame_closes_the_new_transport_only() {
    let mut pair = Pair::upgrading();
    let packet = Packet::from_binary(b"5");
    let step = pair.upgrade_packet(&packet);
    assert_eq!(step, UpgradeStep::Refused);
    pair.assert_open(Transport::Polling);
}

#[test]
fn the_end_of_the_new_transport_leaves_the_session_polling() {
    let mut pair = Pair::upgrading();
    pair.upgrade_frame("2probe");
    pair.send("kept");
    pair.abort_upgrade();
    pair.assert_open(Transport::Polling);
    assert_eq!(pair.get().unwrap(), "4kept");
    assert_eq!(pair.get(), None);
    assert!(pair.start_upgrade(), "it may try again");
    assert_eq!(pair.response(), None);
    assert_eq!(pair.upgrade_frame("2probe"), pong_probe());
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Complete);
}

#[test]
fn an_upgrade_that_takes_too_long_is_given_up() {
    let mut pair = Pair::upgrading();
    pair.upgrade_frame("2probe");
    assert_eq!(
        pair.timeout(),
        Some((secs(10), TimerReason::UpgradeTimeout))
    );
    assert_eq!(pair.next_timeout(), Some(TimerReason::UpgradeTimeout));
    pair.assert_open(Transport::Polling);
    assert_eq!(pair.get(), None);
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Refused);
    assert_eq!(pair.timeout(), Some((secs(15), TimerReason::PingInterval)));
}

#[test]
fn an_upgrade_packet_at_the_deadline_is_too_late() {
    let mut pair = Pair::upgrading();
    pair.upgrade_frame("2probe");
    pair.pass(secs(10) - Duration::from_nanos(1));
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Complete);

    let mut pair = Pair::upgrading();
    pair.upgrade_frame("2probe");
    pair.pass(secs(10));
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Refused);
    pair.assert_open(Transport::Polling);
}

#[test]
fn a_heartbeat_that_is_due_first_comes_first() {
    let mut pair = Pair::polling();
    pair.pass(secs(20));
    assert!(pair.start_upgrade());
    assert_eq!(pair.timeout(), Some((secs(5), TimerReason::PingInterval)));
    assert_eq!(pair.next_timeout(), Some(TimerReason::PingInterval));
    assert_eq!(pair.timeout(), Some((secs(5), TimerReason::UpgradeTimeout)));
}

#[test]
fn one_upgrade_runs_at_a_time_and_one_is_enough() {
    let mut pair = Pair::upgrading();
    assert!(!pair.start_upgrade());
    pair.upgrade_frame("2probe");
    assert!(!pair.start_upgrade());
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Complete);
    assert!(!pair.start_upgrade());
    assert_eq!(pair.upgrade_frame("2probe"), UpgradeStep::Refused);
    pair.abort_upgrade();
    assert!(pair.session.is_open());

    let mut direct = Pair::websocket();
    assert!(!direct.start_upgrade());
    direct.assert_open(Transport::WebSocket);
}

#[test]
fn an_upgrade_that_is_over_has_no_say_in_the_next() {
    let mut pair = Pair::upgrading();
    let first = pair.upgrade.unwrap();
    pair.next_timeout();
    assert!(pair.start_upgrade());
    pair.session.handle_upgrade_aborted(first);
    for packet in [Packet::Ping("probe"), Packet::Upgrade, Packet::Noop] {
        assert_eq!(
            pair.session.handle_upgrade_packet(first, &packet, pair.now),
            UpgradeStep::Refused
        );
    }
    pair.assert_open(Transport::Polling);
    assert_eq!(pair.upgrade_frame("2probe"), pong_probe());
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Complete);
    pair.session.handle_upgrade_aborted(first);
    assert_eq!(pair.session.poll_event(), Some(Event::Upgraded));
    pair.assert_open(Transport::WebSocket);
}

#[test]
fn closing_during_an_upgrade_goes_by_polling() {
    let mut pair = Pair::upgrading();
    pair.upgrade_frame("2probe");
    pair.send("last");
    pair.session.close(CloseReason::ForcedClose, pair.now);
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Refused);
    assert!(pair.session.poll_transmit().is_none());
    assert_eq!(pair.get().unwrap(), "4last");
    assert_eq!(pair.get().unwrap(), "1");
    pair.assert_closed(Event::Closed(CloseReason::ForcedClose));
    assert_eq!(pair.upgrade_frame("2probe"), UpgradeStep::Refused);
}

#[test]
fn a_session_that_ends_during_an_upgrade_refuses_the_new_transport() {
    let mut pair = Pair::upgrading();
    assert_eq!(pair.get(), None);
    assert_eq!(
        pair.session.handle_poll(None, pair.now),
        Err(ProtocolViolation::OverlappingPoll)
    );
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Refused);
    assert_eq!(pair.response().unwrap(), "1");
    pair.assert_closed(Event::Closed(CloseReason::TransportError));
    assert!(pair.session.poll_transmit().is_none());
}

#[test]
fn a_client_that_goes_away_during_an_upgrade_is_gone() {
    let mut pair = Pair::upgrading();
    assert_eq!(pair.get(), None);
    pair.session.handle_poll_aborted();
    pair.assert_closed(Event::Closed(CloseReason::TransportError));

    let mut pair = Pair::upgrading();
    pair.session.handle_post(pair.now).unwrap();
    pair.session.handle_post_aborted();
    pair.assert_closed(Event::Closed(CloseReason::TransportError));

    let mut pair = Pair::upgrading();
    pair.post("1").unwrap();
    pair.assert_closed(Event::Closed(CloseReason::TransportClose));
}

#[test]
fn an_end_before_the_upgrade_was_told_is_what_counts() {
    let mut pair = Pair::upgrading();
    pair.upgrade_frame("5");
    pair.session.abort(CloseReason::ParseError);
    pair.assert_closed(Event::Closed(CloseReason::ParseError));
}
