//! Settings: what was typed ([`Flags`], [`Sources`]) becomes what is meant ([`Settings`]), once.
//!
//! A flag wins over the environment, the environment over `.env` in the working directory, and
//! `.env` over the default; an empty value counts as none. Everything that is wrong is reported
//! at once, and no secret is ever shown.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::time::Duration;

use hd_cluster::{ClusterConfig, UnsignedRecords};
use hd_replay::{LogConfig, SeenConfig};
use hd_ws_server::TrustedProxies;
use socketio_proto::Parser;
use tracing::level_filters::LevelFilter;

use crate::open_files;

mod back_end;
mod commands;
mod dotenv;
mod limits;
mod origin;
mod problem;
mod reader;
mod redis_in_clear;
mod secrets;
mod sources;
mod strangers;
mod unknown;
mod values;
mod variables;

pub(crate) use back_end::{BackEndAuth, Guard, Scope, Scopes, TokenId};
pub(crate) use commands::{EmitClientSettings, HealthSettings, ListenSettings, SigningSettings};
pub(crate) use limits::{ClientLimits, EmitRates};
pub(crate) use origin::CorsOrigin;
pub(crate) use problem::Problems;
pub(crate) use reader::{Description, Warning};
pub(crate) use secrets::{JwtSettings, OperatorAuth};
pub(crate) use sources::{Flags, Sources};
pub(crate) use strangers::StrangerSettings;
pub(crate) use values::duration;
pub(crate) use variables::ALL as VARIABLES;

use reader::Reader;
use values::{Refusal, Words};
use variables as var;

/// Everything that the server is told, checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) node_env: NodeEnv,
    /// Where to listen; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Threads of the runtime.
    pub(crate) workers: NonZeroUsize,
    pub(crate) jwt: JwtSettings,
    /// Life of minted tokens, in whole seconds.
    pub(crate) jwt_expires_in: Duration,
    pub(crate) auth_failure: AuthFailure,
    /// What every Socket.IO client speaks.
    pub(crate) parser: Parser,
    pub(crate) cors_origin: CorsOrigin,
    /// Whether a request without `Origin` may connect.
    pub(crate) allow_no_origin: bool,
    pub(crate) allow_eio3: bool,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) back_end: BackEndAuth,
    /// Ids of emits that are remembered.
    pub(crate) idempotency: SeenConfig,
    /// What is kept for clients that are away; `None` for nothing.
    pub(crate) replay: Option<LogConfig>,
    /// The log that several processes share.
    pub(crate) cluster: Option<ClusterConfig>,
    /// What becomes of its records that no instance has signed.
    pub(crate) unsigned_records: UnsignedRecords,
    pub(crate) emit_without_redis: EmitWithoutRedis,
    /// Servers of Node that share it.
    pub(crate) node_peers: Option<NodePeersSettings>,
    /// The name of this process; `None` for one that is made up.
    pub(crate) node_name: Option<String>,
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) upgrade_timeout: Duration,
    pub(crate) header_timeout: Duration,
    /// How long an HTTP answer may make no progress.
    pub(crate) http_write_timeout: Duration,
    pub(crate) keep_alive_timeout: Duration,
    pub(crate) max_requests_per_connection: NonZeroU32,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) drain_window: Duration,
    /// Most closes in a second.
    pub(crate) drain_rate: NonZeroU32,
    pub(crate) max_connection_age: Option<Duration>,
    /// Most clients at a time.
    pub(crate) max_connections: NonZeroUsize,
    pub(crate) strangers: StrangerSettings,
    /// Most TCP connections at a time.
    pub(crate) max_sockets: NonZeroUsize,
    /// Most bytes that a client may send at once.
    pub(crate) max_payload: usize,
    /// Most bytes that may wait for one client.
    pub(crate) send_queue_bytes: usize,
    pub(crate) client_limits: ClientLimits,
    pub(crate) emit_rates: EmitRates,
    pub(crate) metrics_auth: OperatorAuth,
    pub(crate) admin_auth: OperatorAuth,
    pub(crate) log: LogSettings,
    /// Names of the settings whose values open a door or weaken a check.
    pub(crate) insecure: Vec<&'static str>,
    /// What works, and should be looked at.
    pub(crate) warnings: Vec<Warning>,
    /// The settings as they may be shown.
    pub(crate) description: Description,
}

