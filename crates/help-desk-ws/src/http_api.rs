//! Requests of the back end and of operators.

use std::sync::Arc;
use std::time::SystemTime;

use crate::admin_api;
use crate::cluster::Cluster;
use crate::drain::Drainer;
use crate::presence::Presence;
use crate::settings::{EmitAuth, EmitWithoutRedis, OperatorAuth};
use crate::telemetry::metrics::{self, Gauges};
use crate::telemetry::{Counters, Pace};
use bytes::Bytes;
use hd_events::EmitLimits;
use hd_ws_server::{
    ClientHandshake, Engine, HttpHandler, HttpReply, Namespace, Refusal, Rejection, RemoteAddress,
    SocketIo,
};
use http::header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;

mod emit;
mod presence;

/// The routes outside of Socket.IO.
#[derive(Debug)]
pub(crate) struct HttpApi {
    pub(crate) notifications: Namespace,
    /// With several processes.
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) presence: Arc<Presence>,
    /// For its counts.
    pub(crate) engine: Arc<Engine<SocketIo>>,
    pub(crate) started: SystemTime,
    pub(crate) emit_auth: EmitAuth,
    pub(crate) emit_without_redis: EmitWithoutRedis,
    /// When events that stay here are logged.
    pub(crate) local_emits: Pace,
    pub(crate) metrics_auth: OperatorAuth,
    pub(crate) admin_auth: OperatorAuth,
    pub(crate) drainer: Arc<Drainer>,
    pub(crate) limits: EmitLimits,
    pub(crate) counters: Arc<Counters>,
}

