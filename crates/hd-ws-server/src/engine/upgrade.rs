//! From HTTP to WebSocket: the opening handshake (RFC 6455 §4.2), and what a
//! connection does after it.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use engineio_proto::{
    CloseReason, Frame, ProtocolViolation, Transport, UpgradeHeader, UpgradeId, UpgradeStep,
};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::counts::Kind;
use super::frame_reader::{FrameReader, Incoming};
use super::pump::{Pump, linger};
use super::service::{Upgrade, closing};
use super::wire::Wire;
use super::{Application, Connection, Engine};
use crate::http_connection::Socket;

/// A client that may switch to WebSocket.
pub(super) struct SwitchProtocols {
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
}

/// Why a client may not switch to WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandshakeRefusal {
    MalformedRequest,
    /// It does not ask to, or for another version of the protocol.
    UpgradeRequired,
}

/// Whether the request asks for a WebSocket.
pub(crate) fn asks_for_websocket(headers: &HeaderMap) -> UpgradeHeader {
    let asks =
        has_token(headers, &UPGRADE, "websocket") && has_token(headers, &CONNECTION, "upgrade");
    if asks {
        UpgradeHeader::WebSocket
    } else {
        UpgradeHeader::Absent
    }
}

/// Checks the opening handshake of a request that [asks](asks_for_websocket) for
/// it, or not.
pub(super) fn switch_protocols(
    asks: UpgradeHeader,
    headers: &HeaderMap,
) -> Result<SwitchProtocols, HandshakeRefusal> {
    if asks == UpgradeHeader::Absent {
        return Err(HandshakeRefusal::UpgradeRequired);
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(HandshakeRefusal::UpgradeRequired);
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        // 16 bytes in base64.
        .filter(|key| key.len() == 24)
        .ok_or(HandshakeRefusal::MalformedRequest)?;
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| HandshakeRefusal::MalformedRequest)?;
    // A client that offers subprotocols expects one of them; `ws` for Node
    // takes the first.
    let protocol = headers
        .get(SEC_WEBSOCKET_PROTOCOL)
        .and_then(|offered| offered.to_str().ok())
        .and_then(|offered| offered.split(',').next())
        .and_then(|first| HeaderValue::from_str(first.trim()).ok());
    Ok(SwitchProtocols { accept, protocol })
}

impl SwitchProtocols {
    pub(super) fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(protocol) = self.protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

impl HandshakeRefusal {
    pub(super) fn response(self) -> Response<Full<Bytes>> {
        match self {
            Self::MalformedRequest => closing(StatusCode::BAD_REQUEST),
            // RFC 9110 §15.5.22 and RFC 6455 §4.4.
            Self::UpgradeRequired => {
                let mut response = closing(StatusCode::UPGRADE_REQUIRED);
                let headers = response.headers_mut();
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade, close"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                response
            }
        }
    }
}

/// Serves a connection that has just stopped speaking HTTP, in a task of its
/// own: the one it comes from is as large as hyper's connection.
pub(crate) fn serve_upgrade<A: Application>(
    engine: &Arc<Engine<A>>,
    upgrade: Upgrade<A>,
    stream: TcpStream,
    read_ahead: Bytes,
    socket: Option<Socket>,
) {
    match upgrade {
        Upgrade::Direct(connection) => {
            attach(&connection, stream);
            Pump::new(connection, FrameReader::default(), read_ahead).spawn(socket);
        }
        Upgrade::Probe(connection, id) => {
            let timeout = engine.config.engine.upgrade_timeout;
            engine.runtime.spawn(async move {
                let probe = Box::pin(probe(Arc::clone(&connection), id, stream, read_ahead));
                let probed = tokio::select! {
                    probed = tokio::time::timeout(timeout, probe) => probed.ok().flatten(),
                    // A session that makes room does so with all that it holds.
                    () = connection.is_over() => None,
                };
                match probed {
                    Some(pump) => pump.spawn(socket),
                    None => connection.abort_upgrade(id),
                }
            });
        }
        Upgrade::Surplus => {
            let timeout = engine.config.close_linger;
            engine.runtime.spawn(async move {
                // Its file is open until then.
                let _counts = socket;
                // A buffer that was never written to takes these two bytes.
                let _best_effort = stream.try_write(Frame::close(None).bytes());
                linger(&stream, timeout).await;
            });
        }
    }
}

/// A connection whose upgrade came to nothing before the 101 was out.
pub(crate) fn abandon_upgrade<A: Application>(upgrade: Upgrade<A>) {
    match upgrade {
        Upgrade::Direct(connection) => connection.abort(CloseReason::TransportError),
        Upgrade::Probe(connection, id) => connection.abort_upgrade(id),
        Upgrade::Surplus => {}
    }
}

fn attach<A: Application>(connection: &Connection<A>, stream: TcpStream) {
    let attached = connection.stream.set(stream);
    debug_assert!(attached.is_ok(), "a session gets one WebSocket");
}

/// Reads the new transport of an upgrade until it is the session's, and returns
/// its pump then, or until it is given up.
async fn probe<A: Application>(
    connection: Arc<Connection<A>>,
    id: UpgradeId,
    stream: TcpStream,
    read_ahead: Bytes,
) -> Option<Pump<A>> {
    let bounds = connection.input_bounds();
    let mut reader = FrameReader::default();
    let mut buffer = read_ahead.to_vec();
    loop {
        let mut step = None;
        let consumed = reader
            .read(&mut buffer, bounds, |incoming| {
                step = connection.handle_probe(id, &incoming);
                match step {
                    None => ControlFlow::Continue(()),
                    Some(_) => ControlFlow::Break(()),
                }
            })
            .ok()?;
        buffer.drain(..consumed);
        match step {
            None => fill(&stream, &mut buffer).await?,
            Some(UpgradeStep::Answer(packet)) => {
                write_all(&stream, packet.frame().bytes()).await.ok()?;
            }
            Some(UpgradeStep::Complete) => {
                attach(&connection, stream);
                return Some(Pump::new(connection, reader, buffer.into()));
            }
            Some(UpgradeStep::Refused) => {
                write_all(&stream, Frame::close(None).bytes()).await.ok()?;
                return None;
            }
        }
    }
}

impl<A: Application> Connection<A> {
    /// Begins to move the session to a WebSocket that asks for it, unless it
    /// may not move.
    pub(super) fn start_upgrade(self: &Arc<Self>) -> Result<UpgradeId, ProtocolViolation> {
        let mut state = self.lock();
        let upgrade = match &mut state.wire {
            Wire::EngineIo(session) => session.handle_upgrade(Instant::now()),
            Wire::Plain(_) => Err(ProtocolViolation::TransportMismatch),
        };
        self.settle(state);
        upgrade
    }

