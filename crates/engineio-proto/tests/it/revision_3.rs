//! Clients of revision 3: payloads, packets, heartbeat, JSONP.

use std::time::Duration;

use engineio_proto::payload::v3::{self, JsonpIndex};
use engineio_proto::{
    CloseReason, Config, DecodeError, EncodedPacket, Event, Message, Packet, ProtocolViolation,
    Revision, SendError, Session, TimerReason, Transport, UpgradeStep, payload,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::pair::{Pair, secs, sid};
use crate::wire::{Received, text};

/// Both times together: how long a client may be silent.
const SILENCE: Duration = secs(45);

fn open(transport: Transport, supports_binary: bool) -> Pair {
    open_with(Config::default(), transport, supports_binary)
}

/// A session whose open packet has been fetched or written.
fn open_with(config: Config, transport: Transport, supports_binary: bool) -> Pair {
    let mut pair = Pair::opening_as(Revision::V3, transport, config, supports_binary);
    match transport {
        Transport::Polling => {
            let open = pair.get().unwrap();
            let (len, packet) = open.split_once(':').unwrap();
            assert_eq!(len, packet.len().to_string());
            assert!(packet.starts_with("0{\"sid\":"), "{packet}");
        }
        Transport::WebSocket => assert_eq!(pair.read().len(), 1),
    }
    pair
}

fn decoded(body: &str) -> Result<Vec<Packet<'_>>, DecodeError> {
    v3::decode_text(body.as_bytes(), 100)?.collect()
}

fn text_message(data: &str) -> Packet<'_> {
    Packet::Message(Message::Text(data))
}

fn binary_message(data: &[u8]) -> Packet<'_> {
    Packet::from_binary(data)
}

// ===== Payloads =====

#[test]
fn a_text_payload_counts_utf_16_code_units() {
    assert_eq!(decoded("6:4hello").unwrap(), [text_message("hello")]);
    assert_eq!(
        decoded("2:4é3:4🙂1:22:4x").unwrap(),
        [
            text_message("é"),
            text_message("🙂"),
            Packet::Ping(""),
            text_message("x")
        ]
    );
    assert_eq!(
        decoded("10:b4AQIDBA==").unwrap(),
        [binary_message(&[1, 2, 3, 4])]
    );
}

#[test]
fn a_malformed_text_payload_yields_what_comes_before() {
    for (rest, error) in [
        ("abc", DecodeError::InvalidLength),
        (":4x", DecodeError::InvalidLength),
        ("-1:4x", DecodeError::InvalidLength),
        ("1e0:4x", DecodeError::InvalidLength),
        ("3:4x", DecodeError::InvalidLength),
        // In the middle of a character.
        ("2:4🙂", DecodeError::InvalidLength),
        ("9999999999:4x", DecodeError::InvalidLength),
        ("999999999:4x", DecodeError::InvalidLength),
        ("0:", DecodeError::Empty),
        ("1:7", DecodeError::UnknownType),
        ("2:b4", DecodeError::InvalidLength),
        ("1:b", DecodeError::UnknownType),
        ("6:b2AQID", DecodeError::UnknownType),
        ("3:b4!", DecodeError::InvalidBase64),
    ] {
        let body = format!("2:4a{rest}");
        if rest == "2:b4" {
            // An empty message.
            assert_eq!(decoded(&body).unwrap()[1], binary_message(b""));
            continue;
        }
        let items: Vec<_> = v3::decode_text(body.as_bytes(), 100).unwrap().collect();
        assert_eq!(items, [Ok(text_message("a")), Err(error)], "{body}");
    }
    assert_eq!(decoded("").unwrap_err(), DecodeError::InvalidLength);
    let bytes = v3::decode_text(b"1:\xff", 100).err();
    assert_eq!(bytes, Some(DecodeError::InvalidUtf8));
}

