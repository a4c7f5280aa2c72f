use std::sync::Arc;

use allocation_counter::measure;
use hd_rooms::{Audience, AudienceScratch, MemberKey, Rooms, RoomsConfig};

use super::room;

/// Bytes per member with a private room, everything included.
const BUDGET: u64 = 250;
/// The same, and four rooms that many share.
const BUDGET_OF_FIVE_ROOMS: u64 = 300;

/// Members with one private room each. `M` is of the size of an `Arc`, but
/// allocates nothing itself.
fn registry(members: u64) -> (Rooms<&'static str>, Vec<MemberKey>) {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let keys = (0..members)
        .map(|id| {
            let key = rooms.insert("").unwrap();
            rooms.join(key, &room(&format!("user_{id}"))).unwrap();
            key
        })
        .collect();
    (rooms, keys)
}

fn bytes_per_member(members: u64, common: &[(&str, u64)]) -> u64 {
    let mut kept = None;
    let info = measure(|| {
        let mut rooms = Rooms::<Arc<()>>::new(RoomsConfig::default());
        let shared = Arc::new(());
        for id in 0..members {
            let key = rooms.insert(Arc::clone(&shared)).unwrap();
            rooms.join(key, &room(&format!("user_{id}"))).unwrap();
            for (kind, count) in common {
                rooms
                    .join(key, &room(&format!("{kind}_{}", id % count)))
                    .unwrap();
            }
        }
        kept = Some(rooms);
    });
    assert_eq!(kept.map(|rooms| rooms.len() as u64), Some(members));
    u64::try_from(info.bytes_current).unwrap() / members
}

#[test]
fn a_member_with_a_private_room_costs_at_most_250_bytes() {
    // 8,193 is the worst case: every table has doubled for one member more.
    for members in [8_193, 10_000, 16_384] {
        let bytes = bytes_per_member(members, &[]);
        assert!(bytes <= BUDGET, "{bytes} bytes each at {members} members");
        // Less would mean that the counter does not count.
        assert!(bytes >= 120, "{bytes} bytes each at {members} members");
    }
}

#[test]
fn four_more_rooms_that_many_share_cost_at_most_100_bytes() {
    let shared = [
        ("role", 4),
        ("department", 20),
        ("region", 9),
        ("position", 12),
    ];
    // 16,384 is the worst case: one room more, and their table has doubled.
    for members in [8_193, 10_000, 16_384] {
        let bytes = bytes_per_member(members, &shared);
        let more = bytes - bytes_per_member(members, &[]);
        assert!(more <= 100, "{more} bytes more at {members} members");
        // Eight for each place in a room.
        assert!(more >= 32, "{more} bytes more at {members} members");
        assert!(
            bytes <= BUDGET_OF_FIVE_ROOMS,
            "{bytes} bytes each at {members} members"
        );
    }
}

#[test]
fn churn_in_a_registry_of_steady_size_allocates_nothing() {
    let (mut rooms, mut keys) = registry(1_000);
    let name = room("user_1000000");
    // Once round, so that the lists of vacancies have their size.
    for key in &mut keys {
        rooms.remove(*key);
    }
    for key in &mut keys {
        *key = rooms.insert("").unwrap();
        rooms.join(*key, &name).unwrap();
        rooms.leave(*key, &name);
    }
    let info = measure(|| {
        for key in &mut keys {
            rooms.remove(*key).unwrap();
            *key = rooms.insert("").unwrap();
            rooms.join(*key, &name).unwrap();
            rooms.leave(*key, &name);
        }
    });
    assert_eq!(info.count_total, 0);
    rooms.assert_invariants();
}

#[test]
fn one_room_and_everyone_are_resolved_without_allocating() {
    let (rooms, _) = registry(1_000);
    let (room_500, everyone) = (Audience::room(room("user_500")), Audience::everyone());
    let mut out = Vec::with_capacity(1_001);
    let info = measure(|| {
        // Fresh scratch: these audiences do not need any.
        let mut scratch = AudienceScratch::new();
        rooms.resolve(&room_500, &mut scratch, &mut out);
        rooms.resolve(&everyone, &mut scratch, &mut out);
    });
    assert_eq!(out.len(), 1_001);
    assert_eq!(info.count_total, 0);
}

#[test]
fn any_audience_is_resolved_without_allocating_once_the_scratch_has_its_size() {
    let (rooms, keys) = registry(1_000);
    let audience = Audience::room(room("user_1"))
        .to(room("user_2"))
        .except(room("user_3"))
        .except_member(keys[1]);
    let mut scratch = AudienceScratch::new();
    let mut visited = 0;
    let first = measure(|| rooms.visit(&audience, &mut scratch, |_, _| visited += 1));
    let second = measure(|| rooms.visit(&audience, &mut scratch, |_, _| visited += 1));
    assert_eq!(visited, 2);
    assert_eq!((first.count_total, first.bytes_total), (1, 4_000));
    assert_eq!(second.count_total, 0);
}

#[test]
fn a_room_that_was_large_gives_its_memory_back() {
    let info = measure(|| {
        let (mut rooms, keys) = registry(10_000);
        let big = room("big");
        let grown = measure(|| {
            for key in &keys {
                rooms.join(*key, &big).unwrap();
            }
        });
        let shrunk = measure(|| {
            for key in &keys[2..] {
                rooms.leave(*key, &big);
            }
        });
        assert!(grown.bytes_current >= 80_000, "{grown:?}");
        assert!(
            shrunk.bytes_current <= -80_000,
            "{shrunk:?} after {grown:?}"
        );
        assert_eq!(rooms.room_len("big"), 2);
    });
    assert_eq!(info.bytes_current, 0, "everything is freed in the end");
}
