//! Every setting there is, in one table: flags, `--help` and the list printed at start come from
//! it, and `.env.example` is checked against it.

/// One setting.
#[derive(Debug)]
pub(crate) struct Variable {
    /// Name in the environment and in `.env`.
    pub(crate) name: &'static str,
    /// The flag without its dashes. That of a secret is refused: command lines are visible to
    /// every process of the machine.
    pub(crate) flag: &'static str,
    /// Whether the value must never be shown.
    pub(crate) is_secret: bool,
    /// What stands for the value in `--help`.
    pub(crate) value_name: &'static str,
    /// The value when nothing is set, as it would be typed.
    pub(crate) default: Option<&'static str>,
    /// The same in words, where it is known only at start.
    pub(crate) default_in_words: &'static str,
    pub(crate) heading: &'static str,
    pub(crate) help: &'static str,
}

macro_rules! variables {
    ($(
        $name:ident {
            flag: $flag:expr,
            $(is_secret: $is_secret:expr,)?
            value_name: $value_name:expr,
            default: $default:expr,
            $(default_in_words: $words:expr,)?
            heading: $heading:expr,
            help: $help:expr $(,)?
        }
    )*) => {
        $(pub(crate) static $name: Variable = Variable {
            name: stringify!($name),
            flag: $flag,
            is_secret: false $(|| $is_secret)?,
            value_name: $value_name,
            default: $default,
            default_in_words: concat!($($words)?),
            heading: $heading,
            help: $help,
        };)*

        /// All of them, in the order in which they are listed.
        pub(crate) static ALL: &[&Variable] = &[$(&$name),*];
    };
}

const GENERAL: &str = "General";
const CLIENTS: &str = "Clients";
const BACK_END: &str = "Back end";
const REPLAY_HEADING: &str = "Replay";
const CLUSTER: &str = "Several processes";
const LIMITS: &str = "Times and limits";
const TELEMETRY: &str = "Logs and metrics";
const OPERATORS: &str = "Administration";