    /// Waits for the end of a session that is polling: it has no pump, whose
    /// place this takes.
    async fn is_over(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if state.wire.is_closed() {
                return Poll::Ready(());
            }
            state.pump = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn abort_upgrade(self: &Arc<Self>, id: UpgradeId) {
        let mut state = self.lock();
        if let Wire::EngineIo(session) = &mut state.wire {
            session.handle_upgrade_aborted(id);
        }
        self.settle(state);
    }

    /// Handles what the new transport of an upgrade received; `None` to go on
    /// reading.
    fn handle_probe(
        self: &Arc<Self>,
        id: UpgradeId,
        incoming: &Incoming<'_>,
    ) -> Option<UpgradeStep> {
        let now = Instant::now();
        // What a client says here is two packets; it may stay on polling.
        if self.message_has_come(now.into()).is_some() {
            return Some(UpgradeStep::Refused);
        }
        let mut state = self.lock();
        let Wire::EngineIo(session) = &mut state.wire else {
            return Some(UpgradeStep::Refused);
        };
        let packet = match *incoming {
            Incoming::Text(text) => session.revision().decode(text),
            Incoming::Binary(data) => session.revision().decode_binary(data),
            Incoming::Ping(_) | Incoming::Pong => return None,
            Incoming::Close(_) => return Some(UpgradeStep::Refused),
        };
        let Ok(packet) = packet else {
            return Some(UpgradeStep::Refused);
        };
        let step = session.handle_upgrade_packet(id, &packet, now);
        if step == UpgradeStep::Complete {
            state.kind = Kind::EngineIo(Transport::WebSocket);
            self.engine.counts.upgraded();
        }
        self.settle(state);
        Some(step)
    }
}

/// Reads what has come; `None` at the end of the stream.
async fn fill(stream: &TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    buffer.resize(PROBE_BUFFER, 0);
    loop {
        stream.readable().await.ok()?;
        // A peer that sends faster than this reads would keep the thread, and
        // the timeout from being looked at: `readable` never yields.
        consume_budget().await;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return None,
            Ok(count) => {
                buffer.truncate(count);
                return Some(());
            }
        }
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let is_it = |value: &[u8]| value.eq_ignore_ascii_case(token.as_bytes());
    headers.get_all(name).iter().any(|value| {
        // Most values are nothing but the token.
        is_it(value.as_bytes())
            || value
                .to_str()
                .is_ok_and(|list| list.split(',').any(|item| is_it(item.trim().as_bytes())))
    })
}

/// A probe and an upgrade packet take 17 bytes.
const PROBE_BUFFER: usize = 1024;
