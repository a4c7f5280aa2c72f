//! Who may use which route.
//!
//! What is not configured is closed. In development some routes answer without a token, to this
//! machine only: not to what a proxy hands on, and to no page of a browser, which could have been
//! sent by anybody ([ADR 16](../../../../docs/adr/0016-tokens-have-scopes-and-what-is-not-configured-is-closed.md)).

use hd_ws_server::{RemoteAddress, is_cross_site_without_origin};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};

use super::Refused;
use crate::loopback::{is_loopback, is_loopback_authority};
use crate::settings::{BackEndAuth, Guard, OperatorAuth, Scope, Scopes, TokenId};

/// What is known of the caller of a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    uri: &'a Uri,
    headers: &'a HeaderMap,
    remote_address: RemoteAddress,
}

impl<'a> Caller<'a> {
    pub(crate) fn new<B>(request: &'a Request<B>, remote_address: RemoteAddress) -> Self {
        Self {
            uri: request.uri(),
            headers: request.headers(),
            remote_address,
        }
    }

    /// Refuses what a page of another site caused without its script: an `<img>`, a link.
    pub(super) fn refuse_cross_site(&self) -> Result<(), Refused> {
        if is_cross_site_without_origin(self.headers) {
            let message = "a page of another site cannot use this route";
            return Err(Refused::new(StatusCode::FORBIDDEN, "cross_site", message));
        }
        Ok(())
    }

    /// For a route that asks for no token in development.
    fn require_loopback(&self, setting: &str) -> Result<(), Refused> {
        let is_handed_on = FORWARDED.iter().any(|name| self.headers.contains_key(name));
        let address = self.remote_address;
        let is_local = is_loopback(address.peer().ip()) && is_loopback(address.ip());
        if is_handed_on || !is_local {
            let message = format!(
                "without {setting} this route answers on loopback addresses only; set {setting} \
                 and send it as Authorization: Bearer <{setting}>"
            );
            return Err(Refused::new(
                StatusCode::FORBIDDEN,
                "loopback_only",
                message,
            ));
        }
        if !self.is_for_loopback() || self.is_from_other_page() {
            let message = format!(
                "without {setting} this route answers no page of a browser, and under names of \
                 this machine only"
            );
            return Err(Refused::new(StatusCode::FORBIDDEN, "cross_site", message));
        }
        Ok(())
    }

    /// Whether every name that the request gives the server is one of this machine's. A page that
    /// rebinds its own name to 127.0.0.1 gives that name.
    fn is_for_loopback(&self) -> bool {
        let is_loopback = |host: &HeaderValue| host.to_str().is_ok_and(is_loopback_authority);
        let target = self.uri.authority();
        self.headers.contains_key(HOST)
            && self.headers.get_all(HOST).iter().all(is_loopback)
            && target.is_none_or(|authority| is_loopback_authority(authority.as_str()))
    }

    /// Whether a browser says that a page of another origin made the request. Of `Sec-Fetch-Site`
    /// only what the user typed, and pages of this very origin, pass: `same-site` is also any
    /// other port of this machine.
    fn is_from_other_page(&self) -> bool {
        let is_own_site = |site: &HeaderValue| site == "same-origin" || site == "none";
        let mut sites = self.headers.get_all(SEC_FETCH_SITE).iter();
        let host = self.headers.get(HOST).map(HeaderValue::as_bytes);
        let is_own_origin = |origin: &HeaderValue| {
            let authority = origin.as_bytes().strip_prefix(b"http://");
            authority.is_some() && authority == host
        };
        let mut origins = self.headers.get_all(ORIGIN).iter();
        !sites.all(is_own_site) || !origins.all(is_own_origin)
    }

