use engineio_proto::{
    CloseReason, EncodedPacket, Event, ProtocolViolation, SendError, TimerReason, Transport,
};

use crate::pair::{Pair, secs};
use crate::wire::{Received, text};

const FORCED: CloseReason = CloseReason::ForcedClose;

#[test]
fn a_close_packet_by_polling_ends_the_session_and_releases_the_poll_with_noop() {
    let mut pair = Pair::polling();
    assert_eq!(pair.get(), None);
    assert_eq!(pair.post("4last\x1e1\x1e4never").unwrap(), ["last"]);
    assert_eq!(pair.response().unwrap(), "6");
    pair.assert_closed(Event::Closed(CloseReason::TransportClose));
}

#[test]
fn closing_with_a_waiting_poll_answers_it_and_ends() {
    let mut pair = Pair::polling();
    assert_eq!(pair.get(), None);
    pair.session.close(FORCED, pair.now);
    assert_eq!(pair.response().unwrap(), "1");
    pair.assert_closed(Event::Closed(FORCED));
}

#[test]
fn closing_waits_for_the_poll_that_fetches_the_rest() {
    let mut pair = Pair::polling();
    pair.send("last");
    pair.session.close(FORCED, pair.now);
    pair.assert_closing(Transport::Polling);
    pair.pass(secs(29));
    assert_eq!(pair.get().unwrap(), "4last");
    pair.assert_closing(Transport::Polling);
    assert_eq!(pair.get().unwrap(), "1");
    pair.assert_closed(Event::Closed(FORCED));
}

/// engine.io-client closes when it reads the close packet, before the messages
/// of the same answer have reached the application.
#[test]
fn a_close_packet_is_never_in_one_answer_with_a_message() {
    // The poll waits, and its answer is fetched after both calls.
    let mut waiting = Pair::polling();
    assert_eq!(waiting.get(), None);
    waiting.send("last");
    waiting.session.close(FORCED, waiting.now);
    assert_eq!(waiting.response().unwrap(), "4last");
    waiting.assert_closing(Transport::Polling);
    assert_eq!(waiting.get().unwrap(), "1");
    waiting.assert_closed(Event::Closed(FORCED));

    // As many as one answer holds, and one more.
    let mut full = Pair::polling();
    for _ in 0..17 {
        full.send("x");
    }
    full.session.close(FORCED, full.now);
    assert_eq!(full.get().unwrap().matches("4x").count(), 16);
    assert_eq!(full.get().unwrap(), "4x");
    assert_eq!(full.get().unwrap(), "1");
    full.assert_closed(Event::Closed(FORCED));

    // The session ends while it closes and a poll waits.
    let mut aborted = Pair::polling();
    assert_eq!(aborted.get(), None);
    aborted.send("last");
    aborted.session.close(FORCED, aborted.now);
    aborted.session.abort(CloseReason::ServerShuttingDown);
    assert_eq!(aborted.response().unwrap(), "4last");
    aborted.assert_closed(Event::Closed(CloseReason::ServerShuttingDown));
}

#[test]
fn a_client_that_never_fetches_the_close_packet_ends_in_time() {
    let mut pair = Pair::polling();
    pair.send("last");
    pair.session.close(FORCED, pair.now);
    pair.pass(secs(10));
    assert_eq!(pair.get().unwrap(), "4last");
    assert_eq!(pair.timeout(), Some((secs(20), TimerReason::CloseTimeout)));
    assert_eq!(pair.next_timeout(), Some(TimerReason::CloseTimeout));
    pair.assert_closed(Event::Closed(FORCED));
    assert!(!pair.session.has_lost_messages());
}

#[test]
fn a_closing_session_that_is_not_fetched_ends_in_time() {
    let mut pair = Pair::polling();
    pair.send("lost");
    pair.session.close(FORCED, pair.now);
    assert_eq!(pair.timeout(), Some((secs(30), TimerReason::CloseTimeout)));
    assert_eq!(pair.next_timeout(), Some(TimerReason::CloseTimeout));
    pair.assert_closed(Event::Closed(FORCED));
}

/// A load balancer may send its polls to another server by then.
#[test]
fn a_session_that_is_not_fetched_during_a_shutdown_ends_sooner() {
    let mut pair = Pair::polling();
    pair.send("last");
    pair.session
        .close(CloseReason::ServerShuttingDown, pair.now);
    assert_eq!(pair.timeout(), Some((secs(5), TimerReason::CloseTimeout)));
    assert_eq!(pair.next_timeout(), Some(TimerReason::CloseTimeout));
    pair.assert_closed(Event::Closed(CloseReason::ServerShuttingDown));
}

#[test]
fn a_post_to_a_closing_session_does_not_cost_it_what_waits() {
    let mut pair = Pair::polling();
    pair.send("last");
    pair.session.close(FORCED, pair.now);
    assert_eq!(pair.post("4crossed\x1e3\x1e2"), Ok(vec![]));
    pair.session.handle_post(pair.now).unwrap();
    pair.session.handle_post_aborted();
    assert_eq!(pair.get().unwrap(), "4last");
    assert_eq!(pair.get().unwrap(), "1");
    pair.assert_closed(Event::Closed(FORCED));
}

