//! What follows from the entries of a page, one after the other. No I/O.

use hd_replay::{ChainStep, Link, Offset, Place, Trimmed};

use crate::entry::{Content, Entry};
use crate::{Followed, Record};

/// What follows from the entries of a page.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    steps: Vec<Followed>,
    records: Vec<Record>,
    /// A gap that has not been said: where it ends, and up to where anything may be
    /// missing in it.
    gap: Option<(Place, Offset)>,
}

/// What a gap may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// What was trimmed, and nothing else.
    Trimmed,
    /// Nobody knows.
    Anything,
}

impl Missing {
    /// In a gap before an entry with this link, which was the next one after `read`.
    pub(crate) fn before(link: Link, read: Place) -> Self {
        if link.follows_what_was_trimmed(read) {
            Self::Trimmed
        } else {
            Self::Anything
        }
    }
}

impl Steps {
    /// An entry of the log, and what it is to the chain.
    pub(crate) fn handle(&mut self, entry: Entry, step: ChainStep, missing: Missing) {
        let offset = entry.offset;
        if let Some(rejection) = entry.rejection() {
            self.push(Followed::Rejected(offset, rejection));
        }
        match step {
            ChainStep::Next => {}
            ChainStep::Passed | ChainStep::Lost => return,
            ChainStep::Began(place) => self.begin(place, missing),
        }
        match entry.content {
            Content::Record(_, bytes) => {
                self.say_gap();
                self.records.push(Record { offset, bytes });
            }
            Content::Untrusted(link, _) => {
                let place = Place {
                    log: link.log,
                    offset,
                };
                self.begin(place, Missing::Anything);
            }
            Content::Beginning(_) | Content::Foreign => {}
        }
    }

    /// An entry that is not part of the log.
    pub(crate) fn pass_over(&mut self, entry: &Entry) {
        if let Some(rejection) = entry.rejection() {
            self.push(Followed::Rejected(entry.offset, rejection));
        }
    }

    /// The steps, in order. A gap has up to where anything may be missing in it, and
    /// nothing of what is remembered of what was trimmed.
    pub(crate) fn finish(mut self) -> Vec<Followed> {
        self.flush();
        self.say_gap();
        self.steps
    }

    /// Of gaps that follow each other, the last one tells it all.
    fn begin(&mut self, place: Place, missing: Missing) {
        self.flush();
        let unknown = match (missing, self.gap) {
            (Missing::Anything, _) => place.offset,
            (Missing::Trimmed, Some((before, unknown))) if before.log == place.log => unknown,
            (Missing::Trimmed, _) => Offset::default(),
        };
        self.gap = Some((place, unknown));
    }

    fn push(&mut self, followed: Followed) {
        self.flush();
        self.steps.push(followed);
    }

    /// The records so far were all there, up to what follows.
    fn flush(&mut self) {
        if !self.records.is_empty() {
            let records = std::mem::take(&mut self.records);
            self.steps.push(Followed::Records(records));
        }
    }

    fn say_gap(&mut self) {
        if let Some((place, unknown)) = self.gap.take() {
            let trimmed = Trimmed::all_up_to(unknown);
            self.steps.push(Followed::Gap(place, trimmed));
        }
    }
}
