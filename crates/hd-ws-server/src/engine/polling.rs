//! HTTP long-polling: GET takes packets, POST brings them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engineio_proto::{
    CacheBuster, CloseReason, DecodeError, Message, Packet, ProtocolViolation, RequestError,
    Revision, Session, Transport, payload,
};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::inbound::Excess;
use super::service::{closing, empty};
use super::wire::Wire;
use super::{Application, Connection};
use crate::body::read_held_body;
use crate::{BodyError, BucketTime};

/// Starts a GET, which is answered once there is something to answer.
pub(super) fn start_poll<A: Application>(
    connection: Arc<Connection<A>>,
    cache_buster: Option<CacheBuster>,
) -> Result<WaitingPoll<A>, ProtocolViolation> {
    let now = Instant::now();
    connection.with_session(MISMATCH, |session| session.handle_poll(cache_buster, now))?;
    Ok(WaitingPoll {
        connection,
        is_done: false,
    })
}

/// Takes the packets of a POST.
pub(super) async fn serve_post<A: Application>(
    connection: Arc<Connection<A>>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let now = Instant::now();
    let begun = connection.with_session(MISMATCH, |session| session.handle_post(now));
    if let Err(violation) = begun {
        return reject(violation);
    }
    let reading = ReadingPost(Some(connection));
    let is_binary = is_octet_stream(request.headers());
    let connection = reading.connection();
    let timeout = connection.engine.config.body_timeout;
    let bounds = connection.input_bounds();
    let limit = bounds.max_message();
    let mut held = connection.hold();
    // What drops out of here without a body drops `reading`, which ends the
    // session: what the client sent is lost, and it must know.
    let hold = |bytes| connection.hold_bytes(&mut held, bytes).is_ok();
    let body = match read_held_body(request.into_body(), limit, timeout, hold).await {
        Ok(Some(body)) => body,
        Ok(None) => return closing(StatusCode::SERVICE_UNAVAILABLE),
        Err(BodyError::TimedOut) => return closing(StatusCode::REQUEST_TIMEOUT),
        Err(BodyError::Incomplete) => return empty(StatusCode::BAD_REQUEST),
        Err(BodyError::TooLarge) => {
            connection.tell_rejected(bounds.too_large());
            reading.finish();
            return closing(StatusCode::PAYLOAD_TOO_LARGE);
        }
    };
    let (revision, is_jsonp) = reading
        .connection()
        .with_session((Revision::V4, false), |session| {
            (session.revision(), session.is_jsonp())
        });
    let format = match (revision, is_binary) {
        (Revision::V3, true) => Format::BinaryV3,
        (Revision::V3, false) if is_jsonp => Format::Jsonp,
        (Revision::V3, false) => Format::TextV3,
        (Revision::V4 | _, false) => Format::Text,
        // Revision 3 only.
        (Revision::V4 | _, true) => return empty(StatusCode::BAD_REQUEST),
    };
    let connection = reading.connection();
    let mut intake = Intake::new(connection);
    let handled = intake.handle_body(&body, format);
    // What has been handled takes no room while the client waits.
    drop(body);
    drop(held);
    if handled.is_ok() && !intake.wait.is_zero() {
        // A client sends its next POST when this one is answered.
        connection.engine.counts.throttled();
        tokio::select! {
            () = tokio::time::sleep(intake.wait) => {}
            // It is to look for another server, and not to hold this one up.
            () = connection.engine.sends_away(connection) => {}
        }
    }
    reading.finish();
    match handled {
        Ok(()) => {}
        Err(PayloadRefused::Malformed) => return empty(StatusCode::BAD_REQUEST),
        Err(PayloadRefused::TooMuch) => return empty(StatusCode::TOO_MANY_REQUESTS),
    }
    accepted(Bytes::from_static(b"ok"), "text/html")
}

/// How the body of a POST holds its packets.
#[derive(Clone, Copy)]
enum Format {
    Text,
    TextV3,
    BinaryV3,
    Jsonp,
}

/// Takes in the packets of one POST.
struct Intake<'c, A: Application> {
    connection: &'c Arc<Connection<A>>,
    /// How long the client has to wait, since it sent more than it may.
    wait: Duration,
}

impl<'c, A: Application> Intake<'c, A> {
    fn new(connection: &'c Arc<Connection<A>>) -> Self {
        Self {
            connection,
            wait: Duration::ZERO,
        }
    }

    /// When the body is refused the session is closed.
    fn handle_body(&mut self, body: &[u8], format: Format) -> Result<(), PayloadRefused> {
        let limit = self.connection.engine.config.engine.max_packets_per_payload;
        self.charge(
            self.connection
                .bytes_have_come(body.len(), BucketTime::now()),
        )?;
        let handled = match format {
            Format::Text => match payload::decode(body, limit) {
                Ok(packets) => self.handle_packets(packets),
                Err(_) => Err(PayloadRefused::Malformed),
            },
            Format::TextV3 => self.handle_text_v3(body, limit),
            Format::BinaryV3 => self.handle_packets(payload::v3::decode_binary(body, limit)),
            Format::Jsonp => std::str::from_utf8(body)
                .ok()
                .and_then(payload::v3::jsonp_payload)
                .ok_or(PayloadRefused::Malformed)
                .and_then(|payload| self.handle_text_v3(payload.as_bytes(), limit)),
        };
        if handled == Err(PayloadRefused::Malformed) {
            self.connection.end(CloseReason::ParseError);
        }
        handled
    }

