//! Bodies with several commands.

use hd_events::{DEFAULT_MAX_BATCH_ITEMS, EmitBatch, EmitError, EmitLimits, Recipients, Target};

fn parse(body: &str) -> Result<EmitBatch, EmitError> {
    EmitBatch::parse(body.as_bytes(), &EmitLimits::default())
}

#[track_caller]
fn check_refused(body: &str, error: EmitError, code: &str) {
    assert_eq!(error.code(), code);
    assert_eq!(parse(body).unwrap_err(), error, "{body}");
}

#[test]
fn items_are_commands_in_their_order() {
    let batch = parse(
        r#"{"items":[{"userId":1,"event":"a","payload":[1]}, {"broadcast":true,"event":"b"}],"other":1}"#,
    )
    .unwrap();
    let items: Vec<_> = batch.items.into_iter().map(Result::unwrap).collect();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0].recipients, Target::User(1).into());
    assert_eq!(items[0].payload.get(), "[1]");
    assert_eq!(items[1].recipients, Recipients::Everyone);
    assert_eq!(items[1].event.as_str(), "b");

    assert_eq!(parse(r#"{"items":[]}"#).unwrap().items.len(), 0);
}

#[test]
fn a_bad_item_leaves_the_others_alone() {
    let batch = parse(
        r#"{"items":[{"userId":1},{"userId":1,"event":"e"},null,[],{"userId":1,"event":"connect"}]}"#,
    )
    .unwrap();
    let codes: Vec<_> = batch
        .items
        .iter()
        .map(|item| item.as_ref().map_or_else(EmitError::code, |_| "good"))
        .collect();
    assert_eq!(
        codes,
        [
            "missing_field",
            "good",
            "not_an_object",
            "not_an_object",
            "reserved_event"
        ]
    );
}

#[test]
fn a_body_without_a_list_of_items_is_refused() {
    check_refused("{", EmitError::InvalidJson, "invalid_json");
    check_refused("[]", EmitError::NotAnObject, "not_an_object");
    let missing = EmitError::MissingField { field: "items" };
    check_refused("{}", missing.clone(), "missing_field");
    check_refused(r#"{"userId":1,"event":"e"}"#, missing, "missing_field");
    for items in ["null", "{}", "5", "\"[]\""] {
        let body = format!(r#"{{"items":{items}}}"#);
        check_refused(&body, EmitError::InvalidItems, "invalid_items");
    }
    let broken = r#"{"items":[{"userId":1,"event":"e"},{]}"#;
    check_refused(broken, EmitError::InvalidJson, "invalid_json");
}

#[test]
fn the_number_of_items_is_bounded() {
    let body = |count: usize| format!(r#"{{"items":[{}]}}"#, vec!["0"; count].join(","));
    assert_eq!(DEFAULT_MAX_BATCH_ITEMS, 100);
    assert_eq!(parse(&body(100)).unwrap().items.len(), 100);
    let too_many = EmitError::TooManyItems { limit: 100 };
    check_refused(&body(101), too_many.clone(), "too_many_items");
    check_refused(&body(100_000), too_many, "too_many_items");
}
