use std::collections::BTreeSet;
use std::ops::Bound::Excluded;

use crate::{LogId, Offset};

/// A place in a log: after an offset of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which log.
    pub log: LogId,
    /// The last offset before the place.
    pub offset: Offset,
}

/// What an entry of a log says of what is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The log that it is of.
    pub log: LogId,
    /// The entry before; `None` where there was none.
    pub before: Option<Offset>,
    /// Whether the entry is only there to begin a log. What is before it is of
    /// another one.
    pub is_beginning: bool,
}

/// Whether a copy of a log that somebody else keeps is complete: each entry
/// names the one before.
///
/// Who keeps the log may trim it, and may lose all of it or its end. What has
/// been lost then, and who had read it, nobody knows: whoever finds that
/// something is lost begins another log, and all who read that begin anew.
///
/// ```text
///     ┌─ next entry ─┐      ┌──── trimmed, another log: began ────┐
///     │              ▼      │                                     ▼
///     └────────── Following ┴─ lost ──► Forked ── another log: began ──► Following
///                                       │    ▲
///                                       └────┘ an entry of the old one: passed over
/// ```
#[derive(Clone, Debug)]
pub struct Chain {
    state: State,
    log: LogId,
    last: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Everything up to `last` has been read, or said to be missing.
    Following,
    /// What was read here, or acknowledged to who appended it, is not there any
    /// more.
    Forked,
}

/// What was said to be in the log, and has not been read there yet.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged(BTreeSet<Offset>);

/// What an entry is to who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainStep {
    /// The one that comes next.
    Next,
    /// Nothing: all who read are about to begin anew.
    Passed,
    /// Everything after this place will be known, and something before it is
    /// not. The entry is to be taken too, unless it is a beginning.
    Began(Place),
    /// The proof that something is lost: another log is to be begun.
    Lost,
}

impl Acknowledged {
    /// An offset was said to be in the log. It may have been read already.
    pub fn insert(&mut self, offset: Offset) {
        // What is older is the better proof.
        if self.0.len() < MAX_UNREAD {
            self.0.insert(offset);
        }
    }

    /// The latest one.
    #[must_use]
    pub fn latest(&self) -> Option<Offset> {
        self.0.last().copied()
    }

    fn is_any_between(&self, before: Offset, after: Offset) -> bool {
        // Offsets may be in no order: a log that was lost is read anew.
        before < after
            && self
                .0
                .range((Excluded(before), Excluded(after)))
                .next()
                .is_some()
    }

    fn forget_up_to(&mut self, offset: Offset) {
        while self.0.first().is_some_and(|first| *first <= offset) {
            self.0.pop_first();
        }
    }
}

impl Link {
    /// Where a log begins of which an entry with this link, at `offset`, is the
    /// first one that is left.
    #[must_use]
    pub fn begins_after(&self, offset: Offset) -> Place {
        let before = self.before.filter(|_| !self.is_beginning);
        Place {
            log: self.log,
            offset: before.unwrap_or(offset),
        }
    }
}

impl Chain {
    /// Everything up to a place has been read.
    #[must_use]
    pub const fn at(place: Place) -> Self {
        Self {
            state: State::Following,
            log: place.log,
            last: place.offset,
        }
    }

    /// What has been read.
    #[must_use]
    pub const fn place(&self) -> Place {
        Place {
            log: self.log,
            offset: self.last,
        }
    }

    /// The log that has lost something, where another one has to be begun.
    #[must_use]
    pub fn forked(&self) -> Option<LogId> {
        (self.state == State::Forked).then_some(self.log)
    }

    /// Takes notice of where the log ends, for instance when it is connected to
    /// again. `acknowledged` is the latest offset that was said to be in it
    /// before the end was asked for.
    pub fn handle_end(&mut self, end: Offset, acknowledged: Option<Offset>) {
        if end < self.last || Some(end) < acknowledged {
            self.state = State::Forked;
            // Another log's beginning may be at any offset.
            self.last = Offset::default();
        }
    }

    /// Takes the next entry after [`place`](Self::place). One without a link is
    /// believed to follow.
    pub fn handle_entry(
        &mut self,
        offset: Offset,
        link: Option<Link>,
        acknowledged: &mut Acknowledged,
    ) -> ChainStep {
        let last = std::mem::replace(&mut self.last, offset);
        let misses_an_acknowledged = acknowledged.is_any_between(last, offset);
        acknowledged.forget_up_to(offset);
        if let Some(link) = link
            && link.log != self.log
        {
            self.state = State::Following;
            self.log = link.log;
            *acknowledged = Acknowledged::default();
            return ChainStep::Began(link.begins_after(offset));
        }
        if self.state == State::Forked {
            return ChainStep::Passed;
        }
        let before = link.and_then(|link| link.before).unwrap_or(last);
        if before < last || (before == last && misses_an_acknowledged) {
            self.state = State::Forked;
            return ChainStep::Lost;
        }
        if before == last {
            return ChainStep::Next;
        }
        ChainStep::Began(Place {
            log: self.log,
            offset: before,
        })
    }
}

/// Some 2 MB. Who appends reads what it appended some milliseconds later.
const MAX_UNREAD: usize = 65_536;
