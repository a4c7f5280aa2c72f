//! What a request asks for, and the refusals in engine.io's order.
//!
//! The order decides which of several faults a client is told; it is that of
//! `verify` in engine.io's `server.ts`.

use std::num::NonZeroU64;
use std::str::FromStr as _;

use crate::payload::v3::JsonpIndex;
use crate::{Config, Revision, Sid, Transport};

/// The query parameters of a request that the protocol knows.
///
/// When a key occurs twice the last one counts, as in Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    transport: Option<Transport>,
    sid: SidParameter,
    revision: Revision,
    supports_binary: bool,
    jsonp: JsonpParameter,
    cache_buster: Option<CacheBuster>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SidParameter {
    Absent,
    /// Present, but no id that this server can have made.
    Unknown,
    Sid(Sid),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JsonpParameter {
    Absent,
    Invalid,
    Index(JsonpIndex),
}

impl Query {
    /// Parses a raw query string. The values that the protocol knows need no
    /// percent-decoding, so an encoded one is an unknown one.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let mut parsed = Self {
            transport: None,
            sid: SidParameter::Absent,
            revision: Revision::V3,
            supports_binary: true,
            jsonp: JsonpParameter::Absent,
            cache_buster: None,
        };
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "transport" => {
                    parsed.transport = match value {
                        "polling" => Some(Transport::Polling),
                        "websocket" => Some(Transport::WebSocket),
                        _ => None,
                    };
                }
                "sid" => {
                    parsed.sid = if value.is_empty() {
                        SidParameter::Absent
                    } else {
                        Sid::from_str(value).map_or(SidParameter::Unknown, SidParameter::Sid)
                    };
                }
                "EIO" => {
                    parsed.revision = match value {
                        "4" => Revision::V4,
                        _ => Revision::V3,
                    };
                }
                "j" => {
                    parsed.jsonp = JsonpIndex::parse(value)
                        .map_or(JsonpParameter::Invalid, JsonpParameter::Index);
                }
                "t" => parsed.cache_buster = CacheBuster::new(value),
                "b64" => parsed.supports_binary = value.is_empty(),
                _ => {}
            }
        }
        parsed
    }

    /// The request's cache buster; `None` when it has none.
    #[must_use]
    pub const fn cache_buster(&self) -> Option<CacheBuster> {
        self.cache_buster
    }

    /// Verifies a request. `find` looks a session up by its id, and `session_of`
    /// tells its transport and its revision.
    ///
    /// # Errors
    ///
    /// The first [`RequestError`] in engine.io's order. One step is ours: a
    /// request for a known session from an origin that is not allowed is
    /// refused, where engine.io asks only at the handshake.
    pub fn verify<S>(
        &self,
        request: RequestFacts,
        config: &Config,
        find: impl FnOnce(&Sid) -> Option<S>,
        session_of: impl FnOnce(&S) -> (Transport, Revision),
    ) -> Result<Verified<S>, RequestError> {
        let transport = self
            .transport
            .filter(|&transport| config.transports.contains(transport))
            .ok_or(RequestError::TransportUnknown)?;
        let is_upgrade = request.upgrade == UpgradeHeader::WebSocket;
        let sid = match &self.sid {
            SidParameter::Absent => None,
            SidParameter::Unknown => return Err(RequestError::SessionIdUnknown),
            SidParameter::Sid(sid) => Some(sid),
        };
        if let Some(sid) = sid {
            let session = find(sid).ok_or(RequestError::SessionIdUnknown)?;
            let is_websocket = transport == Transport::WebSocket;
            let (session_transport, revision) = session_of(&session);
            if is_upgrade != is_websocket
                // Node's `ws` refuses it, with 405.
                || (is_websocket && request.method != Method::Get)
                || (!is_upgrade && session_transport != transport)
                || self.revision != revision
            {
                return Err(RequestError::BadRequest);
            }
            if request.origin == OriginVerdict::Refused {
                return Err(RequestError::Forbidden);
            }
            return Ok(Verified::Session { session, transport });
        }
        if request.method != Method::Get {
            return Err(RequestError::BadHandshakeMethod);
        }
        if is_upgrade != (transport == Transport::WebSocket) {
            return Err(RequestError::BadRequest);
        }
        if request.origin == OriginVerdict::Refused {
            return Err(RequestError::Forbidden);
        }
        if self.revision == Revision::V3 && !config.allow_eio3 {
            return Err(RequestError::UnsupportedProtocolVersion);
        }
        let jsonp = match (self.revision, transport, self.jsonp) {
            // No client of revision 4 asks for it.
            (Revision::V4, _, _)
            | (_, Transport::WebSocket, _)
            | (Revision::V3, Transport::Polling, JsonpParameter::Absent) => None,
            (Revision::V3, Transport::Polling, JsonpParameter::Index(index)) => Some(index),
            (Revision::V3, Transport::Polling, JsonpParameter::Invalid) => {
                return Err(RequestError::BadRequest);
            }
        };
        Ok(Verified::Handshake {
            transport,
            revision: self.revision,
            supports_binary: self.supports_binary && jsonp.is_none(),
            jsonp,
        })
    }
}

