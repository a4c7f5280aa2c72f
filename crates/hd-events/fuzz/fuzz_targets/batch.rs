//! Bodies of batches.

#![no_main]

use hd_events::{EmitBatch, EmitLimits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    drop(EmitBatch::parse(body, &EmitLimits::default()));
});
