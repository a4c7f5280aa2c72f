//! Where a client that connects resumes.

use hd_rooms::RoomName;

use crate::trimmed::room_set_key;
use crate::{
    Arrival, Broker, Cursor, CursorError, Gap, InvalidOffset, LogId, Offset, Place, Portion, Rule,
};

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
    /// When it presented that: what [`Broker::arrive`] returned then.
    pub arrival: Arrival,
}

/// Where a client resumes.
#[derive(Debug)]
pub struct Resumed<'a, E> {
    /// Its new cursor; `None` when it recovers, and keeps the one that it presented.
    pub cursor: Option<Cursor>,
    /// What it missed, in order, or the first portion of that. It follows the CONNECT reply: a client buffers what comes before, and
    /// has it twice when the connection ends before the reply.
    pub missed: Events<'a, E>,
    /// How the client stands to the log once it has received that.
    pub standing: Standing,
    /// Whether it recovers.
    pub outcome: ResumeOutcome,
    /// A place that the client has proven to be lost from the shared log. Whoever keeps that has to begin
    /// another log, since nobody knows who else has received what is lost.
    ///
    /// Only a cursor's own offset is such a proof, since it is sealed. The offset that a client shows
    /// beside it could be made up, and is a reason to notify that client alone.
    pub lost: Option<Place>,
}

/// How a client stands to the log of this instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is due every event that is published from now on.
    Current,
    /// It has received, from another instance, everything up to this offset, which this instance has
    /// not read yet.
    Ahead(Offset),
    /// It has yet to be sent what follows this position in the log, portion by portion. Until then
    /// it is due nothing that is published.
    Behind(Place),
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
    /// Its rooms are others than when it got its `pid`: an event for a room that it was in is not for
    /// it any more, and it was sent nothing of those that it is in now.
    #[error("the rooms of the client have changed")]
    RoomsChanged,
    /// Its `offset` is not one of ours.
    #[error("not an offset")]
    Offset,
    /// Its `offset` is beyond the end of the log, and the log was read to its end since the client
    /// presented it: the log has lost its end.
    #[error("the log has lost the offset")]
    LostEnd,
    /// What it missed is not known.
    #[error(transparent)]
    Gap(#[from] Gap),
}

