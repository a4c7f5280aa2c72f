use hd_replay::{Cursor, CursorError, LogId, MAC_BYTES, Offset};

fn cursor() -> Cursor {
    Cursor {
        identity: 42,
        log: LogId(7),
        start: Offset::new(1_764_072_000_123, 2),
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
    assert_eq!(text.len(), 94, "{text}");
    assert_eq!(Cursor::open(&text, mac(1)), Ok(cursor()));
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
fn a_later_version_is_malformed_though_well_sealed() {
    use base64::Engine as _;
    let bytes = [2_u8; 40];
    let text =
        base64::prelude::BASE64_URL_SAFE_NO_PAD.encode([&bytes[..], &mac(1)(&bytes)[..]].concat());
    assert_eq!(Cursor::open(&text, mac(1)), Err(CursorError::Malformed));
}
