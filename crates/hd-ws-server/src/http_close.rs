//! Why the server closes a connection that speaks HTTP, and who hears of it.

use std::fmt;
use std::sync::Arc;

use crate::RemoteAddress;

/// Why the server closed an HTTP connection that its peer would have kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HttpClose {
    /// A request's head did not arrive within
    /// [`ServerConfig::header_timeout`](crate::ServerConfig::header_timeout).
    #[error("the head of a request did not arrive in time")]
    HeaderTimeout,
    /// An answer made no progress for
    /// [`ServerConfig::http_write_timeout`](crate::ServerConfig::http_write_timeout).
    #[error("the client does not read its answers")]
    WriteTimeout,
    /// The connection had
    /// [`ServerConfig::max_requests_per_connection`](crate::ServerConfig::max_requests_per_connection).
    #[error("the maximum number of requests on a connection is reached")]
    MaxRequests,
    /// It made room for a new one:
    /// [`ServerConfig::max_sockets`](crate::ServerConfig::max_sockets) is reached.
    #[error("the maximum number of sockets is reached")]
    Evicted,
    /// A body is larger than the server reads, or is declared to be.
    #[error("a request's body is too large")]
    BodyTooLarge,
    /// A line of a request's head does not end with CRLF, or it cannot be told
    /// where the head begins: a request behind a chunked one, in one piece with it.
    #[error("the head of a request is ambiguous")]
    AmbiguousHead,
}

impl HttpClose {
    /// Every reason, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::HeaderTimeout,
        Self::WriteTimeout,
        Self::MaxRequests,
        Self::Evicted,
        Self::BodyTooLarge,
        Self::AmbiguousHead,
    ];

    /// The reason as logs and metrics name it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::HeaderTimeout => "header_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::MaxRequests => "max_requests",
            Self::Evicted => "evicted",
            Self::BodyTooLarge => "body_too_large",
            Self::AmbiguousHead => "ambiguous_head",
        }
    }

    /// Where it stands in [`ALL`](Self::ALL).
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// An HTTP connection that the server closed.
#[derive(Clone, Copy, Debug)]
pub struct HttpClosed {
    /// Why.
    pub reason: HttpClose,
    /// The other end of the TCP connection: a connection has requests of many
    /// clients when a proxy stands before the server.
    pub remote_address: RemoteAddress,
}

/// What is called with each HTTP connection that the server closes. It must not
/// block, and strangers decide how often it is called.
#[derive(Clone)]
pub struct HttpCloseHook(Arc<dyn Fn(HttpClosed) + Send + Sync>);

impl HttpCloseHook {
    /// A hook that calls this function.
    pub fn new(hook: impl Fn(HttpClosed) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(crate) fn call(&self, closed: HttpClosed) {
        (self.0)(closed);
    }
}

/// Does nothing: the closes are counted in [`Counts`](crate::Counts).
impl Default for HttpCloseHook {
    fn default() -> Self {
        Self::new(|_| ())
    }
}

impl fmt::Debug for HttpCloseHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCloseHook").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_stands_at_its_index() {
        for (index, reason) in HttpClose::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index, "{reason:?}");
        }
    }
}
