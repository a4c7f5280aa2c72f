//! Whether what is read of a stream is all that was in it.

use hd_replay::{LogId, Offset};

use crate::Place;

/// An entry of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) offset: Offset,
    /// `None` from a version that did not write it.
    pub(crate) link: Option<Link>,
    /// `None` where a log begins.
    pub(crate) record: Option<Vec<u8>>,
}

/// What an entry says of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The log that the entry is of.
    pub(crate) log: LogId,
    /// `None` in a stream that was empty.
    pub(crate) before: Option<Offset>,
}

/// Follows the links of the stream, entry by entry.
///
/// ```text
///     ┌─ next entry ─┐      ┌──── trimmed, another log: began ────┐
///     │              ▼      │                                     ▼
///     └────────── Following ┴─ lost ──► Forked ── another log: began ──► Following
///                                       │    ▲
///                                       └────┘ an entry of the old one: passed over
/// ```
#[derive(Debug)]
pub(crate) struct Chain {
    state: State,
    log: LogId,
    last: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Everything up to `last` has been read, or said to be missing.
    Following,
    /// Redis has lost what was read here, or acknowledged to who appended it.
    /// What other processes have read and lost is not known, so that all are to
    /// begin anew.
    Forked,
}

/// What an entry is to who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The one that comes next.
    Next,
    /// Nothing: all who read are about to begin anew.
    Passed,
    /// The first one of what everything is known of after this place. It is to
    /// be taken too, if it is a record.
    Began(Place),
    /// The proof that something is lost.
    Lost,
}

impl Entry {
    /// Where a log begins of which this is the first entry that is left.
    pub(crate) fn begins_after(&self) -> Place {
        let log = self.link.map_or(NO_LOG, |link| link.log);
        let before = self.link.and_then(|link| link.before);
        let offset = before
            .filter(|_| self.record.is_some())
            .unwrap_or(self.offset);
        Place { log, offset }
    }
}

impl Chain {
    /// Everything up to a place has been read.
    pub(crate) const fn at(place: Place) -> Self {
        Self {
            state: State::Following,
            log: place.log,
            last: place.offset,
        }
    }

    /// What has been read.
    pub(crate) const fn place(&self) -> Place {
        Place {
            log: self.log,
            offset: self.last,
        }
    }

    /// Where the next read begins.
    pub(crate) const fn last(&self) -> Offset {
        self.last
    }

    pub(crate) const fn log(&self) -> LogId {
        self.log
    }

    /// Whether another log has to be begun.
    pub(crate) fn is_forked(&self) -> bool {
        self.state == State::Forked
    }

    /// The stream ends at `end`. `acknowledged` is the latest offset that was
    /// said to be in it.
    pub(crate) fn handle_end(&mut self, end: Offset, acknowledged: Offset) {
        if end < self.last.max(acknowledged) {
            self.state = State::Forked;
            // What will come may have smaller offsets than what was lost.
            self.last = self.last.min(end);
        }
    }

    pub(crate) fn handle_entry(&mut self, entry: &Entry, acknowledged: Offset) -> Step {
        let Entry { offset, link, .. } = *entry;
        let last = std::mem::replace(&mut self.last, offset);
        if let Some(link) = link
            && link.log != self.log
        {
            self.state = State::Following;
            self.log = link.log;
            return Step::Began(entry.begins_after());
        }
        if self.state == State::Forked {
            return Step::Passed;
        }
        let before = link.and_then(|link| link.before).unwrap_or(last);
        let misses_an_acknowledged = last < acknowledged && acknowledged < offset;
        if before < last || (before == last && misses_an_acknowledged) {
            self.state = State::Forked;
            return Step::Lost;
        }
        if before == last {
            Step::Next
        } else {
            let (log, offset) = (self.log, before);
            Step::Began(Place { log, offset })
        }
    }
}

