//! Bodies of the HTTP API.

use hd_events::{
    DEFAULT_MAX_PAYLOAD_BYTES, DEFAULT_MAX_PAYLOAD_DEPTH, EmitCommand, EmitError, EmitLimits,
    EventNameError, MAX_ID, Recipients, Target,
};

fn emit(body: &str) -> Result<EmitCommand, EmitError> {
    EmitCommand::parse(body.as_bytes(), &EmitLimits::default())
}

fn broadcast(body: &str) -> Result<EmitCommand, EmitError> {
    EmitCommand::parse_broadcast(body.as_bytes(), &EmitLimits::default())
}

#[track_caller]
fn check_user_id(json: &str, expected: Option<u64>) {
    let result = emit(&format!(
        r#"{{"userId":{json},"event":"e","payload":null}}"#
    ));
    let expected = expected
        .map(|id| Target::User(id).into())
        .ok_or(EmitError::InvalidUserId);
    assert_eq!(result.map(|command| command.recipients), expected, "{json}");
}

#[track_caller]
fn check_refused(body: &str, error: EmitError, code: &str) {
    assert_eq!(error.code(), code);
    assert_eq!(emit(body).unwrap_err(), error, "{body}");
}

#[test]
fn payload_and_data_are_one_field_on_every_route() {
    for field in ["payload", "data"] {
        let command = emit(&format!(
            r#"{{"userId":123,"event":"ticket_closed","{field}":{{"ticketId":7}}}}"#
        ))
        .unwrap();
        assert_eq!(command.recipients, Target::User(123).into());
        assert_eq!(command.event.as_str(), "ticket_closed");
        assert_eq!(command.payload.get(), r#"{"ticketId":7}"#);

        let command = broadcast(&format!(r#"{{"event":"aviso","{field}":[1]}}"#)).unwrap();
        assert_eq!(command.recipients, Recipients::Everyone);
        assert_eq!(command.event.as_str(), "aviso");
        assert_eq!(command.payload.get(), "[1]");
    }
    check_refused(
        r#"{"userId":1,"event":"e","payload":1,"data":1}"#,
        EmitError::AmbiguousPayload,
        "ambiguous_payload",
    );
    assert_eq!(
        broadcast(r#"{"event":"e","payload":1,"data":null}"#).unwrap_err(),
        EmitError::AmbiguousPayload
    );
}

#[test]
fn the_payload_is_relayed_as_it_was_written() {
    for payload in [
        "null",
        "\"\"",
        "0.10e+01",
        "123456789012345678901234567890",
        "1e999",
        "[ 1 ,\n\t2 ]",
        r#"{"b":1,"a":2,"a":3}"#,
        r#""\u00e1\ud83d\udcec \ud800 \/""#,
        "{\"mensaje\":\"señal 📬\"}",
        r#"{"_placeholder":true,"num":0}"#,
    ] {
        let body = format!("\n{{ \"payload\" : {payload} , \"userId\":1, \"event\":\"e\" }}\n");
        assert_eq!(emit(&body).unwrap().payload.get(), payload);
    }
}

#[test]
fn user_ids_are_integers_as_javascript_sees_them() {
    check_user_id("0", Some(0));
    check_user_id("123", Some(123));
    check_user_id("123.0", Some(123));
    check_user_id("1.23e2", Some(123));
    check_user_id("-0", Some(0));
    check_user_id("9007199254740991", Some(MAX_ID));
    check_user_id("\"123\"", Some(123));
    check_user_id("\"\\u0031\"", Some(1));
    check_user_id("\"9007199254740991\"", Some(MAX_ID));

    for bad in [
        "9007199254740992",
        "9007199254740993",
        "1e400",
        "-1",
        "1.5",
        "null",
        "true",
        "[1]",
        "{}",
        "\"\"",
        "\"-1\"",
        "\"+1\"",
        "\"1.0\"",
        "\"007\"",
        "\" 1\"",
        "\"1 OR 1\"",
        "\"9007199254740992\"",
        "\"99999999999999999999999\"",
        "\"\\ud800\"",
    ] {
        check_user_id(bad, None);
    }
    assert_eq!(EmitError::InvalidUserId.code(), "invalid_user_id");
}

#[test]
fn missing_fields_are_named() {
    let missing = |field| EmitError::MissingField { field };
    check_refused("{}", EmitError::NoTarget, "missing_field");
    check_refused(r#"{"userId":1}"#, missing("event"), "missing_field");
    check_refused(
        r#"{"UserId":1,"event":"e","payload":1}"#,
        EmitError::NoTarget,
        "missing_field",
    );
    assert_eq!(broadcast("{}").unwrap_err(), missing("event"));
    assert_eq!(
        missing("event").to_string(),
        r#"the field "event" is missing"#
    );
}

#[test]
fn a_missing_payload_is_null_as_in_the_replaced_service() {
    let command = emit(r#"{"userId":1,"event":"e"}"#).unwrap();
    assert_eq!(command.payload.get(), "null");
    let command = broadcast(r#"{"event":"e"}"#).unwrap();
    assert_eq!(command.payload.get(), "null");
}

#[test]
fn events_are_checked() {
    let body = |event: &str| format!(r#"{{"userId":1,"event":{event},"payload":1}}"#);
    for event in ["null", "5", "[]", "{}", "true", r#""\ud800""#] {
        check_refused(&body(event), EmitError::InvalidEvent, "invalid_event");
    }
    check_refused(&body("\"\""), EventNameError::Empty.into(), "invalid_event");
    for event in ["\"disconnect\"", r#""\u0063onnect""#] {
        check_refused(
            &body(event),
            EventNameError::Reserved.into(),
            "reserved_event",
        );
    }
    let long = format!("\"{}\"", "e".repeat(129));
    check_refused(
        &body(&long),
        EventNameError::TooLong.into(),
        "event_too_long",
    );
    assert_eq!(
        broadcast(r#"{"event":"connect","payload":1}"#).unwrap_err(),
        EventNameError::Reserved.into()
    );
}

#[test]
fn bodies_that_are_not_json_or_not_an_object() {
    for body in [
        "",
        " ",
        "{",
        "}",
        "{]",
        "[1",
        "nul",
        "{\"userId\":1,}",
        "{} {}",
        "userId=1&event=e",
        "{\"userId\":01,\"event\":\"e\",\"payload\":1}",
        "{\"userId\":1,\"event\":\"e\",\"payload\":\"\u{1}\"}",
        "{\"userId\":1,\"event\":\"e\",\"payload\":NaN}",
    ] {
        check_refused(body, EmitError::InvalidJson, "invalid_json");
    }
    for body in ["[]", "null", "5", "\"text\"", "true", "[{\"userId\":1}]"] {
        check_refused(body, EmitError::NotAnObject, "not_an_object");
    }
    let not_utf8 = b"{\"userId\":1,\"event\":\"e\",\"payload\":\"\xff\"}";
    assert_eq!(
        EmitCommand::parse(not_utf8, &EmitLimits::default()).unwrap_err(),
        EmitError::InvalidJson
    );
}

#[test]
fn unknown_fields_and_a_byte_order_mark_are_ignored() {
    let command = emit(
        "\u{feff}{\"userId\":1,\"event\":\"e\",\"payload\":2,\"extra\":{\"data\":3},\"\\ud800\":4}",
    )
    .unwrap();
    assert_eq!(command.payload.get(), "2");
    assert!(broadcast(r#"{"userId":"nobody","event":"e","payload":2}"#).is_ok());
}

#[test]
fn of_a_repeated_field_the_last_one_counts() {
    let command =
        emit(r#"{"userId":1,"userId":2,"event":"disconnect","event":"e","payload":1,"payload":2}"#)
            .unwrap();
    assert_eq!(command.recipients, Target::User(2).into());
    assert_eq!(command.event.as_str(), "e");
    assert_eq!(command.payload.get(), "2");
}

#[test]
fn the_payloads_size_is_bounded() {
    let sized = |bytes: usize| {
        let payload = format!("\"{}\"", "x".repeat(bytes - 2));
        emit(&format!(
            r#"{{"userId":1,"event":"e","payload":{payload}}}"#
        ))
    };
    assert_eq!(DEFAULT_MAX_PAYLOAD_BYTES, 262_144);
    assert!(sized(DEFAULT_MAX_PAYLOAD_BYTES).is_ok());
    let error = sized(DEFAULT_MAX_PAYLOAD_BYTES + 1).unwrap_err();
    assert_eq!(
        error,
        EmitError::PayloadTooLarge {
            limit: DEFAULT_MAX_PAYLOAD_BYTES
        }
    );
    assert_eq!(error.code(), "payload_too_large");

    let limits = EmitLimits {
        max_payload_bytes: 3,
        ..EmitLimits::default()
    };
    let parse = |body: &str| EmitCommand::parse(body.as_bytes(), &limits);
    assert!(parse(r#"{"userId":1,"event":"e","payload":123}"#).is_ok());
    assert_eq!(
        parse(r#"{"userId":1,"event":"e","payload":1234}"#).unwrap_err(),
        EmitError::PayloadTooLarge { limit: 3 }
    );
}

#[test]
fn the_payloads_depth_is_bounded() {
    let nested = |open: &str, close: &str, depth: usize| {
        let payload = format!("{}0{}", open.repeat(depth), close.repeat(depth));
        emit(&format!(
            r#"{{"userId":1,"event":"e","payload":{payload}}}"#
        ))
        .map(|_| ())
    };
    let too_deep = EmitError::PayloadTooDeep {
        limit: DEFAULT_MAX_PAYLOAD_DEPTH,
    };
    assert_eq!(DEFAULT_MAX_PAYLOAD_DEPTH, 128);
    assert_eq!(too_deep.code(), "payload_too_deep");
    for (open, close) in [("[", "]"), ("[\"[\\\"[{\",", "]"), ("{\"}\":", "}")] {
        assert_eq!(nested(open, close, 128), Ok(()));
        assert_eq!(nested(open, close, 129), Err(too_deep.clone()));
    }
    let limits = EmitLimits {
        max_payload_depth: 0,
        ..EmitLimits::default()
    };
    let parse = |body: &str| EmitCommand::parse(body.as_bytes(), &limits).map(|_| ());
    assert_eq!(parse(r#"{"userId":1,"event":"e","payload":"[{"}"#), Ok(()));
    assert_eq!(
        parse(r#"{"userId":1,"event":"e","payload":{}}"#),
        Err(EmitError::PayloadTooDeep { limit: 0 })
    );
}

#[test]
fn a_megabyte_of_brackets_does_not_exhaust_the_stack() {
    const MANY: usize = 1_000_000;
    let limits = EmitLimits {
        max_payload_bytes: usize::MAX,
        max_payload_depth: usize::MAX,
        ..EmitLimits::default()
    };
    let closed = format!("{}{}", "[".repeat(MANY), "]".repeat(MANY));
    let objects = format!("{}1{}", "{\"a\":".repeat(MANY), "}".repeat(MANY));
    for payload in [closed, objects] {
        let body = format!(r#"{{"userId":1,"event":"e","extra":{payload},"payload":{payload}}}"#);
        let command = EmitCommand::parse(body.as_bytes(), &limits).unwrap();
        assert_eq!(command.payload.get(), payload);
        let default = EmitCommand::parse(body.as_bytes(), &EmitLimits::default());
        assert_eq!(default.unwrap_err().code(), "payload_too_large");
    }
    for open in ["[", "{\"a\":"] {
        let open = open.repeat(MANY);
        let body = format!(r#"{{"userId":1,"event":"e","payload":{open}"#);
        assert_eq!(emit(&body).unwrap_err(), EmitError::InvalidJson);
        assert_eq!(emit(&open).unwrap_err(), EmitError::InvalidJson);
    }
}
