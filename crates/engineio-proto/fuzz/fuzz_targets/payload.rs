//! A polling body: within the bound of packets, and nothing follows an error.

#![no_main]

use engineio_proto::payload;
use libfuzzer_sys::fuzz_target;

const MAX_PACKETS: usize = 16;

fuzz_target!(|body: &[u8]| {
    let Ok(packets) = payload::decode(body, MAX_PACKETS) else {
        return;
    };
    let packets: Vec<_> = packets.collect();
    assert!(packets.len() <= MAX_PACKETS);
    let errors = packets.iter().filter(|packet| packet.is_err()).count();
    assert!(errors <= 1);
    assert!(errors == 0 || packets.last().is_some_and(Result::is_err));
});
