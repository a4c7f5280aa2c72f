//! The routes by which the back end emits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hd_auth::UserId;
use hd_cluster::{Appended, Offset};
use hd_events::{
    EmitBatch, EmitCommand, EmitError, EmitLimits, EventName, IdempotencyKey, Recipients, Target,
    Ttl,
};
use hd_rooms::Audience;
use hd_ws_server::{BodyError, Emitted, Publication, Published, RemoteAddress, read_body};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use serde::Serialize;
use serde_json::Value;
use socketio_proto::OutgoingArgs;

use super::access::{Caller, require_scope};
use super::emit_limits::EmitPermit;
use super::{HttpApi, Refused, json_of};
use crate::cluster::{Cluster, ClusterEvent, EventArgs};
use crate::gateway::room_of;
use crate::settings::{EmitWithoutRedis, Scope};
use crate::telemetry::events::{
    EmitAccepted, EmitLocal, EmitNotKept, EmitRefused, EmitRepeated, EventDelivered, IdForgotten,
};

/// An event that was taken from the back end, and is on its way.
struct Taken {
    event: EventName,
    /// The only target, where that is a user.
    user_id: Option<UserId>,
    delivery: Delivery,
}

enum Delivery {
    Over {
        delivered: usize,
    },
    UnderWay(Emitted),
    /// In the log that several processes share.
    Shared(Arc<Cluster>, Offset),
    /// To the sockets of this process only: the log cannot be reached.
    Local(Emitted),
    /// Its id had come before.
    Repeated,
}

#[derive(Serialize)]
struct Results {
    results: Vec<Outcome>,
}

/// What is answered for one command.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Taken {
        success: bool,
        /// Whether all whom it is for are to get it.
        accepted: bool,
        /// Sockets of this instance that took it. Those of other instances are not counted.
        #[serde(rename = "deliveredLocally")]
        delivered_locally: usize,
    },
    /// Its id is a duplicate: it was accepted before.
    Duplicate {
        success: bool,
        accepted: bool,
        duplicate: bool,
    },
    /// In a batch.
    Refused { success: bool, error: Value },
}

type Parse = fn(&[u8], &EmitLimits) -> Result<EmitCommand, EmitError>;

