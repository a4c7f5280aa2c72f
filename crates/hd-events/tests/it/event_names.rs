//! Which names may be sent.

use hd_events::{
    EventName, EventNameError, MAX_EVENT_NAME_BYTES, RECOVERY_STATE_EVENT, RESERVED_EVENTS,
};

#[test]
fn the_known_events_have_the_contracts_names() {
    let names: Vec<_> = EventName::KNOWN.iter().map(EventName::as_str).collect();
    assert_eq!(
        names,
        [
            "new_notification",
            "ticket_assigned",
            "ticket_updated",
            "ticket_overdue",
            "ticket_closed"
        ]
    );
    for known in EventName::KNOWN {
        assert_eq!(EventName::new(known.as_str()), Ok(known));
    }
}

#[test]
fn reserved_names_are_refused_exactly() {
    for name in RESERVED_EVENTS {
        assert_eq!(
            EventName::new(name),
            Err(EventNameError::Reserved),
            "{name}"
        );
    }
    assert_eq!(RESERVED_EVENTS.len(), 6);
    assert_eq!(
        EventName::new(RECOVERY_STATE_EVENT),
        Err(EventNameError::Reserved)
    );
    for name in [
        "Connect",
        "connect ",
        "error",
        "message",
        "newlistener",
        "auth:expired",
    ] {
        assert_eq!(EventName::new(name).unwrap().as_str(), name);
    }
}

#[test]
fn a_name_has_from_one_to_128_bytes() {
    assert_eq!(EventName::new(""), Err(EventNameError::Empty));
    assert_eq!(MAX_EVENT_NAME_BYTES, 128);
    assert!(EventName::new("e".repeat(128)).is_ok());
    assert_eq!(
        EventName::new("e".repeat(129)),
        Err(EventNameError::TooLong)
    );
    assert_eq!(EventName::new("ñ".repeat(65)), Err(EventNameError::TooLong));
}

#[test]
fn a_name_is_a_string_in_json() {
    let name: EventName = serde_json::from_str(r#""nuevo""#).unwrap();
    assert_eq!(serde_json::to_string(&name).unwrap(), r#""nuevo""#);
    assert!(serde_json::from_str::<EventName>(r#""disconnect""#).is_err());
}
