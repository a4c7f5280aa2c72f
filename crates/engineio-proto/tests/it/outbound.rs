use std::io::IoSlice;

use engineio_proto::{Frame, Outbound};

fn queue(payloads: &[&str]) -> Outbound {
    let mut outbound = Outbound::default();
    for payload in payloads {
        outbound.push(Frame::text(payload));
    }
    outbound
}

/// What a vectored write of `slices` slices would offer.
fn offered(outbound: &Outbound, slices: usize) -> Vec<Vec<u8>> {
    let mut filled = vec![IoSlice::new(&[]); slices];
    let count = outbound.fill_slices(&mut filled);
    filled[..count].iter().map(|slice| slice.to_vec()).collect()
}

#[test]
fn a_new_queue_is_empty() {
    let outbound = Outbound::default();
    assert!(outbound.is_empty());
    assert!(!outbound.is_partly_written());
    assert_eq!(outbound.bytes(), 0);
    assert!(offered(&outbound, 4).is_empty());
}

#[test]
fn memory_counts_what_it_takes_to_keep_a_frame() {
    assert_eq!(Outbound::default().memory(), 0);
    assert_eq!(queue(&["a", "bc"]).memory(), 3 + 4 + 2 * 64);
}

#[test]
fn frames_are_offered_in_order_one_per_slice() {
    let outbound = queue(&["a", "bc", "def"]);
    assert_eq!(outbound.bytes(), 3 + 4 + 5);
    assert_eq!(
        offered(&outbound, 8),
        [&b"\x81\x01a"[..], b"\x81\x02bc", b"\x81\x03def"]
    );
    assert_eq!(
        offered(&outbound, 2),
        [&b"\x81\x01a"[..], b"\x81\x02bc"],
        "no more than there are slices"
    );
    assert!(offered(&outbound, 0).is_empty());
}

#[test]
fn any_split_of_the_writes_gives_the_same_bytes() {
    let whole = offered(&queue(&["a", "bc", "def", "ghij"]), 8).concat();
    for step in 1..=whole.len() {
        let mut outbound = queue(&["a", "bc", "def", "ghij"]);
        let mut written = Vec::new();
        while !outbound.is_empty() {
            let bytes: Vec<u8> = offered(&outbound, 2)
                .concat()
                .into_iter()
                .take(step)
                .collect();
            outbound.advance(bytes.len());
            written.extend(bytes);
        }
        assert_eq!(written, whole, "in steps of {step}");
        assert_eq!(outbound.bytes(), 0);
        assert!(!outbound.is_partly_written());
    }
}

#[test]
fn a_partial_write_keeps_its_frame() {
    let mut outbound = queue(&["abc", "d"]);
    outbound.advance(1);
    assert!(outbound.is_partly_written());
    assert_eq!(outbound.bytes(), 5 + 3, "whole frames count");
    assert_eq!(offered(&outbound, 8), [&b"\x03abc"[..], b"\x81\x01d"]);
    outbound.advance(4);
    assert!(!outbound.is_partly_written());
    assert_eq!(outbound.bytes(), 3);
    assert_eq!(offered(&outbound, 8), [b"\x81\x01d"]);
}

#[test]
fn one_write_may_end_in_a_later_frame() {
    let mut outbound = queue(&["a", "bc", "def"]);
    outbound.advance(3 + 4 + 2);
    assert!(outbound.is_partly_written());
    assert_eq!(offered(&outbound, 8), [b"def"]);
}

#[test]
fn the_rest_of_a_frame_can_be_queued() {
    let mut outbound = Outbound::default();
    outbound.push_partial(Frame::text("abc"), 4);
    outbound.push(Frame::text("d"));
    assert!(outbound.is_partly_written());
    assert_eq!(offered(&outbound, 8), [&b"c"[..], b"\x81\x01d"]);
}

#[test]
fn discard_drops_what_has_not_begun() {
    let mut outbound = queue(&["abc", "d"]);
    outbound.discard();
    assert!(outbound.is_empty());
    assert_eq!(outbound.bytes(), 0);
}

#[test]
fn discard_keeps_a_frame_that_is_partly_written() {
    let mut outbound = queue(&["abc", "d"]);
    outbound.advance(2);
    outbound.discard();
    assert!(outbound.is_partly_written());
    assert_eq!(outbound.bytes(), 5);
    assert_eq!(offered(&outbound, 8), [b"abc"]);
    outbound.advance(3);
    assert!(outbound.is_empty());
}
