//! Clients of Socket.IO 2.

use engineio_proto::Message;
use proptest::prelude::*;
use serde_json::value::RawValue;
use socketio_proto::{
    Client, ClientConfig, ClientError, ClientEvent, DecodeError, MAX_NAMESPACE_BYTES,
    ProtocolViolation, Revision, TimerReason, encode,
};

use crate::support::{Peer, namespace, text_of};

fn peer() -> Peer {
    let mut peer = Peer::new(ClientConfig::default());
    peer.client = Client::with_revision(ClientConfig::default().into(), Revision::V4, peer.now);
    peer
}

/// The namespace and the `auth` of the CONNECT that this text is.
fn connect(peer: &mut Peer, text: &str) -> (String, Option<String>) {
    let Ok(Some(ClientEvent::Connect { namespace, auth })) = peer.text(text) else {
        panic!("{text} is no CONNECT");
    };
    let auth = auth.map(|auth| auth.get().to_owned());
    (namespace.as_str().to_owned(), auth)
}

#[test]
fn the_client_has_asked_for_the_main_namespace_from_the_beginning() {
    let root = namespace("/");
    let mut peer = peer();
    assert_eq!(peer.client.revision(), Revision::V4);
    assert!(peer.client.accept(&root));
    assert!(peer.client.poll_timeout().is_none());
    assert!(matches!(
        peer.text(r#"2["ev"]"#),
        Ok(Some(ClientEvent::Event { .. }))
    ));
    let again = peer.text("0").unwrap_err();
    assert_eq!(again, ProtocolViolation::AlreadyConnected.into());
}

#[test]
fn a_client_of_revision_5_has_not() {
    let mut peer = Peer::new(ClientConfig::default());
    assert_eq!(peer.client.revision(), Revision::V5);
    assert!(!peer.client.accept(&namespace("/")));
    assert!(!peer.client.leave_out(&namespace("/")));
}

/// As for clients that are in no namespace: it must join one in time.
#[test]
fn a_main_namespace_that_is_not_there_is_left_out() {
    let mut peer = peer();
    let root = namespace("/");
    assert!(peer.client.leave_out(&root));
    assert!(!peer.client.leave_out(&root));
    assert_eq!(peer.client.namespaces().count(), 0);
    let timer = peer.client.poll_timeout();
    assert_eq!(timer.map(|(_, reason)| reason), Some(TimerReason::Connect));
    // The client believes that it is there.
    assert!(matches!(peer.text(r#"2["ev",1]"#), Ok(None)));
    assert_eq!(connect(&mut peer, "0/a,").0, "/a");
    assert!(peer.client.accept(&namespace("/a")));
    assert!(matches!(peer.text("1"), Ok(None)));
    let gone = peer.text(r#"2["ev",1]"#).unwrap_err();
    assert_eq!(gone, ProtocolViolation::NotConnected.into());
}

#[test]
fn the_main_namespace_can_be_refused() {
    let mut peer = peer();
    assert!(peer.client.refuse(&namespace("/")));
    assert!(peer.client.poll_timeout().is_some());
}

#[test]
fn the_query_of_a_namespace_stands_for_auth() {
    let long = "x".repeat(4 * MAX_NAMESPACE_BYTES);
    for (text, name, auth) in [
        ("0/a", "/a", None),
        ("0/a,", "/a", None),
        ("0/a?,", "/a", Some("{}")),
        ("0/a?token=b,", "/a", Some(r#"{"token":"b"}"#)),
        ("0/a?token=b", "/a", Some(r#"{"token":"b"}"#)),
        (
            "0/a?x=1&y=a%2Cb+c%22&x=2,",
            "/a",
            Some(r#"{"x":"2","y":"a,b c\""}"#),
        ),
        ("0/a?x,", "/a", Some(r#"{"x":""}"#)),
        ("0/a?x=%ff%zz?,", "/a", Some("{\"x\":\"\u{fffd}%zz?\"}")),
        // The payload is revision 5's.
        (r#"0/a,{"token":"b"}"#, "/a", None),
    ] {
        let auth = auth.map(str::to_owned);
        assert_eq!(
            connect(&mut peer(), text),
            (name.to_owned(), auth),
            "{text}"
        );
    }
    let (name, auth) = connect(&mut peer(), &format!("0/a?token={long},"));
    assert_eq!(
        (name.as_str(), auth.unwrap().len()),
        ("/a", long.len() + 12)
    );
    let too_long = peer().text(&format!("0/{long}?a=b,")).unwrap_err();
    assert_eq!(too_long, DecodeError::NamespaceTooLong.into());
}

#[test]
fn a_query_is_part_of_the_name_in_revision_5() {
    let mut peer = Peer::new(ClientConfig::default());
    assert_eq!(connect(&mut peer, "0/a?token=b,").0, "/a?token=b");
}

#[test]
fn floods_of_connects_are_bounded_as_in_revision_5() {
    let mut peer = peer();
    let flood = (0..100).find_map(|_| match peer.text("0/a?x=1,") {
        Ok(_) => {
            assert!(peer.client.refuse(&namespace("/a")));
            None
        }
        Err(error) => Some(error),
    });
    let limit = ClientConfig::default().max_connects_per_minute;
    let expected = ProtocolViolation::TooManyConnects { limit };
    assert_eq!(flood, Some(ClientError::from(expected)));
}

#[test]
fn answers_to_connect_have_no_object() {
    let data = RawValue::from_string(r#"{"code":"x"}"#.to_owned()).unwrap();
    let (root, a) = (namespace("/"), namespace("/a"));
    assert_eq!(text_of(&encode::connect_v4(&root)), "0");
    assert_eq!(text_of(&encode::connect_v4(&a)), "0/a,");
    let refusal = encode::connect_error_v4(&a, "no \"way\"", None);
    assert_eq!(text_of(&refusal), r#"4/a,"no \"way\"""#);
    let refusal = encode::connect_error_v4(&a, "no", Some(&data));
    assert_eq!(text_of(&refusal), r#"4/a,{"code":"x"}"#);
}

proptest! {
    #[test]
    fn no_text_breaks_the_machine(text in "[0-6]{0,2}[-/a?=&%,\\[\\]\"0-9]{0,20}") {
        let mut peer = peer();
        let now = peer.now;
        if let Ok(Some(ClientEvent::Connect { namespace, auth })) =
            peer.client.handle_message(Message::Text(&text), now)
        {
            prop_assert!(!namespace.as_str().contains('?'));
            if let Some(auth) = auth {
                let is_object = auth.get().starts_with('{');
                prop_assert!(is_object);
            }
        }
    }
}