/// The query parameter `t`, by which a client keeps caches from answering its
/// requests. Clients make another one for each request, so two requests with the
/// same one are one request that something on the way has sent twice.
///
/// Only its hash is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheBuster(NonZeroU64);

impl CacheBuster {
    /// The cache buster with this value; `None` when it is empty, or a decimal
    /// clock: socket.io-client-csharp sends Unix seconds, in which several polls
    /// may fall. python-engineio's have a fraction, and those of
    /// socket.io-client are shorter.
    #[must_use]
    pub fn new(value: &str) -> Option<Self> {
        let is_clock =
            value.len() >= UNIX_SECONDS_DIGITS && value.bytes().all(|byte| byte.is_ascii_digit());
        if value.is_empty() || is_clock {
            return None;
        }
        // FNV-1a. A client that looks for collisions ends its own sessions.
        let hash = value.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Some(Self(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN)))
    }
}

/// From 2001 to 2286.
const UNIX_SECONDS_DIGITS: usize = 10;

/// What [`Query::verify`] needs to know of a request beside its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// The HTTP method.
    pub method: Method,
    /// Whether the request asks for a WebSocket.
    pub upgrade: UpgradeHeader,
    /// What the server's policy says of the request's origin.
    pub origin: OriginVerdict,
}

/// The HTTP methods that the protocol tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// Any other.
    Other,
}

/// The request's `Upgrade` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeHeader {
    /// None, or not to a WebSocket.
    Absent,
    /// `Upgrade: websocket`.
    WebSocket,
}

/// Whether the request may come from where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginVerdict {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

/// A request that the protocol allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified<S> {
    /// A new session.
    Handshake {
        /// Where it begins.
        transport: Transport,
        /// The client's revision.
        revision: Revision,
        /// Whether the client takes binary data (`b64` was not set).
        supports_binary: bool,
        /// Set when a client of revision 3 polls by JSONP; hand it to
        /// [`Session::with_jsonp`](crate::Session::with_jsonp).
        jsonp: Option<JsonpIndex>,
    },
    /// A request for a session that exists: a poll, a POST, or with
    /// [`Transport::WebSocket`] an upgrade.
    Session {
        /// What `find` returned.
        session: S,
        /// The transport of this request.
        transport: Transport,
    },
}

/// A request that is refused, with engine.io's code, status and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Code 0.
    #[error("Transport unknown")]
    TransportUnknown,
    /// Code 1.
    #[error("Session ID unknown")]
    SessionIdUnknown,
    /// Code 2.
    #[error("Bad handshake method")]
    BadHandshakeMethod,
    /// Code 3.
    #[error("Bad request")]
    BadRequest,
    /// Code 4.
    #[error("Forbidden")]
    Forbidden,
    /// Code 5.
    #[error("Unsupported protocol version")]
    UnsupportedProtocolVersion,
}

impl RequestError {
    /// engine.io's number for this error.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::TransportUnknown => 0,
            Self::SessionIdUnknown => 1,
            Self::BadHandshakeMethod => 2,
            Self::BadRequest => 3,
            Self::Forbidden => 4,
            Self::UnsupportedProtocolVersion => 5,
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            Self::TransportUnknown
            | Self::SessionIdUnknown
            | Self::BadHandshakeMethod
            | Self::BadRequest
            | Self::UnsupportedProtocolVersion => 400,
        }
    }

    /// The body of the HTTP response, `application/json`.
    #[must_use]
    pub const fn body(self) -> &'static str {
        match self {
            Self::TransportUnknown => r#"{"code":0,"message":"Transport unknown"}"#,
            Self::SessionIdUnknown => r#"{"code":1,"message":"Session ID unknown"}"#,
            Self::BadHandshakeMethod => r#"{"code":2,"message":"Bad handshake method"}"#,
            Self::BadRequest => r#"{"code":3,"message":"Bad request"}"#,
            Self::Forbidden => r#"{"code":4,"message":"Forbidden"}"#,
            Self::UnsupportedProtocolVersion => {
                r#"{"code":5,"message":"Unsupported protocol version"}"#
            }
        }
    }
}
