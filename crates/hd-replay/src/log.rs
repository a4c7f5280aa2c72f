use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hd_rooms::RoomName;

use crate::config::millis;
use crate::order::Order;
use crate::room_log::{Entry, RoomLog};
use crate::trimmed::{EVERYONE_KEY, Trimmed, room_key};
use crate::{LogConfig, Offset};

/// The latest events of every room, in one order.
///
/// A room to which nothing was sent costs nothing. An event for several rooms
/// is kept once.
#[derive(Debug)]
pub struct Log<E> {
    config: LogConfig,
    everyone: RoomLog<E>,
    rooms: HashMap<RoomName, RoomLog<E>>,
    all: Order<E>,
    held: Held,
    last: Offset,
    /// What it does not have.
    trimmed: Trimmed,
}

/// What the rooms hold, each event once.
#[derive(Debug, Default)]
struct Held {
    events: usize,
    bytes: usize,
}

/// An event to append.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'a, E> {
    /// The rooms that it is for; none for everyone.
    pub rooms: &'a [RoomName],
    /// Rooms whose members it is not for.
    pub except: &'a [RoomName],
    /// How long it is worth replaying, if less than the log keeps it.
    pub ttl: Option<Duration>,
    /// What it counts for in the log's bounds.
    pub bytes: usize,
    /// The event.
    pub event: E,
}

impl<'a, E> NewEntry<'a, E> {
    /// An event for some rooms, or for everyone when there are none.
    pub const fn to(rooms: &'a [RoomName], bytes: usize, event: E) -> Self {
        Self {
            rooms,
            except: &[],
            ttl: None,
            bytes,
            event,
        }
    }
}

/// A portion of what a client missed.
#[derive(Debug, PartialEq, Eq)]
pub struct Portion<'a, E> {
    /// Events, in order.
    pub events: Vec<(Offset, &'a E)>,
    /// The offset of the last one, if there are more.
    pub behind: Option<Offset>,
}

/// Why what a client missed cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// It was away for longer than events are kept.
    #[error("away for longer than events are kept")]
    TooOld,
    /// More was sent meanwhile than is kept for a room, or in all.
    #[error("more was sent meanwhile than is kept")]
    Dropped,
    /// The offset is before the beginning of this log: the process is a new one.
    #[error("the log is younger than the offset")]
    BeforeLog,
    /// The offset is after the end of this log, so it is not one of its own.
    #[error("the log never had the offset")]
    AfterLog,
}

impl<E> Log<E> {
    /// An empty log that begins now.
    #[must_use]
    pub fn new(config: LogConfig, now_millis: u64) -> Self {
        let began = Offset::new(now_millis, 0);
        Self::starting_at(config, began, Trimmed::all_up_to(began))
    }

    /// An empty log that begins after an offset: that of a log which it is a copy
    /// of. What is up to the offset is not in it, and `trimmed` is what that was:
    /// [`Trimmed::all_up_to`] the offset where nobody knows.
    #[must_use]
    pub fn starting_at(config: LogConfig, began: Offset, trimmed: Trimmed) -> Self {
        Self {
            config,
            everyone: RoomLog::new(),
            rooms: HashMap::new(),
            all: Order::new(),
            held: Held::default(),
            last: began,
            trimmed,
        }
    }

    /// Where the log ends: what comes later is after it.
    #[must_use]
    pub const fn last_offset(&self) -> Offset {
        self.last
    }

    /// The offset of an event that is appended at this time.
    #[must_use]
    pub const fn next_offset(&self, now_millis: u64) -> Offset {
        self.last.next(now_millis)
    }