    /// For a route that asks for no token anywhere: no page can send JSON to it without telling
    /// its origin, and being refused for it.
    fn require_plain_json(&self) -> Result<(), Refused> {
        if self.headers.contains_key(ORIGIN) {
            let message = "with EMIT_AUTH=open no page of a browser can emit";
            return Err(Refused::new(StatusCode::FORBIDDEN, "cross_site", message));
        }
        let content_type = self.headers.get(CONTENT_TYPE);
        let is_json = content_type
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            let message = "with EMIT_AUTH=open send Content-Type: application/json";
            return Err(Refused::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                message,
            ));
        }
        Ok(())
    }

    /// The token of an `Authorization: Bearer` header.
    fn bearer(&self) -> Option<&'a str> {
        let value = self.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// For a route of operators. `setting` names its token.
    pub(crate) fn authorize_operator(
        &self,
        auth: &OperatorAuth,
        setting: &'static str,
    ) -> Result<(), Refused> {
        match auth {
            OperatorAuth::Closed => Err(not_found()),
            OperatorAuth::Loopback => self.require_loopback(setting),
            OperatorAuth::Token(token) => {
                let presented = self.bearer().ok_or_else(|| missing_token(setting))?;
                if token.accept(presented) {
                    Ok(())
                } else {
                    Err(wrong_token())
                }
            }
        }
    }

    /// For a route of the back end that has to do with these scopes: what the caller may do, at
    /// least one of these.
    pub(super) fn authorize_back_end(
        &self,
        auth: &BackEndAuth,
        wanted: &[Scope],
    ) -> Result<Authorized, Refused> {
        let mut is_closed = true;
        for scope in wanted {
            // No two scopes of one route are open in different ways.
            match auth.guard(*scope) {
                Guard::Open => return self.require_plain_json().map(|()| Authorized::ANYBODY),
                Guard::Loopback => {
                    let checked = self.require_loopback("PRESENCE_TOKEN");
                    return checked.map(|()| Authorized::ANYBODY);
                }
                Guard::Token => is_closed = false,
                Guard::Closed => {}
            }
        }
        if is_closed {
            return Err(closed(wanted));
        }
        let hint = wanted
            .first()
            .map_or("EMIT_TOKEN", |scope| setting_of(*scope));
        let presented = self.bearer().ok_or_else(|| missing_token(hint))?;
        let (token, scopes) = auth.find(presented);
        if scopes.is_empty() {
            return Err(wrong_token());
        }
        match wanted {
            [scope] => require_scope(scopes, *scope)?,
            [first, ..] if !wanted.iter().any(|scope| scopes.contains(*scope)) => {
                return Err(insufficient_scope(*first));
            }
            _ => {}
        }
        Ok(Authorized {
            scopes,
            token: Some(token),
        })
    }
}

/// What a caller of the back end's routes may do, and by which token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authorized {
    pub(super) scopes: Scopes,
    /// `None` where none is asked for, whatever is sent.
    pub(super) token: Option<TokenId>,
}

impl Authorized {
    const ANYBODY: Self = Self {
        scopes: Scopes::ALL,
        token: None,
    };
}

/// Refuses a caller whose token does not have a scope.
pub(super) fn require_scope(scopes: Scopes, scope: Scope) -> Result<(), Refused> {
    if scopes.contains(scope) {
        Ok(())
    } else {
        Err(insufficient_scope(scope))
    }
}

pub(super) fn not_found() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "not_found", "no such route")
}

/// Nobody may use a route as long as no token for it is set.
fn closed(wanted: &[Scope]) -> Refused {
    let (code, message) = match wanted {
        [Scope::Presence] => (
            "presence_closed",
            "presence is closed: no PRESENCE_TOKEN and no EMIT_TOKEN is set",
        ),
        [Scope::Broadcast] => (
            "emit_closed",
            "broadcasting over HTTP is closed: no BROADCAST_TOKEN and no EMIT_TOKEN is set",
        ),
        _ => (
            "emit_closed",
            "emitting over HTTP is closed: no EMIT_TOKEN is set",
        ),
    };
    Refused::new(StatusCode::NOT_FOUND, code, message)
}

/// [RFC 6750 §3.1](https://www.rfc-editor.org/rfc/rfc6750#section-3.1).
fn insufficient_scope(scope: Scope) -> Refused {
    let challenge = match scope {
        Scope::Emit => r#"Bearer error="insufficient_scope", scope="emit""#,
        Scope::Broadcast => r#"Bearer error="insufficient_scope", scope="broadcast""#,
        Scope::Presence => r#"Bearer error="insufficient_scope", scope="presence""#,
    };
    let message = format!(
        "the token does not have the scope {}: send {}",
        scope.name(),
        setting_of(scope)
    );
    Refused {
        header: Some((WWW_AUTHENTICATE, HeaderValue::from_static(challenge))),
        ..Refused::new(StatusCode::FORBIDDEN, "insufficient_scope", message)
    }
}