impl HttpApi {
    pub(super) fn emit(
        &self,
        request: Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send {
        let scopes = &[Scope::Emit, Scope::Broadcast];
        self.emit_one(request, remote_address, scopes, EmitCommand::parse)
    }

    pub(super) fn broadcast(
        &self,
        request: Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send {
        let scopes = &[Scope::Broadcast];
        self.emit_one(
            request,
            remote_address,
            scopes,
            EmitCommand::parse_broadcast,
        )
    }

    pub(super) async fn emit_batch(
        &self,
        request: Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> Response<Full<Bytes>> {
        let (batch, permit) = match self.take_batch(request, remote_address).await {
            Ok(taken) => taken,
            Err(refused) => return self.refuse(refused, remote_address).response(),
        };
        // All are on their way before the first is waited for: those for the same
        // many sockets are then sent together.
        let mut items = Vec::with_capacity(batch.items.len());
        let mut is_log_available = true;
        for item in batch.items {
            items.push(match item {
                // What the log takes of a batch is its beginning: a retry of the rest keeps the order.
                Ok(_) if !is_log_available => Err(not_kept()),
                Ok(command) => {
                    let sent = self.send(command, &permit).await;
                    is_log_available =
                        !matches!(&sent, Err(refused) if refused.code == LOG_UNAVAILABLE);
                    sent
                }
                Err(error) => Err(error.into()),
            });
        }
        let mut status = StatusCode::CREATED;
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            results.push(match item {
                Ok(taken) => self.outcome(taken, &permit).await,
                Err(refused) => {
                    status = StatusCode::MULTI_STATUS;
                    Outcome::Refused {
                        success: false,
                        error: self.refuse(refused, remote_address).error(),
                    }
                }
            });
        }
        json_of(status, &Results { results })
    }

    /// What the future does not need is left out of it: each emit allocates one.
    fn emit_one(
        &self,
        request: Request<Incoming>,
        remote_address: RemoteAddress,
        wanted: &[Scope],
        parse: Parse,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send + use<'_> {
        let limit = self.limits.max_payload_bytes + ENVELOPE_BYTES;
        let permit = self.admit(&request, remote_address, wanted, limit);
        let (http::request::Parts { headers, .. }, body) = request.into_parts();
        async move {
            let taken = async {
                let mut permit = permit?;
                let command = self.take_one(headers, body, &mut permit, parse).await?;
                let taken = self.send(command, &permit).await?;
                Ok(self.outcome(taken, &permit).await)
            };
            match taken.await {
                Ok(outcome) => json_of(StatusCode::CREATED, &outcome),
                Err(refused) => self.refuse(refused, remote_address).response(),
            }
        }
    }

    async fn take_one(
        &self,
        headers: HeaderMap,
        body: Incoming,
        permit: &mut EmitPermit<'_>,
        parse: Parse,
    ) -> Result<EmitCommand, Refused> {
        let limit = self.limits.max_payload_bytes + ENVELOPE_BYTES;
        let body = read(body, limit).await?;
        permit.body_has_come(body.len());
        let mut command = parse(&body, &self.limits)?;
        if let Some(key) = idempotency_key(&headers)? {
            command.identify(key)?;
        }
        Ok(command)
    }

    async fn take_batch(
        &self,
        request: Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> Result<(EmitBatch, EmitPermit<'_>), Refused> {
        let wanted = &[Scope::Emit, Scope::Broadcast];
        let mut permit = self.admit(&request, remote_address, wanted, BATCH_BYTES)?;
        let (http::request::Parts { headers, .. }, body) = request.into_parts();
        let body = read(body, BATCH_BYTES).await?;
        permit.body_has_come(body.len());
        if headers.contains_key(IDEMPOTENCY_KEY) {
            let message = "a batch has no Idempotency-Key: give each item an \"id\"";
            return Err(Refused::new(StatusCode::BAD_REQUEST, "invalid_id", message));
        }
        let batch = EmitBatch::parse(&body, &self.limits)?;
        permit.items_have_come(batch.items.len());
        Ok((batch, permit))
    }

    /// Sends an event. Every command of the back end comes by here, whichever
    /// route it took.
    async fn send(&self, command: EmitCommand, permit: &EmitPermit<'_>) -> Result<Taken, Refused> {
        require_scope(
            permit.scopes(),
            match command.recipients {
                Recipients::Everyone => Scope::Broadcast,
                Recipients::AnyOf(_) => Scope::Emit,
            },
        )?;
        let event = command.event.as_str();
        let name = socketio_proto::EventName::new(event).map_err(|_| {
            let message = "the event's name is reserved by Socket.IO";
            Refused::new(StatusCode::BAD_REQUEST, "reserved_event", message)
        })?;
        let audience = audience_of(&command);
        let user_id = only_user(&command.recipients);
        if user_id.is_none() {
            permit.take_recipients(self.notifications.max_recipients(&audience))?;
        }
        let args = [&*command.payload];
        let args = OutgoingArgs::new(&args);
        let cluster = self.cluster.as_ref().filter(|cluster| {
            // Best effort: with Redis away it reaches who is here.
            cluster.is_following() || !command.volatile
        });
        let delivery = if cluster.is_some_and(|cluster| self.is_to_stay_here(cluster)) {
            Delivery::Local(self.notifications.emit(&audience, name, args))
        } else if let Some(cluster) = cluster {
            let event = ClusterEvent {
                audience: &audience,
                name: event,
                args: EventArgs::Payload(&command.payload),
                ttl: command.ttl.map(Ttl::as_duration),
                is_volatile: command.volatile,
            };
            let id = command.id.as_ref().map(IdempotencyKey::as_str);
            match cluster.publish(&event, id).await {
                Ok(Appended::New(offset)) => Delivery::Shared(Arc::clone(cluster), offset),
                Ok(Appended::Repeated(_)) => Delivery::Repeated,
                Err(error) => {
                    EmitNotKept { error: &error }.emit();
                    return Err(not_kept());
                }
            }
        } else if command.volatile {
            let delivered = self.notifications.emit_volatile(&audience, name, args);
            Delivery::Over { delivered }
        } else {
            let publication = Publication {
                audience: &audience,
                name,
                args,
                ttl: command.ttl.map(Ttl::as_duration),
                id: command.id.as_ref().map(IdempotencyKey::as_str),
            };
            match self.notifications.publish(&publication) {
                Published::Sent { emitted, forgot_id } => {
                    if forgot_id {
                        IdForgotten.emit(&self.counters);
                    }
                    Delivery::UnderWay(emitted)
                }
                Published::Repeated => Delivery::Repeated,
            }
        };
        Ok(Taken {
            user_id,
            event: command.event,
            delivery,
        })
    }

    /// Whether an event that is sent now is for the sockets here only. One that
    /// Redis was asked to keep, and gave no answer, is not: it may be there.
    fn is_to_stay_here(&self, cluster: &Cluster) -> bool {
        match self.emit_without_redis {
            EmitWithoutRedis::Refuse => false,
            EmitWithoutRedis::AcceptLocal => cluster.is_cut_off(),
        }
    }

    /// What became of an event, once that is known.
    async fn outcome(&self, taken: Taken, permit: &EmitPermit<'_>) -> Outcome {
        let (event, user_id) = (taken.event.as_str(), taken.user_id);
        let delivered_locally = match taken.delivery {
            Delivery::Over { delivered } => self.count(delivered),
            Delivery::UnderWay(emitted) => self.count(emitted.await),
            // Counted where it was read from the log.
            Delivery::Shared(cluster, offset) => cluster.delivered(offset).await,
            Delivery::Local(emitted) => {
                let delivered_locally = self.count(emitted.await);
                if user_id.is_some() {
                    permit.was_delivered(delivered_locally);
                }
                EmitLocal {
                    event,
                    user_id,
                    delivered_locally,
                }
                .emit(&self.counters);
                return success(false, delivered_locally);
            }
            Delivery::Repeated => {
                EmitRepeated { event, user_id }.emit(&self.counters);
                return Outcome::Duplicate {
                    success: true,
                    accepted: true,
                    duplicate: true,
                };
            }
        };
        if user_id.is_some() {
            permit.was_delivered(delivered_locally);
        }
        EmitAccepted {
            event,
            user_id,
            delivered_locally,
        }
        .emit(&self.counters);
        success(true, delivered_locally)
    }

    /// Counts the sockets that an event went to.
    fn count(&self, sockets: usize) -> usize {
        EventDelivered { sockets }.emit(&self.counters);
        sockets
    }

    fn refuse(&self, refused: Refused, remote_address: RemoteAddress) -> Refused {
        EmitRefused {
            status: refused.status,
            code: refused.code,
            limit: refused.limit,
            remote_address,
        }
        .emit(&self.counters);
        refused
    }

    /// Whether a request may emit, before its body is read.
    fn admit<B: Body>(
        &self,
        request: &Request<B>,
        remote_address: RemoteAddress,
        wanted: &[Scope],
        max_body: usize,
    ) -> Result<EmitPermit<'_>, Refused> {
        let limits = &self.emit_limits;
        let caller = Caller::new(request, remote_address);
        let authorized = caller
            .authorize_back_end(&self.back_end, wanted)
            .map_err(|refused| limits.auth_failed(refused, remote_address))?;
        // What a body is counted as while it comes: what it declares, or the most that is read.
        let declared = request.body().size_hint().upper();
        let declared = declared.and_then(|len| usize::try_from(len).ok());
        let body_bytes = declared.map_or(max_body, |len| len.min(max_body));
        limits.admit(authorized, remote_address, body_bytes)
    }
}

/// The body of a request that may emit.
async fn read(body: Incoming, limit: usize) -> Result<Bytes, Refused> {
    let refused = |status, code, message: String| Err(Refused::new(status, code, message));
    let result = match read_body(body, limit, BODY_TIMEOUT).await {
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
    };
    // The rest of the body is not read.
    result.map_err(Refused::closing)
}

fn audience_of(command: &EmitCommand) -> Audience {
    let to = match &command.recipients {
        Recipients::Everyone => &[],
        Recipients::AnyOf(targets) => targets.as_slice(),
    };
    let audience = to
        .iter()
        .map(room_of)
        .fold(Audience::everyone(), Audience::to);
    let except = command.except.iter().map(room_of);
    except.fold(audience, Audience::except)
}

fn only_user(recipients: &Recipients) -> Option<UserId> {
    let Recipients::AnyOf(targets) = recipients else {
        return None;
    };
    match targets.as_slice() {
        [Target::User(id)] => UserId::new(*id).ok(),
        _ => None,
    }
}

/// The key in the header, taken as it stands there.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, EmitError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(EmitError::AmbiguousId);
    }
    let key = value.to_str().map_err(|_| EmitError::InvalidId)?;
    Ok(Some(IdempotencyKey::new(key)?))
}

