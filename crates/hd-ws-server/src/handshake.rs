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
        kept_query_parameters: &[&str],
    ) -> Self {
        Self {
            remote_address,
            query: kept_query(query.unwrap_or_default(), kept_query_parameters),
            headers: kept_headers
                .iter()
                .filter_map(|name| {
                    let value = headers.get(name)?.as_bytes();
                    let value = value.get(..MAX_KEPT_BYTES).unwrap_or(value);
                    Some((name.clone(), value.into()))
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

    /// What is kept of the raw query string: the parameters that
    /// [`ServerConfig::kept_query_parameters`](crate::ServerConfig) names, as
    /// they came, joined by `&`. It may hold a token: never log it.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.query
    }

    /// A header that [`ServerConfig::kept_headers`](crate::ServerConfig) names,
    /// truncated to 9 KiB; `None` when the client did not send it, or not as text.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers
            .iter()
            .find(|(kept, _)| kept == name)
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }
}

/// The last of each parameter that is named, which is the one that counts.
fn kept_query(query: &str, names: &[&str]) -> Box<str> {
    let mut kept = String::new();
    for name in names {
        // By bytes, which is faster for what is this short.
        let mut parameters = query.as_bytes().rsplit(|byte| *byte == b'&');
        let parameter = parameters.find(|pair| {
            let value = pair.strip_prefix(name.as_bytes());
            value.is_some_and(|value| matches!(value, [] | [b'=', ..]))
        });
        if let Some(Ok(parameter)) = parameter.map(std::str::from_utf8) {
            if !kept.is_empty() {
                kept.push('&');
            }
            kept.push_str(&parameter[..parameter.floor_char_boundary(MAX_KEPT_BYTES)]);
        }
    }
    kept.into_boxed_str()
}

/// Shows the address only: queries and headers carry tokens.
impl std::fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientHandshake")
            .field("remote_address", &self.remote_address)
            .finish_non_exhaustive()
    }
}

/// Most bytes that are kept of a header or of a parameter: a token of 8 KiB,
/// the most that is verified, and its name or scheme. What was longer is still
/// too long.
const MAX_KEPT_BYTES: usize = 9 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_parameters_are_kept() {
        for (query, kept) in [
            ("", ""),
            ("EIO=4&transport=polling&t=abc", ""),
            ("EIO=4&token=a.b%2Ec&x=y", "token=a.b%2Ec"),
            ("token=a&token=b", "token=b"),
            ("mytoken=a&token", "token"),
            ("user=1&token=a", "token=a&user=1"),
        ] {
            assert_eq!(*kept_query(query, &["token", "user"]), *kept, "{query}");
        }
    }

    #[test]
    fn a_value_is_cut_off() {
        let query = format!("token={}", "é".repeat(MAX_KEPT_BYTES));
        let kept = kept_query(&query, &["token"]);
        assert!(
            kept.len() <= MAX_KEPT_BYTES && kept.len() > 8 * 1024,
            "{}",
            kept.len()
        );
    }
}
