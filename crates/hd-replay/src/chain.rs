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
///     └────────── Following ┴─ lost ──► Forked ── the new log: began ──► Following
///                                       │    ▲
///                                       └────┘ an entry of older ones: passed over
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
    /// more. The log is said to go on as another one, once that is known.
    Forked { next: Option<LogId> },
}

/// What was said to be in a log, and has not been read there yet.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged(BTreeSet<(LogId, Offset)>);

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
    /// An offset was said to be in a log. It may have been read already.
    pub fn insert(&mut self, Place { log, offset }: Place) {
        // What is older is the better proof.
        if self.0.len() < MAX_UNREAD {
            self.0.insert((log, offset));
        }
    }

    /// The latest one of a log.
    #[must_use]
    pub fn latest(&self, log: LogId) -> Option<Offset> {
        let of_log = (log, Offset::default())..=(log, LAST);
        self.0.range(of_log).next_back().map(|(_, offset)| *offset)
    }

    fn is_any_between(&self, log: LogId, before: Offset, after: Offset) -> bool {
        let between = (Excluded((log, before)), Excluded((log, after)));
        // Offsets may be in no order: a log that was lost is read anew.
        before < after && self.0.range(between).next().is_some()
    }

    /// What comes of this log has been read, and of former ones nothing will come: an answer may
    /// have come after the next log's beginning.
    fn forget_up_to(&mut self, log: LogId, offset: Offset) {
        let is_over = |of_log: &(LogId, Offset)| *of_log <= (log, offset);
        while self.0.first().is_some_and(is_over) {
            self.0.pop_first();
        }
    }

    fn forget_others(&mut self, log: LogId) {
        self.0.retain(|(of, _)| *of == log);
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

    /// Whether nothing but what was trimmed is missing before an entry with this link, which was the
    /// next one that was found after `read`. It is not so in the middle of another log: what that has at
    /// earlier offsets than `read` may be there still, and was not looked for. What is known to be
    /// [`Trimmed`](crate::Trimmed) is not all that is missing then.
    #[must_use]
    pub fn follows_what_was_trimmed(&self, read: Place) -> bool {
        self.is_beginning || self.log == read.log || read.offset == Offset::default()
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
        matches!(self.state, State::Forked { .. }).then_some(self.log)
    }

    /// The log that is being appended to, after a fork.
    pub fn handle_fork(&mut self, current: LogId) {
        if let State::Forked { next } = &mut self.state {
            *next = Some(current);
        }
    }

    /// Takes notice of where the log ends, for instance when it is connected to
    /// again. `acknowledged` is the latest offset that was said to be in this log
    /// before the end was asked for.
    pub fn handle_end(&mut self, end: Offset, acknowledged: Option<Offset>) {
        if end < self.last || Some(end) < acknowledged {
            self.state = State::Forked { next: None };
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
        let misses_an_acknowledged = acknowledged.is_any_between(self.log, last, offset);
        acknowledged.forget_up_to(self.log, offset);
        if let Some(link) = link
            && link.log != self.log
            && self.is_next(link.log)
        {
            self.state = State::Following;
            self.log = link.log;
            acknowledged.forget_others(link.log);
            return ChainStep::Began(link.begins_after(offset));
        }
        if self.forked().is_some() {
            return ChainStep::Passed;
        }
        let before = link.and_then(|link| link.before).unwrap_or(last);
        if before < last || (before == last && misses_an_acknowledged) {
            self.state = State::Forked { next: None };
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

    /// Whether another log may be the one that this one goes on as. One that is
    /// read from its beginning has older ones before.
    fn is_next(&self, log: LogId) -> bool {
        match self.state {
            State::Following | State::Forked { next: None } => true,
            State::Forked { next } => next == Some(log),
        }
    }
}

/// After any other.
const LAST: Offset = Offset::new(u64::MAX, u64::MAX);
/// Some 3 MB. Who appends reads what it appended some milliseconds later.
const MAX_UNREAD: usize = 65_536;