impl Settings {
    /// Checks what the sources say.
    ///
    /// # Errors
    ///
    /// [`Problems`], with everything that is wrong.
    pub(crate) fn load(mut sources: Sources) -> Result<Self, Problems> {
        let mut reader = Reader::new(&mut sources);

        let node_env = reader.value(&var::NODE_ENV, values::word);
        let listen = listen_address(&mut reader);
        let cpus = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let workers = reader.value_or(&var::WORKERS, &cpus.min(MOST_WORKERS).to_string(), |text| {
            values::number(text, NonZeroUsize::MIN..=MOST_WORKERS)
        });

        let require_exp: bool = reader.value(&var::JWT_REQUIRE_EXP, values::word);
        if !require_exp {
            reader.insecure(
                &var::JWT_REQUIRE_EXP,
                "is false: a token without `exp` is good for ever; set it to true once \
                 help-desk-back signs with expiresIn",
            );
        }
        let jwt = secrets::jwt(&mut reader, node_env, require_exp);
        let jwt_expires_in = expires_in(&mut reader);
        let auth_failure = reader.value(&var::AUTH_FAILURE, values::word);
        if auth_failure == AuthFailure::Legacy {
            reader.insecure(
                &var::AUTH_FAILURE,
                "is legacy: a client is let in and put out again before it learns that its token \
                 is bad; set it to connect_error once no client needs the old answer",
            );
        }
        let parser = reader.value(&var::PARSER, values::word);
        let cors_origin = cors_origin(&mut reader, node_env);
        let allow_no_origin = reader.value(&var::ALLOW_NO_ORIGIN, values::word);
        let allow_eio3 = reader.value(&var::ALLOW_EIO3, values::word);
        let trusted_proxies = reader
            .optional(&var::TRUSTED_PROXIES, values::networks)
            .unwrap_or_default();

        let emit_auth = reader.value(&var::EMIT_AUTH, values::word);
        let back_end = back_end::back_end_auth(&mut reader, node_env, emit_auth);

        let idempotency = SeenConfig {
            ttl: reader.value(&var::IDEMPOTENCY_TTL, |text| {
                duration(text, SECOND..=MOST_KEPT)
            }),
            max_ids: reader.value(&var::IDEMPOTENCY_MAX_IDS, |text| {
                values::number(text, 1..=MOST_IDS)
            }),
        };

        let replay = replay(&mut reader);
        let cluster = cluster(&mut reader, replay.as_ref(), idempotency.ttl);
        let unsigned_records = reader.value(&var::REDIS_UNSIGNED_RECORDS, values::word);
        if unsigned_records == UnsignedRecords::Accept {
            reader.insecure(
                &var::REDIS_UNSIGNED_RECORDS,
                "believes whoever can write to Redis; set it to reject once every instance signs \
                 its records",
            );
        }
        let emit_without_redis = reader.value(&var::EMIT_WITHOUT_REDIS, values::word);
        let node_peers = node_peers(&mut reader);
        let node_name = reader.optional(&var::NODE_NAME, values::name);

        let heartbeat = |text: &str| duration(text, TEN_MS..=HOUR);
        let ping_interval = reader.value(&var::PING_INTERVAL, heartbeat);
        if ping_interval >= ALB_IDLE_TIMEOUT {
            reader.warn(
                &var::PING_INTERVAL,
                "lets a connection rest for longer than the 60 s after which a load balancer of \
                 AWS closes it, unless its idle timeout was raised",
            );
        }
        let ping_timeout = reader.value(&var::PING_TIMEOUT, heartbeat);
        let timeout = |text: &str| duration(text, TEN_MS..=TEN_MINUTES);
        let connect_timeout = reader.value(&var::CONNECT_TIMEOUT, timeout);
        let upgrade_timeout = reader.value(&var::UPGRADE_TIMEOUT, timeout);
        let header_timeout = reader.value(&var::HEADER_TIMEOUT, timeout);
        let http_write_timeout = reader.value(&var::HTTP_WRITE_TIMEOUT, timeout);
        let keep_alive_timeout = reader.value(&var::KEEP_ALIVE_TIMEOUT, timeout);
        if keep_alive_timeout <= ALB_IDLE_TIMEOUT {
            reader.warn(
                &var::KEEP_ALIVE_TIMEOUT,
                "closes connections that a load balancer of AWS keeps for 60 s to use them \
                 again, and which answers with 502 when it does just then",
            );
        }
        let max_requests_per_connection = reader.value(&var::MAX_REQUESTS_PER_CONNECTION, |text| {
            values::number(text, NonZeroU32::MIN..=NonZeroU32::MAX)
        });
        let shutdown_timeout = reader.value(&var::SHUTDOWN_TIMEOUT, |text| {
            duration(text, TEN_MS..=MOST_SHUTDOWN_TIMEOUT)
        });
        if shutdown_timeout >= ECS_STOP_TIMEOUT {
            reader.warn(
                &var::SHUTDOWN_TIMEOUT,
                "is not shorter than the 30 s after which ECS kills a task, unless its \
                 stopTimeout was raised",
            );
        }
        let drain_window = reader.value(&var::DRAIN_WINDOW, |text| duration(text, DRAIN_WINDOWS));
        let drain_rate = reader.value(&var::DRAIN_RATE, |text| {
            values::number(text, NonZeroU32::MIN..=MOST_DRAIN_RATE)
        });
        let max_connection_age = reader.value(&var::MAX_CONNECTION_AGE, max_connection_age);
        let max_connections = max_connections(&mut reader);
        let strangers = strangers::strangers(&mut reader, max_connections);
        let max_sockets = max_sockets(&mut reader, max_connections);
        let max_payload = reader.value(&var::MAX_PAYLOAD, |text| {
            values::number(text, LEAST_PAYLOAD..=MOST_BYTES)
        });
        strangers.warn_of_sizes(&mut reader, max_payload);
        let send_queue_bytes = reader.value(&var::SEND_QUEUE_BYTES, |text| {
            values::number(text, LEAST_SEND_QUEUE_BYTES..=MOST_BYTES)
        });
        let replay = replay.map(|log| LogConfig {
            // A portion goes into the queue of a client at once.
            max_replay_bytes: log.max_replay_bytes.min(send_queue_bytes / 2),
            ..log
        });

        let client_limits = limits::client_limits(&mut reader, send_queue_bytes);
        let emit_rates = limits::emit_rates(&mut reader);

        let collector = "where the metrics are collected";
        let metrics_auth = secrets::operator_auth(
            &mut reader,
            node_env,
            &var::METRICS_TOKEN,
            "GET /metrics",
            collector,
        );
        let pipeline = "in the pipeline that drains";
        let admin_auth = secrets::operator_auth(
            &mut reader,
            node_env,
            &var::ADMIN_TOKEN,
            "/admin/drain",
            pipeline,
        );
        let log = LogSettings {
            format: reader.value(&var::LOG_FORMAT, values::word),
            level: reader.value(&var::LOG_LEVEL, values::word),
            lines_per_second: reader.value(&var::LOG_LINES_PER_SECOND, |text| {
                values::number(text, 1..=MAX_LOG_LINES_PER_SECOND)
            }),
        };

        reader.warn_of_unknown_names();
        let insecure = reader.insecure_settings();
        let (warnings, description) = reader.finish()?;
        let Some(jwt) = jwt else {
            unreachable!("invariant: a secret that is missing here is a problem, reported above");
        };
        Ok(Self {
            node_env,
            listen,
            workers,
            jwt,
            jwt_expires_in,
            auth_failure,
            parser,
            cors_origin,
            allow_no_origin,
            allow_eio3,
            trusted_proxies,
            back_end,
            idempotency,
            replay,
            cluster,
            unsigned_records,
            emit_without_redis,
            node_peers,
            node_name,
            ping_interval,
            ping_timeout,
            connect_timeout,
            upgrade_timeout,
            header_timeout,
            http_write_timeout,
            keep_alive_timeout,
            max_requests_per_connection,
            shutdown_timeout,
            drain_window,
            drain_rate,
            max_connection_age,
            max_connections,
            strangers,
            max_sockets,
            max_payload,
            send_queue_bytes,
            client_limits,
            emit_rates,
            metrics_auth,
            admin_auth,
            log,
            insecure,
            warnings,
            description,
        })
    }
}

