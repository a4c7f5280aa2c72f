//! The `/notifications` namespace: who may join, and in which room.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use engineio_proto::CloseReason;
use hd_auth::{JwtPayload, TokenSource, TokenSources, UserId, Verifier, VerifyError};
use hd_rooms::RoomName;
use hd_ws_server::{
    Admission, ConnectRequest, DisconnectReason, NamespaceHandler, Refusal, Socket,
};
use http::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::value::RawValue;
use socketio_proto::{EventName, OutgoingArgs};
use tokio::task::AbortHandle;

use crate::settings::AuthFailure;
use crate::telemetry::Counters;
use crate::telemetry::events::{
    AuthenticationFailed, ClientConnected, ClientDisconnected, QueryTokenUsed, SlowConsumerClosed,
};

/// The application of `/notifications`.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) verifier: Verifier,
    pub(crate) auth_failure: AuthFailure,
    pub(crate) counters: Arc<Counters>,
}

/// What is kept for a client.
struct ClientData {
    user_id: UserId,
    /// When the token expires, in seconds since 1970.
    expires_at: Option<u64>,
    expiry: OnceLock<AbortHandle>,
}

/// The private room of a user.
pub(crate) fn user_room(user_id: u64) -> RoomName {
    RoomName::new(&format!("user_{user_id}"))
        .expect("invariant: a number's digits are a short room name")
}

impl Gateway {
    fn verify(&self, request: &ConnectRequest<'_>) -> Result<JwtPayload, VerifyError> {
        let auth: Auth<'_> = request
            .auth
            .and_then(|auth| serde_json::from_str(auth.get()).ok())
            .unwrap_or_default();
        let auth_token = auth.token.map(|token| token.0);
        let sources = TokenSources {
            authorization: request.handshake.header(&AUTHORIZATION),
            auth_token: auth_token.as_deref(),
            query: Some(request.handshake.query()),
        };
        let found = sources.lookup().ok_or(VerifyError::Missing)?;
        if found.source == TokenSource::Query {
            let peer = request.handshake.peer();
            QueryTokenUsed { peer }.emit(&self.counters);
        }
        self.verifier.verify(&found.token, unix_now())
    }
}

impl NamespaceHandler for Gateway {
    async fn connect(&self, request: ConnectRequest<'_>) -> Result<Admission, Refusal> {
        match self.verify(&request) {
            Ok(payload) => Ok(Admission {
                rooms: vec![user_room(payload.usu_id.get())],
                data: Some(Box::new(ClientData {
                    user_id: payload.usu_id,
                    expires_at: payload.exp,
                    expiry: OnceLock::new(),
                })),
            }),
            Err(reason) => {
                AuthenticationFailed {
                    sid: None,
                    reason,
                    peer: request.handshake.peer(),
                }
                .emit(&self.counters);
                Err(match self.auth_failure {
                    AuthFailure::Legacy => Refusal::ConnectThenDisconnect,
                    AuthFailure::ConnectError => Refusal::ConnectError {
                        message: reason.to_string(),
                        data: RawValue::from_string(format!(r#"{{"code":"{}"}}"#, reason.reason()))
                            .ok(),
                    },
                })
            }
        }
    }

    fn connected(&self, socket: &Socket) {
        let Some(data) = socket.data::<ClientData>() else {
            return;
        };
        ClientConnected {
            sid: socket.id().as_str(),
            user_id: data.user_id,
            room: user_room(data.user_id.get()).as_str(),
        }
        .emit(&self.counters);
        if let Some(expires_at) = data.expires_at {
            let left = Duration::from_secs(expires_at.saturating_sub(unix_now()));
            let expiring = tokio::spawn(expire(socket.clone(), left));
            let is_first = data.expiry.set(expiring.abort_handle()).is_ok();
            debug_assert!(is_first, "a socket connects once");
        }
    }

    fn disconnected(&self, socket: &Socket, reason: DisconnectReason) {
        if let Some(expiry) = socket
            .data::<ClientData>()
            .and_then(|data| data.expiry.get())
        {
            expiry.abort();
        }
        let sid = socket.id().as_str();
        if reason == DisconnectReason::Session(CloseReason::SendQueueFull) {
            SlowConsumerClosed { sid }.emit(&self.counters);
        }
        ClientDisconnected {
            sid,
            reason: reason.as_str(),
        }
        .emit(&self.counters);
    }
}

/// Tells a client that its token has expired, and closes its transport: with a
/// new token it may come back.
async fn expire(socket: Socket, left: Duration) {
    tokio::time::sleep(left).await;
    let name = EventName::new("auth:expired").expect("invariant: not a reserved name");
    // A client that is gone needs not be told.
    let _gone = socket.emit(name, OutgoingArgs::new(&[]));
    // Clients of revision 4 handle the packets of one poll each in a turn of
    // their own: closing in the same one would overtake the event.
    tokio::time::sleep(EXPIRY_GRACE).await;
    socket.close_transport();
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The `auth` object of a CONNECT packet.
#[derive(Default, Deserialize)]
struct Auth<'a> {
    #[serde(borrow, default)]
    token: Option<TokenText<'a>>,
}

#[derive(Deserialize)]
struct TokenText<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

/// From telling a client that its token has expired to closing its transport.
const EXPIRY_GRACE: Duration = Duration::from_millis(250);
