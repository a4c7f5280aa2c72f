//! Which packets a client may send when.

use std::time::Duration;

use socketio_proto::{ClientConfig, ClientError, ClientEvent, DecodeError, ProtocolViolation};

use crate::support::{Peer, namespace};

#[test]
fn a_client_joins_talks_and_leaves() {
    let mut peer = Peer::new(ClientConfig::default());
    let a = namespace("/a");
    let Some(ClientEvent::Connect { namespace, auth }) = peer.text(r#"0/a,{"token":"x"}"#).unwrap()
    else {
        panic!("not a CONNECT");
    };
    assert_eq!(namespace, a);
    assert_eq!(auth.unwrap().get(), r#"{"token":"x"}"#);
    assert_eq!(peer.client.namespaces().count(), 0);
    assert!(peer.client.accept(&a));
    assert_eq!(peer.client.namespaces().collect::<Vec<_>>(), [&a]);

    let Some(ClientEvent::Event { namespace, event }) = peer.text(r#"2/a,1["ev",2]"#).unwrap()
    else {
        panic!("not an event");
    };
    assert_eq!(namespace, a);
    assert_eq!((event.id, event.name().as_str()), (Some(1), "ev"));

    let Some(ClientEvent::Disconnect {
        namespace,
        lost_acks,
    }) = peer.text("1/a").unwrap()
    else {
        panic!("not a DISCONNECT");
    };
    assert_eq!(namespace, a);
    assert!(lost_acks.is_empty());
    assert_eq!(peer.client.namespaces().count(), 0);
    violates(&mut peer, r#"2/a,["ev"]"#, ProtocolViolation::NotConnected);
}

#[test]
fn namespaces_do_not_mix() {
    let mut peer = Peer::connected(&["/a", "/b"]);
    violates(&mut peer, r#"2["ev"]"#, ProtocolViolation::NotConnected);
    peer.text("1/a").unwrap();
    violates(&mut peer, r#"2/a,["ev"]"#, ProtocolViolation::NotConnected);
    assert!(peer.text(r#"2/b,["ev"]"#).unwrap().is_some());
}

#[test]
fn a_client_must_join_first() {
    for text in [r#"2/a,["ev"]"#, "3/a,1[]", "1/a"] {
        let mut peer = Peer::new(ClientConfig::default());
        violates(&mut peer, text, ProtocolViolation::NotConnected);
    }
}

#[test]
fn a_client_must_wait_for_the_answer() {
    for text in [r#"2/a,["ev"]"#, "3/a,1[]", "1/a"] {
        let mut peer = Peer::new(ClientConfig::default());
        peer.text("0/a").unwrap();
        violates(&mut peer, text, ProtocolViolation::NotConnected);
    }
}

#[test]
fn a_client_joins_once() {
    let mut peer = Peer::connected(&["/a"]);
    violates(&mut peer, "0/a", ProtocolViolation::AlreadyConnected);
    peer.text("0/b").unwrap();
    violates(&mut peer, "0/b", ProtocolViolation::AlreadyConnected);
}

#[test]
fn clients_do_not_send_connect_error() {
    let mut peer = Peer::connected(&["/a"]);
    for text in [r#"4/a,{"message":"x"}"#, r#"4/b,{"message":"x"}"#] {
        violates(&mut peer, text, ProtocolViolation::ConnectErrorFromClient);
    }
}

#[test]
fn a_refused_client_may_ask_again() {
    let mut peer = Peer::new(ClientConfig::default());
    let a = namespace("/a");
    for _ in 0..10 {
        assert!(matches!(
            peer.text("0/a").unwrap(),
            Some(ClientEvent::Connect { .. })
        ));
        assert!(peer.client.refuse(&a));
    }
    violates(&mut peer, r#"2/a,["ev"]"#, ProtocolViolation::NotConnected);
}

#[test]
fn a_client_may_not_ask_again_and_again_without_pause() {
    let config = ClientConfig {
        max_connects_per_minute: 6,
        connect_timeout: Duration::from_secs(86_400),
        ..ClientConfig::default()
    };
    let too_many = ProtocolViolation::TooManyConnects { limit: 6 };
    let a = namespace("/a");
    // Let in or refused, it is all the same.
    for is_accepted in [true, false] {
        let mut peer = Peer::new(config);
        let ask = |peer: &mut Peer| {
            assert!(peer.text("0/a").unwrap().is_some());
            if is_accepted {
                assert!(peer.client.accept(&a));
                assert!(peer.text("1/a").unwrap().is_some());
            } else {
                assert!(peer.client.refuse(&a));
            }
        };
        for _ in 0..6 {
            ask(&mut peer);
        }
        peer.wait(Duration::from_secs(10));
        ask(&mut peer);
        peer.wait(Duration::from_secs(9));
        violates(&mut peer, "0/a", too_many);
        peer.wait(Duration::from_secs(1));
        ask(&mut peer);
        // No more than these come together, however long it waits.
        peer.wait(Duration::from_secs(3600));
        for _ in 0..6 {
            ask(&mut peer);
        }
        violates(&mut peer, "0/a", too_many);
    }
}

#[test]
fn a_client_that_may_not_ask_is_not_let_in() {
    let mut peer = Peer::new(ClientConfig {
        max_connects_per_minute: 0,
        ..ClientConfig::default()
    });
    violates(
        &mut peer,
        "0/a",
        ProtocolViolation::TooManyConnects { limit: 0 },
    );
}

#[test]
fn answers_to_nothing_change_nothing() {
    let mut peer = Peer::new(ClientConfig::default());
    let a = namespace("/a");
    assert!(!peer.client.accept(&a));
    assert!(!peer.client.refuse(&a));
    assert_eq!(peer.client.disconnect(&a, peer.now), None);
    peer.connect("/a");
    assert!(!peer.client.accept(&a));
    assert!(!peer.client.refuse(&a));
    assert_eq!(peer.client.namespaces().count(), 1);
    assert!(peer.client.disconnect(&a, peer.now).is_some());
    assert_eq!(peer.client.disconnect(&a, peer.now), None);
    assert!(!peer.client.accept(&a));
}

#[test]
fn packets_that_cross_the_servers_disconnect_are_ignored() {
    let mut peer = Peer::connected(&["/a"]);
    let a = namespace("/a");
    assert_eq!(peer.client.disconnect(&a, peer.now), Some(Vec::new()));
    assert_eq!(peer.client.namespaces().count(), 0);
    assert!(peer.text(r#"2/a,["ev"]"#).unwrap().is_none());
    assert!(peer.text("3/a,0[]").unwrap().is_none());
    let binary = r#"51-/a,["ev",{"_placeholder":true,"num":0}]"#;
    assert!(peer.text(binary).unwrap().is_none());
    assert!(peer.binary(b"x").unwrap().is_none());
    // Nothing follows its own DISCONNECT.
    assert!(peer.text("1/a").unwrap().is_none());
    violates(&mut peer, r#"2/a,["ev"]"#, ProtocolViolation::NotConnected);
}

#[test]
fn a_disconnected_client_may_join_again() {
    let mut peer = Peer::connected(&["/a"]);
    let a = namespace("/a");
    assert!(peer.client.disconnect(&a, peer.now).is_some());
    peer.connect("/a");
    assert!(peer.text(r#"2/a,["ev"]"#).unwrap().is_some());
}

#[test]
fn the_number_of_namespaces_is_bounded() {
    let mut peer = Peer::new(ClientConfig {
        max_namespaces: 2,
        ..ClientConfig::default()
    });
    peer.connect("/a");
    peer.text("0/b").unwrap();
    let too_many = ProtocolViolation::TooManyNamespaces { limit: 2 };
    violates(&mut peer, "0/c", too_many);
    assert!(peer.client.refuse(&namespace("/b")));
    peer.connect("/c");
    violates(&mut peer, "0/d", too_many);
    // One that the client has left makes room.
    assert!(peer.client.disconnect(&namespace("/c"), peer.now).is_some());
    peer.connect("/d");
    violates(&mut peer, r#"2/c,["ev"]"#, ProtocolViolation::NotConnected);
}

#[test]
fn bad_packets_are_not_violations() {
    let mut peer = Peer::connected(&["/a"]);
    let error = peer.text("2/a,{}").unwrap_err();
    assert_eq!(error, ClientError::Decode(DecodeError::InvalidPayload));
    let error = peer.binary(b"x").unwrap_err();
    assert_eq!(
        error,
        ClientError::Decode(DecodeError::UnexpectedAttachment)
    );
}

#[test]
fn logs_do_not_show_what_was_sent() {
    let mut peer = Peer::new(ClientConfig::default());
    let event = peer.text(r#"0/a,{"token":"secret"}"#).unwrap();
    let shown = format!("{event:?}");
    assert!(shown.contains("/a") && !shown.contains("secret"), "{shown}");
}

fn violates(peer: &mut Peer, text: &str, violation: ProtocolViolation) {
    let error = peer.text(text).unwrap_err();
    assert_eq!(error, ClientError::Violation(violation), "{text}");
}