/// The log of entries that do not say which.
const NO_LOG: LogId = LogId(0);

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: LogId = LogId(7);
    const NEW: LogId = LogId(8);

    fn at(number: u64) -> Offset {
        Offset::new(number, 0)
    }

    fn chain() -> Chain {
        Chain::at(Place {
            log: OLD,
            offset: at(10),
        })
    }

    fn entry(log: LogId, before: u64, offset: u64) -> Entry {
        Entry {
            offset: at(offset),
            link: Some(Link {
                log,
                before: Some(at(before)),
            }),
            record: Some(Vec::new()),
        }
    }

    fn beginning(log: LogId, before: Option<u64>, offset: u64) -> Entry {
        Entry {
            offset: at(offset),
            link: Some(Link {
                log,
                before: before.map(at),
            }),
            record: None,
        }
    }

    fn began(log: LogId, offset: u64) -> Step {
        let offset = at(offset);
        Step::Began(Place { log, offset })
    }

    #[test]
    fn each_entry_names_the_one_before() {
        let mut chain = chain();
        assert_eq!(chain.handle_entry(&entry(OLD, 10, 11), at(0)), Step::Next);
        assert_eq!(chain.handle_entry(&entry(OLD, 11, 15), at(15)), Step::Next);
        assert_eq!(chain.last(), at(15));
    }

    #[test]
    fn what_was_trimmed_is_missing_here_only() {
        let mut chain = chain();
        let step = chain.handle_entry(&entry(OLD, 20, 21), at(0));
        assert_eq!(step, began(OLD, 20));
        assert!(!chain.is_forked());
        assert_eq!(chain.handle_entry(&entry(OLD, 21, 22), at(0)), Step::Next);
    }

    #[test]
    fn a_stream_that_was_lost_is_another_log() {
        let mut chain = chain();
        let step = chain.handle_entry(&beginning(NEW, None, 30), at(0));
        assert_eq!(step, began(NEW, 30));
        assert_eq!(chain.handle_entry(&entry(NEW, 30, 31), at(0)), Step::Next);
    }

    #[test]
    fn the_beginning_of_another_log_may_have_been_trimmed() {
        let mut chain = chain();
        let step = chain.handle_entry(&entry(NEW, 40, 41), at(0));
        assert_eq!(step, began(NEW, 40));
    }

    #[test]
    fn what_was_read_and_is_not_there_any_more_forks_the_log() {
        let mut chain = chain();
        assert_eq!(chain.handle_entry(&entry(OLD, 8, 12), at(0)), Step::Lost);
        assert!(chain.is_forked());
        // Who would be sent this is told anyway.
        let step = chain.handle_entry(&entry(OLD, 12, 13), at(0));
        assert_eq!(step, Step::Passed);
        let step = chain.handle_entry(&beginning(NEW, Some(13), 14), at(0));
        assert_eq!(step, began(NEW, 14));
        assert!(!chain.is_forked());
        assert_eq!(chain.handle_entry(&entry(NEW, 14, 15), at(0)), Step::Next);
    }

    #[test]
    fn so_does_what_was_acknowledged_and_is_not_there() {
        let mut chain = chain();
        assert_eq!(chain.handle_entry(&entry(OLD, 10, 12), at(11)), Step::Lost);
    }

    #[test]
    fn and_an_end_before_what_was_read_or_acknowledged() {
        for (end, acknowledged) in [(9, 0), (10, 11)] {
            let mut chain = chain();
            chain.handle_end(at(end), at(acknowledged));
            assert!(chain.is_forked());
            // What comes is read from there on.
            assert_eq!(chain.last(), at(end));
        }
        let mut chain = chain();
        chain.handle_end(at(10), at(10));
        assert!(!chain.is_forked());
    }

    #[test]
    fn entries_without_a_link_follow() {
        let mut chain = chain();
        let old = Entry {
            link: None,
            ..entry(OLD, 0, 11)
        };
        assert_eq!(chain.handle_entry(&old, at(0)), Step::Next);
        assert_eq!(chain.handle_entry(&entry(OLD, 11, 12), at(0)), Step::Next);
    }
}
