//! The task of one WebSocket: reads it, and writes what could not be written
//! at once.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engineio_proto::{
    CloseReason, DecodeError, Frame, Message, Packet, ProtocolViolation, Session, Transport,
};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio::time::Sleep;

use super::connection::is_noise;
use super::frame_error::FrameError;
use super::frame_reader::{FrameReader, Incoming};
use super::inbound::Excess;
use super::wire::Wire;
use super::{Application, Connection};
use crate::http_connection::Socket;
use crate::{BucketTime, Rejection};

/// One WebSocket's task.
pub(super) struct Pump<A: Application> {
    connection: Arc<Connection<A>>,
    reader: FrameReader,
    /// Read while the connection still spoke HTTP, or before the client was
    /// found to send too much.
    read_ahead: Bytes,
    throttle: Throttle,
}

/// Whether a client sends more than it may.
#[derive(Debug, Default)]
struct Throttle {
    /// Nothing is read before this is over.
    pause: Option<Pin<Box<Sleep>>>,
    /// Since when there has been more to read than it may send.
    since: Option<Instant>,
}

/// The present moment, asked for once and told in both ways.
#[derive(Clone, Copy)]
struct Now {
    now: Instant,
    of_buckets: BucketTime,
}

impl Now {
    fn ask() -> Self {
        let now = Instant::now();
        let of_buckets = now.into();
        Self { now, of_buckets }
    }
}

/// How the pump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The peer is gone or has said goodbye.
    ByPeer,
    /// We have said goodbye; the peer may have something to say still.
    ByUs,
}

impl<A: Application> Pump<A> {
    pub(super) fn new(
        connection: Arc<Connection<A>>,
        reader: FrameReader,
        read_ahead: Bytes,
    ) -> Self {
        Self {
            connection,
            reader,
            read_ahead,
            throttle: Throttle::default(),
        }
    }

    /// Runs it, and counts its connection until then.
    pub(super) fn spawn(self, socket: Option<Socket>) {
        let engine = Arc::clone(&self.connection.engine);
        engine.pumps.spawn_on(run(self, socket), &engine.runtime);
    }

    fn stream(&self) -> &TcpStream {
        self.connection
            .stream
            .get()
            .expect("invariant: a pump is made for a connection with a stream")
    }

