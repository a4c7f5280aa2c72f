use engineio_proto::{
    Config, DecodeError, EncodedPacket, Message, Packet, ProtocolViolation, Transport, payload,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::pair::Pair;

const MAX: usize = 16;

fn decode(body: &[u8]) -> Result<Vec<Result<Packet<'_>, DecodeError>>, DecodeError> {
    payload::decode(body, MAX).map(Iterator::collect)
}

fn message(text: &str) -> Result<Packet<'_>, DecodeError> {
    Ok(Packet::Message(Message::Text(text)))
}

#[test]
fn packets_are_separated_by_the_record_separator() {
    assert_eq!(
        decode("4hello\x1e2\x1e4€".as_bytes()),
        Ok(vec![message("hello"), Ok(Packet::Ping("")), message("€")])
    );
    assert_eq!(decode(b"4"), Ok(vec![message("")]));
}

#[test]
fn a_malformed_packet_ends_the_payload() {
    assert_eq!(
        decode(b"4first\x1eabc\x1e4never"),
        Ok(vec![message("first"), Err(DecodeError::UnknownType)])
    );
    assert_eq!(decode(b""), Ok(vec![Err(DecodeError::Empty)]));
    assert_eq!(
        decode(b"4a\x1e"),
        Ok(vec![message("a"), Err(DecodeError::Empty)])
    );
    assert_eq!(decode(b"\x1e4a"), Ok(vec![Err(DecodeError::Empty)]));
    assert_eq!(
        decode(b"b!\x1e4a"),
        Ok(vec![Err(DecodeError::InvalidBase64)])
    );
}

#[test]
fn a_payload_that_is_not_utf8_is_refused_whole() {
    assert_eq!(decode(b"4a\x1e4\xff"), Err(DecodeError::InvalidUtf8));
    // Half of a character.
    assert_eq!(decode(b"4\xe2\x82"), Err(DecodeError::InvalidUtf8));
}

#[test]
fn the_number_of_packets_is_bounded() {
    let at_the_bound = vec!["4"; MAX].join("\x1e");
    assert_eq!(decode(at_the_bound.as_bytes()).unwrap().len(), MAX);
    let over = vec!["4"; MAX + 1].join("\x1e");
    assert_eq!(
        decode(over.as_bytes()),
        Err(DecodeError::TooManyPackets { limit: MAX })
    );
    let separators = "\x1e".repeat(1_000_000);
    assert_eq!(
        decode(separators.as_bytes()),
        Err(DecodeError::TooManyPackets { limit: MAX })
    );
}

#[test]
fn errors_name_the_limit_and_no_payload() {
    let limit = DecodeError::TooManyPackets { limit: 3 };
    assert_eq!(limit.to_string(), "the payload holds more than 3 packets");
    let unknown = Packet::decode("secret").unwrap_err();
    assert_eq!(unknown.to_string(), "the packet type is unknown");
}

#[test]
fn a_response_joins_what_waits_and_carries_binary_as_base64() {
    let mut pair = Pair::polling();
    pair.send("one");
    let binary = EncodedPacket::binary_message(&[1, 2, 3, 4]);
    pair.session.send(binary).unwrap();
    pair.send("");
    assert_eq!(pair.get().unwrap(), "4one\x1ebAQIDBA==\x1e4");
}

#[derive(Clone, Debug)]
enum Sent {
    Text(String),
    Binary(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        // The separator cannot be sent in text: Socket.IO's JSON escapes it.
        "[^\x1e]{0,40}".prop_map(Sent::Text),
        vec(any::<u8>(), 0..40).prop_map(Sent::Binary),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(messages in vec(sent(), 1..MAX)) {
        let mut pair = Pair::polling();
        for message in &messages {
            let packet = match message {
                Sent::Text(text) => EncodedPacket::message(text),
                Sent::Binary(data) => EncodedPacket::binary_message(data),
            };
            prop_assert_eq!(pair.session.send(packet), Ok(()));
        }
        let body = pair.get().unwrap();
        let decoded = decode(body.as_bytes()).unwrap();
        prop_assert_eq!(decoded.len(), messages.len());
        for (decoded, message) in decoded.into_iter().zip(&messages) {
            let expected = match message {
                Sent::Text(text) => Message::Text(text),
                Sent::Binary(data) => Message::Binary(data.into()),
            };
            prop_assert_eq!(decoded, Ok(Packet::Message(expected)));
        }
    }

    #[test]
    fn any_bytes_decode_or_are_refused(body in vec(any::<u8>(), 0..200), max in 0..8usize) {
        if let Ok(packets) = payload::decode(&body, max) {
            let packets: Vec<_> = packets.collect();
            prop_assert!(packets.len() <= max);
            let failed = packets.iter().filter(|packet| packet.is_err()).count();
            prop_assert!(failed == 0 || (failed == 1 && packets.last().unwrap().is_err()));
        }
    }

    #[test]
    fn any_text_is_a_packet_or_refused(text in "\\PC{0,40}", max_packets in 1..4usize) {
        let config = Config { max_packets_per_payload: max_packets, ..Config::default() };
        let mut pair = Pair::open(Transport::WebSocket, config);
        if let Ok(packet) = Packet::decode(&text) {
            let is_ping = matches!(packet, Packet::Ping(_));
            let handled = pair.session.handle_packet(Transport::WebSocket, packet, pair.now);
            let violation = handled.err();
            prop_assert_eq!(violation, is_ping.then_some(ProtocolViolation::HeartbeatDirection));
        }
    }
}