impl ResumeRefusal {
    /// Every one of them.
    pub const ALL: [Self; 11] = [
        Self::Pid(CursorError::Malformed),
        Self::Pid(CursorError::Forged),
        Self::OtherIdentity,
        Self::OtherLog,
        Self::RoomsChanged,
        Self::Offset,
        Self::LostEnd,
        Self::Gap(Gap::TooOld),
        Self::Gap(Gap::Dropped),
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
            Self::RoomsChanged => "rooms_changed",
            Self::Offset => "offset_malformed",
            Self::LostEnd => "lost_end",
            Self::Gap(Gap::TooOld) => "too_old",
            Self::Gap(Gap::Dropped) => "dropped",
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
                Ok((missed, standing)) => {
                    return Some(Resumed {
                        cursor: None,
                        missed,
                        standing,
                        outcome: ResumeOutcome::Recovered,
                        lost: None,
                    });
                }
                Err(refusal) => ResumeOutcome::Refused(refusal),
            },
        };
        let before = request.reconnect.and_then(|it| it.cursor.as_ref().ok());
        let has_lost = outcome == ResumeOutcome::Refused(ResumeRefusal::LostEnd);
        let is_lost = |before: &&Cursor| has_lost && before.start > end.1;
        let lost = before.filter(is_lost).map(|before| Place {
            log: before.log,
            offset: before.start,
        });
        // What it shows is not of this log any more.
        let before = before.filter(|_| !has_lost);
        let shown = request.reconnect.and_then(|it| it.shown.ok().flatten());
        let rooms = room_set_key(request.rooms);
        let cursor = Cursor::anew(request.identity, rooms, end, new_sid(), before, shown);
        Some(Resumed {
            cursor: Some(cursor),
            missed: Vec::new(),
            standing: Standing::Current,
            outcome,
            lost,
        })
    }

    /// The next portion for a client that is behind, which is in these rooms now.
    ///
    /// # Errors
    ///
    /// [`Gap`] when the log no longer has what the client needs. Its transport has to be closed: it
    /// reconnects, and is notified.
    pub fn next_portion(
        &mut self,
        position: Place,
        rooms: &[RoomName],
        now_millis: u64,
    ) -> Result<(Events<'_, E>, Standing), Gap> {
        let log = self.log.as_mut().ok_or(Gap::BeforeLog)?;
        if position.log != self.log_id {
            return Err(Gap::BeforeLog);
        }
        log.expire(now_millis);
        let Portion { events, behind } = log.portion(rooms, position.offset, now_millis)?;
        Ok((events, standing(self.log_id, behind)))
    }

    /// What a client missed, and how it stands to the log then.
    fn missed(
        &self,
        request: &ResumeRequest<'_>,
        reconnect: &Reconnect,
        now_millis: u64,
    ) -> Result<(Events<'_, E>, Standing), ResumeRefusal> {
        let log = self.log.as_ref().ok_or(ResumeRefusal::OtherLog)?;
        let after = self.position(request, reconnect, now_millis)?;
        let own = request.own_room.into_iter();
        let rooms: Vec<RoomName> = request.rooms.iter().chain(own).cloned().collect();
        match log.portion(&rooms, after, now_millis) {
            Ok(Portion { events, behind }) => Ok((events, standing(self.log_id, behind))),
            Err(Gap::AfterLog) if self.is_shared && is_of_now(after, now_millis) => {
                if self.proves_loss(after, request.arrival) {
                    return Err(ResumeRefusal::LostEnd);
                }
                // It has received from another instance what this one has yet to read.
                let is_skipped = self.rules.hold(Rule::AheadIsSkipped);
                let standing = is_skipped.then_some(Standing::Ahead(after));
                Ok((Vec::new(), standing.unwrap_or(Standing::Current)))
            }
            Err(gap) => Err(gap.into()),
        }
    }

    /// The offset after which a client has received nothing.
    fn position(
        &self,
        request: &ResumeRequest<'_>,
        reconnect: &Reconnect,
        now_millis: u64,
    ) -> Result<Offset, ResumeRefusal> {
        let cursor = reconnect.cursor.as_ref().map_err(|error| *error)?;
        if cursor.identity != request.identity && self.rules.hold(Rule::CursorIsPersonal) {
            return Err(ResumeRefusal::OtherIdentity);
        }
        if cursor.log != self.log_id {
            return Err(ResumeRefusal::OtherLog);
        }
        let shown = reconnect.shown.map_err(|_| ResumeRefusal::Offset)?;
        let after = match shown {
            Some(shown) if !self.rules.hold(Rule::StaleOffsetIsIgnored) => shown,
            Some(shown) if !self.rules.hold(Rule::ForeignOffsetIsIgnored) => {
                shown.max(cursor.start)
            }
            shown => cursor.after(shown),
        };
        let is_same = match cursor.rooms {
            Some(rooms) => rooms == room_set_key(request.rooms),
            // An instance of the version before has made it, which is not long ago.
            None => self.is_recent(after, now_millis),
        };
        if !is_same && self.rules.hold(Rule::CursorIsOfItsRooms) {
            return Err(ResumeRefusal::RoomsChanged);
        }
        Ok(after)
    }

    /// Whether the log may still have been kept for as long as this.
    fn is_recent(&self, offset: Offset, now_millis: u64) -> bool {
        let ttl = self.log.as_ref().map(|log| log.config().ttl_millis());
        let ttl = ttl.unwrap_or_default();
        offset.millis().saturating_add(ttl) >= now_millis
    }
}

/// Events and their offsets, in order.
pub type Events<'a, E> = Vec<(Offset, &'a E)>;

fn standing(log: LogId, behind: Option<Offset>) -> Standing {
    behind.map_or(Standing::Current, |offset| {
        Standing::Behind(Place { log, offset })
    })
}

/// Offsets are times. No instance has given out one from the far future, and a client that presented it
/// would be excluded from every event until then.
fn is_of_now(offset: Offset, now_millis: u64) -> bool {
    offset.millis() <= now_millis.saturating_add(MAX_CLOCK_SKEW_MILLIS)
}

/// How far the clock of Redis may be ahead.
const MAX_CLOCK_SKEW_MILLIS: u64 = 60_000;
