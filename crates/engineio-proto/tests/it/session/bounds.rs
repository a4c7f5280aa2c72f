use engineio_proto::{
    CloseReason, Config, EncodedPacket, Event, Frame, SendError, Transport, UpgradeStep,
};

use crate::pair::Pair;
use crate::wire::{Received, text};

fn bounded(transport: Transport, send_queue_bytes: usize) -> Pair {
    let config = Config {
        send_queue_bytes,
        ..Config::default()
    };
    Pair::open(transport, config)
}

/// A message whose frame takes `len` bytes, 4 to 127.
fn message_of(len: usize) -> EncodedPacket {
    let packet = EncodedPacket::message(&"x".repeat(len - 3));
    assert_eq!(packet.frame().len(), len);
    packet
}

#[test]
fn one_message_may_fill_the_queue() {
    for transport in [Transport::Polling, Transport::WebSocket] {
        let mut pair = bounded(transport, 100);
        assert_eq!(pair.session.send(message_of(100)), Ok(()));
        pair.assert_open(transport);
    }
}

#[test]
fn a_message_over_the_bound_ends_a_websocket_session() {
    let mut pair = bounded(Transport::WebSocket, 100);
    assert_eq!(
        pair.session.send(message_of(101)),
        Err(SendError::QueueFull)
    );
    pair.assert_closed(Event::Closed(CloseReason::SendQueueFull));
    assert_eq!(pair.read(), [Received::Close(Some(1008))]);
}

#[test]
fn a_message_over_the_bound_ends_a_polling_session() {
    let mut pair = bounded(Transport::Polling, 100);
    assert_eq!(
        pair.session.send(message_of(101)),
        Err(SendError::QueueFull)
    );
    pair.assert_closed(Event::Closed(CloseReason::SendQueueFull));
}

#[test]
fn a_slow_reader_is_given_up() {
    for transport in [Transport::Polling, Transport::WebSocket] {
        let mut pair = bounded(transport, 10_000);
        let sent = std::iter::repeat_with(|| pair.session.send(message_of(100)))
            .take_while(Result::is_ok)
            .take(1000)
            .count();
        assert!((50..=100).contains(&sent), "{sent} messages of 100 bytes");
        pair.assert_closed(Event::Closed(CloseReason::SendQueueFull));
    }
}

#[test]
fn what_was_fetched_or_written_makes_room() {
    let mut pair = bounded(Transport::Polling, 100);
    for _ in 0..10 {
        pair.session.send(message_of(100)).unwrap();
        pair.get().unwrap();
    }
    let mut pair = bounded(Transport::WebSocket, 100);
    for _ in 0..10 {
        pair.session.send(message_of(100)).unwrap();
        assert_eq!(pair.read().len(), 1);
    }
}

#[test]
fn small_messages_count_with_what_it_takes_to_keep_them() {
    // In bytes on the wire a million of them would fit.
    let mut pair = bounded(Transport::WebSocket, 4_000_000);
    let sent = std::iter::repeat_with(|| pair.session.send(message_of(4)))
        .take_while(Result::is_ok)
        .take(1_000_000)
        .count();
    assert!(sent < 100_000, "{sent} messages were queued");
    pair.assert_closed(Event::Closed(CloseReason::SendQueueFull));
}

fn answering_with(max_packets_per_poll: usize) -> Pair {
    let config = Config {
        max_packets_per_poll,
        ..Config::default()
    };
    Pair::open(Transport::Polling, config)
}

#[test]
fn a_poll_gets_as_many_packets_as_every_client_decodes() {
    let mut pair = Pair::polling();
    for number in 0..100 {
        pair.send(&number.to_string());
    }
    let bodies: Vec<String> = (0..7).map(|_| pair.get().unwrap()).collect();
    let counts: Vec<usize> = bodies
        .iter()
        .map(|body| body.split('\x1e').count())
        .collect();
    assert_eq!(counts, [16, 16, 16, 16, 16, 16, 4]);
    let numbers: Vec<String> = (0..100).map(|number| format!("4{number}")).collect();
    assert_eq!(bodies.join("\x1e"), numbers.join("\x1e"));
    assert_eq!(pair.get(), None);
}

#[test]
fn a_poll_gets_a_packet_whatever_the_setting() {
    let mut pair = answering_with(0);
    pair.send("one");
    pair.send("two");
    assert_eq!(pair.get().unwrap(), "4one");
    assert_eq!(pair.get().unwrap(), "4two");
}

