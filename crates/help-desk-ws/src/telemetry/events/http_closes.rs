//! HTTP connections that the server closes.

use hd_ws_server::{HttpClose, HttpClosed};
use tracing::{debug, info, warn};

/// Logs an HTTP connection that was closed. `hd-ws-server` counts it by its
/// reason.
pub(crate) fn http_closed(closed: HttpClosed) {
    let HttpClosed {
        reason,
        remote_address,
    } = closed;
    let why = explanation(reason);
    if reason == HttpClose::MaxRequests {
        // What a good client or a load balancer gets now and then.
        debug!(context = SERVER, reason = reason.code(), %remote_address, "HTTP connection closed: {why}");
    } else if matches!(reason, HttpClose::HeaderTimeout | HttpClose::BodyTooLarge) {
        info!(context = SERVER, reason = reason.code(), %remote_address, "HTTP connection closed: {why}");
    } else {
        warn!(context = SERVER, reason = reason.code(), %remote_address, "HTTP connection closed: {why}");
    }
}

/// The reason in the words of the settings.
fn explanation(reason: HttpClose) -> String {
    match reason {
        HttpClose::HeaderTimeout => {
            "the head of a request did not arrive within HEADER_TIMEOUT".to_owned()
        }
        HttpClose::WriteTimeout => {
            "an answer made no progress for HTTP_WRITE_TIMEOUT: the client does not read it"
                .to_owned()
        }
        HttpClose::MaxRequests => "MAX_REQUESTS_PER_CONNECTION is reached".to_owned(),
        HttpClose::Evicted => {
            "MAX_SOCKETS is reached, and it has made no progress for longest".to_owned()
        }
        HttpClose::BodyTooLarge | HttpClose::AmbiguousHead | _ => reason.to_string(),
    }
}

const SERVER: &str = "Server";
