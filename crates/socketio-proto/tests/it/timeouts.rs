//! `connect_timeout` and the time of attachments, under a virtual clock.

use std::time::Duration;

use socketio_proto::{ClientConfig, ClientError, Timeout, TimerReason};

use crate::support::{Peer, namespace};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);
const ATTACHMENT_TIMEOUT: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_nanos(1);

#[test]
fn a_client_must_join_in_time() {
    let mut peer = Peer::new(ClientConfig::default());
    expect_connect_timeout_at_end(&mut peer);
    assert_eq!(peer.client.handle_timeout(peer.now), None);
    assert_eq!(peer.client.poll_timeout(), None);
}

#[test]
fn asking_is_not_joining() {
    let mut peer = Peer::new(ClientConfig::default());
    peer.text("0/a").unwrap();
    expect_connect_timeout_at_end(&mut peer);
}

#[test]
fn a_refusal_does_not_start_the_clock_again() {
    let mut peer = Peer::new(ClientConfig::default());
    let timer = peer.client.poll_timeout();
    peer.wait(Duration::from_secs(40));
    peer.text("0/a").unwrap();
    assert!(peer.client.refuse(&namespace("/a")));
    assert_eq!(peer.client.poll_timeout(), timer);
}

#[test]
fn nor_does_a_refusal_in_the_words_of_connect_and_disconnect() {
    let mut peer = Peer::new(ClientConfig::default());
    let timer = peer.client.poll_timeout();
    for _ in 0..20 {
        peer.wait(Duration::from_secs(2));
        peer.text("0/a").unwrap();
        assert!(peer.client.leave_out(&namespace("/a")));
        assert!(!peer.client.leave_out(&namespace("/a")));
        // Sent before it knows.
        assert!(peer.text(r#"2/a,["ev"]"#).unwrap().is_none());
        assert_eq!(peer.client.poll_timeout(), timer);
    }
    peer.wait(CONNECT_TIMEOUT);
    let timeout = peer.client.handle_timeout(peer.now);
    assert_eq!(timeout, Some(Timeout::Connect));
}

#[test]
fn the_clock_stops_with_the_first_namespace() {
    let mut peer = Peer::connected(&["/a"]);
    assert_eq!(peer.client.poll_timeout(), None);
    peer.wait(2 * CONNECT_TIMEOUT);
    assert_eq!(peer.client.handle_timeout(peer.now), None);
}

#[test]
fn the_clock_starts_again_after_the_last_namespace() {
    let mut peer = Peer::connected(&["/a", "/b"]);
    peer.wait(2 * CONNECT_TIMEOUT);
    assert!(peer.client.disconnect(&namespace("/a"), peer.now).is_some());
    assert_eq!(peer.client.poll_timeout(), None);
    peer.text("1/b").unwrap();
    expect_connect_timeout_at_end(&mut peer);

    let mut peer = Peer::connected(&["/a"]);
    assert!(peer.client.disconnect(&namespace("/a"), peer.now).is_some());
    expect_connect_timeout_at_end(&mut peer);
}

#[test]
fn packets_to_a_namespace_that_was_left_do_not_stop_the_clock() {
    let mut peer = Peer::connected(&["/a"]);
    assert!(peer.client.disconnect(&namespace("/a"), peer.now).is_some());
    let timer = peer.client.poll_timeout();
    peer.wait(Duration::from_secs(1));
    peer.text(r#"2/a,["ev"]"#).unwrap();
    assert_eq!(peer.client.poll_timeout(), timer);
}

#[test]
fn a_message_after_the_connect_timeout_is_too_late() {
    let mut peer = Peer::new(ClientConfig::default());
    peer.wait(CONNECT_TIMEOUT - MOMENT);
    peer.text("0/a").unwrap();
    peer.wait(MOMENT);
    let late = peer.text("0/b").unwrap_err();
    assert_eq!(late, ClientError::TimedOut(TimerReason::Connect));
    // Who hears of it there need not hear of it by the timer.
    let timeout = peer.client.handle_timeout(peer.now);
    assert_eq!(timeout, Some(Timeout::Connect));
}

#[test]
fn an_attachment_after_its_deadline_is_too_late() {
    let mut peer = Peer::connected(&["/a"]);
    peer.text(r#"51-/a,["ev"]"#).unwrap();
    peer.wait(ATTACHMENT_TIMEOUT);
    let late = peer.binary(b"x").unwrap_err();
    assert_eq!(late, ClientError::TimedOut(TimerReason::Attachment));
}

#[test]
fn attachments_must_come_in_time() {
    let mut peer = Peer::connected(&["/a"]);
    peer.text(r#"52-/a,["ev"]"#).unwrap();
    let timer = (peer.now + ATTACHMENT_TIMEOUT, TimerReason::Attachment);
    assert_eq!(peer.client.poll_timeout(), Some(timer));
    peer.wait(ATTACHMENT_TIMEOUT - MOMENT);
    peer.binary(b"x").unwrap();
    assert_eq!(peer.client.handle_timeout(peer.now), None);
    peer.wait(MOMENT);
    let timeout = peer.client.handle_timeout(peer.now);
    assert_eq!(timeout, Some(Timeout::Attachment));
    assert_eq!(peer.client.handle_timeout(peer.now), None);
    assert_eq!(peer.client.poll_timeout(), None);
}

#[test]
fn the_earliest_deadline_is_told() {
    let mut peer = Peer::connected(&["/a"]);
    peer.text(r#"51-/a,["ev"]"#).unwrap();
    assert!(peer.client.disconnect(&namespace("/a"), peer.now).is_some());
    let timer = (peer.now + ATTACHMENT_TIMEOUT, TimerReason::Attachment);
    assert_eq!(peer.client.poll_timeout(), Some(timer));
    peer.wait(CONNECT_TIMEOUT);
    let timeouts: Vec<_> = std::iter::from_fn(|| peer.client.handle_timeout(peer.now)).collect();
    assert_eq!(timeouts, [Timeout::Connect, Timeout::Attachment]);
}

fn expect_connect_timeout_at_end(peer: &mut Peer) {
    let timer = (peer.now + CONNECT_TIMEOUT, TimerReason::Connect);
    assert_eq!(peer.client.poll_timeout(), Some(timer));
    peer.wait(CONNECT_TIMEOUT - MOMENT);
    assert_eq!(peer.client.handle_timeout(peer.now), None);
    peer.wait(MOMENT);
    let timeout = peer.client.handle_timeout(peer.now);
    assert_eq!(timeout, Some(Timeout::Connect));
}
