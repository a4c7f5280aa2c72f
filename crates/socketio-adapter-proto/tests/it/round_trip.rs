//! What is written is read as the same.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use socketio_adapter_proto::{Flags, Options, classic, sharded};
use socketio_proto::{EventName, OutgoingArgs};

use crate::support::{classic_event, namespace, sharded_event};

fn values() -> impl Strategy<Value = Vec<Box<RawValue>>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-300..300_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z]{30,300}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 40, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..20)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    prop::collection::vec(value.prop_map(|value| to_raw_value(&value).unwrap()), 0..4)
}

fn options() -> impl Strategy<Value = Options> {
    let rooms = || prop::collection::vec(any::<String>(), 0..4);
    (rooms(), rooms(), any::<bool>()).prop_map(|(rooms, except, volatile)| Options {
        rooms,
        except,
        flags: Flags {
            volatile,
            timeout: None,
        },
    })
}

fn attachments() -> impl Strategy<Value = Vec<Bytes>> {
    let data = prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    prop::collection::vec(data, 0..=10)
}

/// Whole floats come back as whole numbers, which are the same to JavaScript.
fn as_javascript(json: &str) -> Value {
    let mut value = serde_json::from_str(json).unwrap();
    make_floats(&mut value);
    value
}

fn make_floats(value: &mut Value) {
    match value {
        Value::Number(number) => *value = Value::from(number.as_f64().unwrap()),
        Value::Array(items) => items.iter_mut().for_each(make_floats),
        Value::Object(fields) => fields.values_mut().for_each(make_floats),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

proptest! {
    #[test]
    fn broadcasts(
        name in any::<String>(),
        values in values(),
        data in attachments(),
        options in options(),
    ) {
        let Ok(name) = EventName::new(&name) else { return Ok(()) };
        let mut raw: Vec<&RawValue> = values.iter().map(|value| &**value).collect();
        let placeholders: Vec<Box<RawValue>> = (0..data.len())
            .map(|num| to_raw_value(&serde_json::json!({"_placeholder": true, "num": num})).unwrap())
            .collect();
        raw.extend(placeholders.iter().map(|value| &**value));
        let args = OutgoingArgs::with_attachments(&raw, &data);
        let classic = classic::broadcast("u", &namespace(), name, args, &options).unwrap();
        let sharded = sharded::broadcast("u", &namespace(), name, args, &options).unwrap();
        let mut json = String::from("[");
        args.write_elements("", &mut json);
        json.push(']');
        for (event, read) in [classic_event(&classic).unwrap(), sharded_event(&sharded).unwrap()] {
            prop_assert_eq!(event.name(), name);
            prop_assert_eq!(as_javascript(event.args().json()), as_javascript(&json));
            prop_assert_eq!(event.args().attachments(), &data);
            prop_assert_eq!(&read, &options);
        }
    }
}
