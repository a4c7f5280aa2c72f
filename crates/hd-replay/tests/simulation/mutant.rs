//! Rules that are broken on purpose, to see that the simulation would notice. Those of the broker and
//! the queue are broken in the code of production; those of the caller and of Redis, in the model of
//! these.

use hd_replay::Rule;

/// A rule that is broken on purpose, to see that the simulation would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// An id that comes again is appended again.
    TakesIdsTwice,
    /// A client is in its rooms before the log is read for it.
    EntersBeforeReading,
    /// A client is in its rooms only after the log was read for it.
    EntersAfterReading,
    /// What a client missed follows when it is in its rooms already.
    SendsMissedLater,
    /// What a client missed comes before the CONNECT reply. The client buffers
    /// it, and keeps the buffer when the connection ends before the reply.
    SendsMissedBeforeReply,
    /// A node that stops says DISCONNECT instead of closing the transport.
    DisconnectsOnDrain,
    /// The `pid` of one user is good for another.
    TakesAnybodysPid,
    /// A node takes what it reads for the whole, where the beginning of the
    /// stream was trimmed.
    TrimsInSilence,
    /// Offsets follow the clock when it is set back.
    FollowsTheClockBack,
    /// A node goes on with its log when the stream was lost.
    GoesOnWhenStreamIsLost,
    /// A node goes on though what it has read is not in the stream any more.
    GoesOnWhenEndIsLost,
    /// A node that connects again does not look where the stream ends.
    TrustsTheEnd,
    /// A node does not look for what it was told to be in the stream.
    ForgetsWhatWasAcknowledged,
    /// A node lets a client in whose offset it has not read yet, and sends it
    /// what is up to there.
    LetsInAheadOfItsReader,
    /// An offset from before the `pid` counts.
    TakesStaleOffsets,
    /// An offset of a log that is gone counts in the next one.
    TakesOffsetsOfOtherLogs,
    /// A socket is sent the events that were queued before it entered.
    SendsQueuedToNewcomers,
    /// An event is sent at once though earlier ones are queued.
    OvertakesTheQueue,
    /// A `pid` is good for other rooms.
    TakesPidsOfOtherRooms,
    /// What a node does not understand is skipped.
    SkipsTheUnreadable,
    /// A client that is behind is sent what is published.
    SendsPublishedToThoseBehind,
    /// Nodes go by their own clocks.
    GoesByItsOwnClock,
    /// Nobody remembers what the stream no longer has.
    ForgetsWhatWasTrimmed,
    /// Nobody remembers for whom that was.
    ForgetsWhoseWasTrimmed,
    /// The end of the stream counts that was asked for before the client came.
    BelievesAnEarlierEnd,
}

impl Mutant {
    /// The rule of the broker or the queue that is broken, if it is one of these.
    pub(crate) const fn rule(self) -> Option<Rule> {
        match self {
            Self::TakesAnybodysPid => Some(Rule::CursorIsPersonal),
            Self::LetsInAheadOfItsReader => Some(Rule::AheadIsSkipped),
            Self::TakesStaleOffsets => Some(Rule::StaleOffsetIsIgnored),
            Self::TakesOffsetsOfOtherLogs => Some(Rule::ForeignOffsetIsIgnored),
            Self::SendsQueuedToNewcomers => Some(Rule::NewcomerSkipsQueue),
            Self::OvertakesTheQueue => Some(Rule::QueueIsInOrder),
            Self::TakesPidsOfOtherRooms => Some(Rule::CursorIsOfItsRooms),
            Self::SkipsTheUnreadable => Some(Rule::UnreadableIsAGap),
            Self::SendsPublishedToThoseBehind => Some(Rule::BehindGetsPortionsOnly),
            Self::GoesByItsOwnClock
            | Self::ForgetsWhatWasTrimmed
            | Self::ForgetsWhoseWasTrimmed
            | Self::BelievesAnEarlierEnd
            | Self::TakesIdsTwice
            | Self::EntersBeforeReading
            | Self::EntersAfterReading
            | Self::SendsMissedLater
            | Self::SendsMissedBeforeReply
            | Self::DisconnectsOnDrain
            | Self::TrimsInSilence
            | Self::FollowsTheClockBack
            | Self::GoesOnWhenStreamIsLost
            | Self::GoesOnWhenEndIsLost
            | Self::TrustsTheEnd
            | Self::ForgetsWhatWasAcknowledged => None,
        }
    }
}
