//! The promise, as one device sees it.

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use hd_replay::{LogId, Offset};
use hd_rooms::RoomName;

use super::stream::Entry;

/// A promise that was broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A later event came, or the end, and this one had not.
    Lost { publication: usize },
    /// An event came that had come already, or that a later one had preceded.
    TwiceOrLate { publication: usize },
    /// An event came that is for somebody else.
    Misdirected { publication: usize },
    /// It was told that it had recovered, and it had never been here.
    NothingToRecover,
    /// It was told that it had recovered, in other rooms than it was told for before.
    RecoveredInOtherRooms,
    /// It was told, and nothing was sent to its rooms meanwhile.
    ToldForNothing,
    /// Faults are over, and it is not connected.
    NotBack,
    /// A publisher was told that an event was taken that is nowhere.
    Forgotten { publication: usize },
    /// Faults are over, and things go on happening.
    Unsettled,
}

/// What a device was sent since it was told to begin anew: at its first
/// CONNECT, or by `recovered: false`.
pub(crate) struct Witness {
    /// Whom it was told for.
    user: Option<usize>,
    /// The rooms that it was told for, and those that it has had since.
    rooms: Vec<Rc<[RoomName]>>,
    /// The latest time that the stream's clock has shown.
    pub(crate) clock: u64,
    /// The first of all entries that the device has not come to.
    next: usize,
    /// What is before this one is up to what it was told: a node that is behind
    /// may have it begin anew at an earlier one.
    forgiven: usize,
    /// Publications since then.
    got: BTreeSet<usize>,
    /// What is in doubt was passed over. The device has to be told before the
    /// end.
    owed: Option<usize>,
    /// Entries that the user has been sent on this device at any time.
    had: BTreeSet<usize>,
}

impl Witness {
    pub(crate) fn new() -> Self {
        Self {
            user: None,
            rooms: Vec::new(),
            clock: 0,
            next: 0,
            forgiven: 0,
            owed: None,
            got: BTreeSet::new(),
            had: BTreeSet::new(),
        }
    }

    /// The device is told that its user may have missed something up to a
    /// place.
    pub(crate) fn told(
        &mut self,
        user: usize,
        rooms: &Rc<[RoomName]>,
        (log, start): (LogId, Offset),
        all: &[Rc<Entry>],
    ) {
        if self.user != Some(user) {
            self.user = Some(user);
            self.had.clear();
            self.forgiven = 0;
        }
        self.rooms = vec![Rc::clone(rooms)];
        self.got.clear();
        self.owed = None;
        // What the stream has lost may have later offsets than what follows.
        let is_last = |entry: &Rc<Entry>| (entry.link.log, entry.offset) == (log, start);
        let last = all.iter().position(is_last);
        // A log begins with no event.
        let first = all.iter().position(|entry| entry.link.log >= log);
        self.next = match last {
            Some(last) => last + 1,
            None => first.unwrap_or(all.len()),
        };
        self.forgiven = self.forgiven.max(self.next);
    }

    pub(crate) fn recovered(&self, user: usize, rooms: &[RoomName]) -> Result<(), Violation> {
        if self.user != Some(user) {
            return Err(Violation::NothingToRecover);
        }
        match self.rooms.first() {
            Some(told_for) if **told_for == *rooms => Ok(()),
            _ => Err(Violation::RecoveredInOtherRooms),
        }
    }

    /// The device has another token.
    pub(crate) fn change_rooms(&mut self, rooms: &Rc<[RoomName]>) {
        if self.rooms.last() != Some(rooms) {
            self.rooms.push(Rc::clone(rooms));
        }
    }

    pub(crate) fn event(
        &mut self,
        publication: usize,
        offset: Offset,
        all: &[Rc<Entry>],
    ) -> Result<(), Violation> {
        let is_it = |entry: &Rc<Entry>| {
            let event = entry.event.as_ref();
            event.is_some_and(|event| event.publication == publication) && entry.offset == offset
        };
        let later = &all[self.next.min(all.len())..];
        let place = later.iter().position(is_it);
        let Some(place) = place.map(|place| self.next + place) else {
            return self.late(publication, all.iter().position(is_it), all);
        };
        if !self.may_have(&all[place]) {
            return Err(Violation::Misdirected { publication });
        }
        self.pass(place, all)?;
        self.next = place + 1;
        self.had.insert(place);
        if self.got.insert(publication) {
            Ok(())
        } else {
            Err(Violation::TwiceOrLate { publication })
        }
    }

    /// What is in doubt may be late, since the device is to be told once more;
    /// not what it has had.
    fn late(
        &mut self,
        publication: usize,
        place: Option<usize>,
        all: &[Rc<Entry>],
    ) -> Result<(), Violation> {
        let is_in_doubt = |place: &usize| all[*place].is_in_doubt.get();
        match place.filter(is_in_doubt) {
            Some(place) if self.had.insert(place) && self.got.insert(publication) => {
                self.owed.get_or_insert(publication);
                Ok(())
            }
            _ => Err(Violation::TwiceOrLate { publication }),
        }
    }

    /// Nothing more will come.
    pub(crate) fn end(&mut self, all: &[Rc<Entry>]) -> Result<(), Violation> {
        self.pass(all.len(), all)?;
        match self.owed {
            Some(publication) => Err(Violation::Lost { publication }),
            None => Ok(()),
        }
    }

    /// Whether what is passed over is for others, or is there already.
    fn pass(&mut self, to: usize, all: &[Rc<Entry>]) -> Result<(), Violation> {
        let from = self.next.max(self.forgiven);
        for (index, entry) in all.iter().enumerate().take(to).skip(from) {
            if let Some(event) = &entry.event
                && self.must_have(entry)
                && !self.had.contains(&index)
            {
                let publication = event.publication;
                if !entry.is_in_doubt.get() {
                    return Err(Violation::Lost { publication });
                }
                self.owed.get_or_insert(publication);
            }
        }
        Ok(())
    }

    /// Whether it is for any rooms that it has had.
    fn may_have(&self, entry: &Entry) -> bool {
        let event = entry.event.as_ref();
        event.is_some_and(|event| self.rooms.iter().any(|rooms| event.audience.has(rooms)))
    }

    /// Whether it is for all of them, and not stale.
    fn must_have(&self, entry: &Entry) -> bool {
        entry.event.as_ref().is_some_and(|event| {
            let stale_at = event
                .ttl
                .map(|ttl| entry.offset.millis().saturating_add(ttl));
            let is_fresh = stale_at.is_none_or(|stale_at| stale_at > self.clock);
            let is_owed = is_fresh && !entry.is_forgiven.get();
            is_owed && self.rooms.iter().all(|rooms| event.audience.has(rooms))
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
