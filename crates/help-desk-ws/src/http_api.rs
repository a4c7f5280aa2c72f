//! Requests of the back end and of operators.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hd_auth::UserId;
use hd_events::{BroadcastCommand, EmitCommand, EmitError, EmitLimits};
use hd_rooms::Audience;
use hd_ws_server::{
    BodyError, ClientHandshake, Engine, HttpHandler, HttpReply, Namespace, Publication, Published,
    Refusal, SocketIo, read_body,
};
use http::header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::value::RawValue;
use socketio_proto::{EventName, OutgoingArgs};

use crate::admin_api;
use crate::drain::Drainer;
use crate::gateway::user_room;
use crate::settings::{EmitAuth, OperatorAuth};
use crate::telemetry::Counters;
use crate::telemetry::events::{EmitAccepted, EmitRefused};
use crate::telemetry::metrics::{self, Gauges};

/// The routes outside of Socket.IO.
#[derive(Debug)]
pub(crate) struct HttpApi {
    pub(crate) notifications: Namespace,
    /// For its counts.
    pub(crate) engine: Arc<Engine<SocketIo>>,
    pub(crate) started: SystemTime,
    pub(crate) emit_auth: EmitAuth,
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
    async fn handle(&self, request: Request<Incoming>, peer: SocketAddr) -> HttpReply<SocketIo> {
        let response = match (request.method(), request.uri().path()) {
            (&Method::GET, "/notifications") if request.headers().contains_key(UPGRADE) => {
                return self.listen(&request, peer).await;
            }
            (&Method::GET, "/notifications") => upgrade_required(),
            (&Method::GET | &Method::HEAD, "/" | "/health" | "/livez") => {
                json(StatusCode::OK, HEALTHY)
            }
            (&Method::GET | &Method::HEAD, "/readyz") => self.readiness(),
            (&Method::POST, "/notifications/emit" | "/emit") => {
                self.answer(self.emit(request).await, peer)
            }
            (&Method::POST, "/notifications/broadcast") => {
                self.answer(self.broadcast(request).await, peer)
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
            (_, "/notifications/emit" | "/emit" | "/notifications/broadcast") => {
                Refused::method("POST").response()
            }
            _ => Refused::new(StatusCode::NOT_FOUND, "not_found", "no such route").response(),
        };
        HttpReply::Response(response)
    }
}

impl HttpApi {
    fn readiness(&self) -> Response<Full<Bytes>> {
        if self.engine.is_draining() {
            json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"draining"}"#)
        } else {
            json(StatusCode::OK, r#"{"status":"ready"}"#)
        }
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
            requests_refused: counts.refused_total(),
            replay: self.notifications.replay_counts(),
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

    fn answer(&self, result: Result<usize, Refused>, peer: SocketAddr) -> Response<Full<Bytes>> {
        match result {
            Ok(delivered) => json(
                StatusCode::CREATED,
                format!(r#"{{"success":true,"delivered":{delivered}}}"#),
            ),
            Err(refused) => {
                EmitRefused {
                    status: refused.status,
                    code: refused.code,
                    peer,
                }
                .emit(&self.counters);
                refused.response()
            }
        }
    }

    /// A WebSocket without Socket.IO, such as that of `wscat`.
    async fn listen(&self, request: &Request<Incoming>, peer: SocketAddr) -> HttpReply<SocketIo> {
        let query = request.uri().query();
        let handshake = ClientHandshake::new(peer, query, request.headers(), &[AUTHORIZATION]);
        match self.notifications.admit_plain(&handshake).await {
            Ok(opened) => HttpReply::UpgradePlain(handshake, opened),
            Err(refusal) => HttpReply::Response(Refused::from(refusal).response()),
        }
    }

    async fn emit(&self, request: Request<Incoming>) -> Result<usize, Refused> {
        let body = self.body(request).await?;
        let command = EmitCommand::parse(&body, &self.limits)?;
        let audience = Audience::room(user_room(command.user_id));
        let event = command.event.as_str();
        let delivered = self.send(&audience, event, &command.payload).await?;
        EmitAccepted {
            event,
            user_id: UserId::new(command.user_id).ok(),
            delivered,
        }
        .emit(&self.counters);
        Ok(delivered)
    }

    async fn broadcast(&self, request: Request<Incoming>) -> Result<usize, Refused> {
        let body = self.body(request).await?;
        let command = BroadcastCommand::parse(&body, &self.limits)?;
        let event = command.event.as_str();
        let delivered = self
            .send(&Audience::everyone(), event, &command.payload)
            .await?;
        EmitAccepted {
            event,
            user_id: None,
            delivered,
        }
        .emit(&self.counters);
        Ok(delivered)
    }

    async fn send(
        &self,
        audience: &Audience,
        event: &str,
        payload: &RawValue,
    ) -> Result<usize, Refused> {
        let name = EventName::new(event).map_err(|_| {
            let message = "the event's name is reserved by Socket.IO";
            Refused::new(StatusCode::BAD_REQUEST, "reserved_event", message)
        })?;
        let args = [payload];
        let publication = Publication {
            audience,
            name,
            args: OutgoingArgs::new(&args),
            ttl: None,
            id: None,
        };
        match self.notifications.publish(&publication) {
            Published::Sent { emitted, .. } => Ok(emitted.await),
            Published::Repeated => Ok(0),
        }
    }

    /// The body of a request that may emit.
    async fn body(&self, request: Request<Incoming>) -> Result<Bytes, Refused> {
        if let EmitAuth::Token(tokens) = &self.emit_auth {
            let presented = bearer(request.headers());
            let hint = "send the header Authorization: Bearer <EMIT_TOKEN>";
            authenticate(presented, |presented| tokens.accept(presented), hint)?;
        }
        let limit = self.limits.max_payload_bytes + ENVELOPE_BYTES;
        let refused = |status, code, message: String| Err(Refused::new(status, code, message));
        match read_body(request.into_body(), limit, BODY_TIMEOUT).await {
            Ok(body) => Ok(body),
            Err(BodyError::TooLarge) => refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                format!("the body is larger than {limit} bytes"),
            ),
            Err(error @ BodyError::TimedOut) => {
                refused(StatusCode::REQUEST_TIMEOUT, "timeout", error.to_string())
            }
            Err(error @ BodyError::Incomplete) => refused(
                StatusCode::BAD_REQUEST,
                "incomplete_body",
                error.to_string(),
            ),
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

    fn response(self) -> Response<Full<Bytes>> {
        let body = serde_json::json!({"error": {"code": self.code, "message": self.message}});
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

impl From<EmitError> for Refused {
    fn from(error: EmitError) -> Self {
        let status = if error.code() == "payload_too_large" {
            StatusCode::PAYLOAD_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        };
        Self::new(status, error.code(), error.to_string())
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

/// For the body of an emit; as long as for a body of Engine.IO.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const HEALTHY: &str = r#"{"status":"ok","service":"help-desk-ws"}"#;
/// Room in a body for what is not the payload: names, the event, the user.
const ENVELOPE_BYTES: usize = 4 * 1024;
