use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hd_rooms::RoomName;

use crate::config::millis;
use crate::order::Order;
use crate::room_log::{Entry, RoomLog};
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
    /// Where the log began.
    began: Offset,
    last: Offset,
    /// The latest event that was dropped since the whole log was full.
    dropped: Option<Offset>,
    /// The latest event whose time was over. Clocks are set back, and differ
    /// between who appends and who asks: the time alone does not tell.
    expired: Option<Offset>,
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

/// Why what a client missed cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// It was away for longer than events are kept.
    #[error("away for longer than events are kept")]
    TooOld,
    /// More was sent meanwhile than is kept for a room, or in all.
    #[error("more was sent meanwhile than is kept")]
    Dropped,
    /// More was sent meanwhile than one replay may have.
    #[error("more was sent meanwhile than a replay may have")]
    TooMuch,
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
        Self::starting_at(config, Offset::new(now_millis, 0))
    }

    /// An empty log that begins after an offset: that of a log which it is a copy
    /// of. What is up to the offset is not in it, and it says so.
    #[must_use]
    pub fn starting_at(config: LogConfig, began: Offset) -> Self {
        Self {
            config,
            everyone: RoomLog::new(),
            rooms: HashMap::new(),
            all: Order::new(),
            held: Held::default(),
            began,
            last: began,
            dropped: None,
            expired: None,
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
            self.held.trim(&mut self.everyone, &self.config);
        }
        for room in &entry.rooms {
            let log = match self.rooms.get_mut(room) {
                Some(log) => log,
                None => self.rooms.entry(room.clone()).or_insert(RoomLog::new()),
            };
            log.push(Arc::clone(&entry));
            self.held.trim(log, &self.config);
        }
        // The rooms hold it from here on, and the last of them counts it off.
        drop(entry);
        self.all.sweep(self.held.events);
        self.expire(now_millis);
        while self.held.bytes > self.config.max_total_bytes {
            let Some(offset) = self.drop_oldest() else {
                break;
            };
            self.dropped = Some(offset);
        }
    }

    /// Drops what is older than events are kept. Appending does it too; a log
    /// to which nothing is appended needs it now and then.
    pub fn expire(&mut self, now_millis: u64) {
        let ttl = self.config.ttl_millis();
        while let Some(offset) = self.all.oldest()
            && offset.millis().saturating_add(ttl) < now_millis
        {
            self.expired = self.drop_oldest();
        }
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
        if after < self.began {
            return Err(Gap::BeforeLog);
        }
        if after > self.last {
            return Err(Gap::AfterLog);
        }
        if after.millis().saturating_add(self.config.ttl_millis()) < now_millis {
            return Err(Gap::TooOld);
        }
        if self.expired.is_some_and(|expired| expired > after) {
            return Err(Gap::TooOld);
        }
        if self.dropped.is_some_and(|dropped| dropped > after) {
            return Err(Gap::Dropped);
        }
        let named = rooms.iter().filter_map(|room| self.rooms.get(room));
        let mut missed = Vec::new();
        for room in named.chain([&self.everyone]) {
            missed.extend(room.after(after).ok_or(Gap::Dropped)?);
        }
        missed.retain(|entry| {
            entry.stale_at > now_millis && !entry.except.iter().any(|room| rooms.contains(room))
        });
        missed.sort_unstable_by_key(|entry| entry.offset);
        missed.dedup_by_key(|entry| entry.offset);
        let bytes: usize = missed.iter().map(|entry| entry.bytes).sum();
        if bytes > self.config.max_replay_bytes {
            return Err(Gap::TooMuch);
        }
        Ok(missed
            .into_iter()
            .map(|entry| (entry.offset, &entry.event))
            .collect())
    }

    /// Drops the oldest event from wherever it still is. Returns its offset, or
    /// `None` when there is no event.
    fn drop_oldest(&mut self) -> Option<Offset> {
        let (offset, entry) = self.all.pop_oldest()?;
        let Some(entry) = entry.upgrade() else {
            return Some(offset);
        };
        if entry.rooms.is_empty() {
            drop(self.everyone.pop_if(offset));
        }
        for room in &entry.rooms {
            let Some(log) = self.rooms.get_mut(room) else {
                continue;
            };
            drop(log.pop_if(offset));
            // What it dropped for want of room is as old, and older.
            if log.is_empty() {
                self.rooms.remove(room);
            }
        }
        self.held.release(entry);
        Some(offset)
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

    /// Brings a room, or everyone's, within its bounds.
    fn trim<E>(&mut self, log: &mut RoomLog<E>, config: &LogConfig) {
        while let Some(entry) = log.pop_excess(config.max_events, config.max_bytes) {
            self.release(entry);
        }
    }
}
