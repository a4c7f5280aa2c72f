//! HTTP requests: those of Engine.IO are served here, others by the handler.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use engineio_proto::{
    CacheBuster, Method, OriginVerdict, ProtocolViolation, Query, RequestError, RequestFacts,
    Session, Transport, UpgradeHeader, UpgradeId, Verified,
};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::Service;

use super::upgrade;
use super::{Application, Connection, Engine, polling};
use crate::http_connection::HttpState;
use crate::{
    ClientHandshake, HttpHandler, HttpReply, Rejection, RemoteAddress, is_cross_site_without_origin,
};

/// The service of one HTTP connection.
pub(crate) struct HttpService<A: Application, H> {
    pub(crate) handler: Arc<H>,
    pub(crate) tcp: TcpConnection<A>,
    pub(crate) handshakes: AtomicU32,
    /// What this connection becomes once its 101 is out.
    pub(crate) upgrade: Arc<Mutex<Option<Upgrade<A>>>>,
    pub(crate) state: Arc<HttpState>,
}

/// What a connection becomes when it stops speaking HTTP.
pub(crate) enum Upgrade<A: Application> {
    /// The connection's only transport.
    Direct(Arc<Connection<A>>),
    /// The transport that a polling session wants to move to.
    Probe(Arc<Connection<A>>, UpgradeId),
    /// No transport of any session: it is closed again. engine.io tells a client
    /// so whose session has another WebSocket, and clients see it close.
    Surplus,
}

/// A request, and whether its headers ask for a WebSocket.
pub(crate) type Asked<B> = (Request<B>, UpgradeHeader);

impl<A: Application, H: HttpHandler<A>> Service<Asked<Incoming>> for HttpService<A, H> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, (mut request, mut asks): Asked<Incoming>) -> ResponseFuture {
        self.tcp.spoke();
        if request.version() == Version::HTTP_10 {
            // RFC 9110 §7.8 has us ignore it. RFC 6455 §4.2.1 wants HTTP/1.1.
            request.headers_mut().remove(UPGRADE);
            asks = UpgradeHeader::Absent;
        }
        let engine = Arc::clone(self.tcp.engine());
        let upgrade = Arc::clone(&self.upgrade);
        let proxies = &engine.config.trusted_proxies;
        let remote_address = proxies.remote_address(self.tcp.peer, request.headers());
        if request.uri().path().starts_with(&engine.config.path) {
            return serve_engine(self, request, asks, remote_address);
        }
        let handler = Arc::clone(&self.handler);
        let counted = match asks {
            UpgradeHeader::WebSocket => self.count_handshake(request.headers()),
            UpgradeHeader::Absent => Ok(()),
        };
        Box::pin(async move {
            let mut place = None;
            if asks == UpgradeHeader::WebSocket {
                let reject = |reason| engine.rejected(reason, remote_address, request.headers());
                let origin = engine.config.origins.judge(request.headers());
                if origin == OriginVerdict::Refused {
                    reject(origin_rejection(request.headers()));
                    return Ok(closing(StatusCode::FORBIDDEN));
                }
                if engine.is_draining() {
                    reject(Rejection::Draining);
                    return Ok(come_back_later());
                }
                // Before the handler, which may look at a token.
                place = match counted
                    .and_then(|()| engine.take_place(remote_address, Instant::now()))
                {
                    Ok(place) => Some(place),
                    Err(reason) => {
                        reject(reason);
                        return Ok(too_many(reason));
                    }
                };
            }
            let switch = upgrade::switch_protocols(asks, request.headers());
            Ok(
                match (handler.handle(request, remote_address).await, switch, place) {
                    (HttpReply::Response(response), _, place) => {
                        let is_kept_out =
                            place.is_some() && response.status() == StatusCode::UNAUTHORIZED;
                        if is_kept_out && !engine.auth_failed(remote_address, Instant::now()) {
                            let reason = Rejection::AuthFailuresPerAddress;
                            engine.tell_rejected(reason, remote_address, None);
                            too_many(reason)
                        } else {
                            response
                        }
                    }
                    (HttpReply::UpgradePlain(handshake, opened), Ok(switch), Some(place)) => {
                        let connection = engine.open_plain(place, handshake);
                        opened(&connection);
                        put(&upgrade, Upgrade::Direct(connection));
                        switch.response()
                    }
                    (HttpReply::UpgradePlain(..), Err(refusal), _) => refusal.response(),
                    // Cannot be: who did not ask for a WebSocket cannot switch.
                    (HttpReply::UpgradePlain(..), Ok(_), None) => come_back_later(),
                },
            )
        })
    }
}

