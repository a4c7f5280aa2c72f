//! Counts since the start of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hd_auth::VerifyError;
use hd_ws_server::RecoveryRefusal;

use crate::http_api::EmitLimit;

/// One count.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        // A count on its own orders nothing else.
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The count so far.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Log lines that are not in the log.
#[derive(Debug, Default)]
pub(crate) struct LogCounts {
    /// Counted in a summary, since there were many of their kind.
    pub(crate) suppressed: Counter,
    /// Dropped, since stdout was not read in time.
    pub(crate) dropped: Counter,
}

/// Why a record of the shared log does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RejectedRecord {
    /// The entry has not the form that our scripts append.
    Malformed,
    /// It has no code.
    Unsigned,
    /// It has a code that is none of ours.
    Forged,
    /// It is of a version that a later release writes.
    Newer,
    /// It is ours, and not what this version says.
    Unreadable,
}

impl RejectedRecord {
    pub(crate) const ALL: [Self; 5] = [
        Self::Malformed,
        Self::Unsigned,
        Self::Forged,
        Self::Newer,
        Self::Unreadable,
    ];

    /// Its name in the metrics.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unsigned => "unsigned",
            Self::Forged => "forged",
            Self::Newer => "newer_version",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Every count. Only the events of [`super::events`] add to them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Clients that have joined their room.
    pub(crate) clients_connected: Counter,
    /// Of these, the ones that have left.
    pub(crate) clients_disconnected: Counter,
    /// New tokens of connected clients that were accepted.
    pub(crate) refreshes_accepted: Counter,
    /// New tokens of connected clients that were refused.
    pub(crate) refreshes_refused: Counter,
    /// Tokens that expired while their client was connected.
    pub(crate) tokens_expired: Counter,
    /// Tokens taken from the query string.
    pub(crate) query_tokens: Counter,
    /// Emit and broadcast commands that were carried out.
    pub(crate) emits_accepted: Counter,
    /// Commands that were carried out for the clients of this process only,
    /// since Redis was away.
    pub(crate) emits_local: Counter,
    /// Sockets of this instance that events went to, whichever instance accepted them.
    pub(crate) notifications_delivered: Counter,
    /// Emit and broadcast commands that were refused.
    pub(crate) emits_refused: Counter,
    /// Clients closed because they read too slowly.
    pub(crate) slow_consumers: Counter,
    /// Clients that came back and were sent what they had missed.
    pub(crate) recoveries: Counter,
    /// Events that these had missed.
    pub(crate) events_replayed: Counter,
    /// Events with an id that was published before.
    pub(crate) emits_repeated: Counter,
    /// Ids that were forgotten before their time.
    pub(crate) ids_forgotten: Counter,
    /// Events of Node's servers that were taken into the log, or sent on.
    pub(crate) peer_events: Counter,
    /// What Node's servers asked besides.
    pub(crate) peer_requests: Counter,
    /// Messages on their channels that are none, or too much.
    pub(crate) peer_messages_refused: Counter,
    /// Events of theirs that could not be kept, and messages that came too fast.
    pub(crate) peer_messages_lost: Counter,
    /// Events that were published for them.
    pub(crate) peer_publishes: Counter,
    /// Events that could not be.
    pub(crate) peer_publishes_failed: Counter,
    /// Records of the shared log that were trimmed since Redis was full.
    pub(crate) records_relieved: Counter,
    /// Of the log itself, which adds to them.
    pub(crate) log: Arc<LogCounts>,
    records_rejected: [Counter; RejectedRecord::ALL.len()],
    recoveries_refused: [Counter; RecoveryRefusal::ALL.len()],
    emits_limited: [Counter; EmitLimit::ALL.len()],
    authentication_failures: [Counter; VerifyError::ALL.len()],
}

impl Counters {
    pub(crate) fn new(log: Arc<LogCounts>) -> Self {
        Self {
            log,
            ..Self::default()
        }
    }

    /// Clients refused for this reason.
    pub(crate) fn authentication_failures(&self, reason: VerifyError) -> &Counter {
        let place = VerifyError::ALL
            .iter()
            .position(|known| *known == reason)
            .expect("invariant: VerifyError::ALL has every reason");
        &self.authentication_failures[place]
    }

    /// Commands that were refused for this limit.
    pub(crate) fn emits_limited(&self, limit: EmitLimit) -> &Counter {
        &self.emits_limited[limit as usize]
    }

    /// Entries of the shared log that did not count, for this reason.
    pub(crate) fn records_rejected(&self, reason: RejectedRecord) -> &Counter {
        &self.records_rejected[reason as usize]
    }

    /// Clients that came back and were not sent what they had missed, for this
    /// reason.
    pub(crate) fn recoveries_refused(&self, reason: RecoveryRefusal) -> &Counter {
        let place = RecoveryRefusal::ALL
            .iter()
            .position(|known| *known == reason)
            .expect("invariant: RecoveryRefusal::ALL has every reason");
        &self.recoveries_refused[place]
    }
}
