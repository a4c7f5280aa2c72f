//! HTTP long-polling: GET takes packets, POST brings them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use engineio_proto::{
    CloseReason, DecodeError, Message, Packet, ProtocolViolation, RequestError, Revision, Session,
    Transport, payload,
};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::service::empty;
use super::wire::Wire;
use super::{Application, Connection};
use crate::{BodyError, read_body};

/// Starts a GET, which is answered once there is something to answer.
pub(super) fn start_poll<A: Application>(
    connection: Arc<Connection<A>>,
) -> Result<WaitingPoll<A>, ProtocolViolation> {
    let now = Instant::now();
    connection.with_session(MISMATCH, |session| session.handle_poll(now))?;
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
    let config = &reading.connection().engine.config;
    let (limit, timeout) = (config.engine.max_payload, config.body_timeout);
    // What drops out of here without a body drops `reading`, which ends the
    // session: what the client sent is lost, and it must know.
    let body = match read_body(request.into_body(), limit, timeout).await {
        Ok(body) => body,
        Err(BodyError::TimedOut) => return empty(StatusCode::REQUEST_TIMEOUT),
        Err(BodyError::Incomplete) => return empty(StatusCode::BAD_REQUEST),
        Err(BodyError::TooLarge) => {
            reading.finish();
            return empty(StatusCode::PAYLOAD_TOO_LARGE);
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
    let is_accepted = handle_body(reading.connection(), &body, format);
    reading.finish();
    if !is_accepted {
        return empty(StatusCode::BAD_REQUEST);
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

/// Returns whether all of it was understood; if not, the session is closed.
fn handle_body<A: Application>(
    connection: &Arc<Connection<A>>,
    body: &[u8],
    format: Format,
) -> bool {
    let limit = connection.engine.config.engine.max_packets_per_payload;
    let is_accepted = match format {
        Format::Text => {
            payload::decode(body, limit).is_ok_and(|packets| handle_packets(connection, packets))
        }
        Format::TextV3 => payload::v3::decode_text(body, limit)
            .is_ok_and(|packets| handle_packets(connection, packets)),
        Format::BinaryV3 => handle_packets(connection, payload::v3::decode_binary(body, limit)),
        Format::Jsonp => std::str::from_utf8(body)
            .ok()
            .and_then(payload::v3::jsonp_payload)
            .is_some_and(|payload| {
                payload::v3::decode_text(payload.as_bytes(), limit)
                    .is_ok_and(|packets| handle_packets(connection, packets))
            }),
    };
    if !is_accepted {
        connection.end(CloseReason::ParseError);
    }
    is_accepted
}

/// Hands the packets to the session and their messages to the application, in
/// order, up to the first that has no place there.
fn handle_packets<'a, A: Application>(
    connection: &Arc<Connection<A>>,
    packets: impl Iterator<Item = Result<Packet<'a>, DecodeError>>,
) -> bool {
    for packet in packets {
        let Ok(packet) = packet else {
            return false;
        };
        let now = Instant::now();
        let handled: Result<Option<Message<'_>>, ProtocolViolation> = connection
            .with_session(Ok(None), |session| {
                session.handle_packet(Transport::Polling, packet, now)
            });
        match handled {
            Ok(Some(message)) => connection.engine.application.message(connection, message),
            Ok(None) => {}
            Err(_) => return false,
        }
    }
    true
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

    /// Ends the session from where the application holds no lock.
    pub(super) fn end(self: &Arc<Self>, reason: CloseReason) {
        let mut state = self.lock();
        state.wire.abort(reason);
        self.settle(state);
    }
}

const MISMATCH: Result<(), ProtocolViolation> = Err(ProtocolViolation::TransportMismatch);
