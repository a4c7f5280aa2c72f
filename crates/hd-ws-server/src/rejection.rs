//! Why a request is rejected before it gets anywhere, or a client closed that
//! is over a limit, and who hears of it.

use std::fmt;
use std::sync::Arc;

use engineio_proto::RequestError;

use crate::RemoteAddress;

/// Why a request for a session, or for a WebSocket, was rejected, or a client
/// closed by a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Engine.IO code 0.
    #[error("the transport is unknown")]
    TransportUnknown,
    /// Engine.IO code 1: the session has ended, or is another server's.
    #[error("the session id is unknown")]
    SessionIdUnknown,
    /// Engine.IO code 2.
    #[error("a handshake is a GET request")]
    BadHandshakeMethod,
    /// Engine.IO code 3.
    #[error("the request fits neither the transport nor the session")]
    BadRequest,
    /// Engine.IO code 4: the policy does not allow the `Origin`, or its absence.
    #[error("the origin is not allowed")]
    OriginNotAllowed,
    /// Engine.IO code 4: a browser says that a page of another site caused the
    /// request, and not by a script, so that there is no `Origin`.
    #[error("a page of another site caused the request, without an Origin")]
    CrossSite,
    /// Engine.IO code 5.
    #[error("the protocol revision is not supported")]
    UnsupportedProtocolVersion,
    /// The opening handshake of the WebSocket (RFC 6455 §4.2.1) is malformed.
    #[error("the WebSocket handshake is malformed")]
    MalformedWebSocketHandshake,
    /// The server drains or stops.
    #[error("the server is draining")]
    Draining,
    /// [`ServerConfig::max_connections`](crate::ServerConfig::max_connections)
    /// is reached.
    #[error("the maximum number of connections is reached")]
    MaxConnections,
    /// A session that had joined nothing made room for another:
    /// [`ServerConfig::max_unjoined_connections`](crate::ServerConfig::max_unjoined_connections),
    /// or [`max_connections`](crate::ServerConfig::max_connections), is reached.
    #[error("a session that joined nothing makes room for another")]
    UnjoinedEvicted,
    /// [`ServerConfig::max_connections_per_address`](crate::ServerConfig::max_connections_per_address)
    /// is reached: a session, or a TCP connection, that had joined nothing was
    /// closed.
    #[error("the maximum number of connections of one address is reached")]
    ConnectionsPerAddress,
    /// [`ServerConfig::max_handshakes_per_connection`](crate::ServerConfig::max_handshakes_per_connection)
    /// is reached.
    #[error("the maximum number of handshakes of one connection is reached")]
    HandshakesPerConnection,
    /// [`ServerConfig::max_handshakes_per_address`](crate::ServerConfig::max_handshakes_per_address)
    /// is reached.
    #[error("the maximum number of handshakes of one address is reached")]
    HandshakesPerAddress,
    /// [`ServerConfig::max_auth_failures_per_address`](crate::ServerConfig::max_auth_failures_per_address)
    /// is reached.
    #[error("the maximum number of refused clients of one address is reached")]
    AuthFailuresPerAddress,
    /// A message is larger than
    /// [`ServerConfig::max_unjoined_message_bytes`](crate::ServerConfig::max_unjoined_message_bytes).
    #[error("a message of a client that joined nothing is too large")]
    UnjoinedMessageBytes,
    /// A message is larger than
    /// [`ServerConfig::max_message_bytes`](crate::ServerConfig::max_message_bytes).
    #[error("a message is too large")]
    MessageBytes,
    /// [`ServerConfig::max_unjoined_packets`](crate::ServerConfig::max_unjoined_packets)
    /// is reached, or a packet has no meaning.
    #[error("a client that joined nothing sends too many packets")]
    UnjoinedPackets,
    /// [`ServerConfig::max_partial_input_bytes`](crate::ServerConfig::max_partial_input_bytes)
    /// is reached.
    #[error("too much is kept of messages that have come in part")]
    PartialInputBytes,
    /// A client was closed: it goes on sending more than
    /// [`ServerConfig::max_messages_per_second`](crate::ServerConfig::max_messages_per_second).
    #[error("the client sends too many messages")]
    MaxMessagesPerSecond,
    /// A client was closed: it goes on sending more than
    /// [`ServerConfig::max_inbound_bytes_per_second`](crate::ServerConfig::max_inbound_bytes_per_second).
    #[error("the client sends too many bytes")]
    MaxInboundBytesPerSecond,
    /// The oldest connection of a user was closed for a new one, by
    /// [`ServerConfig::max_connections_per_user`](crate::ServerConfig::max_connections_per_user).
    #[error("the user has too many connections")]
    MaxConnectionsPerUser,
    /// A client was closed that had just connected: its user connects in a loop.
    #[error("the user connects too often")]
    MaxConnectsPerUser,
    /// A slow client was closed, since more than
    /// [`ServerConfig::max_send_queue_total_bytes`](crate::ServerConfig::max_send_queue_total_bytes)
    /// waits for all of them, and most for this one.
    #[error("too much waits for slow clients")]
    MaxSendQueueTotalBytes,
}

