//! The attacks, by the names that docs/security.md gives them.

use std::time::Duration;

use anyhow::Result;

use super::{
    bodies, crowd, doors, emits,
    field::{Environment, Field, Findings},
    floods, half_received, handshakes, logs,
    measure::MIB,
    office,
    service::OTHER_EMIT_TOKEN,
    slow_heads, unread,
};

/// One attack, what it runs beside, and what must hold.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// What is done.
    pub(crate) title: &'static str,
    /// What must be, beside what every row must be: no loss, p99 of good clients, memory.
    pub(crate) must: &'static str,
    pub(crate) attack: Attack,
    /// What the service is told beside secrets and what the image sets.
    pub(crate) settings: &'static [(&'static str, &'static str)],
    pub(crate) environment: Environment,
    /// Whether everybody comes through a proxy that says for whom.
    pub(crate) is_proxied: bool,
    /// Whether continuous integration runs it.
    pub(crate) is_short: bool,
    /// How long it takes, if it needs its time.
    pub(crate) length: Option<Duration>,
    /// Delivery p99, where it must be less than a second.
    pub(crate) max_delivery: Option<Duration>,
    /// More than before the attack, in the kernel.
    pub(crate) max_kernel: Option<u64>,
    /// Log lines a second, more than without the attack.
    pub(crate) max_lines: Option<f64>,
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attack {
    Handshakes(handshakes::Flood),
    Silent(handshakes::Silence),
    AuthFailures,
    Neighbour,
    SlowHeads,
    CrossSite,
    HalfReceived(half_received::Hoard),
    RefusedRequests,
    UnreadHealth,
    OutOfFiles,
    UnreadPolls,
    SlowConsumers,
    RefreshFlood,
    EventFlood,
    RequestFlood,
    EmitFlood(emits::Excess),
    MessageBytes,
    ManySockets,
    Legacy,
    DeclaredLength,
    OpenDoors,
    Office,
}

impl Attack {
    pub(crate) async fn run(self, field: Field) -> Result<Findings> {
        match self {
            Self::Handshakes(flood) => handshakes::flood(field, flood).await,
            Self::Silent(silence) => handshakes::silent(field, silence).await,
            Self::AuthFailures => handshakes::auth_failures(field).await,
            Self::Neighbour => handshakes::neighbour(field).await,
            Self::SlowHeads => slow_heads::trickle(field).await,
            Self::CrossSite => doors::cross_site(field).await,
            Self::HalfReceived(hoard) => half_received::hoard(field, hoard).await,
            Self::RefusedRequests => logs::refused_requests(field).await,
            Self::UnreadHealth => unread::health(field).await,
            Self::OutOfFiles => unread::out_of_files(field).await,
            Self::UnreadPolls => unread::polls(field).await,
            Self::SlowConsumers => unread::slow_consumers(field).await,
            Self::RefreshFlood => floods::refreshes(field).await,
            Self::EventFlood => floods::events(field).await,
            Self::RequestFlood => floods::requests(field).await,
            Self::EmitFlood(excess) => emits::flood(field, excess).await,
            Self::MessageBytes => bodies::message_bytes(field).await,
            Self::ManySockets => crowd::many_sockets(field).await,
            Self::Legacy => crowd::legacy(field).await,
            Self::DeclaredLength => bodies::declared_length(field).await,
            Self::OpenDoors => doors::open(field).await,
            Self::Office => office::returns(field).await,
        }
    }
}

/// What a user who misbehaves may cost the others' deliveries on a shared core.
const MAX_DELIVERY_BESIDE_A_USER: Option<Duration> = Some(Duration::from_millis(20));
/// The default, said: then it holds for private addresses too, which all attackers and clients of the rig have.
const LIMIT_PRIVATE_ADDRESSES: &[(&str, &str)] = &[("MAX_HANDSHAKES_PER_ADDRESS", "20")];
const BEHIND_PROXIES: &[(&str, &str)] = &[("TRUSTED_PROXIES", "127.0.0.0/8")];

impl Row {
    const fn new(
        name: &'static str,
        attack: Attack,
        title: &'static str,
        must: &'static str,
    ) -> Self {
        Self {
            name,
            title,
            must,
            attack,
            settings: &[],
            environment: Environment::USUAL,
            is_proxied: false,
            is_short: false,
            length: None,
            max_delivery: None,
            max_kernel: None,
            max_lines: Some(100.0),
        }
    }
}

