//! Rules that the simulation breaks on purpose, to prove that it would notice.
//!
//! Without the feature `mutants` every rule holds, at compile time. With it, all of them hold until
//! a test breaks one. Only the tests of this crate enable it.

/// A rule of the [`Broker`](crate::Broker) or the [`FanoutQueue`](crate::FanoutQueue).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A cursor is good for its own user only.
    CursorIsPersonal,
    /// A cursor is good for the rooms only that it was made for.
    CursorIsOfItsRooms,
    /// What an instance does not understand is a gap.
    UnreadableIsAGap,
    /// A client that is behind is due nothing that is published.
    BehindGetsPortionsOnly,
    /// A client whose offset this instance has not read yet gets nothing up to that offset.
    AheadIsSkipped,
    /// An offset from before the cursor does not count.
    StaleOffsetIsIgnored,
    /// An offset of a log that is gone does not count in the next one.
    ForeignOffsetIsIgnored,
    /// A socket gets no event that was queued before it entered.
    NewcomerSkipsQueue,
    /// No event overtakes the queue.
    QueueIsInOrder,
}

/// The rules that hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    #[cfg(feature = "mutants")]
    broken: Option<Rule>,
}

impl Rules {
    #[cfg(feature = "mutants")]
    pub(crate) const fn without(broken: Rule) -> Self {
        Self {
            broken: Some(broken),
        }
    }

    #[cfg(feature = "mutants")]
    pub(crate) fn hold(self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "with the feature, rules can be broken")]
    pub(crate) const fn hold(self, _rule: Rule) -> bool {
        true
    }
}
