use hd_replay::{Cursor, CursorError, LogId, MAC_BYTES, Offset};

fn cursor() -> Cursor {
    Cursor {
        identity: 42,
        log: LogId(7),
        start: Offset::new(1_764_072_000_123, 2),
        stale: None,
        rooms: Some(ROOMS),
        sid: "BwcHBwcHBwcHBwcHBwcH".to_owned(),
    }
}

/// Not a good code, but one that depends on every byte and on the key.
fn mac(key: u8) -> impl Fn(&[u8]) -> [u8; MAC_BYTES] {
    move |bytes| {
        let mut code = [key; MAC_BYTES];
        for (index, byte) in bytes.iter().enumerate() {
            let place = index % MAC_BYTES;
            code[place] = code[place].wrapping_mul(31).wrapping_add(*byte);
        }
        code
    }
}

#[test]
fn comes_back_as_it_was() {
    let text = cursor().seal(mac(1));
    assert_eq!(text.len(), 126, "{text}");
    assert_eq!(Cursor::open(&text, mac(1)), Ok(cursor()));

    let stale = Some(Offset::new(1_764_072_000_500, 0));
    let cursor = Cursor { stale, ..cursor() };
    assert_eq!(Cursor::open(&cursor.seal(mac(1)), mac(1)), Ok(cursor));
}

#[test]
fn a_cursor_of_the_version_before_has_no_rooms() {
    let before = Cursor {
        rooms: None,
        ..cursor()
    };
    let text = before.seal(mac(1));
    assert_eq!(text.len(), 115, "{text}");
    assert_eq!(Cursor::open(&text, mac(1)), Ok(before));
}

#[test]
fn an_offset_from_before_the_cursor_does_not_count() {
    let start = cursor().start;
    assert_eq!(cursor().after(None), start);
    assert_eq!(cursor().after(Some(later(1))), later(1));
    // It was sent nothing since it was given the cursor, and keeps showing what
    // it was sent before.
    let before = Offset::new(start.millis() - 1, 0);
    assert_eq!(cursor().after(Some(before)), start);
}

#[test]
fn an_offset_of_another_log_does_not_count_though_it_is_a_later_time() {
    let before = Cursor {
        log: LogId(6),
        ..cursor()
    };
    for before in [Some(&before), None] {
        let cursor = anew(before, Some(later(10)));
        // It was sent nothing, or an event at this very time.
        assert_eq!(cursor.after(Some(later(10))), Offset::default());
        assert_eq!(cursor.after(Some(later(5))), later(5));
        assert_eq!(cursor.after(Some(later(11))), later(11));
    }
    let start = cursor().start;
    assert_eq!(anew(Some(&before), Some(start)).after(Some(start)), start);
}

#[test]
fn an_offset_that_did_not_count_does_not_count_the_next_time() {
    let first = anew(None, Some(later(10)));
    let second = anew(Some(&first), Some(later(10)));
    assert_eq!(second.after(Some(later(10))), Offset::default());
    let next = Offset::new(later(11).millis(), 0);
    let place = (LogId(7), next);
    let third = Cursor::anew(
        42,
        ROOMS,
        place,
        String::new(),
        Some(&second),
        Some(later(10)),
    );
    assert_eq!(third.after(Some(later(10))), next);
}

#[test]
fn what_a_client_has_got_already_counts_where_the_log_is_behind_it() {
    let cursor = anew(Some(&cursor()), Some(later(10)));
    assert_eq!(cursor.after(Some(later(10))), later(10));
}

#[test]
fn what_somebody_else_has_got_does_not_count() {
    let before = Cursor {
        identity: 43,
        ..cursor()
    };
    let start = cursor().start;
    assert_eq!(anew(Some(&before), Some(start)).after(Some(start)), start);
    // The log is behind it: nobody knows whether this is that event again.
    let cursor = anew(Some(&before), Some(later(10)));
    assert_eq!(cursor.after(Some(later(10))), Offset::default());
    assert_eq!(cursor.after(Some(later(5))), later(5));
    let next = anew(Some(&cursor), Some(later(10)));
    assert_eq!(next.after(Some(later(10))), Offset::default());
}

#[test]
fn what_other_rooms_were_sent_does_not_count() {
    let before = Cursor {
        rooms: Some(ROOMS + 1),
        ..cursor()
    };
    let cursor = anew(Some(&before), Some(later(10)));
    assert_eq!(cursor.after(Some(later(10))), Offset::default());
    assert_eq!(cursor.after(Some(later(5))), later(5));
}

fn later(millis: u64) -> Offset {
    Offset::new(cursor().start.millis() + millis, 0)
}

/// For the client of [`cursor`], which showed these.
fn anew(before: Option<&Cursor>, shown: Option<Offset>) -> Cursor {
    let Cursor {
        identity,
        log,
        start,
        sid,
        ..
    } = cursor();
    Cursor::anew(identity, ROOMS, (log, start), sid, before, shown)
}

#[test]
fn another_key_s_is_refused() {
    let text = cursor().seal(mac(1));
    assert_eq!(Cursor::open(&text, mac(2)), Err(CursorError::Forged));
}

#[test]
fn no_changed_character_goes_unnoticed() {
    let text = cursor().seal(mac(1));
    for index in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(Cursor::open(&changed, mac(1)).is_err(), "{changed}");
    }
}

#[test]
fn what_is_no_cursor_is_refused() {
    let long = "A".repeat(100_000);
    let good = cursor().seal(mac(1));
    let cut = &good[..good.len() - 4];
    for text in ["", "x", "AAAA", "not base64!", long.as_str(), cut] {
        assert!(Cursor::open(text, mac(1)).is_err(), "{text:.20}");
    }
}

#[test]
fn the_longest_cursor_is_opened_and_a_longer_text_is_refused_before_its_code_is_computed() {
    let longest = Cursor {
        sid: "s".repeat(255),
        ..cursor()
    };
    let text = longest.seal(mac(1));
    assert_eq!(text.len(), 439);
    assert_eq!(Cursor::open(&text, mac(1)), Ok(longest));

    // Base64 has no text of 441 characters.
    for length in [440, 442] {
        let opened = Cursor::open(&"A".repeat(length), |_| panic!("{length} are too many"));
        assert_eq!(opened, Err(CursorError::Malformed));
    }
}

#[test]
fn a_later_version_is_malformed_though_well_sealed() {
    use base64::Engine as _;
    let bytes = [4_u8; 68];
    let text =
        base64::prelude::BASE64_URL_SAFE_NO_PAD.encode([&bytes[..], &mac(1)(&bytes)[..]].concat());
    assert_eq!(Cursor::open(&text, mac(1)), Err(CursorError::Malformed));
}

const ROOMS: u64 = 0x0123_4567_89AB_CDEF;
