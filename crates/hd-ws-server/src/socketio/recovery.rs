//! Connection state recovery: a client that comes back is sent what it missed
//! ([Socket.IO, "Connection state recovery"](https://socket.io/docs/v4/connection-state-recovery)).
//!
//! Node keeps a session for each client that has left. Here the `pid` itself
//! says whose it is and from where on something may be missing, under a seal,
//! so that nothing is kept, and a client that was sent nothing yet can come
//! back too.

use std::fmt;
use std::time::SystemTime;

use engineio_proto::{EncodedPacket, Sid};
use hd_replay::{
    Arrival, Broker, Cursor, CursorError, LogConfig, MAC_BYTES, Offset, Place, Reconnect,
    ResumeOutcome, ResumeRefusal, ResumeRequest, Standing,
};
use hd_rooms::RoomName;
use socketio_proto::Encoded;

use super::dialect::{Dialect, RecoveryRequest};
use super::membership::own_room;
use crate::engine::new_sid;

/// Makes the code that seals a `pid`.
pub type CursorMac = Box<dyn Fn(&[u8]) -> [u8; MAC_BYTES] + Send + Sync>;

/// A clock: milliseconds since 1970.
pub type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// The system's clock.
#[must_use]
pub fn system_clock() -> Clock {
    Box::new(|| {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
    })
}

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
    /// The time in milliseconds since 1970, which offsets hold. Where instances share a log, it is the
    /// time of what keeps that log; by default the [system's](system_clock).
    pub clock: Clock,
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

/// Why a client that reconnects cannot recover.
pub type RecoveryRefusal = ResumeRefusal;

impl RecoveryOutcome {
    /// Whether it is [`Recovered`](Self::Recovered).
    #[must_use]
    pub const fn has_recovered(self) -> bool {
        matches!(self, Self::Recovered { .. })
    }
}

/// On which terms a client connects.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) dialect: Dialect,
    /// Whether the client is to be sent its recovery state as an event.
    pub(super) wants_state: bool,
    /// Whether the client takes its `pid` from the CONNECT reply.
    pub(super) reads_reply: bool,
    /// Whether it keeps what it needs to recover.
    pub(super) can_recover: bool,
    /// What it presents, if it reconnects.
    pub(super) presented: Option<PresentedPid>,
}

/// What a client that reconnects says of itself: `pid`, and `offset` if it was sent anything, in the
/// `auth` of its CONNECT or in its query.
#[derive(Debug)]
pub(super) struct PresentedPid {
    pid: String,
    /// The public id in the cursor.
    sid: Option<Sid>,
    reconnect: Reconnect,
    pub(super) arrival: Arrival,
}

/// What a client is answered, and sent after that.
pub(super) struct Resumed {
    pub(super) sid: Sid,
    /// For the CONNECT reply: the client's own one tells it that it has recovered. `None` where
    /// nothing can be recovered.
    pub(super) pid: Option<String>,
    /// After which offset the client is sent events. `None` where nothing can be recovered.
    pub(super) from: Option<Offset>,
    pub(super) missed: Vec<EncodedPacket>,
    /// How the client stands to the log then.
    pub(super) standing: Standing,
    pub(super) outcome: RecoveryOutcome,
    /// What the client has proven the shared log to have lost.
    pub(super) lost: Option<Place>,
}

/// What opens and seals cursors.
pub(super) struct Recovery {
    macs: Vec<CursorMac>,
    /// Whether a client that keeps its id is sent what was for that id.
    own_rooms: bool,
}

impl Recovery {
    pub(super) fn new(macs: Vec<CursorMac>, own_rooms: bool) -> Self {
        Self { macs, own_rooms }
    }