#[test]
fn a_payload_of_bytes_says_of_each_packet_what_it_is() {
    let body = [
        &[0, 6, 255][..],
        b"4hello",
        &[1, 5, 255, 4, 1, 2, 3, 4],
        &[0, 1, 2, 255],
        "4é🙂abcde".as_bytes(),
    ]
    .concat();
    let packets: Vec<_> = v3::decode_binary(&body, 100).collect();
    assert_eq!(
        packets,
        [
            Ok(text_message("hello")),
            Ok(binary_message(&[1, 2, 3, 4])),
            Ok(text_message("é🙂abcde")),
        ]
    );
    for (body, error) in [
        (&[][..], DecodeError::Empty),
        (&[2, 1, 255, b'2'], DecodeError::InvalidLength),
        (&[0, 255, b'2'], DecodeError::InvalidLength),
        (&[0, 10, 255, b'2'], DecodeError::InvalidLength),
        (&[0, 1, b'2'], DecodeError::InvalidLength),
        (&[0, 2, 255, b'2'], DecodeError::InvalidLength),
        (
            &[0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 255, b'2'],
            DecodeError::InvalidLength,
        ),
        (&[0, 1, 255, 0xff], DecodeError::InvalidUtf8),
        (&[1, 0, 255], DecodeError::Empty),
        (&[1, 1, 255, b'4'], DecodeError::UnknownType),
    ] {
        let items: Vec<_> = v3::decode_binary(body, 100).collect();
        assert_eq!(items, [Err(error)], "{body:?}");
    }
}

#[test]
fn a_payload_has_a_bounded_number_of_packets() {
    let too_many = Err(DecodeError::TooManyPackets { limit: 2 });
    let text: Vec<_> = v3::decode_text(b"1:21:21:2", 2).unwrap().collect();
    assert_eq!(
        text,
        [Ok(Packet::Ping("")), Ok(Packet::Ping("")), too_many.clone()]
    );
    let body = [0, 1, 255, b'2'].repeat(3);
    let bytes: Vec<_> = v3::decode_binary(&body, 2).collect();
    assert_eq!(
        bytes,
        [Ok(Packet::Ping("")), Ok(Packet::Ping("")), too_many]
    );
}

// ===== Packets =====

#[test]
fn a_binary_frame_begins_with_its_type() {
    assert_eq!(
        Packet::from_binary_v3(&[4, 1, 2]),
        Ok(binary_message(&[1, 2]))
    );
    assert_eq!(Packet::from_binary_v3(&[4]), Ok(binary_message(&[])));
    assert_eq!(Packet::from_binary_v3(&[]), Err(DecodeError::Empty));
    for first in [0, 1, 2, 3, 5, 6, 7, b'4', 255] {
        let packet = Packet::from_binary_v3(std::slice::from_ref(&first));
        assert_eq!(packet, Err(DecodeError::UnknownType), "{first}");
    }
}

#[test]
fn messages_go_out_in_the_form_of_the_revision() {
    let binary = EncodedPacket::binary_message(&[1, 2, 3, 4]);
    let mut pair = open(Transport::WebSocket, true);
    assert!(!pair.session.takes_frame(&binary));
    assert!(pair.session.takes_frame(&EncodedPacket::message("x")));
    pair.session.send(EncodedPacket::message("é🙂")).unwrap();
    pair.session.send(binary.clone()).unwrap();
    assert_eq!(
        pair.read(),
        [text("4é🙂"), Received::Binary(vec![4, 1, 2, 3, 4])]
    );

    let mut pair = open(Transport::Polling, true);
    pair.session.send(EncodedPacket::message("hello")).unwrap();
    pair.session.send(EncodedPacket::message("é🙂")).unwrap();
    assert_eq!(pair.get().unwrap(), "6:4hello4:4é🙂");
    pair.session.send(EncodedPacket::message("hello")).unwrap();
    pair.session.send(binary.clone()).unwrap();
    pair.session.handle_poll(None, pair.now).unwrap();
    let body = pair.session.poll_response().unwrap();
    let expected = [&[0, 6, 255][..], b"4hello", &[1, 5, 255, 4, 1, 2, 3, 4]].concat();
    assert_eq!(body, expected);
    assert_eq!(payload::content_type(&body), "application/octet-stream");

    for transport in [Transport::Polling, Transport::WebSocket] {
        let mut pair = open(transport, false);
        pair.session.send(binary.clone()).unwrap();
        match transport {
            Transport::Polling => assert_eq!(pair.get().unwrap(), "10:b4AQIDBA=="),
            Transport::WebSocket => assert_eq!(pair.read(), [text("b4AQIDBA==")]),
        }
    }
}

// ===== The session =====

