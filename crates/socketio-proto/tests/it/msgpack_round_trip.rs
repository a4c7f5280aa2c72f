//! MessagePack and JSON, there and back.

use bytes::Bytes;
use engineio_proto::Message;
use proptest::prelude::*;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use socketio_proto::{
    ConnectError, Connected, Decoder, Encoded, EventName, Limits, OutgoingArgs, Packet, PacketData,
    Parser, msgpack,
};

use crate::support::{namespace, start};

const MSGPACK: Parser = Parser::Msgpack;
const LIMITS: msgpack::Limits = msgpack::Limits {
    max_depth: 100,
    max_attachments: 10,
};

fn payload(encoded: &Encoded) -> &[u8] {
    let [packet] = encoded.packets() else {
        panic!("more than one message")
    };
    assert!(packet.frame().is_binary());
    packet.frame().payload()
}

fn decoded(encoded: &Encoded) -> Packet {
    let mut decoder = Decoder::with_parser(MSGPACK);
    let message = Message::Binary(payload(encoded).into());
    let packet = decoder.add(message, &Limits::default(), start());
    packet.unwrap().expect("a packet is one message")
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// What `socket.io-msgpack-parser` 3.0.2 writes for the packets of Node's server.
#[test]
fn packets_are_the_bytes_of_nodes_parser() {
    let check = |encoded: Encoded, expected: &[u8]| {
        assert_eq!(
            payload(&encoded),
            expected,
            "{:?}",
            String::from_utf8_lossy(expected)
        );
    };
    let chat = namespace("/chat");
    let name = EventName::new("hi").unwrap();
    let value = raw(r#"{"a":[1.5,null,"\u00e9"],"b":1.0}"#);
    check(
        MSGPACK.event(&chat, None, name, &[&*value]),
        b"\x83\xa4type\x02\xa4data\x92\xa2hi\x82\xa1a\x93\xcb\x3f\xf8\0\0\0\0\0\0\xc0\xa2\xc3\xa9\
          \xa1b\x01\xa3nsp\xa5/chat",
    );
    check(
        MSGPACK.event(&chat, Some(300), name, OutgoingArgs::new(&[])),
        b"\x84\xa4type\x02\xa4data\x91\xa2hi\xa2id\xcd\x01\x2c\xa3nsp\xa5/chat",
    );
    check(
        MSGPACK.ack(&chat, 7, OutgoingArgs::new(&[])),
        b"\x84\xa2id\x07\xa4type\x03\xa4data\x90\xa3nsp\xa5/chat",
    );
    check(
        MSGPACK.disconnect(&chat),
        b"\x82\xa4type\x01\xa3nsp\xa5/chat",
    );
    check(
        MSGPACK.connect(&chat, "abc", Some("pid")),
        b"\x83\xa4type\x00\xa4data\x82\xa3sid\xa3abc\xa3pid\xa3pid\xa3nsp\xa5/chat",
    );
    check(
        MSGPACK.connect_error(&chat, "no", Some(&raw("{}"))),
        b"\x83\xa4type\x04\xa4data\x82\xa7message\xa2no\xa4data\x80\xa3nsp\xa5/chat",
    );
    check(
        MSGPACK.connect_request(&chat, Some(&raw(r#"{"token":"x"}"#))),
        b"\x83\xa4type\x00\xa4data\x81\xa5token\xa1x\xa3nsp\xa5/chat",
    );
}

#[test]
fn connect_is_read_as_it_was_written() {
    let chat = namespace("/chat");
    let auth = |encoded: &Encoded| {
        let PacketData::Connect { auth } = decoded(encoded).data else {
            panic!("not a CONNECT")
        };
        auth
    };
    let reply = auth(&MSGPACK.connect(&chat, "abc", None)).unwrap();
    let expected = Connected {
        sid: "abc".into(),
        pid: None,
    };
    assert_eq!(Connected::from_json(&reply).unwrap(), expected);
    assert!(auth(&MSGPACK.connect_request(&chat, None)).is_none());
    let refused = MSGPACK.connect_error(&chat, "no", Some(&raw(r#"{"code":"x"}"#)));
    let PacketData::ConnectError { error } = decoded(&refused).data else {
        panic!("not a CONNECT_ERROR")
    };
    let error = ConnectError::from_json(&error).unwrap();
    assert_eq!(
        (error.message.as_str(), error.data.unwrap().get()),
        ("no", r#"{"code":"x"}"#)
    );
}

/// Neither is a back end's payload: JSON is written without a stack.
#[test]
fn what_is_sent_may_be_as_deep_as_it_likes() {
    let depth = 200_000;
    let deep = raw(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    let bytes = msgpack::from_json(&deep, &[]);
    assert_eq!(bytes.len(), depth);
    assert!(bytes[..depth - 1].iter().all(|byte| *byte == 0x91));
    assert_eq!(bytes[depth - 1], 0x90);
}

#[test]
fn numbers_and_texts_are_those_of_javascript() {
    let check = |json: &str, expected: &[u8]| {
        assert_eq!(msgpack::from_json(&raw(json), &[]), expected, "{json}");
    };
    check(" [ 1 , 2 ] ", &[0x92, 1, 2]);
    check("1.0", &[1]);
    check("-0.0", &[0]);
    check("1e2", &[100]);
    check("-129", &[0xd1, 0xff, 0x7f]);
    check("1e400", &[0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]);
    check(
        "18446744073709551615",
        &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
    );
    check(r#""\"\\\/\b\f\n\r\t\u0041""#, b"\xa9\"\\/\x08\x0c\n\r\tA");
    check(r#""\ud83d\ude42""#, b"\xa4\xf0\x9f\x99\x82");
    // Halves of surrogate pairs have no UTF-8.
    check(r#""\ud83d""#, b"\xa3\xef\xbf\xbd");
    check(r#""\ud83d\u0041\udead""#, b"\xa7\xef\xbf\xbdA\xef\xbf\xbd");
    check(
        r#"{"a":{},"b":[{"c":[]}],"d":"}"}"#,
        b"\x83\xa1a\x80\xa1b\x91\x81\xa1c\x90\xa1d\xa1}",
    );
    let long = format!("[{}]", vec!["0"; 70_000].join(","));
    let bytes = msgpack::from_json(&raw(&long), &[]);
    assert_eq!(
        (&bytes[..5], bytes.len()),
        (&[0xdd, 0, 1, 0x11, 0x70][..], 70_005)
    );
}

#[test]
fn binary_data_goes_to_the_place_of_its_placeholder() {
    let data = [Bytes::from_static(&[1, 2]), Bytes::from_static(&[3])];
    let check = |json: &str, expected: &[u8]| {
        assert_eq!(msgpack::from_json(&raw(json), &data), expected, "{json}");
    };
    check(
        r#"[{"num":1,"_placeholder":true},{"_placeholder":true,"num":0}]"#,
        &[0x92, 0xc4, 1, 3, 0xc4, 2, 1, 2],
    );
    // What is in a placeholder goes with it.
    check(
        r#"[{"_placeholder":true,"x":[{}],"num":1},[7]]"#,
        &[0x92, 0xc4, 1, 3, 0x91, 7],
    );
    check(
        r#"{"_placeholder":true,"num":2}"#,
        b"\x82\xac_placeholder\xc3\xa3num\x02",
    );
    check(
        r#"{"_placeholder":1,"num":0}"#,
        b"\x82\xac_placeholder\x01\xa3num\x00",
    );
}

/// Or a small event would be a large one.
#[test]
fn binary_data_is_sent_once() {
    let data = [Bytes::from(vec![7; 1000])];
    let many = vec![r#"{"_placeholder":true,"num":0}"#; 100].join(",");
    let bytes = msgpack::from_json(&raw(&format!("[{many}]")), &data);
    assert!(bytes.len() < 1000 + 100 * 30, "{}", bytes.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn events(
        name in "/[^,]{0,20}",
        id in proptest::option::of(0..=9_007_199_254_740_991_u64),
        event_name in any::<String>(),
        values in proptest::collection::vec(value(), 0..4),
        attachments in attachments(),
        last in any::<bool>(),
    ) {
        let namespace = namespace(&name);
        let Ok(event_name) = EventName::new(&event_name) else { return Ok(()) };
        let (raw, expected) = with_placeholders(&values, attachments.len(), last);
        let raw: Vec<&RawValue> = raw.iter().map(|value| &**value).collect();
        let mut args = OutgoingArgs::with_attachments(&raw, &attachments);
        if last {
            args = args.with_last(RawValue::NULL);
        }
        let encoded = MSGPACK.event(&namespace, id, event_name, args);
        let packet = decoded(&encoded);
        prop_assert_eq!(&packet.namespace, &namespace);
        let PacketData::Event(event) = packet.data else { panic!("not an event") };
        prop_assert_eq!(event.id, id);
        prop_assert_eq!(event.name(), event_name);
        let received: Vec<Value> = event.args.deserialize().unwrap();
        prop_assert_eq!(received, expected);
        prop_assert_eq!(event.args.attachments(), attachments);
        // And back, byte for byte.
        let again = MSGPACK.event(&namespace, id, event.name(), &event.args);
        prop_assert_eq!(again, encoded);
    }

    #[test]
    fn acks(id in 0..=9_007_199_254_740_991_u64, values in proptest::collection::vec(value(), 0..4)) {
        let (raw, expected) = with_placeholders(&values, 0, false);
        let raw: Vec<&RawValue> = raw.iter().map(|value| &**value).collect();
        let encoded = MSGPACK.ack(&namespace("/a"), id, &raw[..]);
        let PacketData::Ack { id: received, args } = decoded(&encoded).data else {
            panic!("not an ack")
        };
        prop_assert_eq!(received, Some(id));
        prop_assert_eq!(args.deserialize::<Vec<Value>>().unwrap(), expected);
    }

    #[test]
    fn values(value in value()) {
        let bytes = msgpack::from_json(&to_raw_value(&value).unwrap(), &[]);
        let (json, attachments) = msgpack::to_json(&bytes, &LIMITS).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        prop_assert!(attachments.is_empty());
    }

    /// White space and escapes that serde_json does not write.
    #[test]
    fn any_json(text in "[\\[\\]{}\",:a0-9\\\\u.e \n-]{0,24}") {
        if let Ok(value) = serde_json::from_str::<&RawValue>(&text) {
            let bytes = msgpack::from_json(value, &[Bytes::from_static(&[1])]);
            prop_assert!(msgpack::to_json(&bytes, &LIMITS).is_ok());
        }
    }
}

/// The values, and a placeholder for each attachment; and what is expected of them.
fn with_placeholders(
    values: &[Value],
    attachments: usize,
    last: bool,
) -> (Vec<Box<RawValue>>, Vec<Value>) {
    let mut values = values.to_vec();
    for num in 0..attachments {
        values.push(json!({"_placeholder": true, "num": num}));
    }
    let raw = values.iter().map(|value| to_raw_value(value).unwrap());
    let raw = raw.collect();
    if last {
        values.push(Value::Null);
    }
    (raw, values)
}

/// Numbers that are whole are so in JavaScript, however they are written.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("whole", |number| number.fract() != 0.0
                || number.abs() > 1e16)
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 40, 20, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..20)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn attachments() -> impl Strategy<Value = Vec<Bytes>> {
    let data = proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    proptest::collection::vec(data, 0..=10)
}
