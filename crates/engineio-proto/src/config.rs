//! Settings of a server's sessions.

use std::time::Duration;

use crate::{CloseReason, DecodeError, Packet};

/// Settings that all sessions of a server share. The defaults are those of
/// engine.io 6, unless a field says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// From a pong to the next ping. Engine.IO's `pingInterval`, 25 s.
    pub ping_interval: Duration,
    /// From a ping until its pong is given up. Engine.IO's `pingTimeout`, 20 s.
    pub ping_timeout: Duration,
    /// How long an upgrade may take before the new transport is closed.
    /// Engine.IO's `upgradeTimeout`, 10 s.
    pub upgrade_timeout: Duration,
    /// How long a closing session waits for its queue to be fetched or written.
    /// engine.io's polling `closeTimeout`, 30 s.
    pub close_timeout: Duration,
    /// The same for a session that is closed since the server shuts down, if that
    /// is less. engine.io has no such limit; 5 s is several round trips. A load
    /// balancer may send the client's polls to another server already, and then
    /// this one waits for nothing.
    pub shutdown_close_timeout: Duration,
    /// Largest message or polling body from a client, in bytes. Engine.IO's
    /// `maxHttpBufferSize`, 1 MB.
    pub max_payload: usize,
    /// Most packets in one polling body. engine.io has no such limit; 16,384
    /// is the number of fragments that the `ws` package allows in one message.
    pub max_packets_per_payload: usize,
    /// Most packets in the answer to one poll; the rest waits for the next.
    /// engine.io has no such limit; 16 is what python-engineio decodes
    /// (`max_decode_packets`), and it gives up on a larger payload. 0 counts
    /// as 1.
    pub max_packets_per_poll: usize,
    /// Most bytes queued for one client, each frame with its header and with
    /// the 64 bytes that it costs to keep it. engine.io has no such limit;
    /// 1 MiB holds any message that a client may send itself.
    pub send_queue_bytes: usize,
    /// Transports that a handshake may ask for. Both.
    pub transports: Transports,
    /// Whether clients of revision 3 are let in, those of Socket.IO 2. engine.io's
    /// `allowEIO3`, false.
    pub allow_eio3: bool,
}

impl Config {
    /// How long a session that is closed for this reason waits for its queue to be
    /// fetched or written.
    #[must_use]
    pub fn close_timeout_of(&self, reason: CloseReason) -> Duration {
        if reason == CloseReason::ServerShuttingDown {
            self.close_timeout.min(self.shutdown_close_timeout)
        } else {
            self.close_timeout
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_millis(25_000),
            ping_timeout: Duration::from_millis(20_000),
            upgrade_timeout: Duration::from_millis(10_000),
            close_timeout: Duration::from_millis(30_000),
            shutdown_close_timeout: Duration::from_millis(5_000),
            max_payload: 1_000_000,
            max_packets_per_payload: 16_384,
            max_packets_per_poll: 16,
            send_queue_bytes: 1024 * 1024,
            transports: Transports::Both,
            allow_eio3: false,
        }
    }
}

/// How packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// HTTP long-polling: GET to receive, POST to send.
    Polling,
    /// A WebSocket connection.
    WebSocket,
}

impl Transport {
    /// The value of the query parameter `transport`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// The transports that a server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transports {
    /// Polling, WebSocket, and the upgrade from one to the other.
    Both,
    /// Polling only.
    Polling,
    /// WebSocket only.
    WebSocket,
}

impl Transports {
    /// Whether `transport` is offered.
    #[must_use]
    pub const fn contains(self, transport: Transport) -> bool {
        match self {
            Self::Both => true,
            Self::Polling => matches!(transport, Transport::Polling),
            Self::WebSocket => matches!(transport, Transport::WebSocket),
        }
    }
}

/// Revision of the Engine.IO protocol: the query parameter `EIO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Revision {
    /// `EIO=4`: the server pings.
    V4,
    /// Any other value, as to engine.io: the client pings. Let in only with
    /// [`Config::allow_eio3`].
    V3,
}

impl Revision {
    /// [`Packet::decode`] of this revision: text that is one packet.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is none.
    pub fn decode(self, text: &str) -> Result<Packet<'_>, DecodeError> {
        match self {
            Self::V4 => Packet::decode(text),
            Self::V3 => Packet::decode_v3(text),
        }
    }

    /// [`Packet::from_binary`] of this revision: a binary WebSocket frame.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when it is no packet.
    pub const fn decode_binary(self, frame: &[u8]) -> Result<Packet<'_>, DecodeError> {
        match self {
            Self::V4 => Ok(Packet::from_binary(frame)),
            Self::V3 => Packet::from_binary_v3(frame),
        }
    }
}
