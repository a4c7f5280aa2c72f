//! Bodies of emits and broadcasts: what is accepted is within the limits.

#![no_main]

use hd_events::{EmitCommand, EmitLimits, Recipients};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let limits = EmitLimits::default();
    for command in [
        EmitCommand::parse(body, &limits),
        EmitCommand::parse_broadcast(body, &limits),
    ]
    .into_iter()
    .flatten()
    {
        assert!(command.payload.get().len() <= limits.max_payload_bytes);
        assert!(!command.event.as_str().is_empty());
        if let Recipients::AnyOf(targets) = &command.recipients {
            assert!(!targets.as_slice().is_empty());
        }
    }
});
