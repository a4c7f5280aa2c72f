use std::borrow::Cow;
use std::fmt;

/// Everything that a client has sent and that may hold its token.
///
/// The values are those of the handshake request and of the Socket.IO CONNECT packet, as text;
/// where they come from is up to the caller.
///
/// ```
/// use hd_auth::{TokenSource, TokenSources};
///
/// let found = TokenSources {
///     authorization: Some("Basic dXNlcjpwYXNz"),
///     auth_token: None,
///     query: Some("EIO=4&transport=websocket&token=abc.def.ghi"),
/// }
/// .lookup()
/// .unwrap();
/// assert_eq!(found.token, "abc.def.ghi");
/// assert_eq!(found.source, TokenSource::Query);
/// ```
#[derive(Clone, Copy, Default)]
pub struct TokenSources<'a> {
    /// The value of the `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The string `token` in the `auth` object of CONNECT.
    pub auth_token: Option<&'a str>,
    /// The request's query string as it stands in the URL, with or without the leading `?`.
    pub query: Option<&'a str>,
}

impl<'a> TokenSources<'a> {
    /// The first token in the order `Authorization`, `auth.token`, `token` in the query.
    ///
    /// An empty value, or an `Authorization` header of another scheme than `Bearer` (in any case),
    /// falls through to the next source. A bad token does not: it is for the verifier to refuse.
    #[must_use]
    pub fn lookup(&self) -> Option<FoundToken<'a>> {
        let from_header = || self.authorization.and_then(bearer).map(Cow::Borrowed);
        let from_auth = || self.auth_token.map(Cow::Borrowed);
        let from_query = || self.query.and_then(|query| query_value(query, "token"));

        let found = |source, token: Option<Cow<'a, str>>| {
            token
                .filter(|token| !token.is_empty())
                .map(|token| FoundToken { token, source })
        };
        found(TokenSource::Authorization, from_header())
            .or_else(|| found(TokenSource::Auth, from_auth()))
            .or_else(|| found(TokenSource::Query, from_query()))
    }
}

impl fmt::Debug for TokenSources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = |value: Option<&str>| value.map(|_| "[redacted]");
        f.debug_struct("TokenSources")
            .field("authorization", &redacted(self.authorization))
            .field("auth_token", &redacted(self.auth_token))
            .field("query", &redacted(self.query))
            .finish()
    }
}

/// A token and where it was found. `Debug` does not print the token.
#[derive(Clone, PartialEq, Eq)]
pub struct FoundToken<'a> {
    /// The token, percent-decoded if it came from the query.
    pub token: Cow<'a, str>,
    /// Where it was found.
    pub source: TokenSource,
}

impl fmt::Debug for FoundToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundToken")
            .field("token", &"[redacted]")
            .field("source", &self.source)
            .finish()
    }
}

/// Where a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenSource {
    /// The header `Authorization: Bearer <jwt>`.
    Authorization,
    /// `auth.token` in CONNECT.
    Auth,
    /// The query parameter `token`, which ends up in the access logs of proxies: worth a warning.
    Query,
}

/// The credentials of the scheme `Bearer` (RFC 6750, section 2.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once([' ', '\t'])?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start())
}

/// The value of a parameter, read as `URLSearchParams` does. If it is repeated the last one
/// counts, as in engine.io.
fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query
        .strip_prefix('?')
        .unwrap_or(query)
        .rsplit('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| form_decode(key) == name)
        .map(|(_, value)| form_decode(value))
}

/// Decodes `application/x-www-form-urlencoded` text: `+` is a space, a `%` that is not followed by
/// two hexadecimal digits stands for itself, and bytes that are not UTF-8 are replaced.
fn form_decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        decoded.push(match (byte, tail) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => byte,
            },
            _ => byte,
        });
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}