/// A request that is refused.
pub(crate) struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl HttpHandler<SocketIo> for HttpApi {
    async fn handle(
        &self,
        request: Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> HttpReply<SocketIo> {
        let response = match (request.method(), request.uri().path()) {
            (&Method::GET, "/notifications") if request.headers().contains_key(UPGRADE) => {
                return self.listen(&request, remote_address).await;
            }
            (&Method::GET, "/notifications") => upgrade_required(),
            (&Method::GET | &Method::HEAD, "/" | "/health" | "/livez") => {
                json(StatusCode::OK, HEALTHY)
            }
            (&Method::GET | &Method::HEAD, "/readyz") => self.readiness(),
            (&Method::POST, "/notifications/emit" | "/emit") => {
                self.emit(request, remote_address).await
            }
            (&Method::POST, "/notifications/emit/batch" | "/emit/batch") => {
                self.emit_batch(request, remote_address).await
            }
            (&Method::POST, "/notifications/broadcast") => {
                self.broadcast(request, remote_address).await
            }
            (method, path) if presence::is_route(path) => {
                let asked = self.who_is_connected(method, path, request.headers());
                asked.await.unwrap_or_else(Refused::response)
            }
            // In production it may not even be there.
            (_, "/metrics") if !matches!(self.metrics_auth, OperatorAuth::Closed) => {
                self.metrics(&request).unwrap_or_else(Refused::response)
            }
            (_, "/admin/drain") if !matches!(self.admin_auth, OperatorAuth::Closed) => {
                admin_api::serve_drain(&request, &self.admin_auth, &self.drainer)
                    .unwrap_or_else(Refused::response)
            }
            (_, "/" | "/health" | "/livez" | "/readyz" | "/notifications") => {
                Refused::method("GET").response()
            }
            (
                _,
                "/notifications/emit"
                | "/emit"
                | "/notifications/emit/batch"
                | "/emit/batch"
                | "/notifications/broadcast",
            ) => Refused::method("POST").response(),
            _ => Refused::new(StatusCode::NOT_FOUND, "not_found", "no such route").response(),
        };
        HttpReply::Response(response)
    }
}

impl HttpApi {
    fn readiness(&self) -> Response<Full<Bytes>> {
        if self.engine.is_draining() {
            json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"draining"}"#)
        } else if self.is_cut_off() {
            // Clients are served, and every other process would say the same.
            json(StatusCode::OK, r#"{"status":"degraded"}"#)
        } else {
            json(StatusCode::OK, r#"{"status":"ready"}"#)
        }
    }

    /// Whether this process shares a log that does not reach it now.
    fn is_cut_off(&self) -> bool {
        let cluster = self.cluster.as_ref();
        cluster.is_some_and(|cluster| !cluster.is_following())
    }

    fn metrics<B>(&self, request: &Request<B>) -> Result<Response<Full<Bytes>>, Refused> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Refused::method("GET"));
        }
        if let OperatorAuth::Token(token) = &self.metrics_auth {
            let presented = bearer(request.headers());
            let hint = "send the header Authorization: Bearer <METRICS_TOKEN>";
            authenticate(presented, |presented| token.accept(presented), hint)?;
        }
        let counts = self.engine.counts();
        let gauges = Gauges {
            polling: counts.polling(),
            websocket: counts.websocket(),
            plain: counts.plain(),
            sockets: self.notifications.len(),
            sessions_opened: counts.opened_total(),
            upgrades: counts.upgraded_total(),
            rejected: Rejection::ALL.map(|reason| (reason.code(), counts.rejected_total(reason))),
            replay: self.notifications.replay_counts(),
            is_cut_off: self.is_cut_off(),
            drain_closes: counts.drained_total(),
            drain_losses: counts.lost_total(),
            too_old: counts.too_old_total(),
            is_draining: self.engine.is_draining(),
            started: self.started,
        };
        let mut response = Response::new(Full::from(metrics::page(&self.counters, &gauges)));
        let content_type = HeaderValue::from_static(metrics::CONTENT_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        Ok(response)
    }

    /// A WebSocket without Socket.IO, such as that of `wscat`.
    async fn listen(
        &self,
        request: &Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> HttpReply<SocketIo> {
        let query = request.uri().query();
        let handshake =
            ClientHandshake::new(remote_address, query, request.headers(), &[AUTHORIZATION]);
        match self.notifications.admit_plain(&handshake).await {
            Ok(opened) => HttpReply::UpgradePlain(handshake, opened),
            Err(refusal) => HttpReply::Response(Refused::from(refusal).response()),
        }
    }
}

/// For the routes of the back end.
fn authenticate_back_end(auth: &EmitAuth, headers: &HeaderMap) -> Result<(), Refused> {
    match auth {
        EmitAuth::Open => Ok(()),
        EmitAuth::Token(tokens) => {
            let hint = "send the header Authorization: Bearer <EMIT_TOKEN>";
            authenticate(bearer(headers), |presented| tokens.accept(presented), hint)
        }
    }
}

/// The token of an `Authorization: Bearer` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

pub(crate) fn authenticate(
    presented: Option<&str>,
    accept: impl FnOnce(&str) -> bool,
    hint: &str,
) -> Result<(), Refused> {
    let (code, message) = match presented {
        Some(token) if accept(token) => return Ok(()),
        Some(_) => ("invalid_token", "the token is wrong"),
        None => ("missing_token", hint),
    };
    Err(Refused {
        header: Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        ..Refused::new(StatusCode::UNAUTHORIZED, code, message)
    })
}

impl Refused {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            header: None,
        }
    }

    pub(crate) fn method(allowed: &'static str) -> Self {
        Self {
            header: Some((ALLOW, HeaderValue::from_static(allowed))),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                format!("this route takes {allowed}"),
            )
        }
    }

    fn error(&self) -> serde_json::Value {
        serde_json::json!({"code": self.code, "message": self.message})
    }

    fn response(self) -> Response<Full<Bytes>> {
        let body = serde_json::json!({"error": self.error()});
        let mut response = json(self.status, body.to_string());
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let (code, message) = match refusal {
            Refusal::ConnectError { message, .. } => ("unauthorized", message),
            Refusal::ConnectThenDisconnect => ("unauthorized", "the token was refused".to_owned()),
        };
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }
}

/// RFC 9110 §15.5.22.
fn upgrade_required() -> Response<Full<Bytes>> {
    let message = "this route takes WebSockets; Socket.IO clients connect to /socket.io/";
    let mut response =
        Refused::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message).response();
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response
}

pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn json_of(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).expect("invariant: names are text, and nothing fails");
    json(status, body)
}

const HEALTHY: &str = r#"{"status":"ok","service":"help-desk-ws"}"#;
