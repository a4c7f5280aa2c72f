//! The `/notifications` namespace: who may join, in which rooms, and until when.

use std::borrow::Cow;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engineio_proto::CloseReason;
use hd_auth::{JwtPayload, TokenSource, TokenSources, UserId, Verifier, VerifyError};
use hd_events::Target;
use hd_rooms::RoomName;
use hd_ws_server::{
    Admission, ConnectRequest, DisconnectReason, NamespaceHandler, Rate, RecoveryOutcome, Refusal,
    Socket, TokenBucket,
};
use http::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::value::RawValue;
use socketio_proto::{Args, Event};

use crate::expiry::{Expiries, unix_time};
use crate::presence::Changes;
use crate::settings::AuthFailure;
use crate::telemetry::Counters;
use crate::telemetry::events::{
    AuthenticationFailed, ClientConnected, ClientDisconnected, ClientRecovered, QueryTokenUsed,
    RecoveryRefused, SlowConsumerClosed, TokenRefreshRefused, TokenRefreshed,
};

/// The application of `/notifications`.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) verifier: Verifier,
    pub(crate) auth_failure: AuthFailure,
    pub(crate) expiries: Arc<Expiries>,
    pub(crate) counters: Arc<Counters>,
    /// What other processes are told of; `None` when there are none.
    pub(crate) changes: Option<Arc<Changes>>,
    pub(crate) refreshes: RefreshRates,
}

/// How often tokens may be refreshed. A signature costs more than anything else
/// that a client can ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefreshRates {
    of_client: Rate,
    of_user: Rate,
}

impl RefreshRates {
    /// Six times in a row and then once in ten seconds: tokens live for hours,
    /// and a client that cannot get it right may try again. All connections of a
    /// user together as often as each of them, but for twice in a row only.
    pub(crate) fn new(max_connections_per_user: NonZeroUsize) -> Self {
        let connections = u32::try_from(max_connections_per_user.get()).unwrap_or(u32::MAX);
        let connections = NonZeroU32::new(connections).unwrap_or(NonZeroU32::MIN);
        let burst = connections.get().saturating_mul(2).max(REFRESH_BURST);
        Self {
            of_client: Rate::new(NonZeroU32::MIN, REFRESH_PERIOD, REFRESH_BURST),
            of_user: Rate::new(connections, REFRESH_PERIOD, burst),
        }
    }
}

/// What is kept for a client.
pub(crate) struct ClientData {
    pub(crate) user_id: UserId,
    /// When it was let in, in milliseconds since 1970.
    pub(crate) since: u64,
    /// When the token expires, in seconds since 1970.
    expires_at: Option<u64>,
    refreshes: TokenBucket,
}

/// The private room of a user.
fn user_room(user_id: u64) -> RoomName {
    numbered_room("user", user_id)
}

/// The rooms that a client is in, by its token: its own first.
fn rooms_of(payload: &JwtPayload) -> Vec<RoomName> {
    let claims = [
        ("role", payload.rol_id),
        ("department", payload.dp_id),
        ("region", payload.reg_id),
        ("position", payload.car_id),
    ];
    let of_claims = claims
        .into_iter()
        .filter_map(|(kind, id)| Some(numbered_room(kind, id?)));
    std::iter::once(user_room(payload.usu_id.get()))
        .chain(of_claims)
        .collect()
}

/// The room of whoever a command means.
pub(crate) fn room_of(target: &Target) -> RoomName {
    match target {
        Target::User(id) => user_room(*id),
        Target::Role(id) => numbered_room("role", *id),
        Target::Department(id) => numbered_room("department", *id),
        Target::Region(id) => numbered_room("region", *id),
        Target::Position(id) => numbered_room("position", *id),
        Target::Room(name) => RoomName::new(name.as_str())
            .expect("invariant: rooms have longer names than commands may name"),
    }
}

/// Takes a socket out of the rooms that its new token does not give, and puts it
/// into those that it does. Rooms that no token gives, such as those that Node's
/// servers have put it into, are left as they are.
fn move_to(socket: &Socket, rooms: &[RoomName]) {
    let before = socket.rooms();
    for room in rooms.iter().filter(|room| !before.contains(room)) {
        // One that is gone is in no room.
        let _is_there = socket.join(room).is_ok();
    }
    let is_lost = |room: &&RoomName| !rooms.contains(room) && is_of_a_token(room);
    for room in before.iter().filter(is_lost) {
        socket.leave(room);
    }
}

/// Whether there are tokens that give this room.
fn is_of_a_token(room: &RoomName) -> bool {
    room.split_once('_')
        .is_some_and(|(kind, id)| KINDS.contains(&kind) && id.parse::<i64>().is_ok())
}