/// The setting that a token of this scope is in, where EMIT_TOKEN is not.
const fn setting_of(scope: Scope) -> &'static str {
    match scope {
        Scope::Emit => "EMIT_TOKEN",
        Scope::Broadcast => "BROADCAST_TOKEN",
        Scope::Presence => "PRESENCE_TOKEN",
    }
}

fn missing_token(setting: &str) -> Refused {
    let message = format!("send the header Authorization: Bearer <{setting}>");
    unauthorized("missing_token", message)
}

fn wrong_token() -> Refused {
    unauthorized("invalid_token", "the token is wrong".to_owned())
}

fn unauthorized(code: &'static str, message: String) -> Refused {
    Refused {
        header: Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        ..Refused::new(StatusCode::UNAUTHORIZED, code, message)
    }
}

/// What proxies add: with one of them the caller is behind one, wherever the connection is from.
const FORWARDED: [HeaderName; 4] = [
    http::header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
];
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use super::*;

    /// The code of the refusal of a request on a door that is open to this machine.
    fn loopback(peer: &str, target: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let caller = Caller::new(&request, RemoteAddress::direct(peer.parse().unwrap()));
        let verdict = caller.authorize_operator(&OperatorAuth::Loopback, "METRICS_TOKEN");
        verdict.err().map(|refused| refused.code)
    }

    const LOCAL: &str = "127.0.0.1:5000";
    const HOST_IS_LOCAL: (&str, &str) = ("host", "127.0.0.1:3001");

    #[test]
    fn a_program_on_this_machine_needs_no_token_in_development() {
        for peer in [LOCAL, "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
            for host in ["localhost:3001", "127.0.0.1:3001", "[::1]:3001"] {
                assert_eq!(loopback(peer, "/metrics", &[("host", host)]), None);
            }
        }
        let typed = [HOST_IS_LOCAL, ("sec-fetch-site", "none")];
        assert_eq!(loopback(LOCAL, "/metrics", &typed), None);
        let own_page = [
            HOST_IS_LOCAL,
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://127.0.0.1:3001"),
        ];
        assert_eq!(loopback(LOCAL, "/metrics", &own_page), None);
    }

    #[test]
    fn other_machines_and_what_proxies_hand_on_are_refused() {
        let refused = Some("loopback_only");
        for peer in ["10.0.0.9:5000", "172.17.0.1:5000", "[2001:db8::1]:5000"] {
            assert_eq!(loopback(peer, "/metrics", &[HOST_IS_LOCAL]), refused);
        }
        for (name, value) in [
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
            ("x-forwarded-host", "localhost"),
            ("x-real-ip", "127.0.0.1"),
        ] {
            let headers = [HOST_IS_LOCAL, (name, value)];
            assert_eq!(loopback(LOCAL, "/metrics", &headers), refused, "{name}");
        }
    }

    #[test]
    fn pages_and_rebound_names_are_refused() {
        for headers in [
            &[][..],
            &[("host", "evil.example")],
            &[
                ("host", "evil.example:3001"),
                ("origin", "http://evil.example:3001"),
            ],
            &[HOST_IS_LOCAL, ("host", "evil.example")],
            &[HOST_IS_LOCAL, ("sec-fetch-site", "cross-site")],
            &[HOST_IS_LOCAL, ("sec-fetch-site", "same-site")],
            &[
                HOST_IS_LOCAL,
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-site", "cross-site"),
            ],
            &[HOST_IS_LOCAL, ("origin", "https://evil.example")],
            &[HOST_IS_LOCAL, ("origin", "null")],
            &[HOST_IS_LOCAL, ("origin", "http://127.0.0.1:5173")],
            &[HOST_IS_LOCAL, ("origin", "https://127.0.0.1:3001")],
        ] {
            assert_eq!(
                loopback(LOCAL, "/metrics", headers),
                Some("cross_site"),
                "{headers:?}"
            );
        }
        let absolute = "http://evil.example/metrics";
        assert_eq!(
            loopback(LOCAL, absolute, &[HOST_IS_LOCAL]),
            Some("cross_site")
        );
    }
}
