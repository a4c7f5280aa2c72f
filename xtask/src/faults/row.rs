//! The faults, by the numbers that docs/reliability.md gives them.

use std::time::Duration;

use super::dimensions::Network;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    Kill,
    Terminate,
    RollingUpdate,
    BalancerCut,
    Storm,
    RedisRestart,
    RedisPause,
    Failover,
    Partition,
    Flapping,
    PoorNetwork,
    StoppedReader,
    HalfOpen,
    TokenExpiry,
    SameId,
    Pause,
    DyingPublisher,
    VersionSkew,
    Soak,
    Mixed,
    PollAnswersLost,
    RollingUpdatePolling,
    RollingUpdateMixed,
    HostDeath,
    RedisFull,
    ClockAhead,
    LargeReplayPolling,
    QuietPages,
    LargeStreamStart,
    LateBytes,
    EmitsWithoutIds,
    LargeEvents,
    RedisRestartRdb,
    RedisRestartAof,
    RoleChange,
}

/// Life of the tokens where they expire under way.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(30);
/// Clients of the poor network, each by an address of its own.
pub(crate) const POOR_CLIENTS: usize = 10;

/// A lowered heartbeat, so that a dead connection is noticed while somebody waits.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(2);
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(2);

impl Row {
    pub(crate) const ALL: [Self; 35] = [
        Self::Kill,
        Self::Terminate,
        Self::RollingUpdate,
        Self::BalancerCut,
        Self::Storm,
        Self::RedisRestart,
        Self::RedisPause,
        Self::Failover,
        Self::Partition,
        Self::Flapping,
        Self::PoorNetwork,
        Self::StoppedReader,
        Self::HalfOpen,
        Self::TokenExpiry,
        Self::SameId,
        Self::Pause,
        Self::DyingPublisher,
        Self::VersionSkew,
        Self::Soak,
        Self::Mixed,
        Self::PollAnswersLost,
        Self::RollingUpdatePolling,
        Self::RollingUpdateMixed,
        Self::HostDeath,
        Self::RedisFull,
        Self::ClockAhead,
        Self::LargeReplayPolling,
        Self::QuietPages,
        Self::LargeStreamStart,
        Self::LateBytes,
        Self::EmitsWithoutIds,
        Self::LargeEvents,
        Self::RedisRestartRdb,
        Self::RedisRestartAof,
        Self::RoleChange,
    ];

    /// Those that continuous integration runs.
    pub(crate) const SHORT: [Self; 10] = [
        Self::Kill,
        Self::Terminate,
        Self::RollingUpdate,
        Self::RedisRestart,
        Self::StoppedReader,
        Self::PollAnswersLost,
        Self::RollingUpdatePolling,
        Self::RedisFull,
        Self::LargeReplayPolling,
        Self::RedisRestartAof,
    ];

    /// By which a command names it as well.
    pub(crate) fn number(self) -> u8 {
        self.description().0
    }