/// Which kind of run this is; it decides what is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeEnv {
    Development,
    Production,
}

impl Words for NodeEnv {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("development", Self::Development),
        ("production", Self::Production),
    ];
}

/// What a client with a bad token gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthFailure {
    /// CONNECT_ERROR, with the reason in `data.code`.
    ConnectError,
    /// CONNECT and then DISCONNECT, as the NestJS service did.
    Legacy,
}

impl Words for AuthFailure {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("connect_error", Self::ConnectError),
        ("legacy", Self::Legacy),
    ];
}

impl Words for Parser {
    const WORDS: &'static [(&'static str, Self)] =
        &[("default", Self::Text), ("msgpack", Self::Msgpack)];
}

/// What becomes of an emit while Redis does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EmitWithoutRedis {
    /// It is answered with 503.
    Refuse,
    /// It goes to the clients of this process, and is not kept.
    AcceptLocal,
}

impl Words for EmitWithoutRedis {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("refuse", Self::Refuse),
        ("accept-local", Self::AcceptLocal),
    ];
}

impl Words for UnsignedRecords {
    const WORDS: &'static [(&'static str, Self)] =
        &[("reject", Self::Reject), ("accept", Self::Accept)];
}

/// Whether what a client missed is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replay {
    On,
    Off,
}

