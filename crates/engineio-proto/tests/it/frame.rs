use engineio_proto::Frame;

/// The header that RFC 6455 §5.2 asks for before a payload of this length.
#[track_caller]
fn check(len: usize, length_bytes: &[u8]) {
    let payload = "x".repeat(len);
    for (opcode, frame) in [
        (0x81, Frame::text(&payload)),
        (0x82, Frame::binary(payload.as_bytes())),
    ] {
        let header = [&[opcode], length_bytes].concat();
        assert_eq!(frame.bytes()[..header.len()], header);
        assert_eq!(frame.bytes()[header.len()..], *payload.as_bytes());
        assert_eq!(frame.payload(), payload.as_bytes());
        assert_eq!(frame.len(), header.len() + len);
        assert_eq!(frame.is_text(), opcode == 0x81);
        assert_eq!(frame.is_binary(), opcode == 0x82);
    }
}

#[test]
fn length_up_to_125_takes_one_byte() {
    check(0, &[0]);
    check(1, &[1]);
    check(125, &[125]);
}

#[test]
fn length_from_126_takes_two_more_bytes() {
    check(126, &[126, 0x00, 0x7e]);
    check(256, &[126, 0x01, 0x00]);
    check(65_535, &[126, 0xff, 0xff]);
}

#[test]
fn length_from_65536_takes_eight_more_bytes() {
    check(65_536, &[127, 0, 0, 0, 0, 0, 1, 0, 0]);
    check(0x0102_0304, &[127, 0, 0, 0, 0, 1, 2, 3, 4]);
}

#[test]
fn text_length_counts_bytes() {
    assert_eq!(
        Frame::text("€").bytes(),
        [0x81, 3, 0xe2, 0x82, 0xac].as_slice()
    );
}

#[test]
fn a_wrong_capacity_does_not_show() {
    for capacity in [0, 3, 1000] {
        let frame = Frame::text_with(capacity, |text| text.push_str("hello"));
        assert_eq!(frame, Frame::text("hello"));
    }
}

#[test]
fn ping_is_empty() {
    assert_eq!(Frame::ping().bytes(), [0x89, 0].as_slice());
    assert!(!Frame::ping().is_text() && !Frame::ping().is_binary());
}

#[test]
fn pong_echoes_what_fits_in_a_control_frame() {
    assert_eq!(Frame::pong(b"").bytes(), [0x8a, 0].as_slice());
    assert_eq!(Frame::pong(b"hi").bytes(), [0x8a, 2, b'h', b'i'].as_slice());
    let cut = Frame::pong(&[7; 126]);
    assert_eq!(cut.bytes()[..2], [0x8a, 125]);
    assert_eq!(cut.payload(), [7; 125]);
}

#[test]
fn close_carries_a_status_or_nothing() {
    assert_eq!(Frame::close(None).bytes(), [0x88, 0].as_slice());
    assert_eq!(
        Frame::close(Some(1009)).bytes(),
        [0x88, 2, 0x03, 0xf1].as_slice()
    );
}

#[test]
fn a_clone_shares_the_bytes() {
    let frame = Frame::text("shared");
    assert_eq!(frame.clone().bytes().as_ptr(), frame.bytes().as_ptr());
}

#[test]
fn debug_output_keeps_the_payload_to_itself() {
    let shown = format!("{:?}", Frame::text("secret"));
    assert_eq!(shown, "Frame { opcode: 1, len: 8 }");
}
