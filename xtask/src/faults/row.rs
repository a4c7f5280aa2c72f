//! The faults, by the numbers that docs/reliability.md gives them.

use std::time::Duration;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    Kill,
    Terminate,
    RollingUpdate,
    BalancerCut,
    RedisRestart,
    RedisPause,
    Flapping,
    StoppedReader,
    HalfOpen,
    SameId,
    Pause,
    DyingPublisher,
}

/// A lowered heartbeat, so that a dead connection is noticed while somebody waits.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(2);
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(2);

impl Row {
    pub(crate) const ALL: [Self; 12] = [
        Self::Kill,
        Self::Terminate,
        Self::RollingUpdate,
        Self::BalancerCut,
        Self::RedisRestart,
        Self::RedisPause,
        Self::Flapping,
        Self::StoppedReader,
        Self::HalfOpen,
        Self::SameId,
        Self::Pause,
        Self::DyingPublisher,
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
            Self::RedisRestart => 6,
            Self::RedisPause => 7,
            Self::Flapping => 10,
            Self::StoppedReader => 12,
            Self::HalfOpen => 13,
            Self::SameId => 28,
            Self::Pause => 30,
            Self::DyingPublisher => 32,
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
            Self::RedisRestart => "Redis killed, and started empty",
            Self::RedisPause => "Redis stops answering",
            Self::Flapping => "connections to Redis cut every second",
            Self::StoppedReader => "client stops reading, 12 MB go to its user",
            Self::HalfOpen => "connections go dead without a FIN",
            Self::SameId => "one event id 100 times on all nodes",
            Self::Pause => "a node stands still for 3 s and for 10 s",
            Self::DyingPublisher => "publisher dies before the answer, asks again",
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
            | Self::DyingPublisher => true,
            Self::Kill
            | Self::Terminate
            | Self::RollingUpdate
            | Self::RedisRestart
            | Self::RedisPause
            | Self::Flapping => false,
        }
    }

    /// What the nodes are told besides their port and secrets.
    pub(crate) fn settings(self) -> Vec<(String, String)> {
        let seconds = |duration: Duration| format!("{}s", duration.as_secs());
        if self == Self::HalfOpen {
            vec![
                ("PING_INTERVAL".to_owned(), seconds(PING_INTERVAL)),
                ("PING_TIMEOUT".to_owned(), seconds(PING_TIMEOUT)),
            ]
        } else {
            Vec::new()
        }
    }
}
