use hd_rooms::{Joined, MemberKey, Rooms, RoomsConfig};

use super::room;

#[test]
fn joining_twice_is_joining_once() {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let a = rooms.insert('a').unwrap();

    assert_eq!(rooms.join(a, &room("r")), Ok(Joined::New));
    assert_eq!(rooms.join(a, &room("r")), Ok(Joined::Already));
    assert_eq!(rooms.room_len("r"), 1);
    assert!(rooms.leave(a, "r"));
    assert!(!rooms.leave(a, "r"));
    assert!(!rooms.contains(a, "r"));
    rooms.assert_invariants();
}

#[test]
fn a_room_lives_from_its_first_member_to_its_last() {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let a = rooms.insert('a').unwrap();
    let b = rooms.insert('b').unwrap();
    assert_eq!((rooms.room_count(), rooms.room_len("r")), (0, 0));

    rooms.join(a, &room("r")).unwrap();
    rooms.join(b, &room("r")).unwrap();
    assert_eq!((rooms.room_count(), rooms.room_len("r")), (1, 2));

    rooms.leave(a, "r");
    assert_eq!((rooms.room_count(), rooms.room_len("r")), (1, 1));
    rooms.leave(b, "r");
    assert_eq!((rooms.room_count(), rooms.room_len("r")), (0, 0));
    assert_eq!(rooms.members_of("r").count(), 0);
    rooms.assert_invariants();
}

#[test]
fn a_freed_room_is_reused_under_another_name() {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let a = rooms.insert('a').unwrap();
    rooms.join(a, &room("old")).unwrap();
    rooms.leave(a, "old");
    rooms.join(a, &room("new")).unwrap();

    assert!(rooms.contains(a, "new"));
    assert!(!rooms.contains(a, "old"));
    assert_eq!(rooms.room_len("old"), 0);
    assert_eq!(rooms.room_count(), 1);
    rooms.assert_invariants();
}

#[test]
fn leaving_puts_the_last_one_in_place_on_both_sides() {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let keys: Vec<MemberKey> = ('a'..='e').map(|m| rooms.insert(m).unwrap()).collect();
    for name in ["r0", "r1", "r2", "r3"] {
        for key in &keys {
            rooms.join(*key, &room(name)).unwrap();
        }
    }

    assert!(rooms.leave(keys[1], "r0"));
    rooms.assert_invariants();
    assert_eq!(members(&rooms, "r0"), "aecd");
    assert_eq!(names(&rooms, keys[1]), ["r3", "r1", "r2"]);
    assert_eq!(names(&rooms, keys[4]), ["r0", "r1", "r2", "r3"]);

    // The one that was moved can be found where it is now.
    assert!(rooms.leave(keys[4], "r0"));
    rooms.assert_invariants();
    assert_eq!(members(&rooms, "r0"), "adc");
    // The last one of all needs nobody in its place.
    assert!(rooms.leave(keys[2], "r0"));
    rooms.assert_invariants();
    assert_eq!(members(&rooms, "r0"), "ad");
}

#[test]
fn removal_leaves_every_room() {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let a = rooms.insert('a').unwrap();
    let b = rooms.insert('b').unwrap();
    for name in ["private", "shared", "also shared"] {
        rooms.join(a, &room(name)).unwrap();
    }
    rooms.join(b, &room("shared")).unwrap();
    rooms.join(b, &room("also shared")).unwrap();

    assert_eq!(rooms.remove(a), Some('a'));
    assert_eq!((rooms.len(), rooms.room_count()), (1, 2));
    assert_eq!(rooms.room_len("private"), 0);
    assert_eq!(members(&rooms, "shared"), "b");
    assert_eq!(names(&rooms, b), ["shared", "also shared"]);
    rooms.assert_invariants();
}

#[test]
fn a_large_room_may_shrink_and_grow_again() {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let keys: Vec<MemberKey> = (0..1000).map(|m| rooms.insert(m).unwrap()).collect();
    for key in &keys {
        rooms.join(*key, &room("big")).unwrap();
    }
    for key in &keys[..999] {
        assert!(rooms.leave(*key, "big"));
    }
    rooms.assert_invariants();
    assert_eq!(
        rooms.members_of("big").collect::<Vec<_>>(),
        [(keys[999], &999)]
    );
    for key in &keys {
        rooms.join(*key, &room("big")).unwrap();
    }
    assert_eq!(rooms.room_len("big"), 1000);
    rooms.assert_invariants();
}

#[test]
fn debug_output_counts_and_shows_nothing_of_members() {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let key = rooms.insert("secret member").unwrap();
    rooms.join(key, &room("secret room")).unwrap();
    let debug = format!("{rooms:?}");
    assert!(debug.contains("len: 1, room_count: 1"), "{debug}");
    assert!(!debug.contains("secret"), "{debug}");
}

fn members(rooms: &Rooms<char>, room: &str) -> String {
    rooms.members_of(room).map(|(_, member)| member).collect()
}

fn names(rooms: &Rooms<char>, key: MemberKey) -> Vec<&str> {
    rooms.rooms_of(key).map(|name| name.as_str()).collect()
}

#[test]
fn rooms_that_come_and_go_are_noted_once_it_is_asked_for() {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let a = rooms.insert('a').unwrap();
    let b = rooms.insert('b').unwrap();
    rooms.join(a, &room("before")).unwrap();
    assert!(!rooms.has_changed());
    assert_eq!(rooms.take_changed(), []);

    rooms.record_changes();
    assert!(rooms.has_changed());
    assert_eq!(rooms.take_changed(), [room("before")]);
    rooms.join(a, &room("r")).unwrap();
    rooms.join(b, &room("r")).unwrap();
    rooms.leave(b, "r");
    assert_eq!(rooms.take_changed(), [room("r")]);
    assert!(!rooms.has_changed());

    rooms.remove(a);
    rooms.join(b, &room("r")).unwrap();
    let mut changed = rooms.take_changed();
    changed.sort();
    assert_eq!(changed, [room("before"), room("r"), room("r")]);
    let present: Vec<_> = rooms.rooms().collect();
    assert_eq!(present, [&room("r")]);
    rooms.assert_invariants();
}
