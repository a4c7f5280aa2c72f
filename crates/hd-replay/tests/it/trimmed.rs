//! What is remembered of removed events, for each room.

use hd_replay::{EVERYONE_KEY, Offset, Trimmed, room_key, room_set_key};

use super::rooms;

fn at(number: u64) -> Offset {
    Offset::new(number, 0)
}

fn remembered(trimmed: &Trimmed) -> Vec<(u64, Offset)> {
    trimmed.rooms().collect()
}

/// Rooms with the keys 1, 2 and so on, of which these were the latest removed.
fn trimmed(floor: u64, offsets: &[u64]) -> Trimmed {
    let rooms = (1..).zip(offsets.iter().copied().map(at));
    Trimmed::from_parts(at(floor), rooms)
}

#[test]
fn the_latest_removed_event_of_a_room_or_of_everyone_counts() {
    let mut trimmed = Trimmed::nothing();
    assert_eq!(trimmed.floor(), at(0));
    trimmed.record(&rooms(&["ana", "agents"]), at(5));
    trimmed.record(&rooms(&["ana"]), at(7));
    trimmed.record(&rooms(&["ana"]), at(6));
    assert_eq!(trimmed.latest_of(&rooms(&["ana"])), Some(at(7)));
    assert_eq!(trimmed.latest_of(&rooms(&["agents"])), Some(at(5)));
    assert_eq!(
        trimmed.latest_of(&rooms(&["agents", "ana", "luis"])),
        Some(at(7))
    );
    assert_eq!(trimmed.latest_of(&rooms(&["luis"])), None);

    trimmed.record(&[], at(6));
    assert_eq!(trimmed.latest_of(&rooms(&["luis"])), Some(at(6)));
    assert_eq!(trimmed.latest_of(&[]), Some(at(6)));
    assert_eq!(trimmed.latest_of(&rooms(&["ana"])), Some(at(7)));
    assert!(remembered(&trimmed).contains(&(EVERYONE_KEY, at(6))));
}

#[test]
fn a_room_at_or_below_the_floor_is_not_remembered_apart() {
    let mut memory = trimmed(5, &[4, 5, 6]);
    assert_eq!(remembered(&memory), [(3, at(6))]);
    memory.merge(at(3), [(4, at(7))]);
    assert_eq!(memory.floor(), at(5));
    assert_eq!(remembered(&memory), [(3, at(6)), (4, at(7))]);
    memory.merge(at(6), [(4, at(1))]);
    assert_eq!(memory.floor(), at(6));
    assert_eq!(remembered(&memory), [(4, at(7))]);
}

#[test]
fn as_many_rooms_as_allowed_are_all_remembered() {
    let mut memory = trimmed(0, &[1, 2, 3, 4]);
    memory.bound(4);
    assert_eq!(memory, trimmed(0, &[1, 2, 3, 4]));
}

#[test]
fn beyond_that_the_half_removed_last_is_remembered_and_the_rest_is_the_floor() {
    let mut memory = trimmed(0, &[3, 1, 5, 2, 4]);
    memory.bound(4);
    assert_eq!(memory.floor(), at(3));
    assert_eq!(remembered(&memory), [(3, at(5)), (5, at(4))]);

    let mut none = trimmed(0, &[3, 1]);
    none.bound(0);
    assert_eq!(none, Trimmed::all_up_to(at(3)));
}

#[test]
fn the_key_of_a_room_is_the_same_in_every_version() {
    // Instances of other versions and the records of a stream have them.
    assert_eq!(room_key("user_42"), ROOM_KEY);
    assert_ne!(room_key(""), EVERYONE_KEY);
    let sets = [
        rooms(&["ana", "agents"]),
        rooms(&["agents", "ana"]),
        rooms(&["ana", "agents", "ana"]),
    ];
    let keys = sets.map(|set| room_set_key(&set));
    assert_eq!(keys, [ROOM_SET_KEY; 3]);
}

#[test]
fn names_that_differ_in_one_character_have_keys_that_differ_in_many_bits() {
    for number in 0..1000_u32 {
        let [one, other] = [number, number + 1].map(|it| room_key(&format!("user_{it}")));
        let bits = (one ^ other).count_ones();
        assert!(bits >= 10, "user_{number}: {bits}");
    }
}

const ROOM_KEY: u64 = 0x9d55_e35d_ebc8_bcaf;
const ROOM_SET_KEY: u64 = 0x4dbf_e30d_19a2_25be;
