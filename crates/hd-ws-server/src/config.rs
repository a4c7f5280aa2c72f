//! Settings of a server.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use http::HeaderName;

use crate::{HttpCloseHook, OriginPolicy, RejectionHook, TrustedProxies};

/// Settings of the HTTP and WebSocket side of a server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Settings of the Engine.IO sessions: heartbeat, sizes, queues.
    pub engine: engineio_proto::Config,
    /// Path of the Engine.IO endpoint, with a slash at both ends. Requests to
    /// it and to anything below it are served. Socket.IO's default,
    /// `/socket.io/`.
    pub path: String,
    /// Which origins browsers may come from.
    pub origins: OriginPolicy,
    /// The proxies whose `X-Forwarded-For` says where a request comes from.
    /// None: the address is that of the TCP connection.
    pub trusted_proxies: TrustedProxies,
    /// Called with each request that is rejected. Does nothing.
    pub on_rejected: RejectionHook,
    /// Called with each HTTP connection that the server closes and its peer
    /// would have kept. Does nothing.
    pub on_http_closed: HttpCloseHook,
    /// How long a client may take to send a request's head. 10 s; Node's
    /// `headersTimeout` is 60 s, which a slow-header attack can live off.
    pub header_timeout: Duration,
    /// How long a connection may rest between two requests. 75 s: more than the
    /// 60 s of an AWS load balancer, which must be the one to close, or it
    /// answers a request on a connection that is just being closed with 502.
    pub keep_alive_timeout: Duration,
    /// How long a client may take to send a request's body. 30 s; Node's
    /// `requestTimeout` is 300 s.
    pub body_timeout: Duration,
    /// How long an answer may make no progress before its connection is reset:
    /// the kernel takes no byte of it, because the client reads none. 10 s, as
    /// long as a head may take; nginx' `send_timeout` is 60 s.
    pub http_write_timeout: Duration,
    /// Most requests on one connection: the answer to the last one says
    /// `Connection: close`, at which clients and load balancers open a new one.
    /// 1000, nginx' `keepalive_requests`.
    pub max_requests_per_connection: NonZeroU32,
    /// Most TCP connections at a time, WebSockets among them. When there are as
    /// many, the HTTP connection that has not got on for longest is closed in
    /// favour of a new one: the next byte of its request, of its answer, or its
    /// next request has been awaited for longest. A poll that waits for a
    /// session is never closed. `None`: as many as the process may open files,
    /// after which none is accepted.
    pub max_sockets: Option<NonZeroUsize>,
    /// Largest request head, in bytes; larger ones are answered with 431, and
    /// so are those of more than 100 headers, which is hyper's limit. 16 KiB,
    /// Node's `--max-http-header-size`.
    pub max_header_bytes: usize,
    /// Most clients at a time, on whatever transport: more are answered with 503
    /// and `Retry-After`, and all that is no new client is answered as ever.
    /// `None`, as with Node: as many as the process may open files, after which
    /// not even that is answered.
    pub max_connections: Option<NonZeroUsize>,
    /// Most clients that have joined nothing, which anybody may be. When there
    /// are more, the oldest of the address that has most of them is closed; an
    /// honest client joins at once. `None`, as with Node: no bound of their own,
    /// so that who comes first keeps [`max_connections`](Self::max_connections)
    /// from all others.
    pub max_unjoined_connections: Option<NonZeroUsize>,
    /// Most clients of one address that have joined nothing: beyond it the
    /// oldest of them is closed. As many TCP connections of one address may
    /// have asked nothing yet; further ones are closed. `None`, as with Node.
    pub max_connections_per_address: Option<NonZeroUsize>,
    /// Most handshakes by one TCP connection, unless it is one of a proxy, which
    /// carries those of many clients. More are answered with 429, and the
    /// connection is closed. `None`, as with Node.
    pub max_handshakes_per_connection: Option<NonZeroU32>,
    /// Most handshakes of one address in a second; ten times as many in a row
    /// after a while without. One whose client then joins does not count. Beyond
    /// it [`max_connections_per_address`](Self::max_connections_per_address) a
    /// second are served as long as no session of the address that is younger
    /// than a second has to go for it, and more are answered with 429. `None`, as
    /// with Node.
    pub max_handshakes_per_address: Option<NonZeroU32>,
    /// Most clients of one address in a second that the application keeps out;
    /// ten times as many in a row after a while without. Beyond it a client that
    /// is kept out is closed without an answer; one that is let in is concerned
    /// by nothing. `None`, as with Node.
    pub max_auth_failures_per_address: Option<NonZeroU32>,
    /// Largest message or polling body of a client that has joined nothing, in
    /// bytes. `None`, as with Node: [`max_message_bytes`](Self::max_message_bytes).
    pub max_unjoined_message_bytes: Option<NonZeroUsize>,
    /// Largest message or polling body of a client that has joined something,
    /// in bytes. `None`, as with Node: as large as the handshake announces, the
    /// `max_payload` of [`engine`](Self::engine), which is the bound in any case.
    pub max_message_bytes: Option<NonZeroUsize>,
    /// Most packets, and frames of WebSocket's own, of a client while it has
    /// joined nothing, and then none without a meaning (NOOP, OPEN, UPGRADE).
    /// `None`, as with Node.
    pub max_unjoined_packets: Option<NonZeroU32>,
    /// Most memory for messages that have come in part, in bytes, of all
    /// clients: unfinished frames, fragments, attachments and bodies. Clients
    /// that have joined nothing get half of it. Whoever needs more is closed.
    /// `None`, as with Node.
    pub max_partial_input_bytes: Option<NonZeroUsize>,
    /// Whether the limits of an address hold for private addresses too while no
    /// proxy is trusted: an address of a private network may be a load
    /// balancer's that nobody has named, which all clients share. Yes.
    pub limit_private_addresses: bool,
    /// Most messages that a client may send in a second, and all clients of one
    /// [identity](crate::Admission::identity) together: packets of Engine.IO of
    /// any kind, and control frames of WebSockets. Five seconds' worth may come
    /// at once. A client that sends more is read more slowly, which loses
    /// nothing, and closed when that goes on for
    /// [`throttle_timeout`](Self::throttle_timeout). `None`, as with Node.
    pub max_messages_per_second: Option<NonZeroU32>,
    /// The same for bytes, as they come over the network. The largest message
    /// may come at once in any case. `None`, as with Node.
    pub max_inbound_bytes_per_second: Option<NonZeroU32>,
    /// How long a client may go on sending more than it may. 10 s: with five
    /// seconds' worth at once, three times what it may send in five seconds gets
    /// through whole.
    pub throttle_timeout: Duration,
    /// Most clients of one [identity](crate::Admission::identity) at a time: one
    /// more, and the transport of the oldest is closed. Each of them may be
    /// replaced once in 10 s, and all of them twice at once; faster than that,
    /// the new ones are closed. `None`, as with Node.
    pub max_connections_per_user: Option<NonZeroUsize>,
    /// Most bytes queued for all clients together, counted as
    /// [`send_queue_bytes`](engineio_proto::Config::send_queue_bytes) is. Beyond,
    /// the clients with the most are closed. 256 MiB: 256 clients that read
    /// nothing, at the default bound of each.
    pub max_send_queue_total_bytes: usize,
    /// How long a WebSocket that this side has closed waits for the peer's
    /// close frame. 2 s; `ws` for Node waits 30 s.
    pub close_linger: Duration,
    /// How long a drain takes that nobody set a window for: the time over which
    /// the closes of its clients are spread. 60 s; Phoenix' drainer takes 30 s,
    /// and as long as Centrifugo's whole shutdown.
    pub drain_window: Duration,
    /// Most closes that a drain makes in a second. 200: each is followed by a
    /// handshake on another server, and so many are a small part of what one can
    /// take. Phoenix' drainer closes 5,000.
    pub drain_rate: NonZeroU32,
    /// The age at which a session is closed so that its client finds another
    /// server; for each of them it is up to a tenth more or less. `None`, as
    /// with Node: clients stay for as long as they like, and a new server gets
    /// new clients only.
    pub max_connection_age: Option<Duration>,
    /// Request headers that [`ClientHandshake`](crate::ClientHandshake) keeps
    /// for as long as a client is connected. None: each costs memory.
    pub kept_headers: Vec<HeaderName>,
    /// Parameters of the query that are kept likewise. None.
    pub kept_query_parameters: Vec<&'static str>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            engine: engineio_proto::Config::default(),
            path: "/socket.io/".into(),
            origins: OriginPolicy::default(),
            trusted_proxies: TrustedProxies::default(),
            on_rejected: RejectionHook::default(),
            on_http_closed: HttpCloseHook::default(),
            header_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            http_write_timeout: Duration::from_secs(10),
            max_requests_per_connection: const {
                NonZeroU32::new(1000).expect("invariant: 1000 is not zero")
            },
            max_sockets: None,
            max_header_bytes: 16 * 1024,
            max_connections: None,
            max_unjoined_connections: None,
            max_connections_per_address: None,
            max_handshakes_per_connection: None,
            max_handshakes_per_address: None,
            max_auth_failures_per_address: None,
            max_unjoined_message_bytes: None,
            max_message_bytes: None,
            max_unjoined_packets: None,
            max_partial_input_bytes: None,
            limit_private_addresses: true,
            max_messages_per_second: None,
            max_inbound_bytes_per_second: None,
            throttle_timeout: Duration::from_secs(10),
            max_connections_per_user: None,
            max_send_queue_total_bytes: 256 * 1024 * 1024,
            close_linger: Duration::from_secs(2),
            drain_window: Duration::from_secs(60),
            drain_rate: const { NonZeroU32::new(200).expect("invariant: 200 is not zero") },
            max_connection_age: None,
            kept_headers: Vec::new(),
            kept_query_parameters: Vec::new(),
        }
    }
}