fn success(accepted: bool, delivered_locally: usize) -> Outcome {
    Outcome::Taken {
        success: true,
        accepted,
        delivered_locally,
    }
}

/// The event is not in the log, or nobody knows: the back end retries. What Redis said is for the
/// log only: it names hosts, users and keys.
fn not_kept() -> Refused {
    let message = "the event could not be kept in Redis; retry it under the same id";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Refused {
        header: Some((RETRY_AFTER, HeaderValue::from_static("1"))),
        ..Refused::new(status, LOG_UNAVAILABLE, message)
    }
}

impl From<EmitError> for Refused {
    fn from(error: EmitError) -> Self {
        let is_too_large = matches!(
            error,
            EmitError::PayloadTooLarge { .. } | EmitError::TooManyItems { .. }
        );
        let status = if is_too_large {
            StatusCode::PAYLOAD_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        };
        Self::new(status, error.code(), error.to_string())
    }
}

/// The code of an emit that Redis did not keep.
const LOG_UNAVAILABLE: &str = "log_unavailable";
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// For the body of an emit; as long as for a body of Engine.IO.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Room in a body for what is not the payload: names, the event, and a thousand
/// of the longest ids.
const ENVELOPE_BYTES: usize = 32 * 1024;
/// The largest body of a batch: ours, four of the largest payloads, or a hundred
/// of 10 kB.
const BATCH_BYTES: usize = 1024 * 1024;