#[test]
fn the_client_pings_and_the_server_answers() {
    let mut pair = open(Transport::WebSocket, true);
    assert_eq!(pair.timeout(), Some((SILENCE, TimerReason::PingTimeout)));
    pair.pass(secs(44));
    assert_eq!(pair.frame("2"), Ok(None));
    assert_eq!(pair.read(), [text("3")]);
    assert_eq!(pair.timeout(), Some((SILENCE, TimerReason::PingTimeout)));
    // Other packets are no sign that the client wants to stay.
    pair.pass(secs(40));
    pair.frame("4x").unwrap();
    assert_eq!(pair.timeout().unwrap().0, secs(5));
    assert_eq!(pair.next_timeout(), Some(TimerReason::PingTimeout));
    pair.assert_closed(Event::Closed(CloseReason::PingTimeout));

    let mut pair = open(Transport::Polling, true);
    let now = pair.now;
    assert_eq!(pair.get(), None);
    let ping = pair
        .session
        .handle_packet(Transport::Polling, Packet::Ping(""), now);
    assert_eq!(ping, Ok(None));
    assert_eq!(pair.response().unwrap(), "1:3");
}

#[test]
fn a_silent_client_finds_its_session_ended() {
    let mut pair = open(Transport::Polling, true);
    pair.pass(SILENCE);
    let ended = Err(ProtocolViolation::SessionEnded);
    assert_eq!(pair.session.handle_post(pair.now), ended);
    pair.assert_closed(Event::Closed(CloseReason::PingTimeout));
}

#[test]
fn a_pong_by_the_client_has_the_wrong_direction() {
    let mut pair = open(Transport::WebSocket, true);
    let wrong = Err(ProtocolViolation::HeartbeatDirection);
    assert_eq!(pair.frame("3"), wrong);
    pair.assert_closed(Event::Closed(CloseReason::TransportError));
}

#[test]
fn pings_of_a_client_that_reads_nothing_fill_no_more_than_the_queue() {
    let config = Config {
        send_queue_bytes: 1000,
        ..Config::default()
    };
    let mut pair = open_with(config, Transport::WebSocket, true);
    for _ in 0..1000 {
        let _ends_at_some_time = pair.frame("2");
    }
    pair.assert_closed(Event::Closed(CloseReason::SendQueueFull));
    let late = pair.session.send(EncodedPacket::message("x"));
    assert_eq!(late, Err(SendError::Closed));
}

#[test]
fn an_upgrade_is_probed_as_in_revision_4() {
    let mut pair = open(Transport::Polling, true);
    assert!(pair.start_upgrade());
    assert!(matches!(
        pair.upgrade_frame("2probe"),
        UpgradeStep::Answer(_)
    ));
    assert_eq!(pair.get().unwrap(), "1:6");
    pair.send("moved");
    assert_eq!(pair.upgrade_frame("5"), UpgradeStep::Complete);
    assert_eq!(pair.read(), [text("4moved")]);
    assert_eq!(pair.frame("2"), Ok(None));
    assert_eq!(pair.read(), [text("3")]);
}

#[test]
fn polls_are_released_in_the_form_of_the_revision() {
    let mut closed = open(Transport::Polling, true);
    assert_eq!(closed.get(), None);
    let now = closed.now;
    let close = closed
        .session
        .handle_packet(Transport::Polling, Packet::Close, now);
    assert_eq!(close, Ok(None));
    assert_eq!(closed.response().unwrap(), "1:6");

    let mut ended = open(Transport::Polling, true);
    assert_eq!(ended.get(), None);
    ended.session.abort(CloseReason::ParseError);
    assert_eq!(ended.response().unwrap(), "1:1");
}

// ===== JSONP =====

fn jsonp() -> Pair {
    let mut pair = Pair::opening_as(Revision::V3, Transport::Polling, Config::default(), true);
    let session = Session::new(
        Config::default().into(),
        sid(),
        Transport::Polling,
        Revision::V3,
        true,
        pair.now,
    );
    pair.session = session.with_jsonp(JsonpIndex::parse("3").unwrap());
    let open = pair.get().unwrap();
    assert!(open.starts_with("___eio[3](\""), "{open}");
    assert!(open.ends_with("}\");"), "{open}");
    pair
}