#[test]
fn a_close_packet_to_a_closing_session_ends_it() {
    let mut pair = Pair::polling();
    pair.session.close(FORCED, pair.now);
    assert_eq!(pair.post("1"), Ok(vec![]));
    pair.assert_closed(Event::Closed(FORCED));
}

#[test]
fn overlapping_requests_end_a_closing_session() {
    let mut pair = Pair::polling();
    pair.session.close(FORCED, pair.now);
    pair.session.handle_post(pair.now).unwrap();
    assert_eq!(
        pair.session.handle_post(pair.now),
        Err(ProtocolViolation::OverlappingPost)
    );
    pair.assert_closed(Event::Closed(CloseReason::TransportError));

    let mut pair = Pair::polling();
    pair.session.close(FORCED, pair.now);
    pair.session.handle_poll(None, pair.now).unwrap();
    assert_eq!(
        pair.session.handle_poll(None, pair.now),
        Err(ProtocolViolation::OverlappingPoll)
    );
    pair.assert_closed(Event::Closed(CloseReason::TransportError));
}

#[test]
fn a_poll_given_up_ends_a_closing_session() {
    let mut pair = Pair::polling();
    pair.session.close(FORCED, pair.now);
    pair.session.handle_poll(None, pair.now).unwrap();
    pair.session.handle_poll_aborted();
    pair.assert_closed(Event::Closed(CloseReason::TransportError));
}

#[test]
fn closing_a_websocket_writes_the_rest_and_a_close_frame() {
    let mut pair = Pair::websocket();
    pair.send("last");
    pair.session.close(FORCED, pair.now);
    pair.assert_closing(Transport::WebSocket);
    // `4last` has 7 bytes, a close frame without status has 2.
    pair.write(8);
    pair.assert_closing(Transport::WebSocket);
    pair.write(1);
    assert_eq!(pair.received(), [text("4last"), Received::Close(None)]);
    pair.assert_closed(Event::Closed(FORCED));
}

#[test]
fn a_closing_websocket_that_takes_nothing_ends_in_time() {
    let mut pair = Pair::websocket();
    pair.send("lost");
    pair.session.close(FORCED, pair.now);
    assert_eq!(pair.timeout(), Some((secs(30), TimerReason::CloseTimeout)));
    assert_eq!(pair.next_timeout(), Some(TimerReason::CloseTimeout));
    pair.assert_closed(Event::Closed(FORCED));
    assert_eq!(pair.read(), [Received::Close(None)]);
}

#[test]
fn a_closing_websocket_may_break() {
    let mut pair = Pair::websocket();
    pair.session.close(FORCED, pair.now);
    pair.session
        .handle_transport_closed(CloseReason::TransportError);
    pair.assert_closed(Event::Closed(CloseReason::TransportError));
    assert!(pair.session.poll_transmit().is_none());
}

#[test]
fn the_reason_picks_the_status_of_the_close_frame() {
    for (reason, status) in [
        (CloseReason::TransportError, None),
        (CloseReason::TransportClose, None),
        (CloseReason::ForcedClose, None),
        (CloseReason::PingTimeout, None),
        (CloseReason::ParseError, None),
        (CloseReason::ServerShuttingDown, Some(1012)),
        (CloseReason::TooOld, Some(1012)),
        (CloseReason::SendQueueFull, Some(1008)),
    ] {
        let mut closed = Pair::websocket();
        closed.session.close(reason, closed.now);
        assert_eq!(closed.read(), [Received::Close(status)]);
        closed.assert_closed(Event::Closed(reason));

        let mut aborted = Pair::websocket();
        aborted.session.abort(reason);
        assert_eq!(aborted.read(), [Received::Close(status)]);
        aborted.assert_closed(Event::Closed(reason));
    }
}

#[test]
fn reasons_have_the_words_of_engine_io() {
    for (reason, words) in [
        (CloseReason::TransportError, "transport error"),
        (CloseReason::TransportClose, "transport close"),
        (CloseReason::ForcedClose, "forced close"),
        (CloseReason::PingTimeout, "ping timeout"),
        (CloseReason::ParseError, "parse error"),
        (CloseReason::ServerShuttingDown, "server shutting down"),
        (CloseReason::TooOld, "connection too old"),
        (CloseReason::SendQueueFull, "send queue full"),
    ] {
        assert_eq!(reason.as_str(), words);
    }
}

#[test]
fn the_first_of_two_closes_counts() {
    let mut pair = Pair::websocket();
    pair.session.close(FORCED, pair.now);
    pair.pass(secs(10));
    pair.session
        .close(CloseReason::ServerShuttingDown, pair.now);
    assert_eq!(pair.timeout(), Some((secs(20), TimerReason::CloseTimeout)));
    assert_eq!(pair.read(), [Received::Close(None)]);
    pair.assert_closed(Event::Closed(FORCED));
}

