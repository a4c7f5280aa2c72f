//! The log under any sequence of events and times, beside a list of everything:
//! a client is given all that it missed, in order, or a reason.

#![no_main]

use std::time::Duration;

use hd_replay::{Log, LogConfig, NewEntry, Offset};
use hd_rooms::RoomName;
use libfuzzer_sys::{arbitrary, fuzz_target};

#[derive(arbitrary::Arbitrary, Debug)]
enum Input {
    Append {
        rooms: u8,
        except: u8,
        bytes: u8,
        ttl_millis: Option<u16>,
    },
    Wait {
        millis: u16,
    },
    Expire,
    Missed {
        rooms: u8,
        since: u8,
    },
}

/// What was appended.
struct Sent {
    offset: Offset,
    rooms: Vec<RoomName>,
    except: Vec<RoomName>,
    stale_at: u64,
    number: usize,
}

fn names(bits: u8) -> Vec<RoomName> {
    (0..3)
        .filter(|room| bits & (1 << room) != 0)
        .map(|room| RoomName::new(&format!("room_{room}")).expect("a short name"))
        .collect()
}

fuzz_target!(|inputs: Vec<Input>| {
    let config = LogConfig {
        max_events: 8,
        max_bytes: 2048,
        max_total_bytes: 4096,
        ttl: Duration::from_secs(30),
        ..LogConfig::default()
    };
    let ttl = 30_000;
    let max_total = config.max_total_bytes;
    let mut now = 1_000_000;
    let mut log = Log::new(config, now);
    let began = log.last_offset();
    let mut sent: Vec<Sent> = Vec::new();
    for input in inputs {
        match input {
            Input::Wait { millis } => now += u64::from(millis),
            Input::Expire => log.expire(now),
            Input::Append {
                rooms,
                except,
                bytes,
                ttl_millis,
            } => {
                let (rooms, except) = (names(rooms), names(except));
                let offset = log.next_offset(now);
                assert!(offset > log.last_offset());
                let number = sent.len();
                let entry = NewEntry {
                    rooms: &rooms,
                    except: &except,
                    ttl: ttl_millis.map(|millis| Duration::from_millis(millis.into())),
                    bytes: bytes.into(),
                    event: number,
                };
                log.append(offset, entry, now);
                let kept = ttl_millis.map_or(ttl, u64::from).min(ttl);
                sent.push(Sent {
                    offset,
                    rooms,
                    except,
                    stale_at: now + kept,
                    number,
                });
                assert!(log.bytes() <= max_total);
            }
            Input::Missed { rooms, since } => {
                let rooms = names(rooms);
                let after = match usize::from(since).checked_rem(sent.len() + 1) {
                    Some(0) | None => began,
                    Some(index) => sent[index - 1].offset,
                };
                let Ok(missed) = log.missed(&rooms, after, now) else {
                    continue;
                };
                let is_for = |one: &&Sent| {
                    one.offset > after
                        && one.stale_at > now
                        && (one.rooms.is_empty() || one.rooms.iter().any(|r| rooms.contains(r)))
                        && !one.except.iter().any(|r| rooms.contains(r))
                };
                let expected: Vec<usize> =
                    sent.iter().filter(is_for).map(|one| one.number).collect();
                let got: Vec<usize> = missed.iter().map(|(_, number)| **number).collect();
                assert_eq!(got, expected);
            }
        }
    }
});
