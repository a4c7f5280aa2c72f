//! The events of one room.

use std::collections::VecDeque;
use std::sync::Arc;

use hd_rooms::RoomName;
use smallvec::SmallVec;

use crate::Offset;

/// An event in a log.
#[derive(Debug)]
pub(crate) struct Entry<E> {
    pub(crate) offset: Offset,
    /// From when on it is not worth replaying, in milliseconds since 1970.
    pub(crate) stale_at: u64,
    /// Empty for everyone. Most events are for one user.
    pub(crate) rooms: SmallVec<[RoomName; 1]>,
    pub(crate) except: Box<[RoomName]>,
    pub(crate) bytes: usize,
    pub(crate) event: E,
}

impl<E> Entry<E> {
    /// What it counts for in the whole log: each room that it names has a place
    /// of its own. The first one is in what it was given as.
    pub(crate) fn total_bytes(&self) -> usize {
        let others = self.rooms.iter().chain(&self.except).skip(1);
        let places: usize = others.map(|room| ROOM_COST + 2 * room.len()).sum();
        self.bytes + places
    }
}

/// The latest events of a room, the oldest first.
#[derive(Debug)]
pub(crate) struct RoomLog<E> {
    entries: VecDeque<Arc<Entry<E>>>,
    bytes: usize,
}

impl<E> RoomLog<E> {
    pub(crate) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends an event, unless it is there: it may name a room twice.
    pub(crate) fn push(&mut self, entry: Arc<Entry<E>>) {
        if self
            .entries
            .back()
            .is_some_and(|last| last.offset == entry.offset)
        {
            return;
        }
        self.bytes += entry.bytes;
        self.entries.push_back(entry);
    }

    /// Takes the oldest event out if the room has more than it may. The latest
    /// one stays, whatever its size.
    pub(crate) fn pop_excess(
        &mut self,
        max_events: usize,
        max_bytes: usize,
    ) -> Option<Arc<Entry<E>>> {
        let is_within = self.entries.len() <= max_events && self.bytes <= max_bytes;
        if is_within || self.entries.len() == 1 {
            return None;
        }
        self.pop()
    }

    /// Takes this event out if it is the oldest: where it is not, it is gone
    /// already.
    pub(crate) fn pop_if(&mut self, offset: Offset) -> Option<Arc<Entry<E>>> {
        let oldest = self.entries.front()?;
        if oldest.offset == offset {
            self.pop()
        } else {
            None
        }
    }

    /// The events after an offset.
    pub(crate) fn after(&self, offset: Offset) -> impl Iterator<Item = &Entry<E>> {
        let first = self.entries.partition_point(|entry| entry.offset <= offset);
        self.entries.range(first..).map(|entry| &**entry)
    }

    fn pop(&mut self) -> Option<Arc<Entry<E>>> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.bytes;
        Some(entry)
    }
}

/// What a room's place costs, besides its name's text: the memory test counts it.
const ROOM_COST: usize = 256;