    /// Opens what a client that reconnects presents.
    fn present(&self, pid: String, offset: Option<&str>, arrival: Arrival) -> PresentedPid {
        let opened = self.open(&pid).and_then(|cursor| {
            let sid = cursor.sid.parse().map_err(|_| CursorError::Malformed)?;
            Ok((cursor, sid))
        });
        let (cursor, sid) = match opened {
            Ok((cursor, sid)) => (Ok(cursor), Some(sid)),
            Err(error) => (Err(error), None),
        };
        let shown = offset.map(str::parse).transpose();
        PresentedPid {
            pid,
            sid,
            reconnect: Reconnect { cursor, shown },
            arrival,
        }
    }

    /// Asks where a client resumes.
    pub(super) fn resume<K>(
        &self,
        broker: &mut Broker<Encoded, K>,
        identity: u64,
        rooms: &[RoomName],
        presented: Option<PresentedPid>,
        now_millis: u64,
        mut encode: impl FnMut(Offset, &Encoded, &mut Vec<EncodedPacket>),
    ) -> Resumed {
        let end = broker.end().map(|end| end.offset);
        let own_room = presented
            .as_ref()
            .and_then(|presented| presented.sid.as_ref())
            .filter(|_| self.own_rooms)
            .map(own_room);
        let request = ResumeRequest {
            identity,
            rooms,
            own_room: own_room.as_ref(),
            reconnect: presented.as_ref().map(|presented| &presented.reconnect),
            arrival: presented
                .as_ref()
                .map(|presented| presented.arrival)
                .unwrap_or_default(),
        };
        let mut fresh = None;
        let make_sid = || {
            let sid = fresh.insert(new_sid());
            sid.as_str().to_owned()
        };
        let Some(resumed) = broker.resume(&request, make_sid, now_millis) else {
            return Resumed::without_recovery();
        };
        let outcome = match resumed.outcome {
            ResumeOutcome::First => RecoveryOutcome::None,
            ResumeOutcome::Recovered => RecoveryOutcome::Recovered {
                events: u32::try_from(resumed.missed.len()).unwrap_or(u32::MAX),
            },
            ResumeOutcome::Refused(refusal) => RecoveryOutcome::Refused(refusal),
        };
        let mut missed = Vec::with_capacity(resumed.missed.len());
        for (offset, event) in &resumed.missed {
            encode(*offset, event, &mut missed);
        }
        let kept = presented.as_ref().and_then(PresentedPid::place);
        let (kept_sid, kept_pid) = presented
            .map(|presented| (presented.sid, presented.pid))
            .unzip();
        Resumed {
            sid: fresh.or_else(|| kept_sid.flatten()).unwrap_or_else(new_sid),
            pid: match &resumed.cursor {
                Some(cursor) => self.macs.first().map(|mac| cursor.seal(mac)),
                None => kept_pid,
            },
            from: match &resumed.cursor {
                Some(_) => end,
                None => kept.map(|kept| kept.offset),
            },
            missed,
            standing: resumed.standing,
            lost: resumed.lost,
            outcome,
        }
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

impl Terms {
    pub(super) fn new(
        request: RecoveryRequest,
        recovery: Option<&Recovery>,
        arrive: impl FnOnce() -> Arrival,
    ) -> Self {
        let can_recover = request.can_recover();
        Self {
            dialect: request.dialect,
            wants_state: request.wants_state,
            reads_reply: request.reads_reply(),
            can_recover,
            presented: recovery
                .filter(|_| can_recover)
                .zip(request.pid)
                .map(|(recovery, pid)| recovery.present(pid, request.offset.as_deref(), arrive())),
        }
    }
}

impl PresentedPid {
    /// Up to where the client has received the log.
    pub(super) fn place(&self) -> Option<Place> {
        self.reconnect.place()
    }
}

impl Resumed {
    pub(super) fn without_recovery() -> Self {
        Self {
            sid: new_sid(),
            pid: None,
            from: None,
            missed: Vec::new(),
            standing: Standing::Current,
            lost: None,
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
            .finish_non_exhaustive()
    }
}
