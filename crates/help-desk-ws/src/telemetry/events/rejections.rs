//! Requests that the server rejects before the application sees them.

use hd_ws_server::{Rejected, Rejection};
use tracing::{info, warn};

/// Logs a rejected request. `hd-ws-server` counts it by its reason.
pub(crate) fn rejected(rejected: &Rejected<'_>) {
    let Rejected {
        reason,
        remote_address,
        origin,
    } = *rejected;
    let what = Explanation { reason, origin };
    // What happens to honest clients in every deployment is no warning.
    if matches!(reason, Rejection::SessionIdUnknown | Rejection::Draining) {
        info!(context = SERVER, reason = reason.code(), %remote_address, origin, "Request rejected: {what}");
    } else {
        warn!(context = SERVER, reason = reason.code(), %remote_address, origin, "Request rejected: {what}");
    }
}

/// The reason in the words of the settings.
struct Explanation<'a> {
    reason: Rejection,
    origin: Option<&'a str>,
}

impl std::fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.reason, self.origin) {
            (Rejection::OriginNotAllowed, Some(origin)) => {
                write!(f, "origin {origin} is not in CORS_ORIGIN")
            }
            (Rejection::OriginNotAllowed, None) => {
                f.write_str("the request has no Origin, and ALLOW_NO_ORIGIN is false")
            }
            (Rejection::MaxConnections, _) => f.write_str("MAX_CONNECTIONS is reached"),
            (Rejection::UnjoinedEvicted, _) => f.write_str(
                "MAX_UNJOINED_CONNECTIONS is reached, and the client, which has joined nothing, \
                 makes room",
            ),
            (Rejection::ConnectionsPerAddress, _) => f.write_str(
                "MAX_CONNECTIONS_PER_ADDRESS is reached, and the client has joined nothing",
            ),
            (Rejection::HandshakesPerConnection, _) => {
                f.write_str("MAX_HANDSHAKES_PER_CONNECTION is reached")
            }
            (Rejection::HandshakesPerAddress, _) => {
                f.write_str("MAX_HANDSHAKES_PER_ADDRESS is reached")
            }
            (Rejection::AuthFailuresPerAddress, _) => {
                f.write_str("MAX_AUTH_FAILURES_PER_ADDRESS is reached")
            }
            (Rejection::UnjoinedMessageBytes, _) => f.write_str(
                "a message is larger than MAX_UNJOINED_MESSAGE_BYTES, and the client has joined \
                 nothing",
            ),
            (Rejection::MessageBytes, _) => {
                f.write_str("a message is larger than MAX_MESSAGE_BYTES")
            }
            (Rejection::UnjoinedPackets, _) => f.write_str(
                "a client that has joined nothing sends more than MAX_UNJOINED_PACKETS, or what \
                 has no meaning",
            ),
            (Rejection::PartialInputBytes, _) => {
                f.write_str("MAX_PARTIAL_INPUT_BYTES are kept of messages that have come in part")
            }
            (reason, _) => reason.fmt(f),
        }
    }
}

const SERVER: &str = "Server";
