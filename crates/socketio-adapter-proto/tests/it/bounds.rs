//! What is refused, and why.

use socketio_adapter_proto::{Limits, ParseError, classic, sharded};

use crate::support::{classic_event, hex, namespace, sharded_event, with_args};

fn json(data: &str, rooms: &str) -> String {
    format!(
        r#"{{"uid":"u","nsp":"/notifications","type":3,"data":{{"packet":{{"type":2,"data":{data}}},"opts":{{"rooms":{rooms},"except":[]}}}}}}"#
    )
}

fn refusal(args: &[u8], count: u8) -> Option<ParseError> {
    classic_event(&with_args(args, count)).err()
}

#[test]
fn messages_that_are_too_large() {
    let limits = Limits {
        max_bytes: 10,
        ..Limits::default()
    };
    let limit = limits.max_bytes;
    let refused = Err(ParseError::TooLarge { limit });
    let spaces = [b' '; 11];
    assert_eq!(
        classic::parse_broadcast(&spaces, &namespace(), &limits),
        refused
    );
    assert_eq!(classic::parse_request(br#"{"type":12}"#, &limits), refused);
    assert_eq!(sharded::parse(&spaces, &namespace(), &limits), refused);
    assert!(classic::parse_request(br#"{"type":6}"#, &limits).is_ok());
}

#[test]
fn depth() {
    let limit = Limits::default().max_depth;
    // The arguments are the third level of each.
    let deep = |levels: usize| [vec![0x91; levels - 1], vec![0x90]].concat();
    assert_eq!(refusal(&deep(limit - 3), 1), None);
    assert_eq!(
        refusal(&deep(limit - 2), 1),
        Some(ParseError::TooDeep { limit })
    );
    assert_eq!(
        refusal(&vec![0x91; 100_000], 1),
        Some(ParseError::TooDeep { limit })
    );
    let nested = |levels| {
        format!(
            "[\"e\",\"[[\\\"[\",{}{}]",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    // The fourth, in JSON: the message itself is an object.
    let text = json(&nested(limit - 4), "[]");
    assert!(sharded_event(text.as_bytes()).is_ok());
    for levels in [limit - 3, 100_000] {
        let text = json(&nested(levels), "[]");
        let refused = Err(ParseError::TooDeep { limit });
        assert_eq!(sharded_event(text.as_bytes()), refused);
    }
}

#[test]
fn attachments() {
    let limit = Limits::default().max_attachments;
    let many = |count: usize| {
        [
            vec![0x90 + u8::try_from(count).unwrap()],
            [0xc4, 0].repeat(count),
        ]
        .concat()
    };
    assert_eq!(refusal(&many(limit), 1), None);
    let refused = Some(ParseError::TooManyAttachments { limit });
    assert_eq!(refusal(&many(limit + 1), 1), refused);
}

#[test]
fn rooms() {
    let limit = Limits::default().max_rooms;
    let list = |count: usize| format!("[{}]", vec!["\"a\""; count].join(","));
    assert!(sharded_event(json(r#"["e"]"#, &list(limit)).as_bytes()).is_ok());
    let refused = Err(ParseError::TooManyRooms { limit });
    assert_eq!(
        sharded_event(json(r#"["e"]"#, &list(limit + 1)).as_bytes()),
        refused
    );
}

#[test]
fn lengths_that_are_only_announced() {
    for digits in [
        "",
        "d9",
        "d9ff61",
        "da",
        "dbffffffff",
        "c4",
        "c6ffffffff00",
        "dc",
        "ddffffffff",
        "dfffffffff",
        "93",
        "ca00",
        "cb",
        "cf00000000000000",
        "c7",
        "c7ff",
        "d4",
        "d6ff000000",
    ] {
        let malformed = Err(ParseError::Malformed);
        assert_eq!(classic_event(&hex(digits)).map(drop), malformed, "{digits}");
    }
}

#[test]
fn values_that_are_none() {
    for digits in [
        "c1",
        "81c001",
        "8190c0",
        "d40100",
        "d8ff000102030405060708090a0b0c0d0e0f",
        "c703ff010203",
    ] {
        assert_eq!(
            refusal(&hex(digits), 1),
            Some(ParseError::Malformed),
            "{digits}"
        );
    }
    // Something follows.
    let mut bytes = with_args(&[0], 1);
    bytes.push(0);
    assert_eq!(classic_event(&bytes), Err(ParseError::Malformed));
    for text in ["{", "{\"uid\":", "{}}", "{\"a\":1e}", "{\"\u{0}\":1}"] {
        let malformed = Err(ParseError::Malformed);
        assert_eq!(sharded_event(text.as_bytes()), malformed, "{text}");
    }
    assert_eq!(
        sharded_event(b"{\"a\":\"\xff\"}"),
        Err(ParseError::Malformed)
    );
}

#[test]
fn what_is_not_an_event() {
    for data in [
        "[]",
        "[null]",
        "[{}]",
        r#"["connect"]"#,
        r#"["disconnecting"]"#,
        "[true,1]",
    ] {
        let refused = Err(ParseError::NotAnEvent);
        assert_eq!(
            sharded_event(json(data, "[]").as_bytes()),
            refused,
            "{data}"
        );
    }
    let ack = json(r#"["e"]"#, "[]").replace(r#""type":2"#, r#""type":3"#);
    assert_eq!(sharded_event(ack.as_bytes()), Err(ParseError::NotAnEvent));
    let (numbered, _) = sharded_event(json("[7,1]", "[]").as_bytes()).unwrap();
    assert_eq!(numbered.name().as_str(), "7");
}

/// A client that is sent one closes its connection.
#[test]
fn placeholders_that_are_for_no_attachment() {
    let placeholder = |number: u8| {
        let mut bytes = hex("82 ac5f706c616365686f6c646572 c3 a36e756d");
        bytes.push(number);
        bytes
    };
    let with_binary = |number| [placeholder(number), hex("c40101")].concat();
    assert_eq!(refusal(&with_binary(0), 2), None);
    assert_eq!(refusal(&with_binary(1), 2), Some(ParseError::NotAnEvent));
    // Without binary data it is an object like others.
    assert_eq!(refusal(&placeholder(1), 1), None);
}

#[test]
fn flags_that_are_unknown_or_of_another_type_count_for_nothing() {
    for flags in [
        "null",
        "7",
        r#"{"volatile":"yes"}"#,
        r#"{"compress":false,"x":[1]}"#,
        r#"{"timeout":-1}"#,
        r#"{"timeout":1e300}"#,
    ] {
        let text = json(r#"["e"]"#, r#"["a"]"#)
            .replace(r#""except":[]"#, &format!(r#""except":[],"flags":{flags}"#));
        let (_, options) = sharded_event(text.as_bytes()).unwrap();
        assert_eq!(
            (options.flags.volatile, options.flags.timeout),
            (false, None),
            "{flags}"
        );
    }
}