variables! {
    NODE_ENV {
        flag: "node-env",
        value_name: "ENV",
        default: Some("development"),
        heading: GENERAL,
        help: "development or production. Production refuses to start with settings that are \
               only good enough for development",
    }
    HOST {
        flag: "host",
        value_name: "IP",
        // Not `::`, which cannot be bound in a container without IPv6.
        default: Some("0.0.0.0"),
        heading: GENERAL,
        help: "Address to listen on; `::` listens on IPv6 and IPv4",
    }
    PORT {
        flag: "port",
        value_name: "PORT",
        default: Some("3001"),
        heading: GENERAL,
        help: "Port to listen on; 0 takes a free one",
    }
    WORKERS {
        flag: "workers",
        value_name: "N",
        default: None,
        default_in_words: "the number of CPUs",
        heading: GENERAL,
        help: "Threads that serve connections",
    }
    JWT_SECRET {
        flag: "jwt-secret",
        is_secret: true,
        value_name: "SECRET",
        default: None,
        heading: CLIENTS,
        help: "Secret that help-desk-back signs tokens with, byte for byte the same",
    }
    JWT_SECRET_PREVIOUS {
        flag: "jwt-secret-previous",
        is_secret: true,
        value_name: "SECRET",
        default: None,
        heading: CLIENTS,
        help: "The secret before the last change; its tokens stay valid until they expire",
    }
    JWT_REQUIRE_EXP {
        flag: "jwt-require-exp",
        value_name: "BOOL",
        default: Some("true"),
        heading: CLIENTS,
        help: "Whether a token without `exp` is refused",
    }
    JWT_EXPIRES_IN {
        flag: "jwt-expires-in",
        value_name: "TIME",
        default: Some("24h"),
        heading: CLIENTS,
        help: "Life of the tokens that this program mints",
    }
    AUTH_FAILURE {
        flag: "auth-failure",
        value_name: "HOW",
        default: Some("connect_error"),
        heading: CLIENTS,
        help: "What a client with a bad token gets: connect_error, or legacy, which is CONNECT \
               and then DISCONNECT as from the NestJS service",
    }
    PARSER {
        flag: "parser",
        value_name: "NAME",
        default: Some("default"),
        heading: CLIENTS,
        help: "What every Socket.IO client is built with: default, or msgpack, which is \
               socket.io-msgpack-parser. Neither side can detect which the other has",
    }
    CORS_ORIGIN {
        flag: "cors-origin",
        value_name: "ORIGINS",
        default: Some("*"),
        heading: CLIENTS,
        help: "Origins that may connect, such as https://help.example.com, separated by commas; \
               * allows all, and must be stated in production",
    }
    ALLOW_NO_ORIGIN {
        flag: "allow-no-origin",
        value_name: "BOOL",
        default: Some("true"),
        heading: CLIENTS,
        help: "Whether a request without an Origin may connect. Browsers always send one",
    }
    ALLOW_EIO3 {
        flag: "allow-eio3",
        value_name: "BOOL",
        default: Some("false"),
        heading: CLIENTS,
        help: "Whether clients of Socket.IO 2 (Engine.IO 3) may connect",
    }
    TRUSTED_PROXIES {
        flag: "trusted-proxies",
        value_name: "NETWORKS",
        default: None,
        heading: CLIENTS,
        help: "Networks of the load balancers whose X-Forwarded-For is believed, such as \
               10.0.0.0/16, separated by commas. Without it the remote address is that of the \
               TCP connection",
    }
    EMIT_AUTH {
        flag: "emit-auth",
        value_name: "HOW",
        default: Some("token"),
        heading: BACK_END,
        help: "Who may emit: token asks for EMIT_TOKEN, open lets everybody who reaches the port",
    }
    EMIT_TOKEN {
        flag: "emit-token",
        is_secret: true,
        value_name: "TOKEN",
        default: None,
        heading: BACK_END,
        help: "Token that help-desk-back emits with, sent as `Authorization: Bearer <token>`",
    }
    EMIT_TOKEN_PREVIOUS {
        flag: "emit-token-previous",
        is_secret: true,
        value_name: "TOKEN",
        default: None,
        heading: BACK_END,
        help: "The token before the last change, still accepted",
    }
    BROADCAST_TOKEN {
        flag: "broadcast-token",
        is_secret: true,
        value_name: "TOKEN",
        default: None,
        heading: BACK_END,
        help: "Token for broadcasts; with it EMIT_TOKEN no longer opens them",
    }
    BROADCAST_TOKEN_PREVIOUS {
        flag: "broadcast-token-previous",
        is_secret: true,
        value_name: "TOKEN",
        default: None,
        heading: BACK_END,
        help: "The broadcast token before the last change, still accepted",
    }
    PRESENCE_TOKEN {
        flag: "presence-token",
        is_secret: true,
        value_name: "TOKEN",
        default: None,
        heading: BACK_END,
        help: "Token for who is connected; with it EMIT_TOKEN no longer opens that",
    }
    PRESENCE_TOKEN_PREVIOUS {
        flag: "presence-token-previous",
        is_secret: true,
        value_name: "TOKEN",
        default: None,
        heading: BACK_END,
        help: "The presence token before the last change, still accepted",
    }
    IDEMPOTENCY_TTL {
        flag: "idempotency-ttl",
        value_name: "TIME",
        // As long as an event is kept: who tries again tries sooner.
        default: Some("24h"),
        heading: BACK_END,
        help: "How long the id of an emit is remembered, so that it is carried out once",
    }
    IDEMPOTENCY_MAX_IDS {
        flag: "idempotency-max-ids",
        value_name: "N",
        // More than one a second for a day, some 20 MB.
        default: Some("100000"),
        heading: BACK_END,
        help: "Ids that are remembered; beyond, the oldest goes. With REDIS_URL they are in Redis, \
               and IDEMPOTENCY_TTL is their only bound",
    }
    REPLAY {
        flag: "replay",
        value_name: "HOW",
        default: Some("on"),
        heading: REPLAY_HEADING,
        help: "Whether a client that comes back is sent what it missed: on, or off",
    }
    REPLAY_MAX_EVENTS {
        flag: "replay-max-events",
        value_name: "N",
        // What a person who is away for a day may be sent, several times over.
        default: Some("256"),
        heading: REPLAY_HEADING,
        help: "Events that are kept for a user, and for each role, department, region, position, \
               and everyone",
    }
    REPLAY_MAX_BYTES {
        flag: "replay-max-bytes",
        value_name: "BYTES",
        // 256 KiB: 1 KiB for each of 256 events.
        default: Some("262144"),
        heading: REPLAY_HEADING,
        help: "Bytes of them that are kept",
    }
    REPLAY_MAX_TOTAL_BYTES {
        flag: "replay-max-total-bytes",
        value_name: "BYTES",
        // 128 MiB: a quarter of the smallest container that Fargate has.
        default: Some("134217728"),
        heading: REPLAY_HEADING,
        help: "Bytes that are kept in all; beyond, the oldest events go",
    }
    REPLAY_TTL {
        flag: "replay-ttl",
        value_name: "TIME",
        default: Some("24h"),
        heading: REPLAY_HEADING,
        help: "How long an event is kept",
    }
    REDIS_URL {
        flag: "redis-url",
        is_secret: true,
        value_name: "URL",
        default: None,
        heading: CLUSTER,
        help: "Redis 7 or Valkey in which several processes share what is replayed, as \
               redis://user:password@host:6379/0. Without it there is one process",
    }
    REDIS_PREFIX {
        flag: "redis-prefix",
        value_name: "NAME",
        default: Some("help-desk-ws"),
        heading: CLUSTER,
        help: "What the names of all keys in it begin with",
    }
    REPLAY_STREAM_EVENTS {
        flag: "replay-stream-events",
        value_name: "N",
        // An hour of 1,500 events a minute.
        default: Some("100000"),
        heading: CLUSTER,
        help: "Events that are kept in Redis; beyond, the oldest go",
    }
    REPLAY_STREAM_BYTES {
        flag: "replay-stream-bytes",
        value_name: "BYTES",
        // 256 MiB: half of the smallest cache that ElastiCache has.
        default: Some("268435456"),
        heading: CLUSTER,
        help: "Bytes that they may have there, 100 for each event included",
    }
    EMIT_WITHOUT_REDIS {
        flag: "emit-without-redis",
        value_name: "HOW",
        default: Some("refuse"),
        heading: CLUSTER,
        help: "What becomes of an emit while Redis does not answer: refuse, or accept-local, which \
               sends it to the clients of this process only, and does not keep it",
    }
    REDIS_UNSIGNED_RECORDS {
        flag: "redis-unsigned-records",
        value_name: "HOW",
        default: Some("reject"),
        heading: CLUSTER,
        help: "What becomes of records in Redis without an HMAC by JWT_SECRET: reject, or accept \
               while instances of a release before 0.2 are replaced",
    }
    REDIS_PUBSUB {
        flag: "redis-pubsub",
        value_name: "HOW",
        default: Some("off"),
        heading: CLUSTER,
        help: "Beside Socket.IO servers of Node on the same Redis, the adapter that those have: \
               classic, sharded, auto for both, or off when there are none",
    }
    REDIS_PUBSUB_PREFIX {
        flag: "redis-pubsub-prefix",
        value_name: "NAME",
        default: Some("socket.io"),
        heading: CLUSTER,
        help: "The adapters' option `key`, or `channelPrefix`",
    }
    NODE_NAME {
        flag: "node-name",
        value_name: "NAME",
        default: None,
        default_in_words: "the host's name and four random characters",
        heading: CLUSTER,
        help: "What this process is called where it is told who is connected to it",
    }
    PING_INTERVAL {
        flag: "ping-interval",
        value_name: "TIME",
        default: Some("25s"),
        heading: LIMITS,
        help: "Time between two pings to a client",
    }
    PING_TIMEOUT {
        flag: "ping-timeout",
        value_name: "TIME",
        default: Some("20s"),
        heading: LIMITS,
        help: "Time in which a client answers a ping, or counts as gone",
    }
    CONNECT_TIMEOUT {
        flag: "connect-timeout",
        value_name: "TIME",
        // Socket.IO's `connectTimeout` is 45 s; a client that means well joins at once.
        default: Some("10s"),
        heading: LIMITS,
        help: "Time in which a client joins a namespace, or is closed",
    }
    UPGRADE_TIMEOUT {
        flag: "upgrade-timeout",
        value_name: "TIME",
        default: Some("10s"),
        heading: LIMITS,
        help: "Time in which a client finishes its move from polling to WebSocket",
    }
    HEADER_TIMEOUT {
        flag: "header-timeout",
        value_name: "TIME",
        default: Some("10s"),
        heading: LIMITS,
        help: "Time in which the head of an HTTP request arrives",
    }
    HTTP_WRITE_TIMEOUT {
        flag: "http-write-timeout",
        value_name: "TIME",
        // As long as a head may take.
        default: Some("10s"),
        heading: LIMITS,
        help: "Time that an HTTP answer may make no progress, because the client does not read \
               it, before its connection is closed",
    }
    KEEP_ALIVE_TIMEOUT {
        flag: "keep-alive-timeout",
        value_name: "TIME",
        // More than the 60 s of an AWS load balancer.
        default: Some("75s"),
        heading: LIMITS,
        help: "Time that an HTTP connection rests between two requests before it is closed",
    }
    MAX_REQUESTS_PER_CONNECTION {
        flag: "max-requests-per-connection",
        value_name: "N",
        // nginx' keepalive_requests.
        default: Some("1000"),
        heading: LIMITS,
        help: "Most requests on one HTTP connection; the answer to the last one says \
               `Connection: close`",
    }
    SHUTDOWN_TIMEOUT {
        flag: "shutdown-timeout",
        value_name: "TIME",
        // `docker stop` sends SIGKILL 10 s after SIGTERM, and ECS after 30 s.
        default: Some("8s"),
        heading: LIMITS,
        help: "Time from SIGTERM to the end of the last connection; with REDIS_URL up to a second more",
    }
    DRAIN_WINDOW {
        flag: "drain-window",
        value_name: "TIME",
        default: Some("60s"),
        heading: LIMITS,
        help: "Time over which a drain closes its clients, each at a random moment; less for a \
               few clients, and never longer than SHUTDOWN_TIMEOUT allows after SIGTERM",
    }
    DRAIN_RATE {
        flag: "drain-rate",
        value_name: "N",
        // What follows are handshakes on another server, which this is a small part of.
        default: Some("200"),
        heading: LIMITS,
        help: "Most clients that a drain closes in a second; the window is made longer for it",
    }
    MAX_CONNECTION_AGE {
        flag: "max-connection-age",
        value_name: "TIME",
        default: Some("off"),
        heading: LIMITS,
        help: "Age, give or take a tenth, at which a connection is closed so that its client \
               comes back and may find a new server; off keeps connections",
    }
    MAX_CONNECTIONS {
        flag: "max-connections",
        value_name: "N",
        default: None,
        default_in_words: "what the limit of open files leaves; a tenth of it, or 4096, is kept back",
        heading: LIMITS,
        help: "Most clients at a time; more are answered with 503 and try again",
    }
    MAX_UNJOINED_CONNECTIONS {
        flag: "max-unjoined-connections",
        value_name: "N",
        default: None,
        default_in_words: "a tenth of MAX_CONNECTIONS, at least 1000",
        heading: LIMITS,
        help: "Most clients that have joined nothing; beyond it the oldest of the address that has \
               most of them is closed",
    }
    MAX_CONNECTIONS_PER_ADDRESS {
        flag: "max-connections-per-address",
        value_name: "N",
        // Ten seconds of MAX_HANDSHAKES_PER_ADDRESS.
        default: Some("200"),
        heading: LIMITS,
        help: "The same of one remote address, and most TCP connections that have asked nothing yet",
    }
    MAX_HANDSHAKES_PER_CONNECTION {
        flag: "max-handshakes-per-connection",
        value_name: "N",
        // A client needs one; a browser that reconnects over the same connection, a few.
        default: Some("20"),
        heading: LIMITS,
        help: "Most handshakes by one TCP connection that is not one of TRUSTED_PROXIES; more are \
               answered with 429",
    }
    MAX_HANDSHAKES_PER_ADDRESS {
        flag: "max-handshakes-per-address",
        value_name: "N",
        default: Some("20"),
        heading: LIMITS,
        help: "Most handshakes of one remote address a second, ten times as many in a row. Those of \
               clients that join do not count. Beyond it MAX_CONNECTIONS_PER_ADDRESS a second are \
               served while no client younger than a second has to go for it, and more are \
               answered with 429",
    }
    MAX_AUTH_FAILURES_PER_ADDRESS {
        flag: "max-auth-failures-per-address",
        value_name: "N",
        default: Some("5"),
        heading: LIMITS,
        help: "Most refused tokens of one remote address a second, ten times as many in a row; \
               beyond it a client with a bad token is closed without an answer. One with a good \
               token is let in",
    }
    MAX_UNJOINED_MESSAGE_BYTES {
        flag: "max-unjoined-message-bytes",
        value_name: "BYTES",
        // A CONNECT packet with a token of 8 kB, the most that is verified, and room around it.
        default: Some("16384"),
        heading: LIMITS,
        help: "Largest message of a client that has joined nothing",
    }
    MAX_MESSAGE_BYTES {
        flag: "max-message-bytes",
        value_name: "BYTES",
        // Clients send tokens to this service, and nothing else.
        default: Some("65536"),
        heading: LIMITS,
        help: "Largest message of a client that has joined, attachments included; MAX_PAYLOAD is \
               what the handshake announces",
    }
    MAX_UNJOINED_PACKETS {
        flag: "max-unjoined-packets",
        value_name: "N",
        // 60 CONNECTs a minute may be asked for, and pongs are due.
        default: Some("100"),
        heading: LIMITS,
        help: "Most packets of a client that has joined nothing; only CONNECT, ping and pong are \
               taken",
    }
    MAX_PARTIAL_INPUT_BYTES {
        flag: "max-partial-input-bytes",
        value_name: "BYTES",
        // 64 MiB: 1,000 messages of the largest size at once.
        default: Some("67108864"),
        heading: LIMITS,
        help: "Most memory for messages of which a part has come, of all clients; half of it for \
               those that have joined nothing",
    }
    MAX_SOCKETS {
        flag: "max-sockets",
        value_name: "N",
        default: None,
        default_in_words: "what the limit of open files leaves; a hundredth of it, or 256, is kept back",
        heading: LIMITS,
        help: "Most TCP connections at a time, WebSockets among them; at the bound the HTTP \
               connection that has made no progress for longest is closed for a new one",
    }
    MAX_PAYLOAD {
        flag: "max-payload",
        value_name: "BYTES",
        default: Some("1000000"),
        heading: LIMITS,
        help: "Most that a client may send at once",
    }
    SEND_QUEUE_BYTES {
        flag: "send-queue-bytes",
        value_name: "BYTES",
        // 1 MiB: four events of the largest size that may be emitted (256 KiB), or thousands of
        // ordinary ones, and a thousand stuck clients still cost no more than 1 GiB.
        default: Some("1048576"),
        heading: LIMITS,
        help: "Most that may wait for one client that reads slowly, before it is closed",
    }
    MAX_SEND_QUEUE_TOTAL_BYTES {
        flag: "max-send-queue-total-bytes",
        value_name: "BYTES",
        // 256 MiB: half of the smallest container that Fargate has, and 256 clients at
        // SEND_QUEUE_BYTES.
        default: Some("268435456"),
        heading: LIMITS,
        help: "Most that may wait for all clients together; beyond, those with the most are closed",
    }
    MAX_MESSAGES_PER_SECOND {
        flag: "max-messages-per-second",
        value_name: "N",
        // A client has something to say when it joins, and answers a ping every 25 s.
        default: Some("50"),
        heading: LIMITS,
        help: "Most messages that a client may send, and all clients of a user together; five \
               seconds' worth at once. More are read more slowly, and after 10 s of it the client \
               is closed",
    }
    MAX_INBOUND_BYTES_PER_SECOND {
        flag: "max-inbound-bytes-per-second",
        value_name: "BYTES",
        // 64 KiB: the largest message each second.
        default: Some("65536"),
        heading: LIMITS,
        help: "The same for bytes",
    }
    MAX_CONNECTIONS_PER_USER {
        flag: "max-connections-per-user",
        value_name: "N",
        // More tabs and devices than a person has.
        default: Some("50"),
        heading: LIMITS,
        help: "Most connections of a user to this process; one more, and the oldest is closed. Each \
               may be replaced once in 10 s",
    }
    MAX_EMITS_PER_SECOND {
        flag: "max-emits-per-second",
        value_name: "N",
        // Ours: far more than a back end has to say, and a part of the 70,000 that were measured.
        default: Some("10000"),
        heading: LIMITS,
        help: "Most emits of one caller, each item of a batch counted; more are answered with 429",
    }
    MAX_EMIT_BYTES_PER_SECOND {
        flag: "max-emit-bytes-per-second",
        value_name: "BYTES",
        // 64 MiB: 10,000 emits of 6.5 kB.
        default: Some("67108864"),
        heading: LIMITS,
        help: "Most bytes that one caller may send to be emitted; more are answered with 429",
    }
    MAX_RECIPIENTS_PER_SECOND {
        flag: "max-recipients-per-second",
        value_name: "N",
        // Sixteen broadcasts a second to 60,000 clients.
        default: Some("1000000"),
        heading: LIMITS,
        help: "Most clients of this process that one caller may emit to, each counted for each \
               emit; more are answered with 429",
    }
    MAX_CONCURRENT_EMITS {
        flag: "max-concurrent-emits",
        value_name: "N",
        // A pool of HTTP connections has tens.
        default: Some("1024"),
        heading: LIMITS,
        help: "Most requests of one caller that emit at the same time; more are answered with 429",
    }
    LOG_FORMAT {
        flag: "log-format",
        value_name: "FORMAT",
        default: Some("text"),
        heading: TELEMETRY,
        help: "text or json, one line for each event",
    }
    LOG_LEVEL {
        flag: "log-level",
        value_name: "LEVEL",
        default: Some("info"),
        heading: TELEMETRY,
        help: "off, error, warn, info, debug or trace",
    }
    LOG_LINES_PER_SECOND {
        flag: "log-lines-per-second",
        value_name: "N",
        // Ours: enough to see what is going on, and with 200 bytes a line 170 MB a day at most for a
        // kind that floods.
        default: Some("10"),
        heading: TELEMETRY,
        help: "Lines of one kind and reason that are written in a second; a summary counts the \
               others every 5 s. Connects and disconnects of clients have 1000, unless it is more",
    }
    METRICS_TOKEN {
        flag: "metrics-token",
        is_secret: true,
        value_name: "TOKEN",
        default: None,
        heading: TELEMETRY,
        help: "Token for GET /metrics, sent as `Authorization: Bearer <token>`. Without one there \
               are no metrics in production, and in development they are for this machine only",
    }
    ADMIN_TOKEN {
        flag: "admin-token",
        is_secret: true,
        value_name: "TOKEN",
        default: None,
        heading: OPERATORS,
        help: "Token for /admin/drain, sent as `Authorization: Bearer <token>`. Without one there \
               is no such route in production, and in development it is for this machine only",
    }
}
