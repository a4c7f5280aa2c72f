//! The log that several processes share.

use std::time::Duration;

use hd_cluster::{Offset, Rejection};
use tracing::{error, info, warn};

use crate::cluster::UnreadableRecord;
use crate::settings::EmitWithoutRedis;
use crate::telemetry::Counters;
use crate::telemetry::counters::RejectedRecord;

/// The log cannot be read yet, so that the service does not start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitingForLog<'a> {
    /// Why.
    pub(crate) error: &'a (dyn std::error::Error + 'static),
    /// Since the process began to wait.
    pub(crate) elapsed: Duration,
}

impl WaitingForLog<'_> {
    pub(crate) fn emit(self) {
        let Self { error, elapsed } = self;
        warn!(
            context = CLUSTER,
            error,
            elapsed = %humantime::format_duration(Duration::from_secs(elapsed.as_secs())),
            "Waiting for Redis before the service starts"
        );
    }
}

/// The log was read, and is followed from here on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogOpened {
    /// Events in it.
    pub(crate) events: usize,
}

impl LogOpened {
    pub(crate) fn emit(self) {
        let Self { events } = self;
        info!(context = CLUSTER, events, "Sharing a log in Redis");
    }
}

/// Redis may drop events that it has acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RedisEvicts<'a> {
    /// Its `maxmemory-policy`.
    pub(crate) policy: &'a str,
}

impl RedisEvicts<'_> {
    pub(crate) fn emit(self) {
        let Self { policy } = self;
        warn!(
            context = CLUSTER,
            policy,
            "Redis drops events and ids of its own accord when its memory is full: set its maxmemory-policy to noeviction"
        );
    }
}

/// Redis does not answer any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogCutOff<'a> {
    /// Why.
    pub(crate) error: &'a (dyn std::error::Error + 'static),
    /// What becomes of emits meanwhile.
    pub(crate) emits: EmitWithoutRedis,
}

impl LogCutOff<'_> {
    pub(crate) fn emit(self) {
        let Self { error, emits } = self;
        let emits = match emits {
            EmitWithoutRedis::Refuse => "emits are answered with 503",
            EmitWithoutRedis::AcceptLocal => "emits reach the clients of this instance only",
        };
        warn!(
            context = CLUSTER,
            told.error = error,
            "Redis does not answer: {error}; {emits} until it does, and clients stay"
        );
    }
}

/// Redis answers again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogBack;

impl LogBack {
    pub(crate) fn emit(self) {
        info!(context = CLUSTER, "Redis answers again");
    }
}

/// Sentinel has named another master of Redis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogMoved;

impl LogMoved {
    pub(crate) fn emit(self) {
        info!(
            context = CLUSTER,
            "Sentinel names another master of Redis: the log goes on there"
        );
    }
}

/// A client has an event that Redis has lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogProvenLost;

impl LogProvenLost {
    pub(crate) fn emit(self) {
        error!(
            context = CLUSTER,
            "Redis has lost events that a client has received; another log begins"
        );
    }
}

/// Redis does not take what this process has to say of its users.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PresenceRefused<'a> {
    /// Why.
    pub(crate) error: &'a (dyn std::error::Error + 'static),
}

impl PresenceRefused<'_> {
    pub(crate) fn emit(self) {
        let Self { error } = self;
        warn!(
            context = CLUSTER,
            error, "Redis does not take who is connected here; the other processes do not know it"
        );
    }
}

/// Events were dropped from the log before this process could read them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogGap {
    /// Clients here, which are closed so that they learn it.
    pub(crate) sockets: usize,
}

impl LogGap {
    pub(crate) fn emit(self) {
        let Self { sockets } = self;
        error!(
            context = CLUSTER,
            sockets, "Events are missing from the log in Redis; clients come back and are told"
        );
    }
}

/// The oldest records were trimmed, for Redis was full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RedisRelieved {
    /// How many.
    pub(crate) records: u64,
}

impl RedisRelieved {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { records } = self;
        counters.records_relieved.add(records);
        warn!(
            context = CLUSTER,
            records,
            "Redis is full: trimmed the oldest events of the log to append new ones; give it more \
             memory, or lower REPLAY_STREAM_BYTES"
        );
    }
}

/// An entry of the log's stream does not count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryRejected {
    pub(crate) offset: Offset,
    pub(crate) rejection: Rejection,
}

impl EntryRejected {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { offset, rejection } = self;
        let counted = match rejection {
            Rejection::Malformed => RejectedRecord::Malformed,
            Rejection::Unsigned => RejectedRecord::Unsigned,
            Rejection::Forged => RejectedRecord::Forged,
        };
        counters.records_rejected(counted).add(1);
        warn!(
            context = CLUSTER,
            %offset,
            reason = %rejection,
            "Rejected an entry of the log in Redis: no instance with this JWT_SECRET wrote it"
        );
    }
}

/// A record of the log is not understood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordUnreadable {
    pub(crate) offset: Offset,
    pub(crate) why: UnreadableRecord,
}

impl RecordUnreadable {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { offset, why } = self;
        let counted = match why {
            UnreadableRecord::Newer => RejectedRecord::Newer,
            UnreadableRecord::Malformed => RejectedRecord::Unreadable,
        };
        counters.records_rejected(counted).add(1);
        error!(
            context = CLUSTER,
            %offset,
            reason = %why,
            "Cannot read a record of the log in Redis: clients reconnect and read their lists"
        );
    }
}

const CLUSTER: &str = "Cluster";
