//! Connection state recovery: a client that comes back is sent what it missed
//! ([Socket.IO, "Connection state recovery"](https://socket.io/docs/v4/connection-state-recovery)).
//!
//! Node keeps a session for each client that has left. Here the `pid` itself
//! says whose it is and from where on something may be missing, under a seal,
//! so that nothing is kept, and a client that was sent nothing yet can come
//! back too.

use std::fmt;

use engineio_proto::{EncodedPacket, Sid};
use hd_replay::{Cursor, CursorError, Gap, LogConfig, LogId, MAC_BYTES, Offset};
use hd_rooms::RoomName;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::membership::own_room;
use super::publish::Ordered;
use crate::engine::new_sid;

/// Makes the code that seals a `pid`.
pub type CursorMac = Box<dyn Fn(&[u8]) -> [u8; MAC_BYTES] + Send + Sync>;

/// Settings of connection state recovery.
pub struct RecoveryConfig {
    /// Bounds of the log.
    pub log: LogConfig,
    /// Whether other processes have the same log. The application then brings
    /// each event of it, by [`Namespace::publish_at`](super::Namespace::publish_at),
    /// and begins with what is there before it lets clients in.
    pub is_shared: bool,
    /// What seals a `pid`. The first one does; those of the others, keys that
    /// were used before, are good as well.
    pub macs: Vec<CursorMac>,
}

/// Whether a client came back, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryOutcome {
    /// It did not say that it did.
    None,
    /// It was sent so many events that it had missed, and has kept its id.
    Recovered {
        /// How many.
        events: u32,
    },
    /// It was told that it may have missed something.
    Refused(RecoveryRefusal),
}