    /// Ready when the WebSocket is at its end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Poll::Ready(ended) = self.poll_read(cx) {
            return Poll::Ready(ended);
        }
        self.poll_write(cx)
    }

    /// Reads until the socket is empty, others must have their turn, or the
    /// client has sent more than it may. Ready when the WebSocket is at its end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Some(pause) = &mut self.throttle.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.throttle.pause = None;
        }
        let mut scratch = SCRATCH
            .take()
            .unwrap_or_else(|| vec![0; SCRATCH_LEN].into_boxed_slice());
        let mut left = READ_BUDGET;
        let result = loop {
            if !self.read_ahead.is_empty() {
                let mut bytes = Vec::from(std::mem::take(&mut self.read_ahead));
                let now = Now::ask();
                if let ControlFlow::Break(poll) = self.handle_bytes(&mut bytes, None, now, cx) {
                    break poll;
                }
            }
            match self.stream().poll_read_ready(cx) {
                Poll::Pending => {
                    self.throttle.since = None;
                    break Poll::Pending;
                }
                Poll::Ready(Err(_)) => {
                    break Poll::Ready(self.handle_end(CloseReason::TransportError));
                }
                Poll::Ready(Ok(())) => {}
            }
            match self.stream().try_read(&mut scratch) {
                Ok(0) => break Poll::Ready(self.handle_end(CloseReason::TransportClose)),
                Ok(count) => {
                    let now = Now::ask();
                    let excess = self.connection.bytes_have_come(count, now.of_buckets);
                    let bytes = &mut scratch[..count];
                    if let ControlFlow::Break(poll) = self.handle_bytes(bytes, excess, now, cx) {
                        break poll;
                    }
                    left = left.saturating_sub(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break Poll::Ready(self.handle_end(CloseReason::TransportError)),
            }
            if left == 0 {
                cx.waker().wake_by_ref();
                break Poll::Pending;
            }
        };
        SCRATCH.set(Some(scratch));
        result
    }

    /// Handles what was read, which may be more than the client may send. Breaks
    /// when nothing more is to be read now: ready when the WebSocket is at its
    /// end, and pending when the session is closed and its last frame is to be
    /// written, or when the client has to wait.
    fn handle_bytes(
        &mut self,
        bytes: &mut [u8],
        mut excess: Option<Excess>,
        Now { now, of_buckets }: Now,
        cx: &mut Context<'_>,
    ) -> ControlFlow<Poll<Ended>> {
        let connection = &self.connection;
        let bounds = connection.input_bounds();
        let mut goodbye = None;
        let mut is_closed = false;
        let read = self.reader.read(bytes, bounds, |incoming| {
            if let Incoming::Close(code) = incoming {
                goodbye = Some(code);
                return ControlFlow::Break(());
            }
            let too_much = connection.message_has_come(of_buckets);
            let step = connection.handle_incoming(incoming, now);
            is_closed = step.is_break();
            if too_much.is_some() {
                excess = too_much;
                return ControlFlow::Break(());
            }
            step
        });
        match read {
            Ok(consumed) => match goodbye {
                None if is_closed => ControlFlow::Break(Poll::Pending),
                None => match excess {
                    None => ControlFlow::Continue(()),
                    Some(excess) => {
                        self.read_ahead = Bytes::copy_from_slice(&bytes[consumed..]);
                        ControlFlow::Break(self.throttle(excess, now, cx))
                    }
                },
                // Its status is echoed (RFC 6455 §5.5.1).
                Some(code) => {
                    self.say_goodbye(CloseReason::TransportClose, code);
                    ControlFlow::Break(Poll::Ready(Ended::ByPeer))
                }
            },
            Err(error) => {
                tracing::debug!(%error, "closing a websocket");
                match error {
                    FrameError::TooLarge => connection.tell_rejected(bounds.too_large()),
                    FrameError::NoRoom => connection.tell_rejected(Rejection::PartialInputBytes),
                    FrameError::TooManyFragments
                    | FrameError::InvalidUtf8
                    | FrameError::Protocol => {}
                }
                self.say_goodbye(CloseReason::TransportError, Some(error.close_code()));
                ControlFlow::Break(Poll::Ready(Ended::ByUs))
            }
        }
    }

    /// Has the client wait until it may send again, or closes it when it has
    /// done nothing but wait for long.
    fn throttle(&mut self, excess: Excess, now: Instant, cx: &mut Context<'_>) -> Poll<Ended> {
        let connection = &self.connection;
        let engine = &connection.engine;
        let since = *self.throttle.since.get_or_insert_with(|| {
            engine.counts.throttled();
            now
        });
        if now.saturating_duration_since(since) >= engine.config.throttle_timeout {
            engine.limited(connection, excess.reason, None);
            let reason = CloseReason::RateLimited;
            self.say_goodbye(reason, reason.close_code());
            return Poll::Ready(Ended::ByUs);
        }
        let mut pause = Box::pin(tokio::time::sleep(excess.wait));
        if pause.as_mut().poll(cx).is_pending() {
            self.throttle.pause = Some(pause);
        } else {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn handle_end(&self, reason: CloseReason) -> Ended {
        let mut state = self.connection.lock();
        state.wire.handle_transport_closed(reason);
        self.connection.settle(state);
        Ended::ByPeer
    }

    /// Ends the session, and the WebSocket with a close frame if one still fits
    /// in: the peer could make nothing of it after half a frame.
    fn say_goodbye(&self, reason: CloseReason, code: Option<u16>) {
        let mut state = self.connection.lock();
        let is_between_frames = !state.wire.is_closed() && {
            // Nothing waits, or only whole frames do.
            state
                .wire
                .poll_transmit()
                .is_none_or(|outbound| !outbound.is_partly_written())
        };
        state.wire.handle_transport_closed(reason);
        if is_between_frames {
            let _best_effort = self.stream().try_write(Frame::close(code).bytes());
        }
        self.connection.settle(state);
    }

    /// Writes what waits. Ready when the session is closed and its last frame
    /// is out, or cannot be.
    fn poll_write(&self, cx: &mut Context<'_>) -> Poll<Ended> {
        let connection = &self.connection;
        let stream = self.stream();
        let mut state = connection.lock();
        if !state
            .pump
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            state.pump = Some(cx.waker().clone());
        }
        let mut failed = false;
        while let Some(outbound) = state.wire.poll_transmit() {
            match stream.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    failed = true;
                    break;
                }
                Poll::Pending => break,
            }
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let filled = outbound.fill_slices(&mut slices);
            match stream.try_write_vectored(&slices[..filled]) {
                Ok(count) => {
                    outbound.advance(count);
                    state.wire.handle_written();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
        connection.count_queue(state.wire.queued_memory());
        if failed {
            state
                .wire
                .handle_transport_closed(CloseReason::TransportError);
        }
        let is_over = state.wire.is_closed();
        if is_over {
            connection.settle(state);
        } else {
            drop(state);
        }
        match (is_over, failed) {
            (false, _) => Poll::Pending,
            (true, false) => Poll::Ready(Ended::ByUs),
            (true, true) => Poll::Ready(Ended::ByPeer),
        }
    }
}

/// Drives a pump to its end, and the WebSocket to its own.
async fn run<A: Application>(mut pump: Pump<A>, _socket: Option<Socket>) {
    let ended = std::future::poll_fn(|cx| pump.poll(cx)).await;
    if ended == Ended::ByUs && !pump.connection.lock().is_evicted {
        let timeout = pump.connection.engine.config.close_linger;
        Box::pin(linger(pump.stream(), timeout)).await;
    }
    // An application may keep the connection, and the peer waits for the end of
    // the stream. Where it fails the stream is at its end.
    let _at_its_end = SockRef::from(pump.stream()).shutdown(std::net::Shutdown::Both);
}

/// What is in a frame goes to the session, which ends when that is no packet.
fn handle_packet<'a>(
    session: &mut Session,
    packet: Result<Packet<'a>, DecodeError>,
    now: Instant,
) -> Result<Option<Message<'a>>, ProtocolViolation> {
    match packet {
        Ok(packet) => session.handle_packet(Transport::WebSocket, packet, now),
        Err(_) => {
            session.abort(CloseReason::ParseError);
            Ok(None)
        }
    }
}

