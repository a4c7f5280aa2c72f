//! What is encoded is decoded to the same.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use socketio_proto::{Encoded, EventName, OutgoingArgs, Packet, PacketData, encode};

use crate::support::{attachments_of, decode, namespace, text_of};

proptest! {
    #[test]
    fn events(
        name in "/[^,]{0,20}",
        id in proptest::option::of(0..=9_007_199_254_740_991_u64),
        event_name in any::<String>(),
        values in values(),
        attachments in attachments(),
    ) {
        let namespace = namespace(&name);
        let Ok(event_name) = EventName::new(&event_name) else { return Ok(()) };
        let raw: Vec<&RawValue> = values.iter().map(|value| &**value).collect();
        let args = OutgoingArgs::with_attachments(&raw, &attachments);
        let encoded = encode::event(&namespace, id, event_name, args);
        let packet = decoded(&encoded);
        prop_assert_eq!(&packet.namespace, &namespace);
        let PacketData::Event(event) = packet.data else { panic!("not an event") };
        prop_assert_eq!(event.id, id);
        prop_assert_eq!(event.name(), event_name);
        prop_assert_eq!(texts(event.args.iter()), texts(raw));
        prop_assert_eq!(event.args.attachments(), attachments);
        // And back, byte for byte.
        let again = encode::event(&namespace, id, event.name(), &event.args);
        prop_assert_eq!(again, encoded);
    }

    #[test]
    fn acks(
        id in 0..=9_007_199_254_740_991_u64,
        values in values(),
        attachments in attachments(),
    ) {
        let raw: Vec<&RawValue> = values.iter().map(|value| &**value).collect();
        let args = OutgoingArgs::with_attachments(&raw, &attachments);
        let encoded = encode::ack(&namespace("/a"), id, args);
        let PacketData::Ack { id: received, args } = decoded(&encoded).data else {
            panic!("not an ack")
        };
        prop_assert_eq!(received, Some(id));
        prop_assert_eq!(texts(args.iter()), texts(raw));
        prop_assert_eq!(encode::ack(&namespace("/a"), id, &args), encoded);
    }

    #[test]
    fn connect_errors(message in any::<String>()) {
        let encoded = encode::connect_error(&namespace("/a"), &message, None);
        let PacketData::ConnectError { error } = decoded(&encoded).data else {
            panic!("not a CONNECT_ERROR")
        };
        let expected = serde_json::json!({ "message": message });
        prop_assert_eq!(serde_json::from_str::<Value>(error.get()).unwrap(), expected);
    }
}

fn decoded(encoded: &Encoded) -> Packet {
    decode(text_of(encoded), &attachments_of(encoded)).unwrap()
}

fn texts<'a>(values: impl IntoIterator<Item = &'a RawValue>) -> Vec<&'a str> {
    values.into_iter().map(RawValue::get).collect()
}

fn values() -> impl Strategy<Value = Vec<Box<RawValue>>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    proptest::collection::vec(value.prop_map(|value| to_raw_value(&value).unwrap()), 0..4)
}

fn attachments() -> impl Strategy<Value = Vec<Bytes>> {
    let data = proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    proptest::collection::vec(data, 0..=10)
}