impl<A: Application, H> HttpService<A, H> {
    /// Counts a request for a session towards those of its TCP connection.
    fn count_handshake(&self, headers: &HeaderMap) -> Result<(), Rejection> {
        let Some(limit) = self.tcp.engine.config.max_handshakes_per_connection else {
            return Ok(());
        };
        if self.tcp.engine.is_proxy(self.tcp.peer, headers) {
            return Ok(());
        }
        // One task has the connection, so that no order is at stake.
        let before = self.handshakes.fetch_add(1, Ordering::Relaxed);
        if before < limit.get() {
            Ok(())
        } else {
            Err(Rejection::HandshakesPerConnection)
        }
    }
}

/// A TCP connection, which counts for its address until it has asked something.
pub(crate) struct TcpConnection<A: Application> {
    engine: Arc<Engine<A>>,
    pub(crate) peer: SocketAddr,
    is_counted: AtomicBool,
}

impl<A: Application> TcpConnection<A> {
    /// Counts a connection. `None` when its address has too many: it is to be
    /// closed.
    pub(crate) fn new(engine: &Arc<Engine<A>>, peer: SocketAddr) -> Option<Self> {
        let remote_address = RemoteAddress::direct(peer);
        // Behind a proxy that nobody has named, or has, the address says nothing.
        let is_counted = engine.is_limited(remote_address);
        if is_counted && !engine.places.connection_opened(remote_address.network()) {
            engine.tell_rejected(Rejection::ConnectionsPerAddress, remote_address, None);
            return None;
        }
        Some(Self {
            engine: Arc::clone(engine),
            peer,
            is_counted: AtomicBool::new(is_counted),
        })
    }

    pub(crate) const fn engine(&self) -> &Arc<Engine<A>> {
        &self.engine
    }

    fn spoke(&self) {
        // One task has the connection, so that no order is at stake.
        if self.is_counted.swap(false, Ordering::Relaxed) {
            let address = RemoteAddress::direct(self.peer).network();
            self.engine.places.connection_spoke(address);
        }
    }
}

impl<A: Application> Drop for TcpConnection<A> {
    fn drop(&mut self) {
        self.spoke();
    }
}

type ResponseFuture =
    Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

/// Serves one Engine.IO request.
///
/// All that needs no waiting is done here and now, and not in the future: hyper
/// drops that unseen when the client has gone by the time it would first look
/// at it, and a poll that was given up is how a session learns that its client
/// is gone.
fn serve_engine<A: Application, H>(
    service: &HttpService<A, H>,
    request: Request<Incoming>,
    asks: UpgradeHeader,
    remote_address: RemoteAddress,
) -> ResponseFuture {
    let (engine, upgrade, state) = (service.tcp.engine(), &service.upgrade, &service.state);
    let origins = &engine.config.origins;
    if request.method() == http::Method::OPTIONS {
        let headers = origins.preflight_headers(request.headers());
        return ready(with_headers(empty(StatusCode::NO_CONTENT), headers));
    }
    let cors = origins.response_headers(request.headers());
    let facts = RequestFacts {
        method: match *request.method() {
            http::Method::GET => Method::Get,
            http::Method::POST => Method::Post,
            _ => Method::Other,
        },
        upgrade: asks,
        origin: origins.judge(request.headers()),
    };
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let verified = query.verify(
        facts,
        &engine.config.engine,
        |sid| engine.find(sid),
        |connection| connection.transport_and_revision(),
    );
    let reject = |reason| engine.rejected(reason, remote_address, request.headers());
    let response = match verified {
        Err(error) => {
            reject(if error == RequestError::Forbidden {
                origin_rejection(request.headers())
            } else {
                error.into()
            });
            refusal(error, facts)
        }
        Ok(Verified::Handshake { .. }) if engine.is_draining() => {
            reject(Rejection::Draining);
            come_back_later()
        }
        Ok(Verified::Handshake {
            transport,
            revision,
            supports_binary,
            jsonp,
        }) => {
            let counted = service.count_handshake(request.headers());
            let now = Instant::now();
            let place = match counted.and_then(|()| engine.take_place(remote_address, now)) {
                Ok(place) => place,
                Err(reason) => {
                    reject(reason);
                    return ready(with_headers(too_many(reason), cors));
                }
            };
            let switch = match transport {
                Transport::Polling => None,
                Transport::WebSocket => match upgrade::switch_protocols(asks, request.headers()) {
                    Ok(switch) => Some(switch),
                    Err(refusal) => {
                        reject(Rejection::MalformedWebSocketHandshake);
                        return ready(with_headers(refusal.response(), cors));
                    }
                },
            };
            let handshake = ClientHandshake::new(
                remote_address,
                request.uri().query(),
                request.headers(),
                &engine.config.kept_headers,
                &engine.config.kept_query_parameters,
            )
            .with_revision(revision);
            // Its headers are slices of the connection's read buffer.
            drop(request);
            let session = |sid, config, now| {
                let session = Session::new(config, sid, transport, revision, supports_binary, now);
                match jsonp {
                    None => session,
                    Some(index) => session.with_jsonp(index),
                }
            };
            let connection = engine.open(place, transport, session, handshake, now);
            match switch {
                None => return poll(connection, query.cache_buster(), cors, state),
                Some(switch) => {
                    put(upgrade, Upgrade::Direct(connection));
                    switch.response()
                }
            }
        }
        Ok(Verified::Session {
            session,
            transport: Transport::Polling,
        }) => match facts.method {
            Method::Get => {
                drop(request);
                return poll(session, query.cache_buster(), cors, state);
            }
            Method::Post => {
                return Box::pin(async move {
                    Ok(with_headers(
                        polling::serve_post(session, request).await,
                        cors,
                    ))
                });
            }
            Method::Other => {
                let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
                let allowed = HeaderValue::from_static("GET, POST, OPTIONS");
                response.headers_mut().insert(ALLOW, allowed);
                response
            }
        },
        Ok(Verified::Session {
            session,
            transport: Transport::WebSocket,
        }) => match upgrade::switch_protocols(asks, request.headers()) {
            Ok(switch) => match session.start_upgrade() {
                Ok(id) => {
                    put(upgrade, Upgrade::Probe(session, id));
                    switch.response()
                }
                Err(ProtocolViolation::SessionEnded) => {
                    reject(Rejection::SessionIdUnknown);
                    refusal(RequestError::SessionIdUnknown, facts)
                }
                // The session is not polling, or moves already.
                Err(_) => {
                    reject(Rejection::BadRequest);
                    put(upgrade, Upgrade::Surplus);
                    switch.response()
                }
            },
            Err(refusal) => {
                reject(Rejection::MalformedWebSocketHandshake);
                refusal.response()
            }
        },
    };
    ready(with_headers(response, cors))
}