#[test]
fn a_jsonp_answer_is_a_script() {
    let mut pair = jsonp();
    pair.send("é🙂\u{2028}\u{2029}\"\\\n</script>");
    assert_eq!(
        pair.get().unwrap(),
        r#"___eio[3]("18:4é🙂\u2028\u2029\"\\\n</script>");"#
    );
    let binary = EncodedPacket::binary_message(&[1, 2, 3, 4]);
    pair.session.send(binary).unwrap();
    let script = pair.get().unwrap();
    assert_eq!(script, r#"___eio[3]("10:b4AQIDBA==");"#);
    assert_eq!(
        payload::content_type(script.as_bytes()),
        "text/plain; charset=UTF-8"
    );
    assert_eq!(pair.get(), None);
    pair.session.abort(CloseReason::ForcedClose);
    assert_eq!(pair.response().unwrap(), r#"___eio[3]("1:1");"#);
}

#[test]
fn a_jsonp_post_is_a_form() {
    for (form, payload) in [
        ("d=6%3A4hello", "6:4hello"),
        ("x=1&d=4:4+a%2B", "4:4 a+"),
        ("d=4%C3%A9%F0%9F%99%82", "4é🙂"),
        // An end of a line, and a backslash with an n, as browsers' forms bring them.
        (r"d=a\nb", "a\nb"),
        (r"d=a\\nb", r"a\nb"),
        (r"d=a\\\nb\", r"a\\nb\"),
        ("d=", ""),
        ("d=%zz%4", "%zz%4"),
        ("d=%ff", "\u{fffd}"),
    ] {
        assert_eq!(v3::jsonp_payload(form).as_deref(), Some(payload), "{form}");
    }
    assert_eq!(v3::jsonp_payload("6:4hello"), None);
    assert_eq!(v3::jsonp_payload(""), None);
}

/// A packet that both sides may send.
#[derive(Clone, Debug)]
enum Sent {
    Text(String),
    Binary(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        ".{0,12}".prop_map(Sent::Text),
        vec(any::<u8>(), 0..12).prop_map(Sent::Binary),
    ]
}

proptest! {
    #[test]
    fn what_a_poll_brings_decodes_to_what_was_sent(
        messages in vec(sent(), 1..10),
        supports_binary in any::<bool>(),
    ) {
        let mut pair = open(Transport::Polling, supports_binary);
        for message in &messages {
            let packet = match message {
                Sent::Text(text) => EncodedPacket::message(text),
                Sent::Binary(data) => EncodedPacket::binary_message(data),
            };
            pair.session.send(packet).unwrap();
        }
        pair.session.handle_poll(None, pair.now).unwrap();
        let body = pair.session.poll_response().unwrap();
        let is_binary = payload::content_type(&body) == "application/octet-stream";
        prop_assert!(supports_binary || !is_binary);
        let packets: Result<Vec<Packet<'_>>, DecodeError> = if is_binary {
            v3::decode_binary(&body, 100).collect()
        } else {
            v3::decode_text(&body, 100).unwrap().collect()
        };
        let expected: Vec<Packet<'_>> = messages.iter().map(|message| match message {
            Sent::Text(text) => text_message(text),
            Sent::Binary(data) => binary_message(data),
        }).collect();
        prop_assert_eq!(packets.unwrap(), expected);
    }

    #[test]
    fn no_body_breaks_the_decoders(body in vec(any::<u8>(), 0..64)) {
        if let Ok(packets) = v3::decode_text(&body, 5) {
            prop_assert!(packets.count() <= 6);
        }
        prop_assert!(v3::decode_binary(&body, 5).count() <= 6);
        let _nothing = v3::jsonp_payload(&String::from_utf8_lossy(&body));
    }

    #[test]
    fn what_a_browser_makes_of_a_payload_comes_back(text in "[\\\\\nn4é]{0,12}") {
        // The client makes the same of both, and JSON has neither.
        prop_assume!(!text.contains("\\\n"));
        // socket.io-client 2: escaped newlines first, then newlines.
        let area = text.replace("\\n", "\\\n").replace('\n', "\\n");
        let form: String = area.bytes().map(|byte| format!("%{byte:02X}")).collect();
        prop_assert_eq!(v3::jsonp_payload(&format!("d={form}")), Some(text));
    }
}