impl Words for Replay {
    const WORDS: &'static [(&'static str, Self)] = &[("on", Self::On), ("off", Self::Off)];
}

/// How servers of Node speak to each other, and to this one.
#[derive(Clone, Debug)]
pub(crate) struct NodePeersSettings {
    /// The adapters that are listened to and spoken.
    pub(crate) adapters: Adapters,
    /// What the names of all channels begin with.
    pub(crate) prefix: String,
}

/// Which of Node's adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adapters {
    Classic,
    Sharded,
    /// Both, as far as Redis can.
    Auto,
}

impl Words for Option<Adapters> {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("off", None),
        ("classic", Some(Adapters::Classic)),
        ("sharded", Some(Adapters::Sharded)),
        ("auto", Some(Adapters::Auto)),
    ];
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogSettings {
    pub(crate) format: LogFormat,
    pub(crate) level: LevelFilter,
    /// Most lines of a kind that are written in a second.
    pub(crate) lines_per_second: u32,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people, as the NestJS service wrote.
    Text,
    /// One flat JSON object.
    Json,
}

impl Words for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

fn listen_address(reader: &mut Reader<'_>) -> SocketAddr {
    let host = reader.value(&var::HOST, values::ip_address);
    let port = reader.value(&var::PORT, |text| values::number(text, 0..=u16::MAX));
    SocketAddr::new(host, port)
}

fn replay(reader: &mut Reader<'_>) -> Option<LogConfig> {
    let replay = reader.value(&var::REPLAY, values::word);
    let bytes = |text: &str| values::number(text, LEAST_REPLAY_BYTES..=MOST_REPLAY_BYTES);
    let config = LogConfig {
        max_events: reader.value(&var::REPLAY_MAX_EVENTS, |text| {
            values::number(text, 1..=MOST_REPLAY_EVENTS)
        }),
        max_bytes: reader.value(&var::REPLAY_MAX_BYTES, bytes),
        max_total_bytes: reader.value(&var::REPLAY_MAX_TOTAL_BYTES, bytes),
        ttl: reader.value(&var::REPLAY_TTL, |text| duration(text, SECOND..=MOST_KEPT)),
        ..LogConfig::default()
    };
    match replay {
        Replay::On => Some(config),
        Replay::Off => None,
    }
}

