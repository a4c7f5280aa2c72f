//! What comes over the channels of Node.js' sharded Redis adapter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use socketio_adapter_proto::{Limits, sharded};
use socketio_proto::Namespace;

fuzz_target!(|bytes: &[u8]| {
    let namespace = Namespace::new("/notifications").expect("a short name");
    drop(sharded::parse(bytes, &namespace, &Limits::default()));
    let _is_ours = sharded::is_from(bytes, "hdws");
});
