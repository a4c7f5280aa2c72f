//! Text that is a packet, and text that is none.

use engineio_proto::Message;
use socketio_proto::{DecodeError, Decoder, Limits, Packet, PacketData, PacketType};

use crate::support::{decode, start};

#[test]
fn packets_without_attachments() {
    for (text, expected) in [
        (r#"2["ev",1]"#, r#"/ event - ev [1]"#),
        (
            r#"2/notifications,12["ev"]"#,
            "/notifications event 12 ev []",
        ),
        (r#"20["ev"]"#, "/ event 0 ev []"),
        (
            r#"29007199254740991["ev"]"#,
            "/ event 9007199254740991 ev []",
        ),
        (r#"2["1","a"]"#, r#"/ event - 1 ["a"]"#),
        (r#"2[1,"a"]"#, r#"/ event - 1 ["a"]"#),
        (r#"2[-1.5e3,"a"]"#, r#"/ event - -1.5e3 ["a"]"#),
        (r#"2[""]"#, "/ event -  []"),
        (r#"2["a\"\u00e9"]"#, "/ event - a\"é []"),
        (r#"2[ "a" , 1 , [2] ]"#, "/ event - a [1 , [2]]"),
        (r#"2["a"] "#, "/ event - a []"),
        // GHSA-25hc-qcg6-38wj
        (
            r#"2/notifications,["error",{"x":1}]"#,
            r#"/notifications event - error [{"x":1}]"#,
        ),
        (
            r#"2["message","\ud800"]"#,
            r#"/ event - message ["\ud800"]"#,
        ),
        ("0", "/ connect -"),
        ("0/notifications", "/notifications connect -"),
        ("0/notifications,", "/notifications connect -"),
        (
            r#"0/notifications,{"token":"x"}"#,
            r#"/notifications connect {"token":"x"}"#,
        ),
        (r#"0{"token":"x"}"#, r#"/ connect {"token":"x"}"#),
        ("0{}", "/ connect {}"),
        ("1", "/ disconnect"),
        ("1/notifications", "/notifications disconnect"),
        ("1/notifications,", "/notifications disconnect"),
        // Ids that mean nothing, and one that is missing: as in Node.
        ("01", "/ connect -"),
        (
            r#"0/a,99999999999999999999{"x":1}"#,
            r#"/a connect {"x":1}"#,
        ),
        ("112", "/ disconnect"),
        (r#"41"no""#, r#"/ connect_error "no""#),
        ("3[]", "/ ack - []"),
        ("312[]", "/ ack 12 []"),
        (r#"3/a,0["x",{}]"#, r#"/a ack 0 ["x",{}]"#),
        (
            r#"4/a,{"message":"no"}"#,
            r#"/a connect_error {"message":"no"}"#,
        ),
        (r#"4"no""#, r#"/ connect_error "no""#),
    ] {
        let packet = decode(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(describe(&packet), expected, "{text}");
    }
}

#[test]
fn what_is_not_a_packet() {
    use DecodeError as E;
    for (text, expected) in [
        ("", E::UnknownType),
        ("999", E::UnknownType),
        ("7", E::UnknownType),
        ("é", E::UnknownType),
        ("a", E::UnknownType),
        // No data.
        ("2", E::InvalidPayload),
        ("21", E::InvalidPayload),
        ("2/a", E::InvalidPayload),
        ("31", E::InvalidPayload),
        ("4", E::InvalidPayload),
        // Ids.
        (r#"2 12["a"]"#, E::InvalidPayload),
        (r#"212 ["a"]"#, E::InvalidPayload),
        ("2\t[\"a\"]", E::InvalidPayload),
        (r#"2-1["a"]"#, E::InvalidPayload),
        (r#"2٣["a"]"#, E::InvalidPayload),
        (r#"29007199254740992["a"]"#, E::InvalidId),
        (r#"2100000000000000000000["a"]"#, E::InvalidId),
        // The wrong data.
        (r#"2["connect"]"#, E::InvalidPayload),
        (r#"2["\u0063onnect"]"#, E::InvalidPayload),
        (r#"2["connect_error"]"#, E::InvalidPayload),
        (r#"2["disconnect"]"#, E::InvalidPayload),
        (r#"2["disconnecting"]"#, E::InvalidPayload),
        (r#"2["newListener"]"#, E::InvalidPayload),
        (r#"2["removeListener"]"#, E::InvalidPayload),
        ("2[]", E::InvalidPayload),
        ("2[ ]", E::InvalidPayload),
        // CVE-2023-32695
        (r#"2[{"toString":"foo"}]"#, E::InvalidPayload),
        ("2[true]", E::InvalidPayload),
        ("2[null]", E::InvalidPayload),
        (r#"2[["a"]]"#, E::InvalidPayload),
        ("2{}", E::InvalidPayload),
        (r#"2"a""#, E::InvalidPayload),
        (r#"2["a""#, E::InvalidPayload),
        (r#"2["a"]x"#, E::InvalidPayload),
        (r#"2["a",]"#, E::InvalidPayload),
        (r#"2["a" "b"]"#, E::InvalidPayload),
        (r#"2["a":1]"#, E::InvalidPayload),
        (r#"2[1"a"]"#, E::InvalidPayload),
        ("2[01]", E::InvalidPayload),
        (r#"2["\ud800"]"#, E::InvalidPayload),
        ("0null", E::InvalidPayload),
        (r#"0"x""#, E::InvalidPayload),
        ("0[]", E::InvalidPayload),
        ("01null", E::InvalidPayload),
        ("0-1{}", E::InvalidPayload),
        ("0{", E::InvalidPayload),
        ("1{}", E::InvalidPayload),
        ("1/a,{}", E::InvalidPayload),
        ("112{}", E::InvalidPayload),
        ("31{}", E::InvalidPayload),
        ("4[]", E::InvalidPayload),
        ("41", E::InvalidPayload),
        // Numbers of attachments.
        ("5", E::InvalidAttachmentCount),
        ("51", E::InvalidAttachmentCount),
        ("6", E::InvalidAttachmentCount),
        (r#"5["a"]"#, E::InvalidAttachmentCount),
        (r#"5-["a"]"#, E::InvalidAttachmentCount),
        (r#"5a-["a"]"#, E::InvalidAttachmentCount),
        (r#"51.23-["a"]"#, E::InvalidAttachmentCount),
        (r#"5 1-["a"]"#, E::InvalidAttachmentCount),
        (r#"5+1-["a"]"#, E::InvalidAttachmentCount),
        (r#"51e1-["a"]"#, E::InvalidAttachmentCount),
        (r#"50x1-["a"]"#, E::InvalidAttachmentCount),
        (r#"5001-["a"]"#, E::InvalidAttachmentCount),
        (r#"50-["a"]"#, E::InvalidAttachmentCount),
        (r#"60-1["a"]"#, E::InvalidAttachmentCount),
        (r#"511-["a"]"#, E::TooManyAttachments { limit: 10 }),
        // CVE-2026-33151
        (r#"510000-["a"]"#, E::TooManyAttachments { limit: 10 }),
        (
            r#"599999999999999999999999-["a"]"#,
            E::TooManyAttachments { limit: 10 },
        ),
        // What no attachment could repair.
        (r#"51-["connect"]"#, E::InvalidPayload),
        ("51-[]", E::InvalidPayload),
        ("51-", E::InvalidPayload),
        (r#"51-[{"_placeholder":true,"num":0}]"#, E::InvalidPayload),
        ("61-{}", E::InvalidPayload),
        ("61-1{}", E::InvalidPayload),
    ] {
        assert_eq!(decode(text, &[]).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn refused_input_does_not_poison_the_decoder() {
    let mut decoder = Decoder::new();
    let (limits, now) = (Limits::default(), start());
    for text in [
        r#"50-["a"]"#,
        r#"511-["a"]"#,
        r#"51-["a",{"_placeholder":true}]"#,
    ] {
        decoder.add(Message::Text(text), &limits, now).unwrap_err();
        let packet = decoder
            .add(Message::Text(r#"2["b"]"#), &limits, now)
            .unwrap();
        assert_eq!(describe(&packet.unwrap()), "/ event - b []");
    }
}

#[test]
fn a_namespace_has_a_longest_name() {
    let longest = format!("/{}", "n".repeat(255));
    let packet = decode(&format!("0{longest},"), &[]).unwrap();
    assert_eq!(packet.namespace.as_str(), longest);
    for text in [format!("0{longest}n,"), format!("0{longest}n")] {
        assert_eq!(
            decode(&text, &[]).unwrap_err(),
            DecodeError::NamespaceTooLong
        );
    }
}

#[test]
fn depth_neither_overflows_the_stack_nor_is_built() {
    let depth = 500_000;
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    let invalid = DecodeError::InvalidPayload;
    for text in [
        format!("2{open}"),
        format!("2[\"a\",{open}"),
        format!("0{{\"a\":{open}"),
        format!("2{open}{close}"),
        format!("51-[\"a\",{open}{close}]"),
        format!("51-[\"a\",{}", "{\"a\":".repeat(depth)),
    ] {
        assert_eq!(decode(&text, &[]).unwrap_err(), invalid);
    }
    // Deep JSON that is valid is passed on, as Node does.
    let packet = decode(&format!("2[\"a\",{open}{close}]"), &[]).unwrap();
    let PacketData::Event(event) = packet.data else {
        panic!("not an event");
    };
    assert_eq!(event.args.json().len(), 2 * depth + 2);
    event.args.deserialize::<serde_json::Value>().unwrap_err();
}

#[test]
fn digits_of_packet_types() {
    let types = [
        PacketType::Connect,
        PacketType::Disconnect,
        PacketType::Event,
        PacketType::Ack,
        PacketType::ConnectError,
        PacketType::BinaryEvent,
        PacketType::BinaryAck,
    ];
    for (packet_type, digit) in types.into_iter().zip(b'0'..) {
        assert_eq!(packet_type.digit(), char::from(digit));
        assert_eq!(PacketType::from_digit(digit), Some(packet_type));
    }
    assert_eq!(PacketType::from_digit(b'7'), None);
}

fn describe(packet: &Packet) -> String {
    let namespace = &packet.namespace;
    match &packet.data {
        PacketData::Connect { auth } => {
            let auth = auth.as_ref().map_or("-", |auth| auth.get());
            format!("{namespace} connect {auth}")
        }
        PacketData::Disconnect => format!("{namespace} disconnect"),
        PacketData::Event(event) => {
            let id = event.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            let (name, args) = (event.name(), event.args.json());
            format!("{namespace} event {id} {name} {args}")
        }
        PacketData::Ack { id, args } => {
            let id = id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            format!("{namespace} ack {id} {}", args.json())
        }
        PacketData::ConnectError { error } => {
            format!("{namespace} connect_error {}", error.get())
        }
    }
}
