use std::collections::HashSet;

use compact_str::{CompactString, format_compact};
use hd_rooms::{MAX_ROOM_NAME_BYTES, RoomName, RoomNameError};

#[test]
fn a_name_is_at_most_256_bytes_however_it_is_made() {
    // Two bytes per letter: the bound counts bytes.
    let longest = "ñ".repeat(MAX_ROOM_NAME_BYTES / 2);
    let too_long = format!("{longest}x");
    let refused = Err(RoomNameError::TooLong { len: 257, max: 256 });

    assert_eq!(RoomName::new(&longest).unwrap().as_str(), longest);
    assert_eq!(RoomName::new(&too_long), refused);
    assert_eq!(RoomName::try_from(too_long.as_str()), refused);
    assert_eq!(RoomName::try_from(CompactString::new(&too_long)), refused);
    assert_eq!(too_long.parse::<RoomName>(), refused);
}

#[test]
fn any_text_is_a_name_and_is_kept_as_it_is() {
    for name in ["", "user_42", " a b ", "#/notifications#", "sala_ñ", "\0"] {
        let made = RoomName::new(name).unwrap();
        assert_eq!(made.as_str(), name);
        assert_eq!(made.to_string(), name);
        assert_eq!(format!("{made:?}"), format!("{name:?}"));
    }
    let formatted = RoomName::try_from(format_compact!("user_{}", 42)).unwrap();
    assert_eq!(&*formatted, "user_42");
}

#[test]
fn a_set_of_names_can_be_asked_for_text() {
    let names = HashSet::from([super::room("user_42")]);
    assert!(names.contains("user_42"));
    assert!(!names.contains("user_4"));
}

#[test]
fn a_refusal_does_not_repeat_the_name() {
    let error = RoomName::new(&"x".repeat(300)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the room name is too long: 300 bytes, at most 256 are allowed"
    );
}
