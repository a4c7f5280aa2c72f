//! The one log of all nodes, as Redis keeps it: an append is atomic, and a read
//! says which log it is of.

use std::collections::VecDeque;
use std::rc::Rc;

use hd_replay::{LogId, Offset, Seen, SeenConfig};
use hd_rooms::RoomName;

use super::mutant::Mutant;

/// Whom an event is for.
#[derive(Debug, Clone)]
pub(crate) struct Audience {
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) except: Vec<RoomName>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) log: LogId,
    pub(crate) offset: Offset,
    /// The offset of the entry before: who copies the stream sees by it whether
    /// one is missing.
    pub(crate) prev: Offset,
    pub(crate) publication: usize,
    pub(crate) audience: Rc<Audience>,
}

pub(crate) struct Batch {
    pub(crate) log: LogId,
    /// Where the stream began.
    pub(crate) began: Offset,
    pub(crate) entries: Vec<Rc<Entry>>,
    /// Where the stream ends.
    pub(crate) last: Offset,
}

pub(crate) struct Stream {
    log: LogId,
    entries: VecDeque<Rc<Entry>>,
    began: Offset,
    last: Offset,
    seen: Seen<()>,
    max_entries: usize,
}

impl Audience {
    pub(crate) fn has(&self, rooms: &[RoomName]) -> bool {
        let is_in = |room: &RoomName| rooms.contains(room);
        (self.rooms.is_empty() || self.rooms.iter().any(is_in)) && !self.except.iter().any(is_in)
    }
}

impl Stream {
    pub(crate) fn new(log: LogId, max_entries: usize, now: u64) -> Self {
        Self {
            log,
            entries: VecDeque::new(),
            began: Offset::new(now, 0),
            last: Offset::new(now, 0),
            seen: Seen::new(SeenConfig::default()),
            max_entries,
        }
    }

    /// Redis comes back with nothing. What is appended now is another log.
    pub(crate) fn restart(&mut self, now: u64, mutant: Option<Mutant>) {
        let log = if mutant == Some(Mutant::GoesOnWhenStreamIsLost) {
            self.log
        } else {
            LogId(self.log.0 + 1)
        };
        *self = Self::new(log, self.max_entries, now);
    }

    /// Appends a publication; `None` when its id has come before.
    pub(crate) fn append(
        &mut self,
        id: Option<&str>,
        publication: usize,
        audience: &Rc<Audience>,
        now: u64,
        mutant: Option<Mutant>,
    ) -> Option<Rc<Entry>> {
        if let Some(id) = id {
            let has_come = self.seen.find(id, now).is_some();
            if has_come && mutant != Some(Mutant::TakesIdsTwice) {
                return None;
            }
            self.seen.insert(id, (), now);
        }
        let mut offset = self.last.next(now);
        if mutant == Some(Mutant::FollowsTheClockBack) && now < self.last.millis() {
            offset = Offset::new(now, 0);
        }
        let entry = Rc::new(Entry {
            log: self.log,
            offset,
            prev: self.last,
            publication,
            audience: Rc::clone(audience),
        });
        self.last = offset;
        self.entries.push_back(Rc::clone(&entry));
        if self.entries.len() > self.max_entries {
            self.entries.pop_front();
        }
        Some(entry)
    }

    /// What comes after a place; from the beginning on, of another log.
    pub(crate) fn read(&self, place: Option<(LogId, Offset)>, most: usize) -> Batch {
        let is_after = |entry: &&Rc<Entry>| match place {
            Some((log, after)) if log == self.log => entry.offset > after,
            _ => true,
        };
        Batch {
            log: self.log,
            began: self.began,
            entries: self
                .entries
                .iter()
                .filter(is_after)
                .take(most)
                .cloned()
                .collect(),
            last: self.last,
        }
    }
}
