//! The text of packets to send.

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};
use socketio_proto::{Args, EventName, OutgoingArgs, PacketData, encode};

use crate::support::{attachments_of, decode, namespace, text_of};

#[test]
fn connect() {
    for (name, pid, expected) in [
        ("/", None, r#"0{"sid":"abc"}"#),
        ("/a", None, r#"0/a,{"sid":"abc"}"#),
        ("/a", Some("p"), r#"0/a,{"sid":"abc","pid":"p"}"#),
    ] {
        let encoded = encode::connect(&namespace(name), "abc", pid);
        assert_eq!(text_of(&encoded), expected);
        assert_eq!(encoded.packets().len(), 1);
    }
}

#[test]
fn connect_request() {
    let auth = to_raw_value(&serde_json::json!({"token": "x"})).unwrap();
    for (name, auth, expected) in [
        ("/", None, "0"),
        ("/a", None, "0/a,"),
        ("/a", Some(&*auth), r#"0/a,{"token":"x"}"#),
    ] {
        let encoded = encode::connect_request(&namespace(name), auth);
        assert_eq!(text_of(&encoded), expected);
    }
}

#[test]
fn connect_error() {
    let data = to_raw_value(&serde_json::json!({"code": "expired"})).unwrap();
    let a = namespace("/a");
    assert_eq!(
        text_of(&encode::connect_error(&a, "Invalid namespace", None)),
        r#"4/a,{"message":"Invalid namespace"}"#
    );
    assert_eq!(
        text_of(&encode::connect_error(&a, "say \"hi\"", Some(&data))),
        r#"4/a,{"message":"say \"hi\"","data":{"code":"expired"}}"#
    );
}

#[test]
fn disconnect() {
    assert_eq!(text_of(&encode::disconnect(&namespace("/"))), "1");
    assert_eq!(text_of(&encode::disconnect(&namespace("/a"))), "1/a,");
}

#[test]
fn events_and_acks() {
    let object = to_raw_value(&serde_json::json!({"x": 1})).unwrap();
    let text = to_raw_value("é").unwrap();
    let root = namespace("/");
    let name = EventName::new("ev").unwrap();
    for (values, event, ack) in [
        (&[][..], r#"2["ev"]"#, "37[]"),
        (&[&*object], r#"2["ev",{"x":1}]"#, r#"37[{"x":1}]"#),
        (
            &[&*object, &*text],
            r#"2["ev",{"x":1},"é"]"#,
            r#"37[{"x":1},"é"]"#,
        ),
    ] {
        assert_eq!(text_of(&encode::event(&root, None, name, values)), event);
        assert_eq!(text_of(&encode::ack(&root, 7, values)), ack);
    }
    let encoded = encode::event(&namespace("/a"), Some(12), name, &[&*object]);
    assert_eq!(text_of(&encoded), r#"2/a,12["ev",{"x":1}]"#);
}

#[test]
fn attachments_follow_the_text() {
    let value: Box<RawValue> = serde_json::from_str(r#"{"_placeholder":true,"num":1}"#).unwrap();
    let attachments = [Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    let values = [&*value];
    let args = OutgoingArgs::with_attachments(&values, &attachments);
    let name = EventName::new("ev").unwrap();
    let encoded = encode::event(&namespace("/a"), Some(3), name, args);
    let expected = r#"52-/a,3["ev",{"_placeholder":true,"num":1}]"#;
    assert_eq!(text_of(&encoded), expected);
    assert_eq!(attachments_of(&encoded), [b"one", b"two"]);
    // Two bytes of header each, and Engine.IO's `4`.
    assert_eq!(encoded.len_bytes(), (2 + 1 + expected.len()) + (2 + 3) * 2);
    let encoded = encode::ack(&namespace("/"), 3, args);
    assert_eq!(text_of(&encoded), r#"62-3[{"_placeholder":true,"num":1}]"#);
    assert_eq!(attachments_of(&encoded), [b"one", b"two"]);
}

#[test]
fn received_arguments_go_back_as_they_came() {
    let text = r#"51-["ev", {"_placeholder":true,"num":0} ,1.50]"#;
    let PacketData::Event(event) = decode(text, &[b"data"]).unwrap().data else {
        panic!("not an event");
    };
    let encoded = encode::event(&namespace("/"), None, event.name(), &event.args);
    assert_eq!(
        text_of(&encoded),
        r#"51-["ev",{"_placeholder":true,"num":0} ,1.50]"#
    );
    assert_eq!(attachments_of(&encoded), [b"data"]);
    assert_eq!(
        text_of(&encode::ack(&namespace("/"), 1, &event.args)),
        r#"61-1[{"_placeholder":true,"num":0} ,1.50]"#
    );
}

#[test]
fn arguments_are_made_of_values() {
    let one = to_raw_value(&1).unwrap();
    let object = to_raw_value(&serde_json::json!({"ok": true})).unwrap();
    let args = Args::new(&[&one, &object]);
    assert_eq!(args.json(), r#"[1,{"ok":true}]"#);
    assert!(args.attachments().is_empty());
    assert_eq!(Args::new(&[]).json(), "[]");
    let ack = encode::ack(&namespace("/"), 7, &args);
    assert_eq!(text_of(&ack), r#"37[1,{"ok":true}]"#);
}

#[test]
fn names_are_escaped_as_json_stringify_does_it() {
    let name: String = ('\0'..=' ')
        .chain("\"\\/é\u{2028}😀\u{7f}".chars())
        .collect();
    let encoded = encode::event(&namespace("/"), None, EventName::new(&name).unwrap(), &[]);
    let expected = serde_json::to_string(&[&name]).unwrap();
    assert_eq!(text_of(&encoded), format!("2{expected}"));
}

#[test]
fn a_large_packet_has_a_large_frame() {
    let value = to_raw_value(&"x".repeat(70_000)).unwrap();
    let name = EventName::new("ev").unwrap();
    let encoded = encode::event(&namespace("/"), None, name, &[&*value]);
    assert_eq!(encoded.len_bytes(), 10 + r#"42["ev",""]"#.len() + 70_000);
}
