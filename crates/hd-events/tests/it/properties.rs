//! What holds for any input.

use hd_events::{
    EmitBatch, EmitCommand, EmitLimits, EventName, IdempotencyKey, MAX_ID, MAX_TTL_SECONDS,
    Recipients, RoomName, Target, Targets, Ttl,
};
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
        "\"userIds\":",
        "\"rooms\":",
        "\"role\":",
        "\"broadcast\":true",
        "\"except\":",
        "\"volatile\":",
        "\"ttl\":",
        "\"id\":",
        "\"items\":",
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

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        (0..=MAX_ID).prop_map(Target::User),
        (0..=MAX_ID).prop_map(Target::Role),
        (0..=MAX_ID).prop_map(Target::Department),
        (0..=MAX_ID).prop_map(Target::Region),
        (0..=MAX_ID).prop_map(Target::Position),
        ".{1,32}".prop_map(|name| Target::Room(RoomName::new(name).unwrap())),
    ]
}

fn recipients() -> impl Strategy<Value = Recipients> {
    prop_oneof![
        Just(Recipients::Everyone),
        prop::collection::vec(target(), 1..8)
            .prop_map(|targets| Recipients::AnyOf(Targets::new(targets).unwrap())),
    ]
}

prop_compose! {
    fn command()(
        recipients in recipients(),
        except in prop::collection::vec(target(), 0..4),
        event in ".{1,32}".prop_filter_map("reserved", |name| EventName::new(name).ok()),
        payload in json(),
        volatile in any::<bool>(),
        ttl in prop::option::of(0..=u64::from(MAX_TTL_SECONDS)),
        id in prop::option::of("[!-~]{1,128}"),
    ) -> EmitCommand {
        EmitCommand {
            recipients,
            except,
            event,
            payload: RawValue::from_string(payload.to_string()).unwrap(),
            volatile,
            ttl: ttl.and_then(Ttl::from_secs),
            id: id.map(|id| IdempotencyKey::new(id).unwrap()),
        }
    }
}

/// Fields group targets by their kind.
fn sorted(targets: &[Target]) -> Vec<Target> {
    let mut sorted = targets.to_vec();
    sorted.sort();
    sorted
}

/// Sorted; nothing for everyone.
fn named(recipients: &Recipients) -> Option<Vec<Target>> {
    match recipients {
        Recipients::Everyone => None,
        Recipients::AnyOf(targets) => Some(sorted(targets.as_slice())),
    }
}

fn ids(targets: &[Target]) -> impl Iterator<Item = u64> {
    targets.iter().filter_map(|target| match target {
        Target::User(id)
        | Target::Role(id)
        | Target::Department(id)
        | Target::Region(id)
        | Target::Position(id) => Some(*id),
        Target::Room(_) => None,
    })
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused_without_panic(
        body in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), fragments()],
        max_payload_bytes in 0_usize..100,
        max_payload_depth in 0_usize..5,
        max_targets in 0_usize..3,
        max_batch_items in 0_usize..3,
    ) {
        let limits = EmitLimits { max_payload_bytes, max_payload_depth, max_targets, max_batch_items };
        let one = EmitCommand::parse(&body, &limits);
        let broadcast = EmitCommand::parse_broadcast(&body, &limits);
        let batch = EmitBatch::parse(&body, &limits).map(|batch| batch.items).unwrap_or_default();
        prop_assert!(batch.len() <= max_batch_items);
        for command in [one, broadcast].into_iter().chain(batch).flatten() {
            let named = named(&command.recipients).unwrap_or_default();
            for targets in [&named, &command.except] {
                prop_assert!(targets.len() <= max_targets);
                prop_assert!(ids(targets).all(|id| id <= MAX_ID));
            }
            prop_assert!(command.payload.get().len() <= max_payload_bytes);
        }
    }

    #[test]
    fn a_command_survives_its_own_json(command in command()) {
        let body = serde_json::to_vec(&command).unwrap();
        let parsed = EmitCommand::parse(&body, &EmitLimits::default()).unwrap();
        prop_assert_eq!(named(&parsed.recipients), named(&command.recipients));
        prop_assert_eq!(sorted(&parsed.except), sorted(&command.except));
        prop_assert_eq!(&parsed.event, &command.event);
        prop_assert_eq!(parsed.payload.get(), command.payload.get());
        prop_assert_eq!(parsed.volatile, command.volatile);
        prop_assert_eq!(parsed.ttl, command.ttl);
        prop_assert_eq!(&parsed.id, &command.id);

        // A batch of one, and a broadcast, read the same fields.
        let items = [&command];
        let body = serde_json::to_vec(&serde_json::json!({ "items": items })).unwrap();
        let batch = EmitBatch::parse(&body, &EmitLimits::default()).unwrap();
        let item = batch.items.into_iter().next().unwrap().unwrap();
        prop_assert_eq!(item.recipients, parsed.recipients);
        prop_assert_eq!(&item.id, &command.id);

        let body = serde_json::to_vec(&command).unwrap();
        let broadcast = EmitCommand::parse_broadcast(&body, &EmitLimits::default()).unwrap();
        prop_assert_eq!(broadcast.recipients, Recipients::Everyone);
        prop_assert_eq!(broadcast.except, parsed.except);
        prop_assert_eq!(broadcast.payload.get(), command.payload.get());
    }

    #[test]
    fn the_depth_is_that_of_the_parsed_tree(payload in json()) {
        let body = format!(r#"{{"event":"e","payload":{payload}}}"#);
        let depth = depth_of(&payload);
        let with_bound = |max_payload_depth| {
            let limits = EmitLimits { max_payload_depth, ..EmitLimits::default() };
            EmitCommand::parse_broadcast(body.as_bytes(), &limits)
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
