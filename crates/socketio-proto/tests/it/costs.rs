//! What a client and a packet cost.

use allocation_counter::measure;
use serde_json::value::to_raw_value;
use socketio_proto::{Client, EventName, encode};

use crate::support::{Peer, decode, namespace};

#[test]
fn a_client_is_small() {
    assert!(size_of::<Client>() <= 120, "{}", size_of::<Client>());
}

#[test]
fn an_idle_client_holds_the_name_of_its_namespace() {
    let held = measure(|| {
        let peer = Peer::connected(&["/notifications"]);
        std::mem::forget(peer);
    });
    // The name and its counters, and the settings that clients share.
    let shared = size_of::<socketio_proto::ClientConfig>() as i64 + 16;
    assert!(held.bytes_current <= shared + 32, "{held:?}");
}

#[test]
fn an_event_is_encoded_in_one_buffer() {
    let value = to_raw_value(&serde_json::json!({"mensaje": "x".repeat(300)})).unwrap();
    let name = EventName::new("new_notification").unwrap();
    let namespace = namespace("/notifications");
    let mut encoded = None;
    let cost = measure(|| {
        encoded = Some(encode::event(&namespace, Some(7), name, &[&*value]));
    });
    // The buffer, and the counter by which it is shared.
    assert!(cost.count_total <= 2, "{cost:?}");
    assert_eq!(
        cost.count_max, cost.count_total,
        "the buffer grew: {cost:?}"
    );
    let sharing = measure(|| drop(encoded.clone()));
    assert_eq!(sharing.count_total, 0);
}

#[test]
fn decoding_an_event_takes_four_allocations() {
    let cost = measure(|| {
        let packet = decode(r#"2/a,["message",{"a":[1,2,3]},"b"]"#, &[]);
        assert!(packet.is_ok());
    });
    // The namespace, the name, the arguments, and the stack of the JSON parser.
    assert!(cost.count_total <= 4, "{cost:?}");
}
