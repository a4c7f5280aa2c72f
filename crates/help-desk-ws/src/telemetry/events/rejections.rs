//! Requests that the server rejects before the application sees them, and clients that it closes
//! for a limit.

use hd_ws_server::{Rejected, Rejection};
use tracing::{info, warn};

/// Logs a rejected request, or a client that is closed. `hd-ws-server` counts it by its reason.
pub(crate) fn rejected(rejected: &Rejected<'_>) {
    let Rejected {
        reason,
        remote_address,
        origin,
        identity: user_id,
    } = *rejected;
    let what = Explanation { reason, origin };
    if is_of_a_client(reason) {
        warn!(context = SERVER, reason = reason.code(), user_id, %remote_address, "Client closed: {what}");
        return;
    }
    // What happens to honest clients in every deployment is no warning.
    if matches!(reason, Rejection::SessionIdUnknown | Rejection::Draining) {
        info!(context = SERVER, reason = reason.code(), %remote_address, origin, "Request rejected: {what}");
    } else {
        warn!(context = SERVER, reason = reason.code(), %remote_address, origin, "Request rejected: {what}");
    }
}

/// Whether it is a client that is closed, and not a request that is answered.
fn is_of_a_client(reason: Rejection) -> bool {
    matches!(
        reason,
        Rejection::MaxMessagesPerSecond
            | Rejection::MaxInboundBytesPerSecond
            | Rejection::MaxConnectionsPerUser
            | Rejection::MaxConnectsPerUser
            | Rejection::MaxSendQueueTotalBytes
    )
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
            (Rejection::MaxMessagesPerSecond, _) => {
                f.write_str("it goes on sending more than MAX_MESSAGES_PER_SECOND")
            }
            (Rejection::MaxInboundBytesPerSecond, _) => {
                f.write_str("it goes on sending more than MAX_INBOUND_BYTES_PER_SECOND")
            }
            (Rejection::MaxConnectionsPerUser, _) => f.write_str(
                "it is the oldest of a user who has MAX_CONNECTIONS_PER_USER and connects again",
            ),
            (Rejection::MaxConnectsPerUser, _) => f.write_str(
                "its user connects more often than MAX_CONNECTIONS_PER_USER times in 10 s",
            ),
            (Rejection::MaxSendQueueTotalBytes, _) => f.write_str(
                "the most waits for it, and more than MAX_SEND_QUEUE_TOTAL_BYTES for all clients",
            ),
            (Rejection::MaxConnections, _) => f.write_str("MAX_CONNECTIONS is reached"),
            (reason, _) => reason.fmt(f),
        }
    }
}

const SERVER: &str = "Server";