fn cluster(
    reader: &mut Reader<'_>,
    replay: Option<&LogConfig>,
    id_ttl: Duration,
) -> Option<ClusterConfig> {
    let url = reader.secret(&var::REDIS_URL);
    let prefix = reader.value(&var::REDIS_PREFIX, values::name);
    let max_records = reader.value(&var::REPLAY_STREAM_EVENTS, |text| {
        values::number(text, LEAST_STREAM_EVENTS..=MOST_STREAM_EVENTS)
    });
    let max_bytes = reader.value(&var::REPLAY_STREAM_BYTES, |text| {
        values::number(text, LEAST_STREAM_BYTES..=MOST_STREAM_BYTES)
    });
    let url = url?;
    if replay.is_none() {
        reader.problem(
            &var::REDIS_URL,
            "is set, and REPLAY is off",
            "processes share what is replayed, and nothing else: set REPLAY=on, or take REDIS_URL out",
        );
    }
    let text = std::str::from_utf8(url).unwrap_or_default();
    if redis_in_clear::is_in_clear(text) {
        reader.insecure(
            &var::REDIS_URL,
            "has neither TLS nor a host of this machine: payloads and the password cross the \
             network in clear; use rediss:// where the network is shared",
        );
    }
    let url = text.parse().ok();
    let Some(url) = url else {
        reader.problem(
            &var::REDIS_URL,
            "is not the URL of a Redis",
            "write redis://host:6379, redis://user:password@host:6379/0, redis+unix:///path, \
             redis+sentinel://host:26379/master or redis+cluster://host:6379,host:6379",
        );
        return None;
    };
    Some(ClusterConfig {
        prefix,
        id_ttl,
        max_records,
        max_bytes,
        max_age: replay.map_or(MOST_KEPT, |replay| replay.ttl),
        rooms_of: crate::cluster::rooms_of,
        ..ClusterConfig::new(url)
    })
}

fn node_peers(reader: &mut Reader<'_>) -> Option<NodePeersSettings> {
    let adapters: Option<Adapters> = reader.value(&var::REDIS_PUBSUB, values::word);
    let prefix = reader.value(&var::REDIS_PUBSUB_PREFIX, values::name);
    let adapters = adapters?;
    if !reader.is_explicit(&var::REDIS_URL) {
        reader.problem(
            &var::REDIS_PUBSUB,
            "is set, and REDIS_URL is not",
            "set REDIS_URL to the Redis of the other servers, or take REDIS_PUBSUB out",
        );
    }
    Some(NodePeersSettings { adapters, prefix })
}

fn expires_in(reader: &mut Reader<'_>) -> Duration {
    reader.value(&var::JWT_EXPIRES_IN, |text| {
        values::seconds(text, SECOND..=MOST_EXPIRES_IN)
    })
}

fn max_connection_age(text: &str) -> Result<Option<Duration>, Refusal> {
    if text == "off" {
        return Ok(None);
    }
    duration(text, TEN_MS..=WEEK)
        .map(Some)
        .map_err(|refusal| Refusal {
            fix: format!("{}, or off", refusal.fix),
            ..refusal
        })
}

fn max_connections(reader: &mut Reader<'_>) -> NonZeroUsize {
    let room = open_files::room_for_clients();
    let max_connections = reader.value_or(&var::MAX_CONNECTIONS, &room.to_string(), |text| {
        values::number(text, NonZeroUsize::MIN..=MOST_CONNECTIONS)
    });
    if max_connections > room {
        reader.warn(
            &var::MAX_CONNECTIONS,
            format!(
                "is more than the {room} that the limit of open files leaves room for: raise \
                 nofile, or new clients may wait without an answer",
            ),
        );
    }
    max_connections
}

