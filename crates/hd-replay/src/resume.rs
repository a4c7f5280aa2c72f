//! Where a client that connects resumes.

use hd_rooms::RoomName;

use crate::{Broker, Cursor, CursorError, Gap, InvalidOffset, LogId, Offset, Place, Rule};

/// What a client that reconnects presents.
#[derive(Clone, Debug)]
pub struct Reconnect {
    /// Its cursor, opened.
    pub cursor: Result<Cursor, CursorError>,
    /// The offset of the last event that it received, if any.
    pub shown: Result<Option<Offset>, InvalidOffset>,
}

/// A client that connects.
#[derive(Clone, Copy, Debug)]
pub struct ResumeRequest<'a> {
    /// Which user it is.
    pub identity: u64,
    /// The rooms that it is admitted to.
    pub rooms: &'a [RoomName],
    /// The room of its own that it keeps with its public id, if there are such rooms.
    pub own_room: Option<&'a RoomName>,
    /// What it presents, if it reconnects.
    pub reconnect: Option<&'a Reconnect>,
}

/// Where a client resumes.
#[derive(Debug)]
pub struct Resumed<'a, E> {
    /// Its new cursor; `None` when it recovers, and keeps the one that it presented.
    pub cursor: Option<Cursor>,
    /// What it missed, in order. It follows the CONNECT reply: a client buffers what comes before, and
    /// has it twice when the connection ends before the reply.
    pub missed: Vec<(Offset, &'a E)>,
    /// Up to which offset the client has received events that this instance has not read yet.
    pub ahead: Option<Offset>,
    /// Whether it recovers.
    pub outcome: ResumeOutcome,
}

/// Whether a client recovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeOutcome {
    /// It does not reconnect.
    First,
    /// It is sent what it missed, and keeps its id.
    Recovered,
    /// It gets `recovered: false`: it may have missed something.
    Refused(ResumeRefusal),
}

/// Why a client that reconnects cannot recover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResumeRefusal {
    /// Its `pid` is not one of ours.
    #[error(transparent)]
    Pid(#[from] CursorError),
    /// Its `pid` is of another user.
    #[error("the pid is of another user")]
    OtherIdentity,
    /// Its `pid` is of a log that is gone: that of another process.
    #[error("the pid is of another log")]
    OtherLog,
    /// Its `offset` is not one of ours.
    #[error("not an offset")]
    Offset,
    /// What it missed is not known.
    #[error(transparent)]
    Gap(#[from] Gap),
}

impl ResumeRefusal {
    /// Every one of them.
    pub const ALL: [Self; 10] = [
        Self::Pid(CursorError::Malformed),
        Self::Pid(CursorError::Forged),
        Self::OtherIdentity,
        Self::OtherLog,
        Self::Offset,
        Self::Gap(Gap::TooOld),
        Self::Gap(Gap::Dropped),
        Self::Gap(Gap::TooMuch),
        Self::Gap(Gap::BeforeLog),
        Self::Gap(Gap::AfterLog),
    ];

    /// A code for logs and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Pid(CursorError::Malformed) => "pid_malformed",
            Self::Pid(CursorError::Forged) => "pid_forged",
            Self::OtherIdentity => "pid_other_user",
            Self::OtherLog => "other_log",
            Self::Offset => "offset_malformed",
            Self::Gap(Gap::TooOld) => "too_old",
            Self::Gap(Gap::Dropped) => "dropped",
            Self::Gap(Gap::TooMuch) => "too_much",
            Self::Gap(Gap::BeforeLog) => "before_log",
            Self::Gap(Gap::AfterLog) => "after_log",
        }
    }
}

impl Reconnect {
    /// Up to where the client has received everything that it is going to get; `None` when it
    /// presents nothing that is valid.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        let cursor = self.cursor.as_ref().ok()?;
        let shown = self.shown.ok()?;
        Some(Place {
            log: cursor.log,
            offset: cursor.after(shown),
        })
    }
}

