use hd_replay::{InvalidOffset, Offset};

#[test]
fn is_written_as_redis_writes_the_ids_of_a_stream() {
    for text in ["0-0", "1764072000123-7", "18446744073709551615-1"] {
        let offset: Offset = text.parse().unwrap();
        assert_eq!(offset.to_json(), format!("\"{text}\""));
        assert_eq!(offset.to_string(), text);
    }
}

#[test]
fn anything_else_is_refused() {
    for text in [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "+1-0",
        "1-+0",
        "1-0-0",
        " 1-0",
        "1-0 ",
        "a-0",
        "1-0x",
        "18446744073709551616-0",
        "١-0",
    ] {
        assert_eq!(text.parse::<Offset>(), Err(InvalidOffset), "{text:?}");
    }
}

#[test]
fn the_next_one_is_later_whatever_the_clock_says() {
    let offset = Offset::new(1000, 3);
    assert_eq!(offset.next(1001), Offset::new(1001, 0));
    assert_eq!(offset.next(1000), Offset::new(1000, 4));
    assert_eq!(offset.next(10), Offset::new(1000, 4));
    let last_of_its_time = Offset::new(1000, u64::MAX);
    assert_eq!(last_of_its_time.next(1000), Offset::new(1001, 0));
}
