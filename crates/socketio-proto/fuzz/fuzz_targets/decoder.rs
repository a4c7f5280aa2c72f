//! The text parser under any sequence of messages: it keeps within its limits,
//! and what it takes reads the same once it is encoded again.

#![no_main]

use std::time::{Duration, Instant};

use engineio_proto::{EncodedPacket, Message};
use libfuzzer_sys::{arbitrary, fuzz_target};
use serde_json::value::RawValue;
use socketio_proto::{
    Decoder, Encoded, Event, Limits, OutgoingArgs, Packet, PacketData, Parser, Revision, encode,
};

#[derive(arbitrary::Arbitrary, Debug)]
enum Input<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

const LIMITS: Limits = Limits {
    max_attachments: 3,
    max_attachment_bytes: 64,
    attachment_timeout: Duration::from_secs(20),
    max_depth: 100,
};

fuzz_target!(|inputs: Vec<Input<'_>>| {
    let now = Instant::now();
    // Every fourth, without a byte more in the seeds.
    let mut decoder = if inputs.len() % 4 == 3 {
        Decoder::with_revision(Revision::V4, Parser::Text)
    } else {
        Decoder::new()
    };
    for input in inputs {
        let message = match input {
            Input::Text(text) => Message::Text(text),
            Input::Binary(data) => Message::Binary(data.into()),
        };
        match decoder.add(message, &LIMITS, now) {
            Ok(Some(packet)) => {
                assert!(decoder.poll_timeout().is_none());
                check(&packet, now);
            }
            Ok(None) => assert!(decoder.poll_timeout().is_some()),
            Err(_) => return,
        }
    }
});

fn check(packet: &Packet, now: Instant) {
    let encoded = match &packet.data {
        PacketData::Event(event) => {
            let attachments = event.args.attachments();
            assert!(attachments.len() <= LIMITS.max_attachments);
            let bytes: usize = attachments.iter().map(|data| data.len()).sum();
            assert!(bytes <= LIMITS.max_attachment_bytes);
            let values: Vec<&RawValue> = event.args.iter().collect();
            let args = OutgoingArgs::with_attachments(&values, attachments);
            encode::event(&packet.namespace, event.id, event.name(), args)
        }
        PacketData::Disconnect => encode::disconnect(&packet.namespace),
        PacketData::Connect { .. } | PacketData::Ack { .. } | PacketData::ConnectError { .. } => {
            return;
        }
    };
    let again = decode(&encoded, now);
    assert_eq!(again.namespace, packet.namespace);
    if let (PacketData::Event(event), PacketData::Event(again)) = (&packet.data, &again.data) {
        assert_eq!(again.id, event.id);
        // White space between them is not kept.
        let texts = |event: &Event| -> Vec<String> {
            event.args.iter().map(|value| value.get().to_owned()).collect()
        };
        assert_eq!(texts(again), texts(event));
        assert_eq!(again.args.attachments(), event.args.attachments());
        assert_eq!(again.name().as_str(), event.name().as_str());
    }
}

fn decode(encoded: &Encoded, now: Instant) -> Packet {
    let mut decoder = Decoder::new();
    let mut packet = None;
    for part in encoded.packets() {
        packet = decoder
            .add(message(part), &LIMITS, now)
            .expect("what is encoded here can be read");
    }
    packet.expect("a whole packet")
}

fn message(packet: &EncodedPacket) -> Message<'_> {
    let frame = packet.frame();
    if frame.is_binary() {
        Message::Binary(frame.payload().into())
    } else {
        let text = std::str::from_utf8(frame.payload()).expect("text");
        Message::Text(text.strip_prefix('4').expect("a message"))
    }
}
