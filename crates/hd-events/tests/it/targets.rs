//! Who an event is for, and who it is not for.

use hd_events::{
    DEFAULT_MAX_TARGETS, EmitCommand, EmitError, EmitLimits, MAX_ROOM_NAME_BYTES, Recipients,
    RoomName, Target, Targets,
};

/// A command with these fields besides its event.
fn parse(fields: &str) -> Result<EmitCommand, EmitError> {
    let body = format!(r#"{{{fields},"event":"e"}}"#);
    EmitCommand::parse(body.as_bytes(), &EmitLimits::default())
}

fn room(name: &str) -> Target {
    Target::Room(RoomName::new(name).unwrap())
}

fn any_of<const N: usize>(targets: [Target; N]) -> Recipients {
    Recipients::AnyOf(Targets::new(targets.into()).unwrap())
}

#[track_caller]
fn check(fields: &str, expected: Recipients) {
    assert_eq!(parse(fields).unwrap().recipients, expected, "{fields}");
}

#[track_caller]
fn check_refused(fields: &str, error: &EmitError) {
    assert_eq!(parse(fields).unwrap_err(), *error, "{fields}");
}

#[test]
fn each_field_names_its_kind_of_target() {
    check(r#""userId":1"#, Target::User(1).into());
    check(
        r#""userIds":[1,"2",3.0]"#,
        any_of([Target::User(1), Target::User(2), Target::User(3)]),
    );
    check(r#""rooms":["a","ñ"]"#, any_of([room("a"), room("ñ")]));
    check(r#""role":2"#, Target::Role(2).into());
    check(
        r#""role":[2,"3"]"#,
        any_of([Target::Role(2), Target::Role(3)]),
    );
    check(r#""department":"7""#, Target::Department(7).into());
    check(r#""region":[5]"#, Target::Region(5).into());
    check(r#""position":0"#, Target::Position(0).into());
    check(r#""broadcast":true"#, Recipients::Everyone);
}

#[test]
fn recipients_are_all_that_are_named_together() {
    check(
        r#""position":6,"userIds":[2],"region":5,"rooms":["r"],"department":4,"role":[3],"userId":1"#,
        any_of([
            Target::User(1),
            Target::User(2),
            room("r"),
            Target::Role(3),
            Target::Department(4),
            Target::Region(5),
            Target::Position(6),
        ]),
    );
    check(r#""broadcast":true,"userId":1"#, Recipients::Everyone);
    check(r#""broadcast":false,"userId":1"#, Target::User(1).into());
    check(r#""userIds":[],"role":2"#, Target::Role(2).into());
}

#[test]
fn an_audience_that_was_forgotten_is_nobody() {
    for fields in [
        r#""broadcast":false"#,
        r#""userIds":[]"#,
        r#""rooms":[],"role":[]"#,
        r#""except":{"userId":1}"#,
        r#""roles":[1]"#,
    ] {
        check_refused(fields, &EmitError::NoTarget);
    }
    assert_eq!(EmitError::NoTarget.code(), "missing_field");
    assert_eq!(Targets::new(Vec::new()), None);
}

#[test]
fn targets_of_a_wrong_type_are_refused() {
    for fields in [
        r#""userIds":1"#,
        r#""userIds":"1""#,
        r#""userIds":null"#,
        r#""userIds":[1,-1]"#,
        r#""userIds":[[1]]"#,
        r#""userIds":[1],"userId":null"#,
    ] {
        check_refused(fields, &EmitError::InvalidUserId);
    }
    for field in ["role", "department", "region", "position"] {
        let error = EmitError::InvalidTarget { field };
        assert_eq!(error.code(), "invalid_target");
        for value in [
            "null",
            "true",
            "-1",
            "1.5",
            "9007199254740992",
            "\"\"",
            "\"admin\"",
            "{}",
            "[null]",
            "[1,[2]]",
        ] {
            check_refused(&format!(r#""{field}":{value}"#), &error);
            check_refused(&format!(r#""userId":1,"{field}":{value}"#), &error);
        }
        assert_eq!(
            error.to_string(),
            format!(
                r#""{field}" must be an integer from 0 to 9007199254740991, or a list of such integers"#
            )
        );
    }
    let rooms = EmitError::InvalidTarget { field: "rooms" };
    for value in ["\"a\"", "null", "[1]", "[\"\"]", "{}", r#"["\ud800"]"#] {
        check_refused(&format!(r#""rooms":{value}"#), &rooms);
    }
    let broadcast = EmitError::InvalidTarget { field: "broadcast" };
    for value in ["null", "1", "\"true\"", "[]"] {
        check_refused(&format!(r#""userId":1,"broadcast":{value}"#), &broadcast);
    }
}

#[test]
fn the_name_of_a_room_is_bounded() {
    let fields = |len: usize| format!(r#""rooms":["{}"]"#, "x".repeat(len));
    assert_eq!(MAX_ROOM_NAME_BYTES, 128);
    assert!(parse(&fields(128)).is_ok());
    check_refused(&fields(129), &EmitError::InvalidTarget { field: "rooms" });
    assert!(RoomName::new("").is_err());
}

#[test]
fn the_number_of_targets_is_bounded() {
    let ids = |count: usize| vec!["1"; count].join(",");
    let too_many = EmitError::TooManyTargets {
        limit: DEFAULT_MAX_TARGETS,
    };
    assert_eq!(DEFAULT_MAX_TARGETS, 1_000);
    assert_eq!(too_many.code(), "too_many_targets");
    assert!(parse(&format!(r#""userIds":[{}]"#, ids(1_000))).is_ok());
    check_refused(&format!(r#""userIds":[{}]"#, ids(1_001)), &too_many);
    // Whatever their kinds are.
    let fields = format!(r#""userId":1,"role":[{}],"region":2"#, ids(998));
    assert!(parse(&fields).is_ok());
    let fields = format!(r#""userId":1,"role":[{}],"region":2"#, ids(999));
    check_refused(&fields, &too_many);
    let fields = format!(r#""userId":1,"except":{{"role":[{}]}}"#, ids(1_001));
    check_refused(&fields, &too_many);
    // Those past the bound are not even looked at.
    let fields = format!(r#""role":[{},null]"#, ids(1_001));
    check_refused(&fields, &too_many);
}

#[test]
fn exceptions_have_the_fields_of_targets() {
    let command = parse(
        r#""broadcast":true,"except":{"userId":1,"userIds":[2],"rooms":["r"],"role":3,"department":[4],"region":5,"position":6}"#,
    )
    .unwrap();
    assert_eq!(command.recipients, Recipients::Everyone);
    assert_eq!(
        command.except,
        [
            Target::User(1),
            Target::User(2),
            room("r"),
            Target::Role(3),
            Target::Department(4),
            Target::Region(5),
            Target::Position(6),
        ]
    );
    for nobody in ["{}", r#"{"userIds":[]}"#] {
        let command = parse(&format!(r#""role":1,"except":{nobody}"#)).unwrap();
        assert_eq!(command.except, []);
    }
}

#[test]
fn exceptions_that_would_be_ignored_are_refused() {
    let except = EmitError::InvalidTarget { field: "except" };
    for value in [
        "null",
        "[]",
        "7",
        r#"{"roles":[1]}"#,
        r#"{"userId":1,"user":1}"#,
        r#"{"broadcast":true}"#,
        r#"{"broadcast":false}"#,
    ] {
        check_refused(&format!(r#""userId":1,"except":{value}"#), &except);
    }
    check_refused(
        r#""userId":1,"except":{"userId":"x"}"#,
        &EmitError::InvalidUserId,
    );
    check_refused(
        r#""userId":1,"except":{"role":null}"#,
        &EmitError::InvalidTarget { field: "role" },
    );
}

#[test]
fn a_broadcast_has_exceptions_and_ignores_recipients() {
    let body = br#"{"event":"e","userId":"x","role":null,"broadcast":7,"except":{"role":2}}"#;
    let command = EmitCommand::parse_broadcast(body, &EmitLimits::default()).unwrap();
    assert_eq!(command.recipients, Recipients::Everyone);
    assert_eq!(command.except, [Target::Role(2)]);
}
