//! Settings of a server.

use std::time::Duration;

use http::HeaderName;

use crate::OriginPolicy;

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
    /// Largest request head, in bytes; larger ones are answered with 431, and
    /// so are those of more than 100 headers, which is hyper's limit. 16 KiB,
    /// Node's `--max-http-header-size`.
    pub max_header_bytes: usize,
    /// How long a WebSocket that this side has closed waits for the peer's
    /// close frame. 2 s; `ws` for Node waits 30 s.
    pub close_linger: Duration,
    /// Request headers that [`ClientHandshake`](crate::ClientHandshake) keeps
    /// for as long as a client is connected. None: each costs memory.
    pub kept_headers: Vec<HeaderName>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            engine: engineio_proto::Config::default(),
            path: "/socket.io/".into(),
            origins: OriginPolicy::default(),
            header_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            max_header_bytes: 16 * 1024,
            close_linger: Duration::from_secs(2),
            kept_headers: Vec::new(),
        }
    }
}
