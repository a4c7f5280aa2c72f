//! Packets with attachments, and their bounds.

use std::time::Duration;

use engineio_proto::Message;
use serde_json::value::RawValue;
use socketio_proto::{
    Args, ClientConfig, ClientError, DecodeError, Decoder, Limits, PacketData, ProtocolViolation,
};

use crate::support::{Peer, decode, namespace, start};

const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":0}"#;

#[test]
fn an_event_is_complete_with_its_last_attachment() {
    let text = r#"52-/a,7["ev",{"x":{"_placeholder":true,"num":1}},{"_placeholder":true,"num":0}]"#;
    let packet = decode(text, &[b"first", b""]).unwrap();
    assert_eq!(packet.namespace.as_str(), "/a");
    let PacketData::Event(event) = packet.data else {
        panic!("not an event");
    };
    assert_eq!((event.id, event.name().as_str()), (Some(7), "ev"));
    assert_eq!(event.args.attachments(), [&b"first"[..], b""]);
    assert_eq!(event.args.iter().len(), 2);
    let (_, last): (serde_json::Value, &RawValue) = event.args.deserialize().unwrap();
    assert_eq!(last.get(), PLACEHOLDER);
}

#[test]
fn an_ack_is_complete_with_its_last_attachment() {
    let packet = decode(r#"61-7[{"_placeholder":true,"num":0}]"#, &[b"x"]).unwrap();
    let PacketData::Ack { id, args } = packet.data else {
        panic!("not an ack");
    };
    assert_eq!(id, Some(7));
    assert_eq!(args.attachments(), [&b"x"[..]]);
}

#[test]
fn placeholders_that_are_taken() {
    for args in [
        PLACEHOLDER,
        // The attachment is not used.
        "",
        "1",
        // It is used twice.
        r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}"#,
        r#"{"num":0,"_placeholder":true}"#,
        r#"[{"a":[{"_placeholder":true,"num":0}]}]"#,
        // Not placeholders.
        r#"{"_placeholder":false,"num":9}"#,
        r#"{"_placeholder":1,"num":9}"#,
        r#"{"_placeholder":"true"}"#,
        r#"{"num":9}"#,
        // Of two equal keys, JSON.parse takes the last.
        r#"{"_placeholder":true,"num":9,"num":0}"#,
        r#"{"_placeholder":true,"num":9,"_placeholder":false}"#,
        // Inside a placeholder nothing is looked at.
        r#"{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":9}}"#,
    ] {
        let text = format!("51-[\"a\",{args}]").replace(",]", "]");
        decode(&text, &[b"x"]).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn placeholders_that_are_illegal() {
    for args in [
        // CVE-2022-2421
        r#"{"_placeholder":true,"num":"splice"}"#,
        r#"{"_placeholder":true,"num":1}"#,
        r#"{"_placeholder":true,"num":-1}"#,
        r#"{"_placeholder":true,"num":0.5}"#,
        r#"{"_placeholder":true,"num":1e30}"#,
        r#"{"_placeholder":true,"num":18446744073709551616}"#,
        r#"{"_placeholder":true,"num":null}"#,
        r#"{"_placeholder":true,"num":true}"#,
        r#"{"_placeholder":true,"num":[0]}"#,
        r#"{"_placeholder":true,"num":"0"}"#,
        r#"{"_placeholder":true}"#,
        r#"{"num":9,"_placeholder":true}"#,
        r#"{"\u005fplaceholder":true,"n\u0075m":9}"#,
        r#"{"_placeholder":true,"num":0,"num":9}"#,
        r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#,
        r#"1,[[{"_placeholder":true,"num":9},2],3],{"a":{}}"#,
        r#"{"a":{"_placeholder":true,"num":9},"b":1},1"#,
    ] {
        let text = format!("51-[\"a\",{args}]");
        let error = decode(&text, &[]).unwrap_err();
        assert_eq!(error, DecodeError::IllegalAttachments, "{text}");
        let text = format!("61-1[{args}]");
        let error = decode(&text, &[]).unwrap_err();
        assert_eq!(error, DecodeError::IllegalAttachments, "{text}");
    }
}

#[test]
fn placeholders_mean_nothing_without_attachments() {
    let packet = decode(r#"2["a",{"_placeholder":true,"num":9}]"#, &[]).unwrap();
    assert!(matches!(packet.data, PacketData::Event(_)));
}

#[test]
fn text_must_not_come_before_the_attachments() {
    let mut decoder = Decoder::new();
    let (limits, now) = (Limits::default(), start());
    let text = format!("51-[\"a\",{PLACEHOLDER}]");
    assert!(
        decoder
            .add(Message::Text(&text), &limits, now)
            .unwrap()
            .is_none()
    );
    let error = decoder.add(Message::Text(r#"2["b"]"#), &limits, now);
    assert_eq!(error.unwrap_err(), DecodeError::TextInsteadOfAttachment);
}

#[test]
fn attachments_must_be_due() {
    let mut decoder = Decoder::new();
    let (limits, now) = (Limits::default(), start());
    let error = decoder.add(Message::Binary(b"x"[..].into()), &limits, now);
    assert_eq!(error.unwrap_err(), DecodeError::UnexpectedAttachment);
}

#[test]
fn the_number_of_attachments_is_bounded() {
    let limits = Limits {
        max_attachments: 2,
        ..Limits::default()
    };
    let now = start();
    let mut decoder = Decoder::new();
    let error = decoder.add(Message::Text(r#"53-["a"]"#), &limits, now);
    let expected = DecodeError::TooManyAttachments { limit: 2 };
    assert_eq!(error.unwrap_err(), expected);
    let unfinished = decoder.add(Message::Text(r#"52-["a"]"#), &limits, now);
    assert!(unfinished.unwrap().is_none());
}

#[test]
fn the_bytes_of_attachments_are_bounded_together() {
    let limits = Limits {
        max_attachment_bytes: 5,
        ..Limits::default()
    };
    for (second, fits) in [(&b"45"[..], true), (b"456", false)] {
        let mut decoder = Decoder::new();
        let now = start();
        for message in [
            Message::Text(r#"52-["a"]"#),
            Message::Binary(b"123"[..].into()),
        ] {
            assert!(decoder.add(message, &limits, now).unwrap().is_none());
        }
        let end = decoder.add(Message::Binary(second.into()), &limits, now);
        if fits {
            assert!(end.unwrap().is_some());
        } else {
            let expected = DecodeError::AttachmentsTooLarge { limit: 5 };
            assert_eq!(end.unwrap_err(), expected);
        }
        assert_eq!(decoder.poll_timeout(), None);
    }
}

#[test]
fn attachments_have_one_deadline_for_all() {
    let limits = Limits::default();
    let now = start();
    let mut decoder = Decoder::new();
    assert_eq!(decoder.poll_timeout(), None);
    let text = r#"52-["a"]"#;
    assert!(
        decoder
            .add(Message::Text(text), &limits, now)
            .unwrap()
            .is_none()
    );
    let deadline = Some(now + Duration::from_secs(20));
    assert_eq!(decoder.poll_timeout(), deadline);
    let later = now + Duration::from_secs(19);
    let first = decoder.add(Message::Binary(vec![1].into()), &limits, later);
    assert!(first.unwrap().is_none());
    assert_eq!(decoder.poll_timeout(), deadline);
    let second = decoder.add(Message::Binary(vec![2].into()), &limits, later);
    assert!(second.unwrap().is_some());
    assert_eq!(decoder.poll_timeout(), None);
}

#[test]
fn nothing_is_kept_for_a_namespace_that_the_client_is_not_in() {
    let text = format!("52-/a,[\"{}\"]", "x".repeat(10_000));
    let not_connected = Err(ClientError::Violation(ProtocolViolation::NotConnected));
    let mut peer = Peer::new(ClientConfig::default());
    assert_eq!(peer.text(&text).map(|_| ()), not_connected);
    assert_eq!(peer.client.partial_memory(), 0);
    // Nor while the client waits for its answer.
    let mut peer = Peer::new(ClientConfig::default());
    peer.text("0/a").unwrap();
    assert_eq!(peer.text(&text).map(|_| ()), not_connected);
    assert_eq!(peer.client.partial_memory(), 0);
    // It does not know yet that it was taken out, and goes on.
    let mut peer = Peer::connected(&["/a"]);
    assert!(peer.client.disconnect(&namespace("/a"), peer.now).is_some());
    peer.text(&text).unwrap();
    assert!(peer.binary(&[0; 10_000]).unwrap().is_none());
    assert!(peer.client.partial_memory() < 1000);
    assert!(peer.binary(&[0; 10_000]).unwrap().is_none());
    assert_eq!(peer.client.partial_memory(), 0);
    peer.text("0/a").unwrap();
}

#[test]
fn what_is_kept_is_told_and_let_go_with_the_namespace() {
    let mut peer = Peer::connected(&["/a"]);
    peer.text(&format!("52-/a,[\"{}\",{PLACEHOLDER}]", "x".repeat(1000)))
        .unwrap();
    peer.binary(&[0; 10_000]).unwrap();
    let memory = peer.client.partial_memory();
    assert!((11_000..12_000).contains(&memory), "{memory}");
    assert!(peer.client.disconnect(&namespace("/a"), peer.now).is_some());
    assert!(peer.client.partial_memory() < 1000);
    assert!(peer.binary(&[0; 10_000]).unwrap().is_none());
    assert_eq!(peer.client.partial_memory(), 0);
}

#[test]
fn logs_do_not_show_what_was_sent() {
    let packet = decode(
        r#"51-["a",{"_placeholder":true,"num":0},"secret"]"#,
        &[b"secret"],
    );
    let shown = format!("{:?}", packet.unwrap());
    assert!(shown.contains("attachments: 1"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
    let shown = format!("{:?}", decode(r#"0{"token":"secret"}"#, &[]).unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn arguments_that_are_put_together_have_placeholders_for_their_attachments_only() {
    let values = [RawValue::from_string(PLACEHOLDER.to_owned()).unwrap()];
    let values = [&*values[0]];
    let args = Args::with_attachments(&values, vec!["x".into()]).unwrap();
    assert_eq!(args.json(), format!("[{PLACEHOLDER}]"));
    assert_eq!(args.attachments(), [&b"x"[..]]);
    let other = RawValue::from_string(PLACEHOLDER.replace('0', "1")).unwrap();
    let refused = Args::with_attachments(&[&other], vec!["x".into()]);
    assert_eq!(refused, Err(DecodeError::IllegalAttachments));
    // Nothing is sent as an attachment, so nothing is looked for.
    assert!(Args::with_attachments(&[&other], Vec::new()).is_ok());
}