fn max_sockets(reader: &mut Reader<'_>, max_connections: NonZeroUsize) -> NonZeroUsize {
    let room = open_files::room_for_sockets();
    let max_sockets = reader.value_or(&var::MAX_SOCKETS, &room.to_string(), |text| {
        values::number(text, NonZeroUsize::MIN..=MOST_CONNECTIONS)
    });
    if max_sockets > room {
        reader.warn(
            &var::MAX_SOCKETS,
            format!(
                "is more than the {room} that the limit of open files leaves room for: raise \
                 nofile, or idle HTTP connections may keep new ones out",
            ),
        );
    }
    if reader.is_explicit(&var::MAX_SOCKETS) && max_sockets <= max_connections {
        reader.warn(
            &var::MAX_SOCKETS,
            "leaves no room for the requests of the back end and of load balancers when \
             MAX_CONNECTIONS clients are connected: set it higher than MAX_CONNECTIONS",
        );
    }
    max_sockets
}

fn cors_origin(reader: &mut Reader<'_>, node_env: NodeEnv) -> CorsOrigin {
    let cors_origin = reader.value(&var::CORS_ORIGIN, origin::cors_origin);
    if cors_origin != CorsOrigin::Any {
        return cors_origin;
    }
    match node_env {
        NodeEnv::Production if !reader.is_explicit(&var::CORS_ORIGIN) => reader.problem(
            &var::CORS_ORIGIN,
            "is needed in production",
            "set it to the front end's origin, such as https://help.example.com, or to * to let \
             pages of every site connect",
        ),
        NodeEnv::Production | NodeEnv::Development => reader.insecure(
            &var::CORS_ORIGIN,
            "is *: pages of every site can connect; set it to the front end's origin, such as \
             https://help.example.com",
        ),
    }
    cors_origin
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Conformance suites run with heartbeats of some hundred milliseconds.
const TEN_MS: Duration = Duration::from_millis(10);
const TEN_MINUTES: Duration = Duration::from_secs(10 * 60);
const MOST_EXPIRES_IN: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Idle timeout of an AWS Application Load Balancer, by default.
const ALB_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time from SIGTERM to SIGKILL in ECS, by default.
const ECS_STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// The same, as far as Fargate lets it be raised.
const MOST_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(120);
/// The windows that a drain may have; 0 is as fast as the rate allows.
pub(crate) const DRAIN_WINDOWS: RangeInclusive<Duration> = Duration::ZERO..=HOUR;
const MOST_DRAIN_RATE: NonZeroU32 = NonZeroU32::new(100_000).expect("invariant: it is not zero");
/// File numbers are ints.
const MOST_CONNECTIONS: NonZeroUsize =
    NonZeroUsize::new(i32::MAX as usize).expect("invariant: it is not zero");
/// More than the service can log: no line is suppressed.
const MAX_LOG_LINES_PER_SECOND: u32 = 1_000_000;
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const MOST_WORKERS: NonZeroUsize = NonZeroUsize::new(1024).expect("invariant: 1024 is not zero");
/// A CONNECT packet with a token of 8 kB, the most that is verified, and room around it.
const LEAST_PAYLOAD: usize = 16 * 1024;
/// An event of the largest size that may be emitted, and room for its name and headers: with
/// less, such an event could be accepted and never be delivered.
const LEAST_SEND_QUEUE_BYTES: usize = hd_events::DEFAULT_MAX_PAYLOAD_BYTES + 4 * 1024;
const MOST_BYTES: usize = 100_000_000;
/// A replay is looked for in the whole log of a room, while others wait.
const MOST_REPLAY_EVENTS: usize = 10_000;
/// What a reader may lag behind.
const LEAST_STREAM_EVENTS: u64 = 1000;
const MOST_STREAM_EVENTS: u64 = 100_000_000;
/// A record of the largest payload.
const LEAST_STREAM_BYTES: u64 = 1 << 20;
const MOST_STREAM_BYTES: u64 = 64 << 30;
/// A few events.
const LEAST_REPLAY_BYTES: usize = 4 * 1024;
/// 64 GiB, the most memory but one size that Fargate has.
const MOST_REPLAY_BYTES: usize = 64 * 1024 * 1024 * 1024;
/// Some 2 GB.
const MOST_IDS: usize = 10_000_000;
const MOST_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
