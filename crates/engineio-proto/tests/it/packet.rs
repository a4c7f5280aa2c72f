use std::borrow::Cow;

use engineio_proto::{DecodeError, EncodedPacket, Message, Packet, PacketType};

#[track_caller]
fn check(text: &str, packet: Packet<'_>, packet_type: PacketType) {
    assert_eq!(Packet::decode(text), Ok(packet.clone()), "{text}");
    assert_eq!(packet.packet_type(), packet_type);
}

#[test]
fn decodes_each_type() {
    check("0{}", Packet::Open("{}"), PacketType::Open);
    check("1", Packet::Close, PacketType::Close);
    check("2", Packet::Ping(""), PacketType::Ping);
    check("2probe", Packet::Ping("probe"), PacketType::Ping);
    check("3", Packet::Pong(""), PacketType::Pong);
    check("3probe", Packet::Pong("probe"), PacketType::Pong);
    check(
        "4hello",
        Packet::Message(Message::Text("hello")),
        PacketType::Message,
    );
    check("5", Packet::Upgrade, PacketType::Upgrade);
    check("6", Packet::Noop, PacketType::Noop);
}

#[test]
fn a_message_may_be_empty_and_hold_anything() {
    for data in ["", "4", "b", "é€🙂", "\0", "[\"a\",1]"] {
        let text = format!("4{data}");
        assert_eq!(
            Packet::decode(&text),
            Ok(Packet::Message(Message::Text(data)))
        );
    }
}

#[test]
fn data_after_a_type_that_has_none_is_ignored() {
    assert_eq!(Packet::decode("1x"), Ok(Packet::Close));
    assert_eq!(Packet::decode("5x"), Ok(Packet::Upgrade));
    assert_eq!(Packet::decode("6x"), Ok(Packet::Noop));
}

#[test]
fn text_that_begins_with_b_is_binary() {
    for (text, data) in [
        ("b", &b""[..]),
        ("bAQIDBA==", &[1, 2, 3, 4]),
        ("bAQIDBA", &[1, 2, 3, 4]),
        ("b//79", &[0xff, 0xfe, 0xfd]),
    ] {
        let binary = Packet::Message(Message::Binary(Cow::Borrowed(data)));
        check(text, binary, PacketType::Message);
    }
}

#[test]
fn refuses_what_is_no_packet() {
    for (text, error) in [
        ("", DecodeError::Empty),
        ("7", DecodeError::UnknownType),
        ("9x", DecodeError::UnknownType),
        ("a", DecodeError::UnknownType),
        (" 4", DecodeError::UnknownType),
        ("-1", DecodeError::UnknownType),
        ("€", DecodeError::UnknownType),
        // A digit, but not an ASCII one.
        ("٤", DecodeError::UnknownType),
        ("b!", DecodeError::InvalidBase64),
        ("bA", DecodeError::InvalidBase64),
        ("bAQID BA==", DecodeError::InvalidBase64),
        ("b€", DecodeError::InvalidBase64),
    ] {
        assert_eq!(Packet::decode(text), Err(error), "{text}");
    }
}

#[test]
fn a_binary_frame_is_all_data() {
    assert_eq!(
        Packet::from_binary(b"4x"),
        Packet::Message(Message::Binary(Cow::Borrowed(b"4x")))
    );
}

#[test]
fn encodes_each_type_as_its_digit_and_its_data() {
    for (packet_type, digit) in [
        (PacketType::Open, '0'),
        (PacketType::Close, '1'),
        (PacketType::Ping, '2'),
        (PacketType::Pong, '3'),
        (PacketType::Message, '4'),
        (PacketType::Upgrade, '5'),
        (PacketType::Noop, '6'),
    ] {
        assert_eq!(packet_type.digit(), digit);
        for data in ["", "probe"] {
            let packet = EncodedPacket::control(packet_type, data);
            let text = format!("{digit}{data}");
            assert_eq!(packet.frame().payload(), text.as_bytes());
            let header = [0x81, u8::try_from(text.len()).unwrap()];
            assert_eq!(packet.frame().bytes()[..2], header);
        }
    }
}

#[test]
fn encodes_messages() {
    let text = EncodedPacket::message("hi €");
    assert_eq!(text.frame().payload(), "4hi €".as_bytes());
    let pushed = EncodedPacket::message_with(0, |text| text.push_str("hi €"));
    assert_eq!(pushed, text);
    let binary = EncodedPacket::binary_message(&[1, 2]);
    assert_eq!(binary.frame().bytes(), [0x82, 2, 1, 2].as_slice());
    assert_eq!(binary.into_frame().payload(), [1, 2]);
}

#[test]
fn without_binary_turns_a_binary_message_into_base64() {
    for (data, text) in [
        (&b""[..], "b"),
        (&[1], "bAQ=="),
        (&[1, 2, 3, 4], "bAQIDBA=="),
        (&[0xff, 0xfe, 0xfd], "b//79"),
    ] {
        let packet = EncodedPacket::binary_message(data).without_binary();
        assert!(packet.frame().is_text());
        assert_eq!(packet.frame().payload(), text.as_bytes());
    }
}

#[test]
fn without_binary_leaves_text_as_it_is() {
    let packet = EncodedPacket::message("hi");
    assert_eq!(packet.clone().without_binary(), packet);
}

#[test]
fn debug_output_keeps_the_payload_to_itself() {
    let shown = format!("{:?}", EncodedPacket::message("secret"));
    assert!(!shown.contains("secret"), "{shown}");
}
