//! What may be said of an event besides who it is for.

use std::time::Duration;

use hd_events::{
    EmitCommand, EmitError, EmitLimits, IdempotencyKey, MAX_IDEMPOTENCY_KEY_BYTES, MAX_TTL_SECONDS,
    Ttl,
};

/// A command with these fields besides what it needs.
fn parse(fields: &str) -> Result<EmitCommand, EmitError> {
    let body = format!(r#"{{"userId":1,"event":"e"{fields}}}"#);
    EmitCommand::parse(body.as_bytes(), &EmitLimits::default())
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

#[test]
fn nothing_special_is_the_default() {
    let command = parse("").unwrap();
    assert!(!command.volatile);
    assert_eq!(command.ttl, None);
    assert_eq!(command.id, None);
    assert_eq!(command.except, []);
}

#[test]
fn volatile_is_a_boolean() {
    assert!(parse(r#","volatile":true"#).unwrap().volatile);
    assert!(!parse(r#","volatile":false"#).unwrap().volatile);
    for value in ["null", "1", "\"true\"", "{}"] {
        let error = parse(&format!(r#","volatile":{value}"#)).unwrap_err();
        assert_eq!(error, EmitError::InvalidVolatile, "{value}");
    }
    assert_eq!(EmitError::InvalidVolatile.code(), "invalid_volatile");
}

#[test]
fn ttl_is_a_whole_number_of_seconds() {
    let ttl = |value: &str| parse(&format!(r#","ttl":{value}"#)).map(|command| command.ttl);
    for (value, seconds) in [("0", 0), ("60", 60), ("6e1", 60), ("2419200", 2_419_200)] {
        assert_eq!(ttl(value), Ok(Ttl::from_secs(seconds)), "{value}");
    }
    assert_eq!(MAX_TTL_SECONDS, 2_419_200);
    let four_weeks = Ttl::from_secs(2_419_200).unwrap();
    assert_eq!(four_weeks.as_duration(), Duration::from_secs(2_419_200));
    for value in [
        "2419201",
        "4294967296",
        "1e300",
        "-1",
        "1.5",
        "null",
        "\"60\"",
        "true",
        "[]",
    ] {
        assert_eq!(ttl(value), Err(EmitError::InvalidTtl), "{value}");
    }
    assert_eq!(EmitError::InvalidTtl.code(), "invalid_ttl");
}

#[test]
fn an_id_is_1_to_128_visible_ascii_characters() {
    let id = |value: &str| parse(&format!(r#","id":{value}"#)).map(|command| command.id);
    let longest = "k".repeat(MAX_IDEMPOTENCY_KEY_BYTES);
    for text in [
        "1",
        "!",
        "~",
        "8e03978e-40d5-43dd-bc93-6894a57f9324",
        &longest,
    ] {
        let value = serde_json::to_string(text).unwrap();
        assert_eq!(id(&value), Ok(Some(key(text))));
    }
    assert_eq!(MAX_IDEMPOTENCY_KEY_BYTES, 128);
    let too_long = format!("\"{longest}k\"");
    for value in [
        "\"\"",
        "\" \"",
        "\"a b\"",
        "\"ñ\"",
        r#""\n""#,
        r#""\u007f""#,
        "1",
        "null",
        "{}",
        &too_long,
    ] {
        assert_eq!(id(value), Err(EmitError::InvalidId), "{value}");
    }
    assert_eq!(EmitError::InvalidId.code(), "invalid_id");
}

#[test]
fn an_id_of_elsewhere_must_not_contradict_that_of_the_body() {
    let mut command = parse("").unwrap();
    assert_eq!(command.identify(key("a")), Ok(()));
    assert_eq!(command.id, Some(key("a")));

    let mut command = parse(r#","id":"a""#).unwrap();
    assert_eq!(command.identify(key("a")), Ok(()));
    assert_eq!(command.identify(key("b")), Err(EmitError::AmbiguousId));
    assert_eq!(command.id, Some(key("a")));
    assert_eq!(EmitError::AmbiguousId.code(), "ambiguous_id");
}