    fn handle_text_v3(&mut self, body: &[u8], limit: usize) -> Result<(), PayloadRefused> {
        match payload::v3::decode_text(body, limit) {
            Ok(packets) => self.handle_packets(packets),
            Err(_) => Err(PayloadRefused::Malformed),
        }
    }

    /// Hands the packets to the session and their messages to the application,
    /// in order, up to the first that has no place there.
    fn handle_packets<'a>(
        &mut self,
        packets: impl Iterator<Item = Result<Packet<'a>, DecodeError>>,
    ) -> Result<(), PayloadRefused> {
        for packet in packets {
            let packet = packet.map_err(|_| PayloadRefused::Malformed)?;
            let now = Instant::now();
            self.charge(self.connection.message_has_come(now.into()))?;
            let is_noise = matches!(packet, Packet::Open(_) | Packet::Upgrade | Packet::Noop);
            if !self.connection.has_joined() {
                let mut state = self.connection.lock();
                let is_admitted = self.connection.admits(&mut state, is_noise);
                self.connection.settle(state);
                if !is_admitted {
                    return Err(PayloadRefused::TooMuch);
                }
            }
            let handled: Result<Option<Message<'_>>, ProtocolViolation> =
                self.connection.with_session(Ok(None), |session| {
                    session.handle_packet(Transport::Polling, packet, now)
                });
            let application = &self.connection.engine.application;
            match handled {
                Ok(Some(message)) => application.message(self.connection, message),
                Ok(None) => {}
                Err(_) => return Err(PayloadRefused::Malformed),
            }
        }
        Ok(())
    }

    fn charge(&mut self, excess: Option<Excess>) -> Result<(), PayloadRefused> {
        let Some(excess) = excess else {
            return Ok(());
        };
        self.wait = self.wait.max(excess.wait);
        let engine = &self.connection.engine;
        if self.wait > engine.config.throttle_timeout {
            engine.limited(self.connection, excess.reason, None);
            self.connection.end(CloseReason::RateLimited);
            return Err(PayloadRefused::TooMuch);
        }
        Ok(())
    }
}

/// Why a POST is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PayloadRefused {
    Malformed,
    /// More than the client may send.
    TooMuch,
}

pub(super) fn reject(violation: ProtocolViolation) -> Response<Full<Bytes>> {
    let error = if violation == ProtocolViolation::TransportMismatch {
        RequestError::BadRequest
    } else if violation == ProtocolViolation::SessionEnded {
        RequestError::SessionIdUnknown
    } else {
        return empty(StatusCode::BAD_REQUEST);
    };
    let mut response = Response::new(Full::from(error.body()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The answer to a request that was understood. Nothing on the way may keep it.
fn accepted(body: Bytes, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn is_octet_stream(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value == "application/octet-stream")
}

/// The answer to a poll, once the session has one. Dropped before that, the
/// client has gone away.
pub(super) struct WaitingPoll<A: Application> {
    connection: Arc<Connection<A>>,
    is_done: bool,
}

impl<A: Application> Future for WaitingPoll<A> {
    type Output = Response<Full<Bytes>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let connection = Arc::clone(&self.connection);
        let mut state = connection.lock();
        let body = match &mut state.wire {
            Wire::EngineIo(session) => session.poll_response(),
            Wire::Plain(_) => Some(Bytes::new()),
        };
        let Some(body) = body else {
            state.poll = Some(cx.waker().clone());
            return Poll::Pending;
        };
        self.is_done = true;
        connection.settle(state);
        let content_type = payload::content_type(&body);
        Poll::Ready(accepted(body, content_type))
    }
}

impl<A: Application> Drop for WaitingPoll<A> {
    fn drop(&mut self) {
        if !self.is_done {
            self.connection
                .with_session((), Session::handle_poll_aborted);
        }
    }
}

/// A POST whose body is being read.
struct ReadingPost<A: Application>(Option<Arc<Connection<A>>>);

impl<A: Application> ReadingPost<A> {
    fn connection(&self) -> &Arc<Connection<A>> {
        self.0
            .as_ref()
            .expect("invariant: only `finish` takes it, and consumes self")
    }

    fn finish(mut self) {
        if let Some(connection) = self.0.take() {
            connection.with_session((), Session::handle_post_end);
        }
    }
}

impl<A: Application> Drop for ReadingPost<A> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.with_session((), Session::handle_post_aborted);
        }
    }
}

impl<A: Application> Connection<A> {
    /// Runs one input of the session machine, from where the application holds
    /// no lock. A plain WebSocket client has no such machine, and `otherwise`
    /// is the result.
    fn with_session<R>(self: &Arc<Self>, otherwise: R, input: impl FnOnce(&mut Session) -> R) -> R {
        let mut state = self.lock();
        let result = match &mut state.wire {
            Wire::EngineIo(session) => input(session),
            Wire::Plain(_) => otherwise,
        };
        self.settle(state);
        result
    }

    /// Whether it is neither closing nor closed.
    pub(super) fn is_open(&self) -> bool {
        match &self.lock().wire {
            Wire::EngineIo(session) => session.is_open(),
            Wire::Plain(session) => !session.is_closed(),
        }
    }

    /// Ends the session from where the application holds no lock.
    pub(super) fn end(self: &Arc<Self>, reason: CloseReason) {
        let mut state = self.lock();
        state.wire.abort(reason);
        self.settle(state);
    }
}

const MISMATCH: Result<(), ProtocolViolation> = Err(ProtocolViolation::TransportMismatch);