    /// Its bounds.
    #[must_use]
    pub const fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Events that are kept.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.held.events
    }

    /// Whether nothing is kept.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.held.events == 0
    }

    /// Bytes that they count for.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.held.bytes
    }

    /// What it does not have.
    #[must_use]
    pub const fn trimmed(&self) -> &Trimmed {
        &self.trimmed
    }

    /// Rooms of which something is kept.
    #[must_use]
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// Appends an event under an offset of
    /// [`next_offset`](Self::next_offset), or under the one that it has in the
    /// log that this one is a copy of. Its life is counted from `now_millis`:
    /// in a copy, the offset's.
    ///
    /// # Panics
    ///
    /// When the offset is not after the last one.
    pub fn append(&mut self, offset: Offset, new: NewEntry<'_, E>, now_millis: u64) {
        assert!(offset > self.last, "an offset follows the last one");
        self.last = offset;
        let ttl = new.ttl.map_or(u64::MAX, millis);
        let entry = Arc::new(Entry {
            offset,
            stale_at: now_millis.saturating_add(ttl),
            rooms: new.rooms.into(),
            except: new.except.into(),
            bytes: new.bytes,
            event: new.event,
        });
        self.held.add(&entry);
        self.all.push(&entry);
        if entry.rooms.is_empty() {
            self.everyone.push(Arc::clone(&entry));
            let excess = Excess {
                held: &mut self.held,
                trimmed: &mut self.trimmed,
                now_millis,
            };
            excess.trim(&mut self.everyone, || EVERYONE_KEY, &self.config);
        }
        for room in &entry.rooms {
            let log = match self.rooms.get_mut(room) {
                Some(log) => log,
                None => self.rooms.entry(room.clone()).or_insert(RoomLog::new()),
            };
            log.push(Arc::clone(&entry));
            let excess = Excess {
                held: &mut self.held,
                trimmed: &mut self.trimmed,
                now_millis,
            };
            excess.trim(log, || room_key(room.as_str()), &self.config);
        }
        // The rooms hold it from here on, and the last of them counts it off.
        drop(entry);
        self.all.sweep(self.held.events);
        self.expire(now_millis);
        while self.held.bytes > self.config.max_total_bytes && self.drop_oldest(now_millis) {}
        self.trimmed.bound(self.config.max_trimmed_rooms);
    }

    /// Drops what is older than events are kept. Appending does it too; a log
    /// to which nothing is appended needs it now and then.
    pub fn expire(&mut self, now_millis: u64) {
        let ttl = self.config.ttl_millis();
        while let Some(offset) = self.all.oldest()
            && offset.millis().saturating_add(ttl) < now_millis
        {
            self.drop_oldest(now_millis);
        }
        self.trimmed.bound(self.config.max_trimmed_rooms);
    }

    /// What a client of these rooms has missed after an offset, in order. What
    /// is sent to everyone is a part of it.
    ///
    /// # Errors
    ///
    /// [`Gap`] when that cannot be told.
    pub fn missed(
        &self,
        rooms: &[RoomName],
        after: Offset,
        now_millis: u64,
    ) -> Result<Vec<(Offset, &E)>, Gap> {
        let missed = self.missed_entries(rooms, after, now_millis)?;
        Ok(missed
            .into_iter()
            .map(|entry| (entry.offset, &entry.event))
            .collect())
    }

    /// The first portion of what a client of these rooms has missed after an
    /// offset: as much as [`LogConfig::max_replay_bytes`], one event at least.
    ///
    /// # Errors
    ///
    /// [`Gap`] when that cannot be told.
    pub fn portion(
        &self,
        rooms: &[RoomName],
        after: Offset,
        now_millis: u64,
    ) -> Result<Portion<'_, E>, Gap> {
        let missed = self.missed_entries(rooms, after, now_millis)?;
        let mut bytes = 0;
        let fits = |(index, entry): &(usize, &Entry<E>)| {
            bytes += entry.bytes;
            *index == 0 || bytes <= self.config.max_replay_bytes
        };
        let count = missed.len();
        let entries = missed.into_iter().enumerate().take_while(fits);
        let events: Vec<(Offset, &E)> = entries
            .map(|(_, entry)| (entry.offset, &entry.event))
            .collect();
        let behind = match events.last() {
            Some((offset, _)) if events.len() < count => Some(*offset),
            _ => None,
        };
        Ok(Portion { events, behind })
    }

    fn missed_entries(
        &self,
        rooms: &[RoomName],
        after: Offset,
        now_millis: u64,
    ) -> Result<Vec<&Entry<E>>, Gap> {
        if after > self.last {
            return Err(Gap::AfterLog);
        }
        // The first of all offsets stands for a position that nobody knows.
        if after < self.trimmed.floor() || after == Offset::default() {
            return Err(Gap::BeforeLog);
        }
        if self
            .trimmed
            .latest_of(rooms)
            .is_some_and(|latest| latest > after)
        {
            let is_old = after.millis().saturating_add(self.config.ttl_millis()) < now_millis;
            return Err(if is_old { Gap::TooOld } else { Gap::Dropped });
        }
        let named = rooms.iter().filter_map(|room| self.rooms.get(room));
        let mut missed: Vec<&Entry<E>> = Vec::new();
        for room in named.chain([&self.everyone]) {
            missed.extend(room.after(after));
        }
        let ttl = self.config.ttl_millis();
        missed.retain(|entry| {
            entry.stale_at > now_millis && !entry.except.iter().any(|room| rooms.contains(room))
        });
        missed.sort_unstable_by_key(|entry| entry.offset);
        missed.dedup_by_key(|entry| entry.offset);
        let is_old = |entry: &&Entry<E>| entry.offset.millis().saturating_add(ttl) < now_millis;
        if missed.first().is_some_and(is_old) {
            return Err(Gap::TooOld);
        }
        Ok(missed)
    }

    /// Drops the oldest event from wherever it still is. Returns false when there
    /// is no event.
    fn drop_oldest(&mut self, now_millis: u64) -> bool {
        let Some((offset, entry)) = self.all.pop_oldest() else {
            return false;
        };
        let Some(entry) = entry.upgrade() else {
            return true;
        };
        let is_missed = entry.stale_at > now_millis;
        if is_missed {
            // A room that dropped it before remembers that it did.
            self.trimmed.record(&entry.rooms, offset);
        }
        if entry.rooms.is_empty() {
            drop(self.everyone.pop_if(offset));
        }
        for room in &entry.rooms {
            let Some(log) = self.rooms.get_mut(room) else {
                continue;
            };
            drop(log.pop_if(offset));
            if log.is_empty() {
                self.rooms.remove(room);
            }
        }
        self.held.release(entry);
        true
    }
}

/// What a room has over its bounds.
struct Excess<'a> {
    held: &'a mut Held,
    trimmed: &'a mut Trimmed,
    now_millis: u64,
}

impl Excess<'_> {
    /// Brings a room, or everyone's, within its bounds.
    fn trim<E>(self, log: &mut RoomLog<E>, key: impl Fn() -> u64, config: &LogConfig) {
        while let Some(entry) = log.pop_excess(config.max_events, config.max_bytes) {
            // Nobody misses what is not replayed any more.
            if entry.stale_at > self.now_millis {
                self.trimmed.insert(key(), entry.offset);
            }
            self.held.release(entry);
        }
    }
}

impl Held {
    fn add<E>(&mut self, entry: &Entry<E>) {
        self.events += 1;
        self.bytes += entry.total_bytes();
    }

    /// Gives up a hold on an event, and counts it off with the last one.
    fn release<E>(&mut self, entry: Arc<Entry<E>>) {
        if let Some(entry) = Arc::into_inner(entry) {
            self.events -= 1;
            self.bytes -= entry.total_bytes();
        }
    }
}
