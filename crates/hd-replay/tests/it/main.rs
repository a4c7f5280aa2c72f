//! Tests of the public API.

mod bounds;
mod broker;
mod chain;
mod cursor;
mod fanout;
mod log;
mod memory;
mod model;
mod offset;
mod resume;
mod seen;
mod trimmed;

use hd_replay::{Gap, Log, LogConfig, NewEntry, Offset};
use hd_rooms::RoomName;

/// The beginning of virtual time, in milliseconds since 1970.
pub(crate) const NOON: u64 = 1_800_000_000_000;
pub(crate) const HOUR: u64 = 60 * 60 * 1000;

pub(crate) fn room(name: &str) -> RoomName {
    RoomName::new(name).expect("a short name")
}

pub(crate) fn rooms(names: &[&str]) -> Vec<RoomName> {
    names.iter().map(|name| room(name)).collect()
}

pub(crate) fn log() -> Log<&'static str> {
    Log::new(LogConfig::default(), NOON)
}

/// Appends an event as large as its text.
pub(crate) fn send(
    log: &mut Log<&'static str>,
    to: &[&str],
    event: &'static str,
    now: u64,
) -> Offset {
    let offset = log.next_offset(now);
    log.append(offset, NewEntry::to(&rooms(to), event.len(), event), now);
    offset
}

pub(crate) fn missed(
    log: &Log<&'static str>,
    of: &[&str],
    after: Offset,
    now: u64,
) -> Result<Vec<&'static str>, Gap> {
    let missed = log.missed(&rooms(of), after, now)?;
    Ok(missed.into_iter().map(|(_, event)| *event).collect())
}
