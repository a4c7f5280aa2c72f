//! What comes over the channels of Node.js' classic Redis adapter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use socketio_adapter_proto::{Limits, classic};
use socketio_proto::Namespace;

fuzz_target!(|bytes: &[u8]| {
    let namespace = Namespace::new("/notifications").expect("a short name");
    let limits = Limits::default();
    drop(classic::parse_broadcast(bytes, &namespace, &limits));
    drop(classic::parse_request(bytes, &limits));
    let _is_ours = classic::is_broadcast_from(bytes, "hdws");
});
