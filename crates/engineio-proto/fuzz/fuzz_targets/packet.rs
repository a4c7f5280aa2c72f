//! A packet's text: whatever decodes says what its first character says.

#![no_main]

use engineio_proto::{Packet, PacketType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(packet) = Packet::decode(text) else {
        return;
    };
    let first = text.chars().next().expect("a packet is not empty");
    match packet.packet_type() {
        // Binary data as base64.
        PacketType::Message if first == 'b' => {}
        other => assert_eq!(other.digit(), first),
    }
});