    /// By which a command names it.
    pub(crate) fn name(self) -> &'static str {
        self.description().1
    }

    /// The fault, in a table.
    pub(crate) fn title(self) -> &'static str {
        self.description().2
    }

    /// Its name or its number.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_meant = |row: &Self| row.name() == text || row.number().to_string() == text;
        Self::ALL.into_iter().find(is_meant)
    }

    /// Number, name and title.
    fn description(self) -> (u8, &'static str, &'static str) {
        match self {
            Self::Kill => (1, "kill", "kill -9 of one node of three"),
            Self::Terminate => (2, "terminate", "SIGTERM of one node of three"),
            Self::RollingUpdate => (3, "rolling-update", "rolling update of three nodes"),
            Self::BalancerCut => (
                4,
                "balancer-cut",
                "load balancer cuts all clients of a node",
            ),
            Self::Storm => (
                5,
                "storm",
                "18,000 clients of two killed nodes come back at once",
            ),
            Self::RedisRestart => (6, "redis-restart", "Redis killed, and started empty"),
            Self::RedisPause => (7, "redis-pause", "Redis stops answering"),
            Self::Failover => (
                8,
                "failover",
                "failover of Redis by Sentinel, forced and asked for",
            ),
            Self::Partition => (9, "partition", "network drops all between a node and Redis"),
            Self::Flapping => (10, "flapping", "connections to Redis cut every second"),
            Self::PoorNetwork => (11, "poor-network", "5 % loss and 1 Mbit/s for some clients"),
            Self::StoppedReader => (
                12,
                "stopped-reader",
                "client stops reading, 12 MB go to its user",
            ),
            Self::HalfOpen => (13, "half-open", "connections go dead without a FIN"),
            Self::TokenExpiry => (15, "token-expiry", "tokens of 30 s expire under way"),
            Self::SameId => (28, "same-id", "one event id 100 times on all nodes"),
            Self::Pause => (30, "pause", "a node stands still for 3 s and for 10 s"),
            Self::DyingPublisher => (
                32,
                "dying-publisher",
                "publisher dies before the answer, asks again",
            ),
            Self::VersionSkew => (
                33,
                "version-skew",
                "nodes of two versions, and from one to the other",
            ),
            Self::Soak => (
                34,
                "soak",
                "pages come and go, and rows 1, 6, 13 and 30 again and again",
            ),
            Self::Mixed => (
                35,
                "mixed",
                "one Node server and two nodes of ours, which are updated",
            ),
            Self::PollAnswersLost => (
                36,
                "poll-answers-lost",
                "answers to polls lost, and polls repeated by a proxy",
            ),
            Self::RollingUpdatePolling => (
                37,
                "rolling-update-polling",
                "rolling update, pages poll, 50 ms of latency each way",
            ),
            Self::RollingUpdateMixed => (
                38,
                "rolling-update-mixed",
                "rolling update, pages poll, upgrade or neither, 50 ms of latency each way",
            ),
            Self::HostDeath => (
                39,
                "host-death",
                "all instances and Redis killed, Redis restored from an older snapshot",
            ),
            Self::RedisFull => (40, "redis-full", "Redis full, with noeviction"),
            Self::ClockAhead => (
                41,
                "clock-ahead",
                "an instance whose clock is 120 s ahead, events with a ttl of 60 s",
            ),
            Self::LargeReplayPolling => (
                42,
                "large-replay-polling",
                "200 events of 1 KiB to each page that polls while it is away",
            ),
            Self::QuietPages => (
                43,
                "quiet-pages",
                "quiet pages move to a new instance after another user got 120,000 events",
            ),
            Self::LargeStreamStart => (
                44,
                "large-stream-start",
                "an instance starts with 100,000 events of 500 bytes in the stream",
            ),
            Self::LateBytes => (
                45,
                "late-bytes",
                "a network that holds all bytes for 8 s and then delivers them",
            ),
            Self::EmitsWithoutIds => (
                46,
                "emits-without-ids",
                "kill -9 of one instance of three, half of the emits have no id",
            ),
            Self::LargeEvents => (
                47,
                "large-events",
                "load balancer cuts all clients of an instance, events of up to 256 KiB",
            ),
            Self::RedisRestartRdb => (
                48,
                "redis-restart-rdb",
                "Redis killed, and started from a snapshot",
            ),
            Self::RedisRestartAof => (
                49,
                "redis-restart-aof",
                "Redis killed, and started from its append-only file",
            ),
            Self::RoleChange => (
                50,
                "role-change",
                "load balancer cuts clients, which return with another role",
            ),
        }
    }

    /// Whether one node without Redis can stand it: nobody is lost that a second node would have to take.
    pub(crate) fn fits_one_node(self) -> bool {
        matches!(
            self,
            Self::BalancerCut
                | Self::StoppedReader
                | Self::HalfOpen
                | Self::SameId
                | Self::Pause
                | Self::TokenExpiry
                | Self::DyingPublisher
                | Self::PollAnswersLost
                | Self::LateBytes
                | Self::LargeEvents
        )
    }

    /// Run only when it is named: it takes long, most of a machine, rights, a history of versions, or another's server.
    pub(crate) fn is_on_request(self) -> bool {
        matches!(
            self,
            Self::Storm
                | Self::PoorNetwork
                | Self::VersionSkew
                | Self::Soak
                | Self::Mixed
                // It needs faketime.
                | Self::ClockAhead
        ) || self.wants_own_network()
    }

    /// Whether packets are dropped, which is for a network that nobody else is on.
    pub(crate) fn wants_own_network(self) -> bool {
        matches!(self, Self::Partition | Self::PoorNetwork)
    }

    /// What the nodes are told besides their port and secrets.
    pub(crate) fn settings(self) -> Vec<(String, String)> {
        let seconds = |duration: Duration| format!("{}s", duration.as_secs());
        let mut settings = Vec::new();
        if self.dimensions().network == Network::Stale {
            settings.push(("PING_INTERVAL".to_owned(), seconds(PING_INTERVAL)));
            settings.push(("PING_TIMEOUT".to_owned(), seconds(PING_TIMEOUT)));
        }
        if self == Self::Soak {
            // Full within minutes, so that what still grows is not the log.
            settings.push(("REPLAY_MAX_EVENTS".to_owned(), "16".to_owned()));
        }
        if self == Self::VersionSkew {
            // The other version may sign none.
            settings.push(("REDIS_UNSIGNED_RECORDS".to_owned(), "accept".to_owned()));
        }
        if self == Self::Mixed {
            // The emitter is classic also beside a sharded adapter.
            settings.push(("REDIS_PUBSUB".to_owned(), "auto".to_owned()));
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_and_a_number_of_its_own_and_is_found_by_both() {
        let names: BTreeSet<&str> = Row::ALL.iter().map(|row| row.name()).collect();
        let numbers: BTreeSet<u8> = Row::ALL.iter().map(|row| row.number()).collect();
        assert_eq!(
            (names.len(), numbers.len()),
            (Row::ALL.len(), Row::ALL.len())
        );
        for row in Row::ALL {
            assert_eq!(Row::parse(row.name()), Some(row));
            assert_eq!(Row::parse(&row.number().to_string()), Some(row));
        }
        assert_eq!(Row::parse("14"), None);
    }
}
