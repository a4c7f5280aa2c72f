//! The MessagePack parser under any bytes, and JSON on its way out: what is read
//! is JSON within the limits, and reads the same once it is encoded again.

#![no_main]

use std::time::{Duration, Instant};

use engineio_proto::Message;
use libfuzzer_sys::{arbitrary, fuzz_target};
use serde_json::Value;
use serde_json::value::RawValue;
use socketio_proto::{Args, Decoder, Encoded, Limits, OutgoingArgs, Packet, PacketData, Parser, msgpack};

#[derive(arbitrary::Arbitrary, Debug)]
enum Input<'a> {
    Packet(&'a [u8]),
    /// The arguments of an event of `/`.
    Args(u8, &'a [u8]),
    Json(&'a str),
}

const LIMITS: Limits = Limits {
    max_attachments: 3,
    max_attachment_bytes: 64,
    attachment_timeout: Duration::from_secs(20),
    max_depth: 20,
};

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Packet(bytes) => packet(bytes),
        Input::Args(len, args) => {
            let head = b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data";
            let len = [0x90 | (len & 0x0f)];
            packet(&[&head[..], &len, args].concat());
        }
        Input::Json(text) => {
            let Ok(json) = serde_json::from_str::<&RawValue>(text) else {
                return;
            };
            let limits = msgpack::Limits {
                max_depth: usize::MAX,
                max_attachments: 0,
            };
            // Reading takes stack; writing does not.
            let bytes = msgpack::from_json(json, &[]);
            if text.len() < 1000 {
                let read = msgpack::to_json(&bytes, &limits).expect("what is written can be read");
                assert!(serde_json::from_str::<&RawValue>(&read.0).is_ok());
            }
        }
    }
});

fn packet(bytes: &[u8]) {
    let Ok(packet) = decode(bytes) else {
        return;
    };
    let encoded = match &packet.data {
        PacketData::Event(event) => {
            check(&event.args, bytes.len());
            let args = OutgoingArgs::from(&event.args);
            Parser::Msgpack.event(&packet.namespace, event.id, event.name(), args)
        }
        PacketData::Ack { id: Some(id), args } => {
            check(args, bytes.len());
            Parser::Msgpack.ack(&packet.namespace, *id, args)
        }
        PacketData::Connect { auth } => {
            Parser::Msgpack.connect_request(&packet.namespace, auth.as_deref())
        }
        PacketData::Disconnect => Parser::Msgpack.disconnect(&packet.namespace),
        PacketData::Ack { id: None, .. } | PacketData::ConnectError { .. } => return,
    };
    let again = decode(payload(&encoded)).expect("what is encoded here can be read");
    assert_eq!(again.namespace, packet.namespace);
    match (&packet.data, &again.data) {
        (PacketData::Event(event), PacketData::Event(again)) => {
            assert_eq!(again.id, event.id);
            assert_eq!(again.name().as_str(), event.name().as_str());
            assert_eq!(again.args.attachments(), event.args.attachments());
            assert_eq!(values(&again.args), values(&event.args));
        }
        (PacketData::Ack { args, .. }, PacketData::Ack { args: again, .. }) => {
            assert_eq!(values(again), values(args));
        }
        (PacketData::Connect { .. }, PacketData::Connect { .. })
        | (PacketData::Disconnect, PacketData::Disconnect) => {}
        _ => panic!("another packet"),
    }
}

fn check(args: &Args, len: usize) {
    let attachments = args.attachments();
    assert!(attachments.len() <= LIMITS.max_attachments);
    let bytes: usize = attachments.iter().map(|data| data.len()).sum();
    assert!(bytes <= LIMITS.max_attachment_bytes);
    assert!(args.json().len() <= 12 * len + 40 * attachments.len());
}

fn values(args: &Args) -> Vec<Value> {
    args.deserialize().expect("arguments are JSON")
}

fn decode(bytes: &[u8]) -> Result<Packet, socketio_proto::DecodeError> {
    let mut decoder = Decoder::with_parser(Parser::Msgpack);
    let packet = decoder.add(Message::Binary(bytes.into()), &LIMITS, Instant::now())?;
    assert!(decoder.poll_timeout().is_none());
    Ok(packet.expect("a packet is one message"))
}

fn payload(encoded: &Encoded) -> &[u8] {
    let [packet] = encoded.packets() else {
        panic!("more than one message")
    };
    packet.frame().payload()
}