impl Rejection {
    /// Every reason, in the order of their declaration.
    pub const ALL: [Self; 24] = [
        Self::TransportUnknown,
        Self::SessionIdUnknown,
        Self::BadHandshakeMethod,
        Self::BadRequest,
        Self::OriginNotAllowed,
        Self::CrossSite,
        Self::UnsupportedProtocolVersion,
        Self::MalformedWebSocketHandshake,
        Self::Draining,
        Self::MaxConnections,
        Self::UnjoinedEvicted,
        Self::ConnectionsPerAddress,
        Self::HandshakesPerConnection,
        Self::HandshakesPerAddress,
        Self::AuthFailuresPerAddress,
        Self::UnjoinedMessageBytes,
        Self::MessageBytes,
        Self::UnjoinedPackets,
        Self::PartialInputBytes,
        Self::MaxMessagesPerSecond,
        Self::MaxInboundBytesPerSecond,
        Self::MaxConnectionsPerUser,
        Self::MaxConnectsPerUser,
        Self::MaxSendQueueTotalBytes,
    ];

    /// The reason as logs and metrics name it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TransportUnknown => "transport_unknown",
            Self::SessionIdUnknown => "session_id_unknown",
            Self::BadHandshakeMethod => "bad_handshake_method",
            Self::BadRequest => "bad_request",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::CrossSite => "cross_site",
            Self::UnsupportedProtocolVersion => "unsupported_protocol_version",
            Self::MalformedWebSocketHandshake => "malformed_websocket_handshake",
            Self::Draining => "draining",
            Self::MaxConnections => "max_connections",
            Self::UnjoinedEvicted => "unjoined_evicted",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::HandshakesPerConnection => "handshakes_per_connection",
            Self::HandshakesPerAddress => "handshakes_per_address",
            Self::AuthFailuresPerAddress => "auth_failures_per_address",
            Self::UnjoinedMessageBytes => "unjoined_message_bytes",
            Self::MessageBytes => "message_bytes",
            Self::UnjoinedPackets => "unjoined_packets",
            Self::PartialInputBytes => "partial_input_bytes",
            Self::MaxMessagesPerSecond => "max_messages_per_second",
            Self::MaxInboundBytesPerSecond => "max_inbound_bytes_per_second",
            Self::MaxConnectionsPerUser => "max_connections_per_user",
            Self::MaxConnectsPerUser => "max_connects_per_user",
            Self::MaxSendQueueTotalBytes => "max_send_queue_total_bytes",
        }
    }

    /// Where it stands in [`ALL`](Self::ALL).
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl From<RequestError> for Rejection {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::TransportUnknown => Self::TransportUnknown,
            RequestError::SessionIdUnknown => Self::SessionIdUnknown,
            RequestError::BadHandshakeMethod => Self::BadHandshakeMethod,
            RequestError::BadRequest => Self::BadRequest,
            RequestError::Forbidden => Self::OriginNotAllowed,
            RequestError::UnsupportedProtocolVersion => Self::UnsupportedProtocolVersion,
        }
    }
}

/// A request that was rejected, or a client that was closed by a limit.
#[derive(Clone, Copy, Debug)]
pub struct Rejected<'a> {
    /// Why.
    pub reason: Rejection,
    /// Where it came from.
    pub remote_address: RemoteAddress,
    /// The `Origin` header, when there is one and it is text. A stranger wrote
    /// it.
    pub origin: Option<&'a str>,
    /// The identity that the application gave to the client, when it did.
    pub identity: Option<u64>,
}

/// What is called with each [`Rejected`]. It must not block, and
/// strangers decide how often it is called.
#[derive(Clone)]
pub struct RejectionHook(Arc<dyn Fn(&Rejected<'_>) + Send + Sync>);

impl RejectionHook {
    /// A hook that calls this function.
    pub fn new(hook: impl Fn(&Rejected<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(crate) fn call(&self, rejected: &Rejected<'_>) {
        (self.0)(rejected);
    }
}

/// Does nothing: the rejections are counted in [`Counts`](crate::Counts).
impl Default for RejectionHook {
    fn default() -> Self {
        Self::new(|_| ())
    }
}

impl fmt::Debug for RejectionHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectionHook").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_stands_at_its_index() {
        for (index, reason) in Rejection::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index, "{reason:?}");
        }
    }
}
