//! Which origins a browser may come from, and the CORS headers that tell it so.

use engineio_proto::OriginVerdict;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// [Fetch Metadata](https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The policy for the `Origin` header. It holds for WebSocket and polling
/// alike: browsers ask no permission before they open a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPolicy {
    /// Origins that are allowed.
    pub allowed: AllowedOrigins,
    /// Whether a request without an `Origin` is served: native clients,
    /// servers, `wscat`. Browsers always send one with a WebSocket.
    pub allow_missing: bool,
}

/// The origins that a policy allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Every origin but `null`.
    Any,
    /// These, compared byte for byte: scheme, host and port.
    List(Vec<String>),
}

/// No origin is allowed, a missing one is.
impl Default for OriginPolicy {
    fn default() -> Self {
        Self {
            allowed: AllowedOrigins::List(Vec::new()),
            allow_missing: true,
        }
    }
}

/// Whether a browser marks a request as one that a page of another site caused
/// and that has no `Origin`: an `<img>`, a `<script>`, a link. No native client
/// and no server sends that, and neither does `fetch` from another site, which
/// has an `Origin`.
#[must_use]
pub fn is_cross_site_without_origin(headers: &HeaderMap) -> bool {
    // Of the two, the one that most requests need not ask both of.
    is_from_another_site(headers) && !headers.contains_key(ORIGIN)
}

fn is_from_another_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    sites.any(|site| site == "cross-site")
}

impl OriginPolicy {
    /// Every origin, and none.
    #[must_use]
    pub const fn any() -> Self {
        Self {
            allowed: AllowedOrigins::Any,
            allow_missing: true,
        }
    }

    /// Judges a request by its headers. Of several `Origin` headers, which no
    /// browser sends, each must be allowed. A request that a page of another
    /// site made without an `Origin`, such as that of an `<img>`, is refused
    /// whatever the policy.
    #[must_use]
    pub fn judge(&self, headers: &HeaderMap) -> OriginVerdict {
        let mut origins = headers.get_all(ORIGIN).iter().peekable();
        let is_allowed = if origins.peek().is_none() {
            self.allow_missing && !is_from_another_site(headers)
        } else {
            origins.all(|origin| self.allows(origin))
        };
        if is_allowed {
            OriginVerdict::Allowed
        } else {
            OriginVerdict::Refused
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.allowed {
            AllowedOrigins::Any => origin != "null",
            AllowedOrigins::List(list) => list.iter().any(|allowed| origin == allowed.as_str()),
        }
    }

    /// The headers that let the page that sent `request` read the response;
    /// none when its origin is not allowed.
    pub(crate) fn response_headers(&self, request: &HeaderMap) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match &self.allowed {
            AllowedOrigins::Any => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            AllowedOrigins::List(_) => {
                headers.insert(VARY, HeaderValue::from_static("Origin"));
                if let Some(origin) = request.get(ORIGIN)
                    && self.allows(origin)
                {
                    // A copy: the request's is a slice of the connection's read
                    // buffer, which a waiting poll must not keep.
                    if let Ok(origin) = HeaderValue::from_bytes(origin.as_bytes()) {
                        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                    }
                    // Sticky sessions of a load balancer are a cookie.
                    headers.insert(
                        ACCESS_CONTROL_ALLOW_CREDENTIALS,
                        HeaderValue::from_static("true"),
                    );
                }
            }
        }
        headers
    }

    /// The headers that answer a preflight request, as the `cors` package for
    /// Node gives them.
    pub(crate) fn preflight_headers(&self, request: &HeaderMap) -> HeaderMap {
        let mut headers = self.response_headers(request);
        headers.insert(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"),
        );
        headers.insert(
            VARY,
            HeaderValue::from_static(match self.allowed {
                AllowedOrigins::Any => "Access-Control-Request-Headers",
                AllowedOrigins::List(_) => "Origin, Access-Control-Request-Headers",
            }),
        );
        if let Some(asked) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        headers
    }
}
