use engineio_proto::{
    CloseReason, Config, EncodedPacket, Event, ProtocolViolation, SendError, Transport,
};

use crate::pair::Pair;

#[test]
fn a_poll_waits_until_there_is_something() {
    let mut pair = Pair::polling();
    assert_eq!(pair.get(), None);
    assert_eq!(pair.response(), None);
    pair.send("hello");
    assert_eq!(pair.response().unwrap(), "4hello");
    assert_eq!(pair.response(), None, "it is answered once");
}

#[test]
fn what_waits_is_given_to_the_next_poll_in_order() {
    let mut pair = Pair::polling();
    pair.send("one");
    pair.send("two");
    assert_eq!(pair.get().unwrap(), "4one\x1e4two");
    assert_eq!(pair.get(), None);
}

#[test]
fn a_post_brings_messages_in_order() {
    let mut pair = Pair::polling();
    assert_eq!(
        pair.post("4one\x1e3\x1ebAQI=\x1e4").unwrap(),
        ["one", "[1, 2]", ""]
    );
    pair.assert_open(Transport::Polling);
}

#[test]
fn packets_that_mean_nothing_in_a_post_are_ignored() {
    let mut pair = Pair::polling();
    assert_eq!(pair.post("0{}\x1e5\x1e6\x1e4a").unwrap(), ["a"]);
    pair.assert_open(Transport::Polling);
}

#[test]
fn a_get_and_a_post_run_side_by_side() {
    let mut pair = Pair::polling();
    assert_eq!(pair.get(), None);
    assert_eq!(pair.post("4hi").unwrap(), ["hi"]);
    pair.send("there");
    assert_eq!(pair.response().unwrap(), "4there");
}

#[test]
fn a_second_poll_ends_the_session_and_lets_go_of_the_first() {
    let mut pair = Pair::polling();
    assert_eq!(pair.get(), None);
    assert_eq!(
        pair.session.handle_poll(None, pair.now),
        Err(ProtocolViolation::OverlappingPoll)
    );
    assert_eq!(pair.response().unwrap(), "1");
    pair.assert_closed(Event::Closed(CloseReason::TransportError));
}

#[test]
fn a_second_post_ends_the_session() {
    let mut pair = Pair::polling();
    assert_eq!(pair.session.handle_post(pair.now), Ok(()));
    assert_eq!(
        pair.session.handle_post(pair.now),
        Err(ProtocolViolation::OverlappingPost)
    );
    assert_eq!(pair.post_body("4late").unwrap(), Vec::<String>::new());
    pair.assert_closed(Event::Closed(CloseReason::TransportError));
}

#[test]
fn a_post_may_follow_one_that_was_refused_for_its_size() {
    let mut pair = Pair::polling();
    assert_eq!(pair.session.handle_post(pair.now), Ok(()));
    pair.session.handle_post_end();
    assert_eq!(pair.post("4hi").unwrap(), ["hi"]);
    pair.assert_open(Transport::Polling);
}

#[test]
fn a_client_that_gives_up_its_poll_is_gone() {
    let mut pair = Pair::polling();
    assert_eq!(pair.get(), None);
    pair.session.handle_poll_aborted();
    pair.assert_closed(Event::Closed(CloseReason::TransportError));
}

#[test]
fn a_client_that_gives_up_its_post_is_gone() {
    let mut pair = Pair::polling();
    assert_eq!(pair.session.handle_post(pair.now), Ok(()));
    pair.session.handle_post_aborted();
    pair.assert_closed(Event::Closed(CloseReason::TransportError));
}

#[test]
fn there_is_nothing_to_give_up_when_no_request_runs() {
    let mut pair = Pair::polling();
    pair.session.handle_poll_aborted();
    pair.session.handle_post_aborted();
    pair.session.handle_post_end();
    pair.assert_open(Transport::Polling);
}

#[test]
fn polling_for_a_websocket_session_is_refused_and_it_lives() {
    let mut pair = Pair::websocket();
    let mismatch = Err(ProtocolViolation::TransportMismatch);
    assert_eq!(pair.session.handle_poll(None, pair.now), mismatch);
    assert_eq!(pair.session.handle_post(pair.now), mismatch);
    assert_eq!(pair.response(), None);
    pair.assert_open(Transport::WebSocket);
}

#[test]
fn what_comes_by_the_other_transport_is_ignored() {
    let mut polling = Pair::polling();
    assert_eq!(polling.frame("4hi"), Ok(None));
    assert_eq!(polling.frame("2"), Ok(None));
    assert!(polling.session.poll_transmit().is_none());
    polling.session.handle_ping_frame(b"x", polling.now);
    polling.session.handle_written();
    polling
        .session
        .handle_transport_closed(CloseReason::TransportClose);
    polling.assert_open(Transport::Polling);

    let mut websocket = Pair::websocket();
    assert_eq!(websocket.post_body("4hi\x1e2\x1e1"), Ok(vec![]));
    websocket.assert_open(Transport::WebSocket);
}

#[test]
fn is_ready_when_a_poll_waits_and_nothing_is_before_the_message() {
    let mut pair = Pair::polling();
    assert!(!pair.session.is_ready());
    assert_eq!(pair.get(), None);
    assert!(pair.session.is_ready());
    assert!(!pair.session.is_writable(), "there is no socket");
    pair.send("first");
    assert!(!pair.session.is_ready());
    assert_eq!(pair.response().unwrap(), "4first");
    assert!(!pair.session.is_ready());
}

#[test]
fn binary_goes_as_base64_whatever_the_client_takes() {
    for supports_binary in [true, false] {
        let mut pair = Pair::opening(Transport::Polling, Config::default(), supports_binary);
        pair.get().unwrap();
        let binary = EncodedPacket::binary_message(&[1, 2, 3, 4]);
        assert_eq!(pair.session.takes_frame(&binary), supports_binary);
        pair.session.send(binary).unwrap();
        assert_eq!(pair.get().unwrap(), "bAQIDBA==");
    }
}

#[test]
fn a_session_that_has_ended_refuses_requests_and_messages() {
    let mut pair = Pair::polling();
    pair.session.abort(CloseReason::ForcedClose);
    pair.assert_closed(Event::Closed(CloseReason::ForcedClose));
    let ended = Err(ProtocolViolation::SessionEnded);
    assert_eq!(pair.session.handle_poll(None, pair.now), ended);
    assert_eq!(pair.session.handle_post(pair.now), ended);
    assert_eq!(pair.post_body("4late\x1e2"), Ok(vec![]));
    assert_eq!(pair.response(), None);
    let late = EncodedPacket::message("late");
    assert_eq!(pair.session.send(late), Err(SendError::Closed));
    assert!(!pair.session.is_ready());
    assert!(!pair.start_upgrade());
    pair.session.close(CloseReason::ForcedClose, pair.now);
    pair.session.abort(CloseReason::ParseError);
    assert_eq!(pair.session.poll_event(), None);
}
