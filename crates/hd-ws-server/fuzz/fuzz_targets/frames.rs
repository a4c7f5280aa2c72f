//! WebSocket frames however they are cut: the messages are the same, and no more
//! is kept than a message may have, doubled.

#![no_main]

use hd_ws_server::read_frames;
use libfuzzer_sys::fuzz_target;

const MAX_MESSAGE: usize = 256;
/// A frame and the message before it, each with twice its length, and what
/// keeping them costs.
const MAX_KEPT: usize = 2 * 2 * (MAX_MESSAGE + 14) + 512;

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (cuts, bytes) = input;
    let whole = read_frames(&[bytes], MAX_MESSAGE);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    for cut in cuts {
        let (piece, later) = rest.split_at(rest.len().min(usize::from(cut)));
        pieces.push(piece);
        rest = later;
    }
    pieces.push(rest);
    let cut = read_frames(&pieces, MAX_MESSAGE);
    assert_eq!((&cut.0, cut.1), (&whole.0, whole.1));
    assert!(cut.2 <= MAX_KEPT, "{} bytes are kept", cut.2);
});
