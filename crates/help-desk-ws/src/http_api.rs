//! Requests of the back end and of operators.

use std::sync::Arc;
use std::time::SystemTime;

use crate::admin_api;
use crate::cluster::Cluster;
use crate::drain::Drainer;
use crate::presence::Presence;
use crate::settings::{BackEndAuth, EmitWithoutRedis, Guard, OperatorAuth, Scope};
use crate::telemetry::Counters;
use crate::telemetry::metrics::{self, Gauges};
use bytes::Bytes;
use hd_ws_server::{
    ClientHandshake, ConnectRequest, Engine, HttpClose, HttpHandler, HttpReply, Namespace, Refusal,
    Rejection, RemoteAddress, SocketIo,
};
use http::header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, UPGRADE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;

pub(crate) mod access;
mod emit;
mod emit_limits;
mod presence;

use access::Caller;
pub(crate) use emit_limits::{EmitLimit, EmitLimits};

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
    pub(crate) back_end: BackEndAuth,
    pub(crate) emit_without_redis: EmitWithoutRedis,
    pub(crate) metrics_auth: OperatorAuth,
    pub(crate) admin_auth: OperatorAuth,
    /// Names of settings whose values open a door or weaken a check.
    pub(crate) insecure: Vec<&'static str>,
    pub(crate) drainer: Arc<Drainer>,
    pub(crate) limits: hd_events::EmitLimits,
    pub(crate) emit_limits: EmitLimits,
    pub(crate) counters: Arc<Counters>,
}

/// A request that is refused.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
    header: Option<(HeaderName, HeaderValue)>,
    /// When it is refused for a limit.
    limit: Option<EmitLimit>,
}

impl HttpHandler<SocketIo> for HttpApi {
    async fn handle(
        &self,
        request: Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> HttpReply<SocketIo> {
        let path = request.uri().path();
        if !is_health(path) {
            let caller = Caller::new(&request, remote_address);
            if let Err(refused) = caller.refuse_cross_site() {
                let reason = Rejection::CrossSite;
                self.engine
                    .rejected(reason, remote_address, request.headers());
                return HttpReply::Response(refused.response());
            }
        }
        let response = match (request.method(), path) {
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
            (_, path) if presence::is_route(path) => {
                let asked = self.who_is_connected(&request, remote_address);
                asked.await.unwrap_or_else(Refused::response)
            }
            // In production it may not even be there.
            (_, "/metrics") if !matches!(self.metrics_auth, OperatorAuth::Closed) => self
                .metrics(&request, remote_address)
                .unwrap_or_else(Refused::response),
            (_, "/admin/drain") if !matches!(self.admin_auth, OperatorAuth::Closed) => {
                let caller = Caller::new(&request, remote_address);
                caller
                    .authorize_operator(&self.admin_auth, "ADMIN_TOKEN")
                    .and_then(|()| admin_api::serve_drain(&request, &self.drainer))
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
            _ => access::not_found().response(),
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

    fn metrics<B>(
        &self,
        request: &Request<B>,
        remote_address: RemoteAddress,
    ) -> Result<Response<Full<Bytes>>, Refused> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Refused::method("GET"));
        }
        Caller::new(request, remote_address)
            .authorize_operator(&self.metrics_auth, "METRICS_TOKEN")?;
        let counts = self.engine.counts();
        let gauges = Gauges {
            polling: counts.polling(),
            websocket: counts.websocket(),
            plain: counts.plain(),
            unjoined: self.engine.unjoined(),
            partial_input_bytes: self.engine.partial_input_bytes(),
            sockets: self.notifications.len(),
            sessions_opened: counts.opened_total(),
            upgrades: counts.upgraded_total(),
            rejected: Rejection::ALL.map(|reason| (reason.code(), counts.rejected_total(reason))),
            http_closed: HttpClose::ALL
                .map(|reason| (reason.code(), counts.http_closed_total(reason))),
            open_sockets: self.engine.open_sockets(),
            replay: self.notifications.replay_counts(),
            is_cut_off: self.is_cut_off(),
            drain_closes: counts.drained_total(),
            drain_losses: counts.lost_total(),
            too_old: counts.too_old_total(),
            throttled: counts.throttled_total(),
            user_evictions: counts.rejected_total(Rejection::MaxConnectionsPerUser),
            queued_bytes: self.engine.queued_bytes(),
            is_draining: self.engine.is_draining(),
            started: self.started,
            open_doors: self.open_doors(),
            insecure: &self.insecure,
        };
        let mut response = Response::new(Full::from(metrics::page(&self.counters, &gauges)));
        let content_type = HeaderValue::from_static(metrics::CONTENT_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        Ok(response)
    }

    /// Which routes answer without a token, if only to this machine.
    fn open_doors(&self) -> [(&'static str, bool); 5] {
        let is_open = |scope| matches!(self.back_end.guard(scope), Guard::Open | Guard::Loopback);
        let is_loopback = |auth: &OperatorAuth| matches!(auth, OperatorAuth::Loopback);
        [
            ("emit", is_open(Scope::Emit)),
            ("broadcast", is_open(Scope::Broadcast)),
            ("presence", is_open(Scope::Presence)),
            ("metrics", is_loopback(&self.metrics_auth)),
            ("admin", is_loopback(&self.admin_auth)),
        ]
    }

    /// A WebSocket without Socket.IO, such as that of `wscat`.
    async fn listen(
        &self,
        request: &Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> HttpReply<SocketIo> {
        let query = request.uri().query();
        let handshake = ClientHandshake::new(
            remote_address,
            query,
            request.headers(),
            &[AUTHORIZATION],
            &PLAIN_QUERY_PARAMETERS,
        );
        let asked = ConnectRequest {
            handshake: &handshake,
            auth: None,
            has_exceeded_failures: self.engine.has_exceeded_failures(remote_address),
        };
        match self.notifications.admit_plain(asked).await {
            Ok(opened) => HttpReply::UpgradePlain(handshake, opened),
            Err(refusal) => HttpReply::Response(Refused::from(refusal).response()),
        }
    }
}

impl Refused {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            header: None,
            limit: None,
        }
    }

    /// The same, and the rest of the request is not read.
    pub(crate) fn closing(self) -> Self {
        Self {
            header: Some((CONNECTION, HeaderValue::from_static("close"))),
            ..self
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

/// Whether a route tells nothing but that the service is well, which anybody may know.
fn is_health(path: &str) -> bool {
    matches!(path, "/" | "/health" | "/livez" | "/readyz")
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

/// Where a client's token may be in the query.
pub(crate) const KEPT_QUERY_PARAMETERS: [&str; 1] = ["token"];
/// Those of a plain WebSocket, which has no `auth`.
const PLAIN_QUERY_PARAMETERS: [&str; 4] = ["token", "recovery", "pid", "offset"];
const HEALTHY: &str = r#"{"status":"ok","service":"help-desk-ws"}"#;
