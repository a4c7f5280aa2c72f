use engineio_proto::{
    CloseReason, Config, EncodedPacket, Event, ProtocolViolation, SendError, Transport,
};

use crate::pair::Pair;
use crate::wire::{Received, text};

#[test]
fn messages_go_out_as_frames_in_order() {
    let mut pair = Pair::websocket();
    pair.send("one");
    pair.session
        .send(EncodedPacket::binary_message(&[1, 2]))
        .unwrap();
    pair.send("two");
    assert_eq!(
        pair.read(),
        [text("4one"), Received::Binary(vec![1, 2]), text("4two")]
    );
    assert!(pair.session.poll_transmit().is_none());
}

#[test]
fn messages_come_in() {
    let mut pair = Pair::websocket();
    assert_eq!(pair.frame("4hi"), Ok(Some("hi".to_owned())));
    assert_eq!(pair.frame("bAQI="), Ok(Some("[1, 2]".to_owned())));
}

#[test]
fn close_open_upgrade_and_noop_packets_are_ignored() {
    let mut pair = Pair::websocket();
    for packet in ["0{}", "1", "5", "6"] {
        assert_eq!(pair.frame(packet), Ok(None));
        pair.assert_open(Transport::WebSocket);
    }
}

#[test]
fn a_client_without_binary_gets_base64() {
    let mut pair = Pair::opening(Transport::WebSocket, Config::default(), false);
    pair.read();
    let binary = EncodedPacket::binary_message(&[1, 2, 3, 4]);
    assert!(!pair.session.takes_frame(&binary));
    assert!(pair.session.takes_frame(&EncodedPacket::message("hi")));
    pair.session.send(binary).unwrap();
    assert_eq!(pair.read(), [text("bAQIDBA==")]);
}

#[test]
fn is_writable_when_nothing_waits() {
    let mut pair = Pair::opening(Transport::WebSocket, Config::default(), true);
    assert!(!pair.session.is_writable(), "the open packet waits");
    assert!(!pair.session.is_ready());
    pair.read();
    assert!(pair.session.is_writable());
    assert!(pair.session.is_ready());
    pair.send("hi");
    assert!(!pair.session.is_writable());
    pair.read();
    assert!(pair.session.is_writable());
}

#[test]
fn the_rest_of_a_frame_written_past_the_queue_goes_first() {
    for written in 0..=4 {
        let mut pair = Pair::websocket();
        let frame = EncodedPacket::message("x").into_frame();
        assert_eq!(frame.len(), 4);
        pair.write_directly(&frame.bytes()[..written]);
        pair.session.queue_rest(frame, written);
        assert_eq!(pair.session.is_writable(), written == 4);
        pair.send("next");
        assert_eq!(pair.read(), [text("4x"), text("4next")]);
    }
}

#[test]
fn a_ping_frame_is_answered_in_its_turn() {
    let mut pair = Pair::websocket();
    pair.send("before");
    pair.session.handle_ping_frame(b"data", pair.now);
    assert_eq!(
        pair.read(),
        [text("4before"), Received::Pong(b"data".to_vec())]
    );
}

#[test]
fn the_end_of_the_websocket_ends_the_session() {
    for reason in [CloseReason::TransportClose, CloseReason::TransportError] {
        let mut pair = Pair::websocket();
        pair.send("lost");
        pair.session.handle_transport_closed(reason);
        pair.assert_closed(Event::Closed(reason));
        assert!(pair.read().is_empty(), "there is nobody to write to");
    }
}

#[test]
fn nothing_is_written_to_a_websocket_that_is_gone() {
    let mut pair = Pair::websocket();
    pair.send("hello");
    pair.write(3);
    pair.session
        .handle_transport_closed(CloseReason::TransportError);
    pair.assert_closed(Event::Closed(CloseReason::TransportError));
    assert!(pair.session.poll_transmit().is_none());
}

#[test]
fn a_session_that_has_ended_takes_nothing() {
    let mut pair = Pair::websocket();
    pair.session.abort(CloseReason::ForcedClose);
    pair.read();
    pair.assert_closed(Event::Closed(CloseReason::ForcedClose));
    assert_eq!(pair.frame("4late"), Ok(None));
    assert_eq!(pair.frame("2"), Ok(None));
    let late = EncodedPacket::message("late");
    assert_eq!(pair.session.send(late), Err(SendError::Closed));
    pair.session.handle_ping_frame(b"late", pair.now);
    pair.session.handle_written();
    pair.session
        .handle_transport_closed(CloseReason::TransportClose);
    assert!(!pair.session.is_writable() && !pair.session.is_ready());
    assert!(pair.session.poll_transmit().is_none());
    assert_eq!(pair.session.poll_event(), None);
    assert_eq!(
        pair.session.handle_poll(None, pair.now),
        Err(ProtocolViolation::SessionEnded)
    );
}
