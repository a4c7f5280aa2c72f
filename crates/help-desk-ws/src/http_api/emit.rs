//! The routes by which the back end emits.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hd_auth::UserId;
use hd_events::{BroadcastCommand, EmitCommand, EmitError};
use hd_rooms::Audience;
use hd_ws_server::{BodyError, Publication, Published, read_body};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::value::RawValue;
use socketio_proto::{EventName, OutgoingArgs};

use super::{HttpApi, Refused, authenticate, bearer, json};
use crate::gateway::user_room;
use crate::settings::EmitAuth;
use crate::telemetry::events::{EmitAccepted, EmitRefused};

impl HttpApi {
    pub(super) async fn emit(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>> {
        self.answer(self.carry_out_emit(request).await, peer)
    }

    pub(super) async fn broadcast(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>> {
        self.answer(self.carry_out_broadcast(request).await, peer)
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

    async fn carry_out_emit(&self, request: Request<Incoming>) -> Result<usize, Refused> {
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

    async fn carry_out_broadcast(&self, request: Request<Incoming>) -> Result<usize, Refused> {
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

/// For the body of an emit; as long as for a body of Engine.IO.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Room in a body for what is not the payload: names, the event, the user.
const ENVELOPE_BYTES: usize = 4 * 1024;
