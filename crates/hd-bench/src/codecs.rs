//! Packets and payloads.

use std::hint::black_box;
use std::time::Instant;

use engineio_proto::{Message, Packet, payload};
use serde_json::value::RawValue;
use socketio_proto::{Decoder, Encoded, EventName, Limits, Namespace, Parser, encode};

use crate::Operation;

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation::new("codecs/decode-engineio-message", || {
        let text = format!("4{EVENT}");
        Box::new(move || {
            black_box(Packet::decode(black_box(&text))).expect("a packet");
        })
    }),
    Operation::new("codecs/decode-payload-of-10", || {
        let body = [format!("4{EVENT}").as_str(); 10].join("\u{1e}");
        Box::new(move || {
            let packets = payload::decode(black_box(body.as_bytes()), 16).expect("a payload");
            assert_eq!(black_box(packets.count()), 10);
        })
    }),
    Operation::new("codecs/decode-event", || decode(EVENT.to_owned())),
    Operation::new("codecs/decode-connect", || {
        decode(format!(
            r#"0/notifications,{{"token":"{}"}}"#,
            "x".repeat(300)
        ))
    }),
    Operation::new("codecs/encode-event", || {
        let namespace = notifications();
        let payload = RawValue::from_string(PAYLOAD.to_owned()).expect("JSON");
        Box::new(move || drop(black_box(event(&namespace, &payload))))
    }),
    Operation::new("codecs/decode-msgpack-event", || {
        let payload = RawValue::from_string(PAYLOAD.to_owned()).expect("JSON");
        let event = msgpack_event(&notifications(), &payload);
        let mut decoder = Decoder::with_parser(Parser::Msgpack);
        let limits = Limits::default();
        let now = Instant::now();
        Box::new(move || {
            let bytes = black_box(event.packets()[0].frame().payload());
            let packet = decoder.add(Message::Binary(bytes.into()), &limits, now);
            drop(black_box(packet.expect("a packet")));
        })
    }),
    Operation::new("codecs/encode-msgpack-event", || {
        let namespace = notifications();
        let payload = RawValue::from_string(PAYLOAD.to_owned()).expect("JSON");
        Box::new(move || drop(black_box(msgpack_event(&namespace, &payload))))
    }),
];

fn msgpack_event(namespace: &Namespace, payload: &RawValue) -> Encoded {
    let name = EventName::new("new_notification").expect("not reserved");
    Parser::Msgpack.event(namespace, None, name, &[payload][..])
}

fn decode(text: String) -> Box<dyn FnMut()> {
    let mut decoder = Decoder::new();
    let limits = Limits::default();
    let now = Instant::now();
    Box::new(move || {
        let packet = decoder.add(Message::Text(black_box(&text)), &limits, now);
        drop(black_box(packet.expect("a packet")));
    })
}

pub(crate) fn notifications() -> Namespace {
    Namespace::new("/notifications").expect("a namespace")
}

/// A notification, encoded.
pub(crate) fn event(namespace: &Namespace, payload: &RawValue) -> Encoded {
    let name = EventName::new("new_notification").expect("not reserved");
    encode::event(namespace, None, name, &[payload][..])
}

pub(crate) const PAYLOAD: &str = r#"{"mensaje":"Se asignó el ticket «Impresora sin tóner» a su grupo","ticketId":48213,"fecha":"2026-01-31T10:00:00.000Z","prioridad":"alta","url":"/tickets/48213"}"#;
const EVENT: &str = r#"2/notifications,["new_notification",{"mensaje":"Se asignó el ticket «Impresora sin tóner» a su grupo","ticketId":48213,"fecha":"2026-01-31T10:00:00.000Z","prioridad":"alta","url":"/tickets/48213"}]"#;