/// Why a client that came back could not be sent what it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryRefusal {
    /// Its `pid` is not one of ours.
    #[error(transparent)]
    Pid(#[from] CursorError),
    /// Its `pid` is somebody else's.
    #[error("the pid is somebody else's")]
    OtherIdentity,
    /// Its `pid` is of a log that is gone: that of another process.
    #[error("the pid is of another log")]
    OtherLog,
    /// Its `offset` is not one of ours.
    #[error("not an offset")]
    Offset,
    /// What it missed cannot be told.
    #[error(transparent)]
    Gap(#[from] Gap),
}

impl RecoveryOutcome {
    /// Whether it is [`Recovered`](Self::Recovered).
    #[must_use]
    pub const fn has_recovered(self) -> bool {
        matches!(self, Self::Recovered { .. })
    }
}

impl RecoveryRefusal {
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

/// What a client that comes back says of itself: `pid`, and `offset` if it was
/// sent anything, in the `auth` of its CONNECT.
#[derive(Debug)]
pub(super) struct CameBack {
    pid: String,
    offset: Option<String>,
}

/// A client's place in the log.
pub(super) struct Resumed {
    pub(super) sid: Sid,
    /// For the CONNECT reply: the client's own one tells it that it has
    /// recovered. `None` where nothing can be recovered.
    pub(super) pid: Option<String>,
    /// For after that reply: a client buffers what comes before, and has it
    /// twice when the connection ends before the reply.
    pub(super) missed: Vec<EncodedPacket>,
    /// Up to where the client has had what is not in the log here yet.
    pub(super) ahead: Option<Offset>,
    pub(super) outcome: RecoveryOutcome,
}

/// What opens and seals.
pub(super) struct Recovery {
    macs: Vec<CursorMac>,
    /// Whether a client that keeps its id is sent what was for that id.
    own_rooms: bool,
}

impl CameBack {
    /// Reads it leniently, as Node does: what is not there as text is not there.
    pub(super) fn parse(auth: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Auth<'a> {
            #[serde(borrow)]
            pid: Option<&'a RawValue>,
            #[serde(borrow)]
            offset: Option<&'a RawValue>,
        }
        let text = |value: Option<&RawValue>| -> Option<String> {
            serde_json::from_str(value?.get()).ok()
        };
        let auth: Auth<'_> = serde_json::from_str(auth.get()).ok()?;
        Some(Self {
            pid: text(auth.pid)?,
            offset: text(auth.offset),
        })
    }

    /// Its offset; none when nothing was sent to it.
    fn shown(&self) -> Result<Option<Offset>, RecoveryRefusal> {
        let offset = self.offset.as_deref().map(str::parse).transpose();
        offset.map_err(|_| RecoveryRefusal::Offset)
    }
}

impl Recovery {
    pub(super) fn new(macs: Vec<CursorMac>, own_rooms: bool) -> Self {
        Self { macs, own_rooms }
    }

    /// Gives a client its place in the log: where it was, or at the end.
    pub(super) fn resume(
        &self,
        ordered: &Ordered,
        identity: u64,
        rooms: &[RoomName],
        came_back: Option<CameBack>,
        is_shared: bool,
        now_millis: u64,
    ) -> Resumed {
        let Some(log) = &ordered.log else {
            return Resumed::without_recovery();
        };
        let end = (ordered.log_id, log.last_offset());
        let Some(came_back) = came_back else {
            return self.begin_anew(identity, end, None, None, RecoveryOutcome::None);
        };
        let cursor = self.open(&came_back.pid);
        let shown = came_back.shown();
        let found = self
            .position(identity, ordered.log_id, &cursor, shown)
            .and_then(|(sid, after)| {
                let own = self.own_rooms.then(|| own_room(&sid));
                let rooms: Vec<RoomName> = rooms.iter().cloned().chain(own).collect();
                match log.missed(&rooms, after, now_millis) {
                    Ok(missed) => Ok((sid, missed, None)),
                    // Another process has sent it what this one will read yet: a
                    // log that loses any of that is another one.
                    Err(Gap::AfterLog) if is_shared && is_of_now(after, now_millis) => {
                        Ok((sid, Vec::new(), Some(after)))
                    }
                    Err(gap) => Err(gap.into()),
                }
            });
        match found {
            Ok((sid, missed, ahead)) => {
                let events = u32::try_from(missed.len()).unwrap_or(u32::MAX);
                let missed = missed.into_iter();
                Resumed {
                    sid,
                    pid: Some(came_back.pid),
                    missed: missed
                        .flat_map(|(_, event)| event.packets())
                        .cloned()
                        .collect(),
                    ahead,
                    outcome: RecoveryOutcome::Recovered { events },
                }
            }
            Err(refusal) => {
                let outcome = RecoveryOutcome::Refused(refusal);
                let shown = shown.unwrap_or_default();
                self.begin_anew(identity, end, cursor.ok().as_ref(), shown, outcome)
            }
        }
    }

    /// A place at the end of the log. The client showed these.
    fn begin_anew(
        &self,
        identity: u64,
        end: (LogId, Offset),
        before: Option<&Cursor>,
        shown: Option<Offset>,
        outcome: RecoveryOutcome,
    ) -> Resumed {
        let sid = new_sid();
        let cursor = Cursor::anew(identity, end, sid.as_str().to_owned(), before, shown);
        Resumed {
            sid,
            pid: self.macs.first().map(|mac| cursor.seal(mac)),
            missed: Vec::new(),
            ahead: None,
            outcome,
        }
    }

    /// A client's log, and after which offset of it it has got nothing.
    pub(super) fn place(&self, came_back: &CameBack) -> Option<(LogId, Offset)> {
        let cursor = self.open(&came_back.pid).ok()?;
        let shown = came_back.shown().ok()?;
        Some((cursor.log, cursor.after(shown)))
    }

    /// Who a client was, and after which offset it has got nothing.
    fn position(
        &self,
        identity: u64,
        log: LogId,
        cursor: &Result<Cursor, CursorError>,
        shown: Result<Option<Offset>, RecoveryRefusal>,
    ) -> Result<(Sid, Offset), RecoveryRefusal> {
        let cursor = cursor.as_ref().map_err(|error| *error)?;
        if cursor.identity != identity {
            return Err(RecoveryRefusal::OtherIdentity);
        }
        if cursor.log != log {
            return Err(RecoveryRefusal::OtherLog);
        }
        let sid = cursor.sid.parse().map_err(|_| CursorError::Malformed)?;
        Ok((sid, cursor.after(shown?)))
    }

    fn open(&self, pid: &str) -> Result<Cursor, CursorError> {
        let mut result = Err(CursorError::Forged);
        for mac in &self.macs {
            result = Cursor::open(pid, mac);
            if result != Err(CursorError::Forged) {
                break;
            }
        }
        result
    }
}

/// Offsets are times. One from the far future is not of any process, and who
/// shows it would be left out of everything.
fn is_of_now(offset: Offset, now_millis: u64) -> bool {
    offset.millis() <= now_millis.saturating_add(CLOCKS_APART_MILLIS)
}

/// How far the clock of Redis may be ahead.
const CLOCKS_APART_MILLIS: u64 = 60_000;

impl Resumed {
    pub(super) fn without_recovery() -> Self {
        Self {
            sid: new_sid(),
            pid: None,
            missed: Vec::new(),
            ahead: None,
            outcome: RecoveryOutcome::None,
        }
    }
}

/// Shows no key.
impl fmt::Debug for RecoveryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryConfig")
            .field("log", &self.log)
            .field("is_shared", &self.is_shared)
            .field("macs", &self.macs.len())
            .finish()
    }
}
