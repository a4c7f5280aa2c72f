//! What a row is run with: pages, network, emits, and the persistence of Redis.

use std::time::Duration;

use serde_json::{Value, json};

use super::{haproxy::Sessions, row::Row};

/// All that may differ from row to row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dimensions {
    pub(crate) transports: Transports,
    /// Whether the load balancer may bring polls to an instance that is not ready any more.
    pub(crate) keeps_sessions: bool,
    pub(crate) network: Network,
    /// Whether the back end emits through that network too.
    pub(crate) publishes_through_network: bool,
    pub(crate) emits: Emits,
    pub(crate) persistence: Persistence,
    pub(crate) notify: Notify,
    /// Clients at most: a process of Node.js bears fewer that poll.
    pub(crate) max_clients: usize,
}

/// How pages are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transports {
    Websocket,
    Polling,
    /// A third of each, and a third that polls first and upgrades.
    Mixed,
}

/// What is between pages and the load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Direct,
    /// It can stop without a word.
    Stale,
    /// What passes takes as long as this each way, and can be held.
    Delaying(Duration),
    /// It can lose answers to polls.
    Losing,
}

/// What the back end emits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Emits {
    /// Half of them have no id.
    pub(crate) without_ids: bool,
    pub(crate) ttl: Option<Duration>,
    /// Some go to all who have a role, and every page has another role at each handshake.
    pub(crate) roles: bool,
    /// Bytes of the largest payloads; one in five is large.
    pub(crate) largest: Option<usize>,
}

/// What Redis keeps on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    Nothing,
    /// A snapshot, when it is asked for one.
    Snapshot,
    /// Every command, written before it is answered.
    AppendOnly,
}

/// Whether the service may notify a page, by `recovered: false`, that it may have missed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notify {
    /// No bound is reached, and the log stays.
    Never,
    /// Once Redis has lost what it had.
    AfterLoss,
    /// The row reaches a bound on purpose.
    Allowed,
}

/// One way through the network of the rows that have latency.
const LATENCY: Duration = Duration::from_millis(50);
/// Time to live of events where clocks differ.
const TTL: Duration = Duration::from_secs(60);
/// The largest payload that an emit may have.
const MAX_PAYLOAD_BYTES: usize = 262_144;
const MAX_POLLING_CLIENTS: usize = 120;

impl Row {
    /// What it is run with.
    pub(crate) fn dimensions(self) -> Dimensions {
        let usual = Dimensions {
            transports: Transports::Websocket,
            keeps_sessions: false,
            network: Network::Direct,
            publishes_through_network: false,
            emits: Emits::default(),
            persistence: Persistence::Nothing,
            notify: Notify::Never,
            max_clients: usize::MAX,
        };
        let polling = Dimensions {
            transports: Transports::Polling,
            max_clients: MAX_POLLING_CLIENTS,
            ..usual
        };
        let notifying = Dimensions {
            notify: Notify::Allowed,
            ..usual
        };
        match self {
            Self::Kill
            | Self::Terminate
            | Self::RollingUpdate
            | Self::BalancerCut
            | Self::Storm
            | Self::RedisPause
            | Self::Partition
            | Self::Flapping
            | Self::TokenExpiry
            | Self::SameId
            | Self::Pause
            | Self::DyingPublisher
            | Self::RedisFull
            | Self::LargeStreamStart
            | Self::Mixed => usual,
            Self::RedisRestart | Self::PoorNetwork | Self::StoppedReader | Self::VersionSkew => {
                notifying
            }
            Self::HalfOpen => Dimensions {
                network: Network::Stale,
                ..usual
            },
            Self::Soak => Dimensions {
                network: Network::Stale,
                ..notifying
            },
            Self::Failover => Dimensions {
                notify: Notify::AfterLoss,
                ..usual
            },
            Self::PollAnswersLost => Dimensions {
                network: Network::Losing,
                ..polling
            },
            Self::RollingUpdatePolling => Dimensions {
                keeps_sessions: true,
                network: Network::Delaying(LATENCY),
                ..polling
            },
            Self::RollingUpdateMixed => Dimensions {
                transports: Transports::Mixed,
                keeps_sessions: true,
                network: Network::Delaying(LATENCY),
                ..polling
            },
            Self::LargeReplayPolling => polling,
            Self::HostDeath | Self::RedisRestartRdb => Dimensions {
                persistence: Persistence::Snapshot,
                ..notifying
            },
            Self::RedisRestartAof => Dimensions {
                persistence: Persistence::AppendOnly,
                ..usual
            },
            Self::ClockAhead => Dimensions {
                emits: Emits {
                    ttl: Some(TTL),
                    ..Emits::default()
                },
                ..notifying
            },
            // The stream is trimmed.
            Self::QuietPages => notifying,
            Self::LateBytes => Dimensions {
                network: Network::Delaying(Duration::ZERO),
                publishes_through_network: true,
                ..usual
            },
            Self::EmitsWithoutIds => Dimensions {
                emits: Emits {
                    without_ids: true,
                    ..Emits::default()
                },
                ..usual
            },
            Self::RoleChange => Dimensions {
                emits: Emits {
                    roles: true,
                    ..Emits::default()
                },
                ..usual
            },
            Self::LargeEvents => Dimensions {
                emits: Emits {
                    largest: Some(MAX_PAYLOAD_BYTES),
                    ..Emits::default()
                },
                max_clients: MAX_POLLING_CLIENTS,
                ..notifying
            },
        }
    }
}

impl Dimensions {
    /// How the load balancer finds the instance of a session again. Where instances are drained that follows from the seed,
    /// since load balancers differ.
    pub(crate) fn sessions(self, seed: u32) -> Sessions {
        if self.transports == Transports::Websocket {
            Sessions::Unknown
        } else if self.keeps_sessions && seed % 2 == 1 {
            Sessions::WhileRunning
        } else {
            Sessions::WhileReady
        }
    }

    /// What the load program is told of them.
    pub(crate) fn arguments(self) -> Value {
        json!({
            "transports": match self.transports {
                Transports::Websocket => "websocket",
                Transports::Polling => "polling",
                Transports::Mixed => "mixed",
            },
            "network": match self.network {
                Network::Direct => json!({"kind": "direct"}),
                Network::Stale => json!({"kind": "stale"}),
                Network::Delaying(delay) => {
                    json!({"kind": "delaying", "delayMs": delay.as_secs_f64() * 1e3})
                }
                Network::Losing => json!({"kind": "losing"}),
            },
            "publishesThroughNetwork": self.publishes_through_network,
            "emits": {
                "without": self.emits.without_ids,
                "ttlS": self.emits.ttl.map(|ttl| ttl.as_secs()),
                "largest": self.emits.largest,
                "roles": self.emits.roles,
            },
            "notify": match self.notify {
                Notify::Never => "never",
                Notify::AfterLoss => "after_loss",
                Notify::Allowed => "allowed",
            },
        })
    }
}