impl<E, K> Broker<E, K> {
    /// Decides where a client resumes: where it was, or at the end of the log, under the public id
    /// of `new_sid`. `None` when there is no log, so that nobody can recover.
    pub fn resume(
        &mut self,
        request: &ResumeRequest<'_>,
        new_sid: impl FnOnce() -> String,
        now_millis: u64,
    ) -> Option<Resumed<'_, E>> {
        let log = self.log.as_mut()?;
        log.expire(now_millis);
        let end = (self.log_id, log.last_offset());
        let outcome = match request.reconnect {
            None => ResumeOutcome::First,
            Some(reconnect) => match self.missed(request, reconnect, now_millis) {
                Ok((missed, ahead)) => {
                    return Some(Resumed {
                        cursor: None,
                        missed,
                        ahead,
                        outcome: ResumeOutcome::Recovered,
                    });
                }
                Err(refusal) => ResumeOutcome::Refused(refusal),
            },
        };
        let before = request.reconnect.and_then(|it| it.cursor.as_ref().ok());
        let shown = request.reconnect.and_then(|it| it.shown.ok().flatten());
        let cursor = Cursor::anew(request.identity, end, new_sid(), before, shown);
        Some(Resumed {
            cursor: Some(cursor),
            missed: Vec::new(),
            ahead: None,
            outcome,
        })
    }

    /// What a client missed, or up to where it is ahead of this instance.
    fn missed(
        &self,
        request: &ResumeRequest<'_>,
        reconnect: &Reconnect,
        now_millis: u64,
    ) -> Result<Missed<'_, E>, ResumeRefusal> {
        let after = self.position(request.identity, self.log_id, reconnect)?;
        let own = request.own_room.into_iter();
        let rooms: Vec<RoomName> = request.rooms.iter().chain(own).cloned().collect();
        let log = self.log.as_ref().ok_or(ResumeRefusal::OtherLog)?;
        match log.missed(&rooms, after, now_millis) {
            Ok(missed) => Ok((missed, None)),
            // It has received from another instance what this one has yet to read: a log that
            // loses any of that is another one.
            Err(Gap::AfterLog) if self.is_shared && is_of_now(after, now_millis) => {
                let is_skipped = self.rules.hold(Rule::AheadIsSkipped);
                Ok((Vec::new(), is_skipped.then_some(after)))
            }
            Err(gap) => Err(gap.into()),
        }
    }

    /// The offset after which a client has received nothing.
    fn position(
        &self,
        identity: u64,
        log: LogId,
        reconnect: &Reconnect,
    ) -> Result<Offset, ResumeRefusal> {
        let cursor = reconnect.cursor.as_ref().map_err(|error| *error)?;
        if cursor.identity != identity && self.rules.hold(Rule::CursorIsPersonal) {
            return Err(ResumeRefusal::OtherIdentity);
        }
        if cursor.log != log {
            return Err(ResumeRefusal::OtherLog);
        }
        let shown = reconnect.shown.map_err(|_| ResumeRefusal::Offset)?;
        Ok(match shown {
            Some(shown) if !self.rules.hold(Rule::StaleOffsetIsIgnored) => shown,
            Some(shown) if !self.rules.hold(Rule::ForeignOffsetIsIgnored) => {
                shown.max(cursor.start)
            }
            shown => cursor.after(shown),
        })
    }
}

type Missed<'a, E> = (Vec<(Offset, &'a E)>, Option<Offset>);

/// Offsets are times. No instance has given out one from the far future, and a client that presented it
/// would be excluded from every event until then.
fn is_of_now(offset: Offset, now_millis: u64) -> bool {
    offset.millis() <= now_millis.saturating_add(MAX_CLOCK_SKEW_MILLIS)
}

/// How far the clock of Redis may be ahead.
const MAX_CLOCK_SKEW_MILLIS: u64 = 60_000;
