//! Random sequences of calls, compared with a log that forgets nothing.

use std::time::Duration;

use hd_replay::{Gap, Log, LogConfig, NewEntry, Offset};
use hd_rooms::RoomName;
use proptest::prelude::*;

use super::{NOON, room};

const CONFIG: LogConfig = LogConfig {
    max_events: 4,
    max_bytes: 40,
    // Five events of three rooms, which count for some 550 bytes each.
    max_total_bytes: 3000,
    max_replay_bytes: 120,
    max_trimmed_rooms: 3,
    ttl: Duration::from_millis(50),
};

#[derive(Debug, Clone)]
struct Sent {
    offset: Offset,
    rooms: Vec<RoomName>,
    except: Vec<RoomName>,
    stale_at: u64,
    bytes: usize,
}

#[derive(Debug, Clone)]
enum Call {
    Send {
        rooms: Vec<u8>,
        except: Option<u8>,
        ttl: Option<u8>,
        bytes: usize,
    },
    Wait(u8),
    Return {
        rooms: Vec<u8>,
        /// How many events ago the client left.
        ago: usize,
    },
}

fn call() -> impl Strategy<Value = Call> {
    let rooms = || prop::collection::vec(0..5_u8, 0..3);
    prop_oneof![
        5 => (rooms(), prop::option::of(0..5_u8), prop::option::weighted(0.2, 0..60_u8), 1..30_usize)
            .prop_map(|(rooms, except, ttl, bytes)| Call::Send { rooms, except, ttl, bytes }),
        2 => (0..15_u8).prop_map(Call::Wait),
        3 => (rooms(), 0..12_usize).prop_map(|(rooms, ago)| Call::Return { rooms, ago }),
    ]
}

fn names(rooms: &[u8]) -> Vec<RoomName> {
    rooms.iter().map(|name| room(&name.to_string())).collect()
}

/// What a client of these rooms has missed.
fn expected(sent: &[Sent], rooms: &[RoomName], after: Offset, now: u64) -> Vec<Offset> {
    let is_for = |event: &&Sent| {
        let is_named =
            event.rooms.is_empty() || event.rooms.iter().any(|room| rooms.contains(room));
        is_named && !event.except.iter().any(|room| rooms.contains(room))
    };
    sent.iter()
        .filter(|event| event.offset > after && event.stale_at > now)
        .filter(is_for)
        .map(|event| event.offset)
        .collect()
}

proptest! {
    #[test]
    fn a_replay_is_whole_or_refused(calls in prop::collection::vec(call(), 1..200)) {
        let mut log = Log::new(CONFIG, NOON);
        let began = log.last_offset();
        let mut sent: Vec<Sent> = Vec::new();
        let mut now = NOON;
        for call in calls {
            match call {
                Call::Wait(millis) => now += u64::from(millis),
                Call::Send { rooms, except, ttl, bytes } => {
                    let rooms = names(&rooms);
                    let except = names(except.as_slice());
                    let ttl = ttl.map(|millis| Duration::from_millis(millis.into()));
                    let offset = log.next_offset(now);
                    let entry = NewEntry { rooms: &rooms, except: &except, ttl, bytes, event: offset };
                    log.append(offset, entry, now);
                    let life = ttl.map_or(u64::MAX, |ttl| u64::try_from(ttl.as_millis()).unwrap());
                    let stale_at = now.saturating_add(life);
                    sent.push(Sent { offset, rooms, except, stale_at, bytes });
                    prop_assert!(log.bytes() <= CONFIG.max_total_bytes);
                }
                Call::Return { rooms, ago } => {
                    let rooms = names(&rooms);
                    let after = sent.iter().rev().nth(ago).map_or(began, |event| event.offset);
                    let expected = expected(&sent, &rooms, after, now);
                    match log.missed(&rooms, after, now) {
                        Ok(missed) => {
                            let missed: Vec<Offset> = missed.into_iter().map(|(_, offset)| *offset).collect();
                            prop_assert_eq!(missed, expected);
                        }
                        Err(Gap::TooOld) => prop_assert!(after.millis() + 50 < now),
                        Err(Gap::Dropped) => {
                            // Only once more was sent than some bound allows.
                            let later: Vec<&Sent> = sent.iter().filter(|event| event.offset > after).collect();
                            let bytes: usize = sent.iter().map(|event| event.bytes).sum();
                            prop_assert!(later.len() > CONFIG.max_events || bytes > CONFIG.max_bytes);
                        }
                        // Only once the rooms of which something is gone are too many.
                        Err(Gap::BeforeLog) => prop_assert!(log.trimmed().floor() > began),
                        Err(gap @ Gap::AfterLog) => prop_assert!(false, "{gap:?}"),
                    }
                }
            }
        }
    }
}
