//! A cursor that a client presents: under another key none opens, and what
//! opens is what was sealed.

#![no_main]

use hd_replay::{Cursor, CursorError, LogId, MAC_BYTES, Offset};
use libfuzzer_sys::fuzz_target;

/// Not a cryptographic code: the fuzzer is to find its way past it.
fn checksum(bytes: &[u8]) -> [u8; MAC_BYTES] {
    let sum = bytes
        .iter()
        .fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte));
    [sum; MAC_BYTES]
}

fuzz_target!(|input: (&str, u64, u64, u64, &str)| {
    let (text, identity, log, millis, sid) = input;
    if let Ok(cursor) = Cursor::open(text, checksum) {
        assert_eq!(Cursor::open(&cursor.seal(checksum), checksum), Ok(cursor));
    }
    if sid.len() <= 255 {
        let cursor = Cursor {
            identity,
            log: LogId(log),
            start: Offset::new(millis, 0),
            stale: None,
            rooms: (log % 2 == 0).then_some(millis),
            sid: sid.to_owned(),
        };
        let sealed = cursor.seal(checksum);
        assert_eq!(Cursor::open(&sealed, checksum), Ok(cursor));
        let other_key = |bytes: &[u8]| checksum(bytes).map(|byte| byte ^ 1);
        assert_eq!(Cursor::open(&sealed, other_key), Err(CursorError::Forged));
    }
});