/// Waits for the peer's close frame, or for the end of the stream. Closing at
/// once could reset the connection and take our last frames from the peer.
pub(super) async fn linger(stream: &TcpStream, timeout: Duration) {
    if SockRef::from(stream)
        .shutdown(std::net::Shutdown::Write)
        .is_err()
    {
        return;
    }
    let _timed_out = tokio::time::timeout(timeout, drain(stream)).await;
}

/// Reads what still comes, and forgets it, up to the end of the stream.
async fn drain(stream: &TcpStream) {
    let mut buffer = [0; 512];
    while stream.readable().await.is_ok() {
        // A peer that sends faster than this reads would keep the thread, and the
        // timeout from being looked at: `readable` never yields.
        consume_budget().await;
        match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

impl<A: Application> Connection<A> {
    /// Handles one message of the WebSocket.
    fn handle_incoming(self: &Arc<Self>, incoming: Incoming<'_>, now: Instant) -> ControlFlow<()> {
        let mut state = self.lock();
        let is_noise = matches!(incoming, Incoming::Text(text) if is_noise(text.as_bytes()));
        if !self.admits(&mut state, is_noise) {
            self.settle(state);
            return ControlFlow::Break(());
        }
        let message = match (&mut state.wire, incoming) {
            (Wire::EngineIo(session), Incoming::Text(text)) => {
                let packet = session.revision().decode(text);
                handle_packet(session, packet, now)
            }
            (Wire::EngineIo(session), Incoming::Binary(data)) => {
                let packet = session.revision().decode_binary(data);
                handle_packet(session, packet, now)
            }
            // Whatever a plain client sends proves that it is there.
            (Wire::Plain(session), Incoming::Text(text)) => {
                session.handle_pong(now);
                Ok(session.is_open().then_some(Message::Text(text)))
            }
            (Wire::Plain(session), Incoming::Binary(data)) => {
                session.handle_pong(now);
                Ok(session.is_open().then(|| Message::Binary(data.into())))
            }
            (Wire::Plain(session), Incoming::Pong) => {
                session.handle_pong(now);
                Ok(None)
            }
            (Wire::EngineIo(session), Incoming::Ping(data)) => {
                session.handle_ping_frame(data, now);
                Ok(None)
            }
            (Wire::Plain(session), Incoming::Ping(data)) => {
                session.handle_ping(data, now);
                Ok(None)
            }
            (_, Incoming::Pong | Incoming::Close(_)) => Ok(None),
        };
        let is_closed = state.wire.is_closed();
        let is_plain = matches!(state.wire, Wire::Plain(_));
        match message {
            Ok(Some(message)) if is_plain => {
                self.settle(state);
                self.engine.application.plain_message(self, message);
            }
            Ok(Some(message)) => {
                drop(state);
                self.deliver(message);
            }
            // A pong brings the next deadline forward.
            Ok(None) | Err(_) => self.settle(state),
        }
        if is_closed {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn deliver(self: &Arc<Self>, message: Message<'_>) {
        self.engine.application.message(self, message);
    }
}

impl<A: Application> fmt::Debug for Pump<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump").finish_non_exhaustive()
    }
}

thread_local! {
    /// Where the connections of a thread read into. Taken while in use, so that
    /// nothing depends on what a callback does.
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// What one read may take, and so what is kept for a client that has to wait:
/// the ordinary message many times over.
const SCRATCH_LEN: usize = 16 * 1024;
/// Bytes that are read before other tasks get their turn. They may hold ten
/// thousand frames, and tokio looks at sockets and timers only after some sixty
/// turns of tasks that are always ready.
const READ_BUDGET: usize = 64 * 1024;
/// hyper's limit on the slices of one write.
pub(super) const MAX_SLICES: usize = 64;
