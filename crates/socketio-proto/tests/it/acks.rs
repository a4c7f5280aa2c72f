//! Acks from the client.

use std::time::Duration;

use socketio_proto::{AwaitAckError, ClientConfig, ClientEvent, Timeout, TimerReason};

use crate::support::{Peer, namespace};

const WAIT: Duration = Duration::from_secs(5);

#[test]
fn an_awaited_ack_comes_once() {
    let mut peer = Peer::connected(&["/a"]);
    let a = namespace("/a");
    let deadline = peer.now + WAIT;
    assert_eq!(peer.client.await_ack(&a, deadline), Ok(0));
    assert_eq!(peer.client.await_ack(&a, deadline), Ok(1));
    let Some(ClientEvent::Ack { namespace, ack }) = peer.text(r#"3/a,1["ok"]"#).unwrap() else {
        panic!("not an ack");
    };
    assert_eq!((namespace, ack.id), (a, 1));
    assert_eq!(ack.args.json(), r#"["ok"]"#);
    assert!(peer.text(r#"3/a,1["ok"]"#).unwrap().is_none());
}

#[test]
fn acks_that_nobody_awaits_are_ignored() {
    let mut peer = Peer::connected(&["/a", "/b"]);
    assert!(peer.text("3/a,0[]").unwrap().is_none());
    assert!(peer.text("3/a,[]").unwrap().is_none());
    let deadline = peer.now + WAIT;
    let id = peer.client.await_ack(&namespace("/a"), deadline).unwrap();
    assert!(peer.text(&format!("3/b,{id}[]")).unwrap().is_none());
    assert!(peer.text(&format!("3/a,{id}[]")).unwrap().is_some());
}

#[test]
fn an_ack_may_have_attachments() {
    let mut peer = Peer::connected(&["/a"]);
    let deadline = peer.now + WAIT;
    let id = peer.client.await_ack(&namespace("/a"), deadline).unwrap();
    let text = format!("61-/a,{id}[{{\"_placeholder\":true,\"num\":0}}]");
    assert!(peer.text(&text).unwrap().is_none());
    let Some(ClientEvent::Ack { ack, .. }) = peer.binary(b"x").unwrap() else {
        panic!("not an ack");
    };
    assert_eq!(ack.args.attachments(), [&b"x"[..]]);
}

#[test]
fn an_ack_has_a_deadline() {
    let mut peer = Peer::connected(&["/a"]);
    let a = namespace("/a");
    let late = peer.client.await_ack(&a, peer.now + 2 * WAIT).unwrap();
    let soon = peer.client.await_ack(&a, peer.now + WAIT).unwrap();
    let timer = peer.client.poll_timeout();
    assert_eq!(timer, Some((peer.now + WAIT, TimerReason::Ack)));
    peer.wait(WAIT - Duration::from_nanos(1));
    assert_eq!(peer.client.handle_timeout(peer.now), None);
    peer.wait(Duration::from_nanos(1));
    let timeout = Timeout::Ack {
        namespace: a.clone(),
        id: soon,
    };
    assert_eq!(peer.client.handle_timeout(peer.now), Some(timeout));
    assert_eq!(peer.client.handle_timeout(peer.now), None);
    assert!(peer.text(&format!("3/a,{soon}[]")).unwrap().is_none());
    assert!(peer.text(&format!("3/a,{late}[]")).unwrap().is_some());
    assert_eq!(peer.client.poll_timeout(), None);
}

#[test]
fn acks_are_lost_with_their_namespace() {
    let mut peer = Peer::connected(&["/a", "/b"]);
    let (a, b) = (namespace("/a"), namespace("/b"));
    let deadline = peer.now + WAIT;
    let ids: Vec<u64> = [&a, &b, &a]
        .into_iter()
        .map(|namespace| peer.client.await_ack(namespace, deadline).unwrap())
        .collect();
    assert_eq!(ids, [0, 1, 2]);
    assert_eq!(peer.client.disconnect(&a, peer.now), Some(vec![0, 2]));
    let Some(ClientEvent::Disconnect { lost_acks, .. }) = peer.text("1/b").unwrap() else {
        panic!("not a DISCONNECT");
    };
    assert_eq!(lost_acks, [1]);
    // Ids are not used again.
    peer.connect("/a");
    assert_eq!(peer.client.await_ack(&a, deadline), Ok(3));
}

#[test]
fn acks_are_awaited_from_clients_that_are_there() {
    let mut peer = Peer::connected(&["/a"]);
    let (a, deadline) = (namespace("/a"), peer.now + WAIT);
    let not_connected = Err(AwaitAckError::NotConnected);
    let b = namespace("/b");
    assert_eq!(peer.client.await_ack(&b, deadline), not_connected);
    peer.text("0/b").unwrap();
    assert_eq!(peer.client.await_ack(&b, deadline), not_connected);
    assert!(peer.client.disconnect(&a, peer.now).is_some());
    assert_eq!(peer.client.await_ack(&a, deadline), not_connected);
}

#[test]
fn the_number_of_awaited_acks_is_bounded() {
    let mut peer = Peer::new(ClientConfig {
        max_awaited_acks: 2,
        ..ClientConfig::default()
    });
    peer.connect("/a");
    let (a, deadline) = (namespace("/a"), peer.now + WAIT);
    let first = peer.client.await_ack(&a, deadline).unwrap();
    peer.client.await_ack(&a, deadline).unwrap();
    let error = peer.client.await_ack(&a, deadline);
    assert_eq!(error, Err(AwaitAckError::TooManyAcks { limit: 2 }));
    peer.text(&format!("3/a,{first}[]")).unwrap();
    peer.client.await_ack(&a, deadline).unwrap();
}

#[test]
fn a_forgotten_ack_makes_room_and_is_ignored() {
    let mut peer = Peer::new(ClientConfig {
        max_awaited_acks: 1,
        ..ClientConfig::default()
    });
    peer.connect("/a");
    let (a, deadline) = (namespace("/a"), peer.now + WAIT);
    let id = peer.client.await_ack(&a, deadline).unwrap();
    assert!(peer.client.forget_ack(id));
    assert!(!peer.client.forget_ack(id));
    assert_eq!(peer.client.poll_timeout(), None);
    assert!(peer.text(&format!("3/a,{id}[]")).unwrap().is_none());
    peer.client.await_ack(&a, deadline).unwrap();
}
