//! Names of namespaces and events.

use socketio_proto::{
    EventName, InvalidNamespace, MAX_NAMESPACE_BYTES, Namespace, RESERVED_EVENTS, ReservedEventName,
};

#[test]
fn namespaces_begin_with_a_slash() {
    for (name, expected) in [
        ("", "/"),
        ("/", "/"),
        ("notifications", "/notifications"),
        ("/notifications", "/notifications"),
        ("/a/b?c=d", "/a/b?c=d"),
    ] {
        assert_eq!(Namespace::new(name).unwrap().as_str(), expected);
        assert_eq!(name.parse::<Namespace>().unwrap().to_string(), expected);
    }
    assert_eq!(Namespace::default().as_str(), "/");
}

#[test]
fn namespaces_hold_no_comma() {
    assert_eq!(Namespace::new("/a,b"), Err(InvalidNamespace::Comma));
}

#[test]
fn namespaces_are_bounded() {
    for prefix in ["", "/"] {
        let longest = format!("{prefix}{}", "n".repeat(MAX_NAMESPACE_BYTES - 1));
        let namespace = Namespace::new(&longest).unwrap();
        assert_eq!(namespace.as_str().len(), MAX_NAMESPACE_BYTES);
        let error = Namespace::new(&format!("{longest}n"));
        assert_eq!(error, Err(InvalidNamespace::TooLong));
    }
}

#[test]
fn reserved_events_are_refused() {
    for name in RESERVED_EVENTS {
        assert_eq!(EventName::new(name), Err(ReservedEventName));
    }
    for name in ["", "error", "message", "1", "Connect"] {
        assert_eq!(EventName::new(name).unwrap().as_str(), name);
    }
}