#[test]
fn a_ping_does_not_wait_for_the_polls_that_fetch_the_rest() {
    let mut pair = answering_with(2);
    for data in ["one", "two", "three"] {
        pair.send(data);
    }
    pair.next_timeout();
    assert_eq!(pair.get().unwrap(), "2\x1e4one");
    assert_eq!(pair.get().unwrap(), "4two\x1e4three");
}

#[test]
fn a_closing_session_lives_until_its_close_packet_is_fetched() {
    let mut pair = answering_with(2);
    for data in ["one", "two", "three"] {
        pair.send(data);
    }
    pair.session.close(CloseReason::ForcedClose, pair.now);
    assert_eq!(pair.get().unwrap(), "4one\x1e4two");
    assert_eq!(pair.session.transport(), Some(Transport::Polling));
    assert_eq!(pair.get().unwrap(), "4three");
    assert_eq!(pair.get().unwrap(), "1");
    pair.assert_closed(Event::Closed(CloseReason::ForcedClose));
}

#[test]
fn what_the_last_poll_of_a_closed_session_cannot_hold_is_dropped() {
    let mut pair = answering_with(2);
    assert_eq!(pair.get(), None);
    for data in ["one", "two", "three"] {
        pair.send(data);
    }
    pair.session.abort(CloseReason::TransportError);
    assert_eq!(pair.response().unwrap(), "4one\x1e4two");
    pair.assert_closed(Event::Closed(CloseReason::TransportError));
    assert!(pair.session.handle_poll(None, pair.now).is_err());
}

#[test]
fn what_the_polls_left_is_written_after_an_upgrade() {
    let mut pair = answering_with(2);
    for data in ["one", "two", "three"] {
        pair.send(data);
    }
    assert!(pair.start_upgrade());
    pair.upgrade_frame("2probe");
    assert_eq!(pair.get().unwrap(), "4one\x1e4two");
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Complete);
    assert_eq!(pair.read(), [text("4three")]);
}

#[test]
fn a_peer_that_pings_and_does_not_read_is_given_up() {
    let mut pair = bounded(Transport::WebSocket, 10_000);
    let pings = (0..10_000)
        .take_while(|_| {
            pair.session.handle_ping_frame(b"", pair.now);
            pair.session.is_open()
        })
        .count();
    assert!(pings < 1_000, "{pings} pongs were queued");
    pair.assert_closed(Event::Closed(CloseReason::SendQueueFull));
}

#[test]
fn heartbeats_and_the_close_packet_pass_a_full_queue() {
    let mut pair = bounded(Transport::WebSocket, 100);
    pair.session.send(message_of(100)).unwrap();
    pair.next_timeout();
    pair.assert_open(Transport::WebSocket);
    pair.session.close(CloseReason::ForcedClose, pair.now);
    let frames = pair.read();
    assert_eq!(frames[1..], [text("2"), Received::Close(None)]);

    let mut pair = bounded(Transport::Polling, 100);
    pair.session.send(message_of(100)).unwrap();
    pair.next_timeout();
    pair.session.close(CloseReason::ForcedClose, pair.now);
    let body = pair.get().unwrap();
    assert!(body.starts_with("2\x1e4x") && body.ends_with('x'));
    assert_eq!(pair.get().unwrap(), "1");
}

#[test]
fn a_full_queue_still_finishes_the_frame_under_way() {
    let mut pair = bounded(Transport::WebSocket, 100);
    pair.session.send(message_of(100)).unwrap();
    pair.write(50);
    assert_eq!(pair.session.send(message_of(4)), Err(SendError::QueueFull));
    let frames = pair.read();
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[1], Received::Close(Some(1008)));
}

#[test]
fn a_queue_that_cannot_hold_the_handshake_still_gets_it() {
    for transport in [Transport::Polling, Transport::WebSocket] {
        bounded(transport, 0).assert_open(transport);
    }
}

#[test]
fn the_rest_of_a_frame_written_past_the_queue_counts() {
    let mut pair = bounded(Transport::WebSocket, 100);
    let frame = Frame::text(&"x".repeat(96));
    pair.session.queue_rest(frame, 1);
    assert_eq!(pair.session.send(message_of(4)), Err(SendError::QueueFull));
}
