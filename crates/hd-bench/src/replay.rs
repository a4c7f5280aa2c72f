//! The log of what was sent.

use std::hint::black_box;

use hd_replay::{Log, LogConfig, NewEntry, Seen, SeenConfig};
use hd_rooms::RoomName;

use crate::Operation;

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation::new("replay/append-for-one-of-10k", || {
        let (mut log, rooms) = filled();
        let mut user = 0;
        Box::new(move || {
            let offset = log.next_offset(NOON);
            let entry = NewEntry::to(&rooms[user..=user], 600, ());
            log.append(offset, black_box(entry), NOON);
            user = (user + 1) % rooms.len();
        })
    }),
    Operation::new("replay/missed-nothing", || {
        let (log, rooms) = filled();
        let last = log.last_offset();
        Box::new(move || {
            let missed = log.missed(black_box(&rooms[..5]), last, NOON);
            assert!(black_box(missed).is_ok_and(|missed| missed.is_empty()));
        })
    }),
    Operation::new("replay/missed-20-in-5-rooms", || {
        let (mut log, rooms) = filled();
        let before = log.last_offset();
        for turn in 0..20 {
            let offset = log.next_offset(NOON);
            let room = turn % 5;
            log.append(offset, NewEntry::to(&rooms[room..=room], 600, ()), NOON);
        }
        Box::new(move || {
            let missed = log.missed(black_box(&rooms[..5]), before, NOON);
            assert_eq!(black_box(missed).map(|missed| missed.len()), Ok(20));
        })
    }),
    Operation::new("replay/take-an-id", || {
        let mut seen = Seen::new(SeenConfig {
            max_ids: 1000,
            ..SeenConfig::default()
        });
        let mut number = 0_u64;
        Box::new(move || {
            number += 1;
            let id = format!("{number:016x}");
            assert_eq!(seen.find(black_box(&id), NOON), None);
            black_box(seen.insert(&id, (), NOON));
        })
    }),
];

/// A log that has some events of each of 10,000 users.
fn filled() -> (Log<()>, Vec<RoomName>) {
    let rooms: Vec<RoomName> = (0..10_000)
        .map(|user| RoomName::new(&format!("user_{user}")).expect("a short name"))
        .collect();
    let mut log = Log::new(LogConfig::default(), NOON);
    for user in 0..rooms.len() {
        let offset = log.next_offset(NOON);
        log.append(offset, NewEntry::to(&rooms[user..=user], 600, ()), NOON);
    }
    (log, rooms)
}

/// In milliseconds since 1970.
const NOON: u64 = 1_800_000_000_000;
