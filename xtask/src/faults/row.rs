//! The faults, by the numbers that docs/reliability.md gives them.

use std::time::Duration;

use super::load::Notify;

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
}

/// Life of the tokens where they expire under way.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(30);
/// Clients of the poor network, each by an address of its own.
pub(crate) const POOR_CLIENTS: usize = 10;

/// A lowered heartbeat, so that a dead connection is noticed while somebody waits.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(2);
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(2);

impl Row {
    pub(crate) const ALL: [Self; 20] = [
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
    ];

    /// Those that continuous integration runs.
    pub(crate) const SHORT: [Self; 5] = [
        Self::Kill,
        Self::Terminate,
        Self::RollingUpdate,
        Self::RedisRestart,
        Self::StoppedReader,
    ];

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Kill => 1,
            Self::Terminate => 2,
            Self::RollingUpdate => 3,
            Self::BalancerCut => 4,
            Self::Storm => 5,
            Self::RedisRestart => 6,
            Self::RedisPause => 7,
            Self::Failover => 8,
            Self::Partition => 9,
            Self::Flapping => 10,
            Self::PoorNetwork => 11,
            Self::StoppedReader => 12,
            Self::HalfOpen => 13,
            Self::TokenExpiry => 15,
            Self::SameId => 28,
            Self::Pause => 30,
            Self::DyingPublisher => 32,
            Self::VersionSkew => 33,
            Self::Soak => 34,
            Self::Mixed => 35,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|row| row.number() == number)
    }

    /// The fault, in a table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Kill => "kill -9 of one node of three",
            Self::Terminate => "SIGTERM of one node of three",
            Self::RollingUpdate => "rolling update of three nodes",
            Self::BalancerCut => "load balancer cuts all clients of a node",
            Self::Storm => "18,000 clients of two killed nodes come back at once",
            Self::RedisRestart => "Redis killed, and started empty",
            Self::RedisPause => "Redis stops answering",
            Self::Failover => "failover of Redis by Sentinel, forced and asked for",
            Self::Partition => "network drops all between a node and Redis",
            Self::Flapping => "connections to Redis cut every second",
            Self::PoorNetwork => "5 % loss and 1 Mbit/s for some clients",
            Self::StoppedReader => "client stops reading, 12 MB go to its user",
            Self::HalfOpen => "connections go dead without a FIN",
            Self::TokenExpiry => "tokens of 30 s expire under way",
            Self::SameId => "one event id 100 times on all nodes",
            Self::Pause => "a node stands still for 3 s and for 10 s",
            Self::DyingPublisher => "publisher dies before the answer, asks again",
            Self::VersionSkew => "nodes of two versions, and from one to the other",
            Self::Soak => "pages come and go, and rows 1, 6, 13 and 30 again and again",
            Self::Mixed => "one Node server and two nodes of ours, which are updated",
        }
    }

    /// Whether one node without Redis can stand it: nobody is lost that a second node would have to take.
    pub(crate) fn fits_one_node(self) -> bool {
        match self {
            Self::BalancerCut
            | Self::StoppedReader
            | Self::HalfOpen
            | Self::SameId
            | Self::Pause
            | Self::TokenExpiry
            | Self::DyingPublisher => true,
            Self::Kill
            | Self::Terminate
            | Self::RollingUpdate
            | Self::RedisRestart
            | Self::RedisPause
            | Self::Failover
            | Self::Partition
            | Self::PoorNetwork
            | Self::Flapping
            | Self::Storm
            | Self::VersionSkew
            | Self::Soak
            | Self::Mixed => false,
        }
    }

    /// Run only when it is named: it takes long, most of a machine, rights, a history of versions, or another's server.
    pub(crate) fn is_on_request(self) -> bool {
        matches!(
            self,
            Self::Storm | Self::PoorNetwork | Self::VersionSkew | Self::Soak | Self::Mixed
        ) || self.wants_own_network()
    }

    /// Whether packets are dropped, which is for a network that nobody else is on.
    pub(crate) fn wants_own_network(self) -> bool {
        matches!(self, Self::Partition | Self::PoorNetwork)
    }

    /// Whether pages may be notified that they may have missed something.
    pub(crate) fn notify(self) -> Notify {
        match self {
            Self::Failover => Notify::AfterLoss,
            Self::RedisRestart
            | Self::PoorNetwork
            | Self::StoppedReader
            | Self::VersionSkew
            | Self::Soak => Notify::Allowed,
            Self::Kill
            | Self::Terminate
            | Self::RollingUpdate
            | Self::BalancerCut
            | Self::Storm
            | Self::RedisPause
            | Self::Partition
            | Self::Flapping
            | Self::HalfOpen
            | Self::TokenExpiry
            | Self::SameId
            | Self::Pause
            | Self::DyingPublisher
            | Self::Mixed => Notify::Never,
        }
    }

    /// Whether clients come through a network that can stop without a word.
    pub(crate) fn has_stale_network(self) -> bool {
        matches!(self, Self::HalfOpen | Self::Soak)
    }

    /// What the nodes are told besides their port and secrets.
    pub(crate) fn settings(self) -> Vec<(String, String)> {
        let seconds = |duration: Duration| format!("{}s", duration.as_secs());
        let mut settings = Vec::new();
        if self.has_stale_network() {
            settings.push(("PING_INTERVAL".to_owned(), seconds(PING_INTERVAL)));
            settings.push(("PING_TIMEOUT".to_owned(), seconds(PING_TIMEOUT)));
        }
        if self == Self::Soak {
            // Full within minutes, so that what still grows is not the log.
            settings.push(("REPLAY_MAX_EVENTS".to_owned(), "16".to_owned()));
        }
        if self == Self::Mixed {
            // The emitter is classic also beside a sharded adapter.
            settings.push(("REDIS_PUBSUB".to_owned(), "auto".to_owned()));
        }
        settings
    }
}