fn poll<A: Application>(
    connection: Arc<Connection<A>>,
    cache_buster: Option<CacheBuster>,
    cors: HeaderMap,
    state: &HttpState,
) -> ResponseFuture {
    match polling::start_poll(connection, cache_buster) {
        Ok(poll) => {
            state.set_polling();
            Box::pin(async move { Ok(with_headers(poll.await, cors)) })
        }
        Err(violation) => ready(with_headers(polling::reject(violation), cors)),
    }
}

fn ready(response: Response<Full<Bytes>>) -> ResponseFuture {
    Box::pin(std::future::ready(Ok(response)))
}

/// A refusal as engine.io words it: JSON to a request, text to an upgrade.
fn refusal(error: RequestError, facts: RequestFacts) -> Response<Full<Bytes>> {
    let (content_type, body) = match facts.upgrade {
        UpgradeHeader::Absent => (
            "application/json",
            Bytes::from_static(error.body().as_bytes()),
        ),
        UpgradeHeader::WebSocket => ("text/html", Bytes::from(error.to_string())),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() =
        StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if facts.upgrade == UpgradeHeader::WebSocket || facts.origin == OriginVerdict::Refused {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Why [`OriginPolicy::judge`](crate::OriginPolicy::judge) refused a request.
fn origin_rejection(headers: &HeaderMap) -> Rejection {
    if is_cross_site_without_origin(headers) {
        Rejection::CrossSite
    } else {
        Rejection::OriginNotAllowed
    }
}

/// New clients are to try again, and to find another server then.
fn come_back_later() -> Response<Full<Bytes>> {
    let mut response = closing(StatusCode::SERVICE_UNAVAILABLE);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The same, from whom too much comes: 429 (RFC 6585 §4), which is no failure of
/// the server's in the eyes of a load balancer. Clients of Socket.IO try again
/// after either.
fn too_many(reason: Rejection) -> Response<Full<Bytes>> {
    let mut response = come_back_later();
    if reason != Rejection::MaxConnections {
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    }
    response
}

/// An empty response after which the connection is closed.
pub(super) fn closing(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = empty(status);
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

pub(super) fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn with_headers(mut response: Response<Full<Bytes>>, headers: HeaderMap) -> Response<Full<Bytes>> {
    response.headers_mut().extend(headers);
    response
}

fn put<A: Application>(slot: &Mutex<Option<Upgrade<A>>>, upgrade: Upgrade<A>) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade);
}
