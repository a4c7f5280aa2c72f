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

#[cfg(test)]
mod tests {
    use super::super::tests::{line, remote_address};
    use super::*;
    use crate::settings::LogFormat;

    fn rejection(format: LogFormat, reason: Rejection, origin: Option<&str>) -> String {
        let rejected = Rejected {
            reason,
            remote_address: remote_address(),
            origin,
            identity: None,
        };
        line(format, |_| super::rejected(&rejected)).0
    }

    #[test]
    fn a_rejected_origin_is_named_with_the_setting() {
        let origin = "https://evil.example";
        assert_eq!(
            rejection(LogFormat::Text, Rejection::OriginNotAllowed, Some(origin)),
            "WARN  [Server] Request rejected: origin https://evil.example is not in CORS_ORIGIN \
             reason=origin_not_allowed remote_address=10.0.0.9 origin=https://evil.example"
        );
        assert_eq!(
            rejection(LogFormat::Json, Rejection::OriginNotAllowed, Some(origin)),
            r#"{"context":"Server","level":"warn","message":"Request rejected: origin https://evil.example is not in CORS_ORIGIN","origin":"https://evil.example","reason":"origin_not_allowed","remote_address":"10.0.0.9"}"#
        );
        assert_eq!(
            rejection(LogFormat::Text, Rejection::OriginNotAllowed, None),
            "WARN  [Server] Request rejected: the request has no Origin, and ALLOW_NO_ORIGIN is \
             false reason=origin_not_allowed remote_address=10.0.0.9"
        );
    }

    #[test]
    fn a_reached_bound_is_named_as_its_setting() {
        assert_eq!(
            rejection(LogFormat::Text, Rejection::MaxConnections, None),
            "WARN  [Server] Request rejected: MAX_CONNECTIONS is reached reason=max_connections \
             remote_address=10.0.0.9"
        );
    }

    #[test]
    fn each_reason_has_a_line_with_its_code() {
        for reason in Rejection::ALL {
            let text = rejection(LogFormat::Text, reason, None);
            let code = format!("reason={} remote_address=10.0.0.9", reason.code());
            let start = if is_of_a_client(reason) {
                "[Server] Client closed: "
            } else {
                "[Server] Request rejected: "
            };
            assert!(text.contains(start), "{text}");
            assert!(text.ends_with(&code), "{text}");
            let of_honest_clients = [Rejection::SessionIdUnknown, Rejection::Draining];
            let is_info = text.starts_with("INFO ");
            assert_eq!(is_info, of_honest_clients.contains(&reason), "{text}");
        }
    }

    #[test]
    fn an_origin_that_a_stranger_wrote_begins_no_line_and_no_field() {
        let origin = "x\nINFO  [Server] all is well reason=\u{1b}[2J\"";
        let text = rejection(LogFormat::Text, Rejection::OriginNotAllowed, Some(origin));
        assert!(!text.contains(['\n', '\u{1b}']), "{text}");
        assert!(text.contains(r#"origin="x\nINFO"#), "{text}");
    }
}
