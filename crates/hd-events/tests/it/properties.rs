//! What holds for any input.

use hd_events::{BroadcastCommand, EmitCommand, EmitLimits, EventName, MAX_USER_ID};
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

/// JSON whose text has every kind of value, with nesting.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Texts that come near to a body, so that more than the first byte is looked at.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\u",
        "d800",
        "userId",
        "\"userId\":",
        "event",
        "\"event\":\"e\"",
        "\"payload\":",
        "\"data\":",
        "null",
        "1e9",
        "-",
        "0",
        ".5",
        " ",
        "ñ",
    ]);
    prop::collection::vec(fragment, 0..24).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused_without_panic(
        body in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), fragments()],
        max_payload_bytes in 0_usize..100,
        max_payload_depth in 0_usize..5,
    ) {
        let limits = EmitLimits { max_payload_bytes, max_payload_depth };
        if let Ok(command) = EmitCommand::parse(&body, &limits) {
            prop_assert!(command.user_id <= MAX_USER_ID);
            prop_assert!(command.payload.get().len() <= max_payload_bytes);
        }
        if let Ok(command) = BroadcastCommand::parse(&body, &limits) {
            prop_assert!(command.payload.get().len() <= max_payload_bytes);
        }
    }

    #[test]
    fn a_command_survives_its_own_json(
        user_id in 0..=MAX_USER_ID,
        event in ".{1,32}",
        payload in json(),
    ) {
        let event = EventName::new(event);
        prop_assume!(event.is_ok());
        let command = EmitCommand {
            user_id,
            event: event.unwrap(),
            payload: RawValue::from_string(payload.to_string()).unwrap(),
        };
        let body = serde_json::to_vec(&command).unwrap();
        let parsed = EmitCommand::parse(&body, &EmitLimits::default()).unwrap();
        prop_assert_eq!(parsed.user_id, command.user_id);
        prop_assert_eq!(&parsed.event, &command.event);
        prop_assert_eq!(parsed.payload.get(), command.payload.get());

        let command = BroadcastCommand { event: command.event, payload: command.payload };
        let body = serde_json::to_vec(&command).unwrap();
        let parsed = BroadcastCommand::parse(&body, &EmitLimits::default()).unwrap();
        prop_assert_eq!(&parsed.event, &command.event);
        prop_assert_eq!(parsed.payload.get(), command.payload.get());
    }

    #[test]
    fn the_depth_is_that_of_the_parsed_tree(payload in json()) {
        let body = format!(r#"{{"event":"e","payload":{payload}}}"#);
        let depth = depth_of(&payload);
        let with_bound = |max_payload_depth| {
            let limits = EmitLimits { max_payload_depth, ..EmitLimits::default() };
            BroadcastCommand::parse(body.as_bytes(), &limits)
        };
        prop_assert!(with_bound(depth).is_ok());
        if let Some(less) = depth.checked_sub(1) {
            prop_assert_eq!(with_bound(less).unwrap_err().code(), "payload_too_deep");
        }
    }
}

fn depth_of(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth_of).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth_of).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
