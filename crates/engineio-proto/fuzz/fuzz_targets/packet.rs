//! A packet's text: whatever decodes says what its first character says. In
//! revision 3 that is the type of the packet in base64 as well, and the first byte
//! of a binary one.

#![no_main]

use engineio_proto::{Packet, PacketType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let of_3 = Packet::decode_v3(text);
    if let Ok(packet) = Packet::decode(text) {
        let first = text.chars().next().expect("a packet is not empty");
        match packet.packet_type() {
            // Binary data as base64.
            PacketType::Message if first == 'b' => {}
            other => {
                assert_eq!(other.digit(), first);
                assert_eq!(of_3.as_ref(), Ok(&packet));
            }
        }
    }
    if of_3.is_ok() && text.starts_with('b') {
        assert!(text.starts_with("b4"));
    }
    if Packet::from_binary_v3(text.as_bytes()).is_ok() {
        assert_eq!(text.as_bytes()[0], 4);
    }
});
