//! What is kept of the request that a client came with.

use engineio_proto::Revision;
use http::{HeaderMap, HeaderName};

use crate::RemoteAddress;

/// A client's handshake: the parts of its first request that the server keeps.
///
/// Everything in it is owned: a header that borrowed from the request would
/// keep the HTTP connection's whole read buffer alive.
#[derive(Clone)]
pub struct ClientHandshake {
    remote_address: RemoteAddress,
    query: Box<str>,
    headers: Box<[(HeaderName, Box<[u8]>)]>,
    revision: Revision,
}

impl ClientHandshake {
    /// Takes from a request what is to be kept.
    #[must_use]
    pub fn new(
        remote_address: RemoteAddress,
        query: Option<&str>,
        headers: &HeaderMap,
        kept_headers: &[HeaderName],
    ) -> Self {
        Self {
            remote_address,
            query: query.unwrap_or_default().into(),
            headers: kept_headers
                .iter()
                .filter_map(|name| {
                    let value = headers.get(name)?;
                    Some((name.clone(), value.as_bytes().into()))
                })
                .collect(),
            revision: Revision::V4,
        }
    }

    /// The same, of a client of this revision of Engine.IO.
    #[must_use]
    pub(crate) fn with_revision(self, revision: Revision) -> Self {
        Self { revision, ..self }
    }

    /// The client's revision of Engine.IO.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// Where the client is.
    #[must_use]
    pub const fn remote_address(&self) -> RemoteAddress {
        self.remote_address
    }

    /// The raw query string, without the question mark. It may hold a token:
    /// never log it.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.query
    }

    /// A header that [`ServerConfig::kept_headers`](crate::ServerConfig) names;
    /// `None` when the client did not send it, or not as text.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers
            .iter()
            .find(|(kept, _)| kept == name)
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}

/// Shows the address only: queries and headers carry tokens.
impl std::fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientHandshake")
            .field("remote_address", &self.remote_address)
            .finish_non_exhaustive()
    }
}
