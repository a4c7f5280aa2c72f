//! What a session tells its owner.

use crate::EncodedPacket;

/// Something that the owner of a session wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session moved from polling to its WebSocket.
    Upgraded,
    /// The session has ended. Nothing follows.
    Closed(CloseReason),
}

/// One upgrade of a session. A session may see several, and what the new
/// transport of one of them does must not be taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeId(pub(super) u32);

/// What a packet on the new transport of an upgrade leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpgradeStep {
    /// Write this packet to the new transport and go on reading from it.
    Answer(EncodedPacket),
    /// The new transport is the session's transport now.
    Complete,
    /// Close the new transport; the session goes on by polling.
    Refused,
}

/// Why a deadline was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerReason {
    /// The next ping is due.
    PingInterval,
    /// The pong is overdue.
    PingTimeout,
    /// The upgrade takes too long.
    UpgradeTimeout,
    /// The closing session was not fetched or written out.
    CloseTimeout,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The transport broke, or the peer broke the protocol.
    TransportError,
    /// The peer closed.
    TransportClose,
    /// This side closed.
    ForcedClose,
    /// No pong came in time.
    PingTimeout,
    /// The peer sent something that is not a packet.
    ParseError,
    /// The server stops.
    ServerShuttingDown,
    /// The server does not keep a session for longer.
    TooOld,
    /// The peer reads too slowly: its queue is full.
    SendQueueFull,
    /// The peer sends more, or connects more often, than it may.
    RateLimited,
    /// The peer's user has more connections than it may, and this is the oldest.
    TooManyConnections,
}

impl CloseReason {
    /// The reason in engine.io's words, where it has some.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransportError => "transport error",
            Self::TransportClose => "transport close",
            Self::ForcedClose => "forced close",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ServerShuttingDown => "server shutting down",
            Self::TooOld => "connection too old",
            Self::SendQueueFull => "send queue full",
            Self::RateLimited => "rate limited",
            Self::TooManyConnections => "too many connections",
        }
    }

    /// Status of the WebSocket close frame that ends such a session. engine.io
    /// gives none, so that is what a client sees for every end that engine.io
    /// knows too. The others are of RFC 6455 §7.4.1 and its registry, and
    /// clients reconnect after each of them.
    #[must_use]
    pub const fn close_code(self) -> Option<u16> {
        match self {
            Self::ServerShuttingDown | Self::TooOld => Some(1012),
            Self::SendQueueFull | Self::RateLimited | Self::TooManyConnections => Some(1008),
            Self::TransportError
            | Self::ParseError
            | Self::TransportClose
            | Self::ForcedClose
            | Self::PingTimeout => None,
        }
    }
}

/// The peer sent a packet, or a request, that has no place here. The session is
/// closed when this is returned, but for
/// [`TransportMismatch`](Self::TransportMismatch).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolViolation {
    /// A ping from a client of revision 4, in which servers ping.
    #[error("invalid heartbeat direction")]
    HeartbeatDirection,
    /// A second poll while one waits.
    #[error("overlapping polls")]
    OverlappingPoll,
    /// A poll that was answered already: something on the way sends it again,
    /// and what the first answer held may not have reached the client.
    #[error("repeated poll")]
    RepeatedPoll,
    /// A second POST while one is being read.
    #[error("overlapping posts")]
    OverlappingPost,
    /// A request by polling for a session that is not polling.
    #[error("the session has another transport")]
    TransportMismatch,
    /// The session has ended; perhaps only now, when its deadline was judged.
    #[error("the session has ended")]
    SessionEnded,
}

/// A message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The session is closing or closed.
    #[error("the session is closed")]
    Closed,
    /// The queue would pass [`Config::send_queue_bytes`](crate::Config::send_queue_bytes). The session is
    /// closed when this is returned.
    #[error("the send queue is full")]
    QueueFull,
}
