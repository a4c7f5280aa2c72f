//! The one log of all nodes, as Redis keeps it: an append is atomic, and a read
//! says which log it is of.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use hd_replay::{Link, LogId, Offset, Place, Seen, SeenConfig, Trimmed};
use hd_rooms::RoomName;

use super::mutant::Mutant;

/// Whom an event is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audience {
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) except: Vec<RoomName>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) offset: Offset,
    pub(crate) link: Link,
    /// None at the beginning of a log.
    pub(crate) event: Option<Event>,
    /// Whether the stream has lost it, or it came after such a loss and before
    /// that was noticed: who does not get it is to be told.
    pub(crate) is_in_doubt: Cell<bool>,
    /// Whether the stream has lost it, and nobody knew: what nobody knows, nobody can tell.
    pub(crate) is_forgiven: Cell<bool>,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) publication: usize,
    pub(crate) audience: Rc<Audience>,
    /// How long it is worth replaying, in milliseconds.
    pub(crate) ttl: Option<u64>,
    pub(crate) bytes: usize,
    /// Whether nodes of the first version do not understand it.
    pub(crate) is_new: bool,
}

/// What a read returns, all of one moment.
pub(crate) struct Batch {
    pub(crate) entries: Vec<Rc<Entry>>,
    pub(crate) trimmed: Trimmed,
    /// Where the stream ends.
    pub(crate) end: Place,
}

pub(crate) struct Stream {
    log: LogId,
    entries: VecDeque<Rc<Entry>>,
    last: Offset,
    /// What was trimmed, of each room.
    trimmed: Trimmed,
    max_trimmed_rooms: usize,
    lost_up_to: Offset,
    /// The log that lost its end.
    has_lost: Option<LogId>,
    seen: Seen<()>,
    max_entries: usize,
}

impl Audience {
    pub(crate) fn has(&self, rooms: &[RoomName]) -> bool {
        self.names(rooms) && !self.except.iter().any(|room| rooms.contains(room))
    }

    /// Whether it names one of these, or everyone.
    pub(crate) fn names(&self, rooms: &[RoomName]) -> bool {
        self.rooms.is_empty() || self.rooms.iter().any(|room| rooms.contains(room))
    }
}

impl Stream {
    pub(crate) fn new(
        log: LogId,
        (max_entries, max_trimmed_rooms): (usize, usize),
        now: u64,
    ) -> Self {
        let mut stream = Self {
            log,
            entries: VecDeque::new(),
            last: Offset::default(),
            trimmed: Trimmed::nothing(),
            max_trimmed_rooms,
            lost_up_to: Offset::default(),
            has_lost: None,
            seen: Seen::new(SeenConfig::default()),
            max_entries,
        };
        stream.begin(log, Offset::new(now, 0), None);
        stream
    }

    fn begin(&mut self, log: LogId, offset: Offset, before: Option<Offset>) {
        let link = Link {
            log,
            before,
            is_beginning: true,
        };
        self.log = log;
        self.push(offset, link, None);
    }

    fn push(&mut self, offset: Offset, link: Link, event: Option<Event>) -> Rc<Entry> {
        let entry = Rc::new(Entry {
            offset,
            link,
            event,
            is_in_doubt: Cell::new(self.has_lost == Some(link.log)),
            is_forgiven: Cell::new(false),
        });
        self.last = offset;
        self.entries.push_back(Rc::clone(&entry));
        if self.entries.len() > self.max_entries
            && let Some(trimmed) = self.entries.pop_front()
            && let Some(event) = &trimmed.event
        {
            self.trimmed.record(&event.audience.rooms, trimmed.offset);
            self.trimmed.bound(self.max_trimmed_rooms);
        }
        entry
    }

    pub(crate) fn log(&self) -> LogId {
        self.log
    }

    /// Where it ends.
    pub(crate) fn last(&self) -> Offset {
        self.last
    }

    /// Redis comes back with nothing. What is appended now is another log.
    pub(crate) fn restart(&mut self, now: u64, mutant: Option<Mutant>) {
        let log = if mutant == Some(Mutant::GoesOnWhenStreamIsLost) {
            self.log
        } else {
            LogId(self.log.0 + 1)
        };
        *self = Self::new(log, (self.max_entries, self.max_trimmed_rooms), now);
    }

    /// Where it would end without the latest entries; not without all of them.
    pub(crate) fn end_without(&self, lost: usize) -> Option<Offset> {
        let left = self.entries.len().checked_sub(lost + 1)?;
        Some(self.entries.get(left)?.offset)
    }

    /// Whether a log begins in the latest entries. Redis would have lost with it that it did.
    pub(crate) fn begins_within(&self, lost: usize) -> bool {
        let mut lost = self.entries.iter().rev().take(lost);
        lost.any(|entry| entry.link.is_beginning)
    }

    /// A replica takes over that had not got the latest entries. Their ids it
    /// has: what is sent again would come twice, and that is not promised.
    pub(crate) fn lose_end(&mut self, lost: usize) {
        for entry in self.entries.split_off(self.entries.len() - lost) {
            entry.is_in_doubt.set(true);
        }
        self.last = self.entries.back().expect("one is left").offset;
        self.has_lost = Some(self.log);
    }

    /// The same, when no node knows. The clock is past what is lost, so that what comes later has later
    /// offsets.
    pub(crate) fn lose_end_unknown(&mut self, lost: usize) {
        self.lost_up_to = self.last;
        for entry in self.entries.split_off(self.entries.len() - lost) {
            entry.is_forgiven.set(true);
        }
        self.last = self.entries.back().expect("one is left").offset;
    }

    /// Begins another log, where something of this one is lost. Returns the one
    /// that is appended to.
    pub(crate) fn fork(&mut self, log: LogId, (now, leap): (u64, u64)) -> LogId {
        if self.log == log {
            let offset = self.next(now, leap);
            self.begin(LogId(log.0 + 1), offset, Some(self.last));
        }
        self.log
    }

    /// While the clock is behind, offsets leap: what is lost meanwhile, and what
    /// comes after it, have others.
    fn next(&self, now: u64, leap: u64) -> Offset {
        let last = self.last.max(self.lost_up_to);
        let next = last.next(now);
        if now < last.millis() {
            Offset::new(next.millis(), next.count() + leap)
        } else {
            next
        }
    }

    /// Appends a publication; `None` when its id has come before.
    pub(crate) fn append(
        &mut self,
        id: Option<&str>,
        event: Event,
        (now, leap): (u64, u64),
        mutant: Option<Mutant>,
    ) -> Option<Rc<Entry>> {
        if let Some(id) = id {
            let has_come = self.seen.find(id, now).is_some();
            if has_come && mutant != Some(Mutant::TakesIdsTwice) {
                return None;
            }
            self.seen.insert(id, (), now);
        }
        let mut offset = self.next(now, leap);
        if mutant == Some(Mutant::FollowsTheClockBack) && now < self.last.millis() {
            offset = Offset::new(now, 0);
        }
        let link = Link {
            log: self.log,
            before: Some(self.last),
            is_beginning: false,
        };
        Some(self.push(offset, link, Some(event)))
    }

    /// What comes after an offset.
    pub(crate) fn read(&self, after: Offset, most: usize) -> Batch {
        let later = self.entries.iter().filter(|entry| entry.offset > after);
        Batch {
            entries: later.take(most).cloned().collect(),
            trimmed: self.trimmed.clone(),
            end: Place {
                log: self.log,
                offset: self.last,
            },
        }
    }
}