fn numbered_room(kind: &str, id: impl itoa::Integer) -> RoomName {
    RoomName::new(&[kind, "_", itoa::Buffer::new().format(id)].concat())
        .expect("invariant: a word and a number's digits are a short room name")
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
            let remote_address = request.handshake.remote_address();
            QueryTokenUsed { remote_address }.emit(&self.counters);
        }
        self.verify_token(&found.token)
    }

    fn verify_token(&self, token: &str) -> Result<JwtPayload, VerifyError> {
        self.verifier.verify(token, unix_time().as_secs())
    }

    fn note_change(&self, socket: &Socket) {
        let client: Option<&ClientData> = socket.data();
        if let (Some(changes), Some(client)) = (&self.changes, client) {
            changes.note(client.user_id);
        }
    }

    /// Counts a refresh, before anything is looked at.
    fn take_refresh(&self, socket: &Socket, client: &ClientData) -> Result<(), &'static str> {
        let (now, rates) = (Instant::now(), &self.refreshes);
        let limited = |_wait| RATE_LIMITED;
        let of_client = client.refreshes.take(&rates.of_client, 1, now);
        of_client.map_err(limited)?;
        let of_user = socket.shared_bucket();
        let of_user = of_user.map_or(Ok(()), |bucket| bucket.take(&rates.of_user, 1, now));
        of_user.map_err(limited)
    }

    /// Puts a new token into the place of the one that a client came with.
    /// Returns when it expires, or the code of what is wrong; the old one is
    /// good as long as it was then.
    fn refresh(&self, socket: &Socket, event: &Event) -> Result<Option<u64>, &'static str> {
        let client: &ClientData = socket.data().ok_or(OTHER_USER)?;
        self.take_refresh(socket, client)?;
        let token: Option<TokenText<'_>> = event
            .args
            .iter()
            .next()
            .and_then(|token| serde_json::from_str(token.get()).ok());
        let token = token.ok_or(VerifyError::Missing.reason())?.0;
        let payload = self.verify_token(&token).map_err(VerifyError::reason)?;
        if payload.usu_id != client.user_id {
            return Err(OTHER_USER);
        }
        move_to(socket, &rooms_of(&payload));
        // One that is gone hears no answer.
        let _is_there = self.expiries.renew(socket, payload.exp);
        Ok(payload.exp)
    }
}

impl NamespaceHandler for Gateway {
    async fn connect(&self, request: ConnectRequest<'_>) -> Result<Admission, Refusal> {
        match self.verify(&request) {
            Ok(payload) => Ok(Admission {
                rooms: rooms_of(&payload),
                data: Some(Box::new(ClientData {
                    user_id: payload.usu_id,
                    since: u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX),
                    expires_at: payload.exp,
                    refreshes: TokenBucket::default(),
                })),
                identity: Some(payload.usu_id.get()),
            }),
            Err(reason) => {
                let failed = AuthenticationFailed {
                    sid: None,
                    reason,
                    remote_address: request.handshake.remote_address(),
                };
                if request.has_exceeded_failures {
                    failed.count(&self.counters);
                } else {
                    failed.emit(&self.counters);
                }
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
        let sid = socket.id().as_str();
        match socket.recovery() {
            RecoveryOutcome::None => {}
            RecoveryOutcome::Recovered { events } => {
                ClientRecovered { sid, events }.emit(&self.counters);
            }
            RecoveryOutcome::Refused(reason) => {
                RecoveryRefused { sid, reason }.emit(&self.counters);
            }
        }
        self.expiries.insert(socket, data.expires_at);
        self.note_change(socket);
    }

    fn event(&self, socket: &Socket, event: &Event) -> Option<Args> {
        if event.name().as_str() != REFRESH {
            return None;
        }
        let sid = socket.id().as_str();
        let answer = match self.refresh(socket, event) {
            Ok(exp) => {
                TokenRefreshed { sid }.emit(&self.counters);
                serde_json::json!({"ok": true, "exp": exp})
            }
            Err(code) => {
                TokenRefreshRefused { sid, reason: code }.emit(&self.counters);
                serde_json::json!({"ok": false, "code": code})
            }
        };
        let answer = RawValue::from_string(answer.to_string()).ok()?;
        Some(Args::new(&[&answer]))
    }

    fn upgraded(&self, socket: &Socket) {
        self.note_change(socket);
    }

    fn disconnected(&self, socket: &Socket, reason: DisconnectReason) {
        self.expiries.remove(socket);
        self.note_change(socket);
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

/// The `auth` object of a CONNECT packet.
#[derive(Default, Deserialize)]
struct Auth<'a> {
    #[serde(borrow, default)]
    token: Option<TokenText<'a>>,
}

#[derive(Deserialize)]
struct TokenText<'a>(#[serde(borrow)] Cow<'a, str>);

/// The event by which a client hands in a new token, its argument.
const REFRESH: &str = "auth:refresh";
/// The code for a token of somebody else than who has connected.
const OTHER_USER: &str = "token_other_user";
/// The code for a client, or a user, that refreshes too often.
const RATE_LIMITED: &str = "rate_limited";
const REFRESH_BURST: u32 = 6;
const REFRESH_PERIOD: Duration = Duration::from_secs(10);
/// What the names of rooms begin with that tokens give.
const KINDS: [&str; 5] = ["user", "role", "department", "region", "position"];
const _: () = assert!(hd_events::MAX_ROOM_NAME_BYTES <= hd_rooms::MAX_ROOM_NAME_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_end_may_not_emit_the_recovery_state() {
        let name = hd_ws_server::RECOVERY_STATE_EVENT;
        assert_eq!(name, hd_events::RECOVERY_STATE_EVENT);
    }

    #[test]
    fn a_client_is_in_its_own_room_and_in_those_of_its_claims() {
        let mut payload = JwtPayload::new(UserId::new(42).unwrap());
        assert_eq!(rooms_of(&payload), [room_of(&Target::User(42))]);
        payload.rol_id = Some(2);
        payload.dp_id = Some(0);
        payload.car_id = Some(-1);
        let rooms = rooms_of(&payload);
        let names: Vec<_> = rooms.iter().map(RoomName::as_str).collect();
        assert_eq!(names, ["user_42", "role_2", "department_0", "position_-1"]);
        payload.reg_id = Some(5);
        payload.es_nacional = true;
        let targets = [Target::Role(2), Target::Department(0), Target::Region(5)];
        for target in targets {
            assert!(rooms_of(&payload).contains(&room_of(&target)), "{target:?}");
        }
        assert!(rooms_of(&payload).iter().all(is_of_a_token));
        for other in ["user", "user_", "user_x", "chat_7", "CjdVH4TQvovi1VvgAC5Z"] {
            assert!(!is_of_a_token(&RoomName::new(other).unwrap()), "{other}");
        }
    }
}