#[test]
fn aborting_drops_what_has_not_begun_and_finishes_a_frame() {
    let mut pair = Pair::websocket();
    pair.send("begun");
    pair.send("dropped");
    pair.write(3);
    pair.session.abort(CloseReason::ParseError);
    assert_eq!(pair.read(), [text("4begun"), Received::Close(None)]);
    pair.assert_closed(Event::Closed(CloseReason::ParseError));
}

#[test]
fn one_close_frame_is_enough() {
    let mut pair = Pair::websocket();
    pair.session
        .close(CloseReason::ServerShuttingDown, pair.now);
    pair.write(1);
    pair.session.abort(FORCED);
    assert_eq!(pair.read(), [Received::Close(Some(1012))]);
}

#[test]
fn a_closing_session_takes_no_messages_and_does_not_ping() {
    for mut pair in [Pair::polling(), Pair::websocket()] {
        pair.session.close(FORCED, pair.now);
        let late = EncodedPacket::message("late");
        assert_eq!(pair.session.send(late), Err(SendError::Closed));
        pair.session.handle_ping_frame(b"late", pair.now);
        assert!(!pair.session.is_writable() && !pair.session.is_ready());
        assert_eq!(pair.frame("4late"), Ok(None));
        assert!(!pair.start_upgrade());
        pair.pass(secs(26));
        pair.session.handle_timeout(pair.now);
        assert_eq!(pair.timeout(), Some((secs(4), TimerReason::CloseTimeout)));
    }
}

#[test]
fn a_waiting_poll_gets_what_was_sent_right_before_the_end() {
    let mut pair = Pair::polling();
    assert_eq!(pair.get(), None);
    pair.send("echo");
    pair.session.abort(CloseReason::ParseError);
    pair.assert_closed(Event::Closed(CloseReason::ParseError));
    assert!(pair.session.poll_transmit().is_none());
    assert_eq!(pair.response().unwrap(), "4echo");
    assert_eq!(pair.response(), None);
}

#[test]
fn what_a_poll_was_to_get_is_never_written_to_a_websocket() {
    let mut pair = Pair::upgrading();
    assert_eq!(pair.get(), None);
    pair.send("echo");
    pair.session.abort(CloseReason::ParseError);
    assert!(pair.session.poll_transmit().is_none());
    pair.session.handle_poll_aborted();
    assert!(pair.session.poll_transmit().is_none());
    assert_eq!(pair.response(), None);
}

impl Pair {
    #[track_caller]
    fn assert_closing(&mut self, transport: Transport) {
        assert_eq!(self.session.poll_event(), None);
        assert!(!self.session.is_open());
        assert_eq!(self.session.transport(), Some(transport));
    }
}

#[test]
fn a_session_knows_whether_messages_were_lost_with_it() {
    let ends: [fn(&mut Pair); 2] = [
        |pair| pair.session.abort(FORCED),
        |pair| {
            pair.session.close(FORCED, pair.now);
            assert_eq!(pair.next_timeout(), Some(TimerReason::CloseTimeout));
        },
    ];
    for open in [Pair::polling, Pair::websocket] {
        for end in ends {
            let mut losing = open();
            losing.send("lost");
            assert!(!losing.session.has_lost_messages());
            end(&mut losing);
            assert!(losing.session.has_lost_messages());

            // What is the session's own is no loss, and nothing is none either.
            let mut pinged = open();
            assert_eq!(pinged.next_timeout(), Some(TimerReason::PingInterval));
            end(&mut pinged);
            assert!(!pinged.session.has_lost_messages());
        }
    }

    let mut gone = Pair::websocket();
    gone.send("lost");
    gone.session
        .handle_transport_closed(CloseReason::TransportClose);
    assert!(gone.session.has_lost_messages());
}

#[test]
fn what_was_carried_out_is_not_lost() {
    let mut written = Pair::websocket();
    written.send("last");
    written.session.close(FORCED, written.now);
    assert_eq!(written.read(), [text("4last"), Received::Close(None)]);
    assert!(!written.session.has_lost_messages());

    let mut fetched = Pair::polling();
    fetched.send("last");
    fetched.session.close(FORCED, fetched.now);
    assert_eq!(fetched.get().unwrap(), "4last");
    assert!(!fetched.session.has_lost_messages());
    assert_eq!(fetched.get().unwrap(), "1");
    assert!(!fetched.session.has_lost_messages());

    // A poll that waits is about to get it.
    let mut waiting = Pair::polling();
    waiting.session.handle_poll(None, waiting.now).unwrap();
    waiting.send("last");
    waiting.session.abort(FORCED);
    assert!(!waiting.session.has_lost_messages());
    assert_eq!(waiting.response().unwrap(), "4last");
}