/// Every row, in the order of the page.
pub(crate) static ALL: &[&Row] = &[
    &Row {
        is_short: true,
        settings: LIMIT_PRIVATE_ADDRESSES,
        ..Row::new(
            "1",
            Attack::Handshakes(handshakes::Flood {
                connections: 1,
                addresses: 1,
                is_forged: false,
                is_limited: true,
            }),
            "polling handshakes without a token, pipelined on one connection",
            "20 a connection and 220 a second get a session",
        )
    },
    &Row {
        settings: LIMIT_PRIVATE_ADDRESSES,
        ..Row::new(
            "1-connections",
            Attack::Handshakes(handshakes::Flood {
                connections: 1_000,
                addresses: 1,
                is_forged: false,
                is_limited: true,
            }),
            "the same on 1,000 connections from one address",
            "220 a second get a session",
        )
    },
    &Row {
        settings: LIMIT_PRIVATE_ADDRESSES,
        ..Row::new(
            "1-addresses",
            Attack::Handshakes(handshakes::Flood {
                connections: 1_000,
                addresses: 1_000,
                is_forged: false,
                is_limited: true,
            }),
            "the same on 1,000 connections, each from an address of its own",
            "good clients are not those that make room",
        )
    },
    &Row {
        settings: LIMIT_PRIVATE_ADDRESSES,
        ..Row::new(
            "1-forged",
            Attack::Handshakes(handshakes::Flood {
                connections: 100,
                addresses: 1,
                is_forged: true,
                is_limited: true,
            }),
            "the same on 100 connections, with good clients' addresses in `X-Forwarded-For` and no proxy",
            "220 a second get a session, whatever they say",
        )
    },
    &Row::new(
        "1-private",
        Attack::Handshakes(handshakes::Flood {
            connections: 100,
            addresses: 1,
            is_forged: false,
            is_limited: false,
        }),
        "the same on 100 connections from a private address, which could be that of a proxy nobody has named",
        "good clients of other addresses are not those that make room",
    ),
    &Row {
        settings: BEHIND_PROXIES,
        is_proxied: true,
        ..Row::new(
            "1-proxy",
            Attack::Handshakes(handshakes::Flood {
                connections: 100,
                addresses: 1,
                is_forged: true,
                is_limited: true,
            }),
            "the same on 100 connections through a trusted proxy, with forged entries in `X-Forwarded-For`",
            "220 a second get a session, whatever the entries before the proxy's say",
        )
    },
    &Row {
        is_short: true,
        ..Row::new(
            "1b",
            Attack::CrossSite,
            "requests that a browser marks `Sec-Fetch-Site: cross-site`, without `Origin`",
            "none is served, whatever token it has",
        )
    },
    &Row {
        settings: &[
            ("MAX_UNJOINED_CONNECTIONS", "1000"),
            ("MAX_HANDSHAKES_PER_ADDRESS", "20"),
        ],
        length: Some(Duration::from_secs(20)),
        ..Row::new(
            "silent",
            Attack::Silent(handshakes::Silence {
                connections: 3_000,
                addresses: 600,
                max_open: 1_000,
            }),
            "3,000 WebSockets from 600 addresses that join nothing",
            "at most `MAX_UNJOINED_CONNECTIONS` (1,000 here) are open, none for longer than `CONNECT_TIMEOUT`",
        )
    },
    &Row {
        settings: LIMIT_PRIVATE_ADDRESSES,
        length: Some(Duration::from_secs(20)),
        ..Row::new(
            "one-address",
            Attack::Silent(handshakes::Silence {
                connections: 1_000,
                addresses: 1,
                max_open: 200,
            }),
            "1,000 WebSockets from one address that join nothing",
            "at most `MAX_CONNECTIONS_PER_ADDRESS` (200) are open",
        )
    },
    &Row {
        settings: LIMIT_PRIVATE_ADDRESSES,
        ..Row::new(
            "auth-failures",
            Attack::AuthFailures,
            "bad tokens on 20 WebSockets of one address, again and again",
            "`MAX_AUTH_FAILURES_PER_ADDRESS` (5) a second get a verdict",
        )
    },
    &Row {
        settings: LIMIT_PRIVATE_ADDRESSES,
        ..Row::new(
            "neighbour",
            Attack::Neighbour,
            "100 bad tokens a second from an office, whose people connect with good ones",
            "these are let in at the first try, within 1 s",
        )
    },
    &Row {
        length: Some(Duration::from_secs(25)),
        ..Row::new(
            "slow-heads",
            Attack::SlowHeads,
            "3,000 connections from 30 addresses, each with a byte of a request's head a second",
            "none is open for longer than `HEADER_TIMEOUT` (10 s)",
        )
    },
    &Row {
        is_short: true,
        ..Row::new(
            "2",
            Attack::HalfReceived(half_received::Hoard::Strangers { connections: 200 }),
            "200 connections without a token, each with unfinished frames, fragments, attachments, bodies and heads",
            "64 KiB for each",
        )
    },
    &Row::new(
        "3",
        Attack::HalfReceived(half_received::Hoard::Strangers { connections: 400 }),
        "the same on 400 connections, then they are gone",
        "RSS is back within 32 MiB in 60 s",
    ),
    &Row {
        // Users come and go, which is logged for each.
        max_lines: None,
        ..Row::new(
            "partial-input",
            Attack::HalfReceived(half_received::Hoard::Users { connections: 1_500 }),
            "1,500 users, each with a message of 65,000 bytes that does not end",
            "`MAX_PARTIAL_INPUT_BYTES` (64 MiB) for all",
        )
    },
    &Row {
        is_short: true,
        ..Row::new(
            "4",
            Attack::RefusedRequests,
            "emits with a bad token and refused handshakes, pipelined on two connections",
            "every refusal is in the metrics",
        )
    },
    &Row {
        length: Some(Duration::from_secs(25)),
        max_kernel: Some(64 * MIB),
        ..Row::new(
            "5",
            Attack::UnreadHealth,
            "300 connections ask `/health` without pause and read nothing",
            "none is open after `HTTP_WRITE_TIMEOUT` (10 s); 64 MiB in the kernel",
        )
    },
    &Row {
        length: Some(Duration::from_secs(25)),
        environment: Environment {
            clients: 40,
            is_churning: false,
            open_files: Some(300),
            ..Environment::USUAL
        },
        ..Row::new(
            "5-files",
            Attack::OutOfFiles,
            "the same where the service may open 300 files",
            "`/health` is answered again within 15 s",
        )
    },
    &Row {
        settings: &[("MAX_CONNECTIONS", "500")],
        length: Some(Duration::from_secs(20)),
        max_kernel: Some(64 * MIB),
        ..Row::new(
            "6",
            Attack::UnreadPolls,
            "one user opens polls and does not read their answers; `MAX_CONNECTIONS` is 500",
            "150 answers wait to be read: those of `MAX_CONNECTIONS_PER_USER` (50), which may be replaced twice in 10 s",
        )
    },
    &Row {
        max_delivery: MAX_DELIVERY_BESIDE_A_USER,
        is_short: true,
        ..Row::new(
            "6b",
            Attack::RefreshFlood,
            "4 users send `auth:refresh` without pause, 64 strangers noop packets",
            "others' delivery p99 20 ms or twice what it is without; 6 refreshes in a row",
        )
    },
    &Row {
        max_delivery: MAX_DELIVERY_BESIDE_A_USER,
        ..Row::new(
            "events",
            Attack::EventFlood,
            "4 users send events without pause",
            "others' delivery p99 20 ms or twice what it is without",
        )
    },
    &Row {
        max_delivery: MAX_DELIVERY_BESIDE_A_USER,
        ..Row::new(
            "6c",
            Attack::ManySockets,
            "one user opens 6,000 sockets and is notified 50 times a second",
            "`MAX_CONNECTIONS_PER_USER` (50) are open; others' delivery p99 20 ms or twice what it is without",
        )
    },
    &Row {
        settings: &[("AUTH_FAILURE", "legacy")],
        length: Some(Duration::from_secs(20)),
        ..Row::new(
            "6d",
            Attack::Legacy,
            "`AUTH_FAILURE=legacy`: 50 clients without a token ask to join every 2 s",
            "closed by `CONNECT_TIMEOUT` (10 s)",
        )
    },
    &Row {
        environment: Environment {
            is_log_unread: true,
            ..Environment::USUAL
        },
        ..Row::new(
            "6e",
            Attack::RefusedRequests,
            "row 4 while nobody reads the service's standard output",
            "the service serves on",
        )
    },
    &Row {
        is_short: true,
        ..Row::new(
            "7",
            Attack::DeclaredLength,
            "`Content-Length: 10000000000`, then a byte at a time",
            "refused within 1 s from the declared length, and closed",
        )
    },
    &Row::new(
        "message-bytes",
        Attack::MessageBytes,
        "messages of 17 kB before joining, and of 66 kB after it",
        "closed with 1009 over `MAX_UNJOINED_MESSAGE_BYTES` and `MAX_MESSAGE_BYTES`; 60 kB after joining are read",
    ),
    &Row {
        is_short: true,
        environment: Environment {
            has_back_end: false,
            is_bare: true,
            ..Environment::USUAL
        },
        ..Row::new(
            "8",
            Attack::OpenDoors,
            "the documented `docker run`, and a page of another site that asks for everything without a token",
            "no `/admin`, `/metrics`, presence or emit is served",
        )
    },
    &Row::new(
        "requests",
        Attack::RequestFlood,
        "`/health` without pause on one connection, answers are read",
        "`MAX_REQUESTS_PER_CONNECTION` (1,000) on a connection",
    ),
    &Row {
        settings: &[("MAX_SEND_QUEUE_TOTAL_BYTES", "33554432")],
        ..Row::new(
            "slow-consumers",
            Attack::SlowConsumers,
            "270 sockets of 6 users do not read, and are sent 2 MB each; `MAX_SEND_QUEUE_TOTAL_BYTES` is 32 MiB",
            "those with the most are closed",
        )
    },
    &Row {
        settings: &[
            ("EMIT_TOKEN_PREVIOUS", OTHER_EMIT_TOKEN),
            ("MAX_EMITS_PER_SECOND", "500"),
        ],
        ..Row::new(
            "emits",
            Attack::EmitFlood(emits::Excess::Requests),
            "a caller with a token of its own emits without pause; `MAX_EMITS_PER_SECOND` is 500",
            "429 with `Retry-After` for this caller, and none for the other",
        )
    },
    &Row {
        settings: &[
            ("EMIT_TOKEN_PREVIOUS", OTHER_EMIT_TOKEN),
            ("MAX_EMIT_BYTES_PER_SECOND", "1048576"),
        ],
        ..Row::new(
            "emits-bytes",
            Attack::EmitFlood(emits::Excess::Bytes),
            "the same with emits of 64 kB each; `MAX_EMIT_BYTES_PER_SECOND` is 1 MiB",
            "429 with `Retry-After` for this caller, and none for the other",
        )
    },
    &Row {
        settings: &[
            ("EMIT_TOKEN_PREVIOUS", OTHER_EMIT_TOKEN),
            ("MAX_RECIPIENTS_PER_SECOND", "1000"),
        ],
        ..Row::new(
            "emits-recipients",
            Attack::EmitFlood(emits::Excess::Recipients),
            "the same with broadcasts, each to 200 clients and more; `MAX_RECIPIENTS_PER_SECOND` is 1,000",
            "429 with `Retry-After` for this caller, and none for the other",
        )
    },
    &Row {
        settings: &[
            ("EMIT_TOKEN_PREVIOUS", OTHER_EMIT_TOKEN),
            ("MAX_CONCURRENT_EMITS", "16"),
        ],
        ..Row::new(
            "emits-concurrent",
            Attack::EmitFlood(emits::Excess::Concurrent),
            "the same beside 32 requests of the caller that do not end; `MAX_CONCURRENT_EMITS` is 16",
            "429 with `Retry-After` for this caller, and none for the other",
        )
    },
    &Row {
        // Users come and go, which is logged for each.
        max_lines: None,
        settings: LIMIT_PRIVATE_ADDRESSES,
        length: Some(Duration::from_secs(60)),
        ..Row::new(
            "office",
            Attack::Office,
            "2,000 agents behind one address lose their connections at once",
            "all are back within 13 s, by socket.io-client's 5 tries",
        )
    },
    &Row {
        // Users come and go, which is logged for each.
        max_lines: None,
        settings: BEHIND_PROXIES,
        is_proxied: true,
        length: Some(Duration::from_secs(60)),
        ..Row::new(
            "office-proxy",
            Attack::Office,
            "the same through a trusted proxy",
            "all are back within 13 s, by socket.io-client's 5 tries",
        )
    },
];
