//! A polling body of either revision: within the bound of packets, and nothing
//! follows an error.

#![no_main]

use engineio_proto::{DecodeError, Packet, payload};
use libfuzzer_sys::fuzz_target;

const MAX_PACKETS: usize = 16;

fuzz_target!(|body: &[u8]| {
    if let Ok(packets) = payload::decode(body, MAX_PACKETS) {
        check(packets, MAX_PACKETS);
    }
    // There the packet too many is an item.
    if let Ok(packets) = payload::v3::decode_text(body, MAX_PACKETS) {
        check(packets, MAX_PACKETS + 1);
    }
    check(payload::v3::decode_binary(body, MAX_PACKETS), MAX_PACKETS + 1);
    if let Ok(text) = std::str::from_utf8(body) {
        let _payload = payload::v3::jsonp_payload(text);
    }
});

fn check<'a>(packets: impl Iterator<Item = Result<Packet<'a>, DecodeError>>, most: usize) {
    let packets: Vec<_> = packets.collect();
    assert!(packets.len() <= most);
    let errors = packets.iter().filter(|packet| packet.is_err()).count();
    assert!(errors <= 1);
    assert!(errors == 0 || packets.last().is_some_and(Result::is_err));
}
