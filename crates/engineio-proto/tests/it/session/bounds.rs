use engineio_proto::{CloseReason, Config, EncodedPacket, Event, Frame, SendError, Transport};

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

#[test]
fn a_peer_that_pings_and_does_not_read_is_given_up() {
    let mut pair = bounded(Transport::WebSocket, 10_000);
    let pings = (0..10_000)
        .take_while(|_| {
            pair.session.handle_ping_frame(b"");
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
    assert!(pair.get().unwrap().ends_with("\x1e2\x1e1"));
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
