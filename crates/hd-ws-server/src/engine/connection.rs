//! One client's connection, whatever carries it.

use std::fmt;
use std::io::IoSlice;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Instant;

use engineio_proto::{CloseReason, EncodedPacket, Event, Revision, SendError, Sid, Transport};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::counts::Kind;
use super::inbound::InboundBuckets;
use super::partial_input::{Held, InputBounds, NoRoom, PartialInput};
use super::places::Standing;
use super::pump::MAX_SLICES;
use super::sweep::Tick;
use super::users::User;
use super::wire::Wire;
use super::{Application, Engine};
use crate::{Rejection, RemoteAddress};

/// A connected client: a session machine behind a short lock, and the
/// WebSocket that it is written to, once there is one.
///
/// Lock order: whatever lock the application has for the client, then this
/// one, then the wheel's and the application's registries.
pub struct Connection<A: Application> {
    pub(super) engine: Arc<Engine<A>>,
    sid: Sid,
    remote_address: RemoteAddress,
    /// Whether it has joined something, as far as the limits of what it may send
    /// go.
    has_joined: AtomicBool,
    /// Set when the session is on a WebSocket.
    pub(super) stream: OnceLock<TcpStream>,
    state: Mutex<State>,
    pub(super) inbound: InboundBuckets,
    /// Set when the application knows who it is.
    pub(super) user: OnceLock<Arc<User>>,
    /// What the queue counts for in the sum over all.
    pub(super) queued: AtomicUsize,
    /// Whether the application is to be told when the queue has drained.
    pub(super) awaits_drain: AtomicBool,
    client: A::Client,
}

pub(super) struct State {
    pub(super) wire: Wire,
    /// The task that reads and writes the WebSocket.
    pub(super) pump: Option<Waker>,
    /// The request that waits for packets.
    pub(super) poll: Option<Waker>,
    pub(super) kind: Kind,
    /// When the session is closed for its age; not set any more once it is.
    too_old_at: Option<Instant>,
    armed: Option<Tick>,
    pub(super) standing: Standing,
    /// Whether it was closed to make room: what it holds is to be free now.
    pub(super) is_evicted: bool,
    /// How many packets came while it had joined nothing.
    unjoined_packets: u32,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Written to the client's WebSocket.
    Written,
    /// Queued; it leaves with the next poll or when the WebSocket takes more.
    Queued,
}

impl<A: Application> Connection<A> {
    pub(super) fn new(
        engine: Arc<Engine<A>>,
        (sid, remote_address): (Sid, RemoteAddress),
        wire: Wire,
        kind: Kind,
        too_old_at: Option<Instant>,
        client: A::Client,
    ) -> Self {
        Self {
            engine,
            sid,
            remote_address,
            has_joined: AtomicBool::new(false),
            stream: OnceLock::new(),
            state: Mutex::new(State {
                wire,
                pump: None,
                poll: None,
                kind,
                too_old_at,
                armed: None,
                standing: Standing::Nowhere,
                is_evicted: false,
                unjoined_packets: 0,
            }),
            inbound: InboundBuckets::default(),
            user: OnceLock::new(),
            queued: AtomicUsize::new(0),
            awaits_drain: AtomicBool::new(false),
            client,
        }
    }

    /// The Engine.IO session id. It is a secret of the client's.
    #[must_use]
    pub const fn sid(&self) -> &Sid {
        &self.sid
    }

    /// Where the client is.
    #[must_use]
    pub const fn remote_address(&self) -> RemoteAddress {
        self.remote_address
    }

    /// The client has joined something: it is no stranger any more. Until then,
    /// and again after [`left`](Self::left), it has one of the places for those
    /// that have joined nothing
    /// ([`ServerConfig::max_unjoined_connections`](crate::ServerConfig::max_unjoined_connections)).
    pub fn joined(&self) {
        let mut state = self.lock();
        let places = &self.engine.places;
        places.join(&mut state.standing, self.remote_address);
        self.has_joined.store(true, Ordering::Relaxed);
    }

    /// The client has left the last that it had [joined](Self::joined).
    pub fn left(&self) {
        let session = (self.sid, self.remote_address);
        let evicted = {
            let mut state = self.lock();
            state.unjoined_packets = 0;
            self.has_joined.store(false, Ordering::Relaxed);
            let engine = &self.engine;
            let is_limited = engine.is_limited(self.remote_address);
            engine
                .places
                .leave(&mut state.standing, session, is_limited)
        };
        if !evicted.is_empty() {
            // The application may hold a lock.
            let engine = Arc::clone(&self.engine);
            self.spawn(async move { engine.close_evicted(evicted) });
        }
    }

    /// Whether what the client says of itself is to be looked at: not when too
    /// many of its address were [kept out](Self::kept_out). It is to be closed
    /// then, by its transport.
    pub(crate) fn may_authenticate(&self) -> bool {
        let engine = &self.engine;
        let may = engine.may_authenticate(self.remote_address, Instant::now());
        if !may {
            self.tell_rejected(Rejection::AuthFailuresPerAddress);
        }
        may
    }

    /// The application has kept the client out.
    pub(crate) fn kept_out(&self) {
        let now = Instant::now();
        self.engine.auth_failed(self.remote_address, now);
    }

    /// Whether it has joined something.
    pub(super) fn has_joined(&self) -> bool {
        self.has_joined.load(Ordering::Relaxed)
    }

    /// What may be kept of what the client sends.
    pub(super) fn input_bounds(&self) -> InputBounds<'_> {
        let config = &self.engine.config;
        let most = config.engine.max_payload;
        let max_message = config.max_message_bytes.map_or(most, NonZeroUsize::get);
        let max_unjoined = config.max_unjoined_message_bytes;
        InputBounds {
            has_joined: &self.has_joined,
            max_message: max_message.min(most),
            max_unjoined_message: max_unjoined
                .map_or(max_message, NonZeroUsize::get)
                .min(most),
            partial_input: &self.engine.partial_input,
        }
    }

    /// Keeps nothing yet of what comes in part.
    pub(crate) fn hold(&self) -> Held {
        PartialInput::hold(Arc::clone(&self.engine.partial_input))
    }

    /// Has the holder keep so many bytes of what has come in part.
    pub(crate) fn hold_bytes(&self, held: &mut Held, bytes: usize) -> Result<(), NoRoom> {
        let result = held.set(bytes, self.has_joined());
        if result.is_err() {
            self.tell_rejected(Rejection::PartialInputBytes);
        }
        result
    }

    /// Whether a client may send this packet: one that has joined nothing has no
    /// use for many, nor for those without a meaning.
    pub(super) fn admits(&self, state: &mut State, is_noise: bool) -> bool {
        let Some(most) = self.engine.config.max_unjoined_packets else {
            return true;
        };
        if self.has_joined() {
            return true;
        }
        state.unjoined_packets = state.unjoined_packets.saturating_add(1);
        let is_admitted = !is_noise && state.unjoined_packets <= most.get();
        if !is_admitted && !state.wire.is_closed() {
            self.tell_rejected(Rejection::UnjoinedPackets);
            state.wire.abort(CloseReason::TransportError);
        }
        is_admitted
    }

    /// Counts that the client is closed for this reason, and tells of it.
    pub(super) fn tell_rejected(&self, reason: Rejection) {
        self.engine.limited(self, reason, None);
    }

    /// What the application keeps for this client.
    #[must_use]
    pub const fn client(&self) -> &A::Client {
        &self.client
    }

    /// What carries the connection now; polling, once it has ended.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match &self.lock().wire {
            Wire::EngineIo(session) => session.transport().unwrap_or(Transport::Polling),
            // Refuses every request by polling.
            Wire::Plain(_) => Transport::WebSocket,
        }
    }

    /// The same, and the revision of Engine.IO that is spoken.
    pub(super) fn transport_and_revision(&self) -> (Transport, Revision) {
        match &self.lock().wire {
            Wire::EngineIo(session) => {
                let transport = session.transport().unwrap_or(Transport::Polling);
                (transport, session.revision())
            }
            Wire::Plain(_) => (Transport::WebSocket, Revision::V4),
        }
    }

    /// Sends packets, together and in order.
    ///
    /// A single packet for a WebSocket on which nothing waits is written right
    /// here, without waking the connection's task.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the session is not open;
    /// [`SendError::QueueFull`] when the client reads too slowly, and then the
    /// session is closed.
    pub fn send(self: &Arc<Self>, packets: &[EncodedPacket]) -> Result<Sent, SendError> {
        self.send_then(packets, || ())
    }

    /// As [`send`](Self::send), but only when the packets would leave at once.
    /// Returns whether they did.
    pub fn send_volatile(self: &Arc<Self>, packets: &[EncodedPacket]) -> bool {
        let state = self.lock();
        state.wire.is_ready() && self.send_locked(state, packets, || ()).is_ok()
    }

    /// As [`send`](Self::send); runs `then` when the packets are taken, before
    /// the client can have them and before any that are sent later get their
    /// place.
    pub(crate) fn send_then(
        self: &Arc<Self>,
        packets: &[EncodedPacket],
        then: impl FnOnce(),
    ) -> Result<Sent, SendError> {
        self.send_locked(self.lock(), packets, then)
    }

    fn send_locked(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        packets: &[EncodedPacket],
        then: impl FnOnce(),
    ) -> Result<Sent, SendError> {
        if !state.wire.is_writable() || !packets.iter().all(|packet| state.wire.takes_frame(packet))
        {
            return self.queue_locked(state, packets, then);
        }
        let Some(stream) = self.stream.get() else {
            return self.queue_locked(state, packets, then);
        };
        then();
        let mut written = write_now(stream, packets);
        let mut rest = packets;
        while let [packet, later @ ..] = rest
            && written >= packet.frame().len()
        {
            written -= packet.frame().len();
            rest = later;
        }
        let [partial, rest @ ..] = rest else {
            return Ok(Sent::Written);
        };
        state.wire.queue_rest(partial.frame().clone(), written);
        self.queue_locked(state, rest, || ())
    }

    fn queue_locked(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        packets: &[EncodedPacket],
        then: impl FnOnce(),
    ) -> Result<Sent, SendError> {
        let result = packets
            .iter()
            .try_for_each(|packet| state.wire.send(packet.clone()));
        if result.is_ok() {
            then();
        }
        self.settle_later(state);
        result.map(|()| Sent::Queued)
    }

    /// Closes the session once what waits has left.
    pub fn close(self: &Arc<Self>, reason: CloseReason) {
        let now = Instant::now();
        let mut state = self.lock();
        state.wire.close(reason, &self.engine.config.engine, now);
        self.settle_later(state);
    }

    /// Ends the session at once.
    pub fn abort(self: &Arc<Self>, reason: CloseReason) {
        let mut state = self.lock();
        state.wire.abort(reason);
        self.settle_later(state);
    }

    /// Has the session looked at again by the application's next deadline.
    pub(crate) fn arm(&self, deadline: Instant) {
        let mut state = self.lock();
        let sweep = &self.engine.sweep;
        sweep.arm(self.sid, &mut state.armed, deadline);
    }

    /// The engine's runtime.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.engine.runtime
    }

    /// Runs a task on the engine's runtime, wherever it is called from.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.engine.runtime.spawn(task);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a change of the state: wakes whoever has something to do now, and
    /// tells the application what happened. Only where the application holds
    /// no lock of this client.
    pub(super) fn settle(self: &Arc<Self>, state: MutexGuard<'_, State>) {
        if let Some(event) = self.wake(state) {
            self.dispatch(event);
        }
    }

    /// As [`settle`](Self::settle), for calls that the application makes: what
    /// happened is told from a task of its own, so that no callback runs
    /// inside a call.
    fn settle_later(self: &Arc<Self>, state: MutexGuard<'_, State>) {
        if let Some(event) = self.wake(state) {
            let connection = Arc::clone(self);
            self.spawn(async move {
                connection.dispatch(event);
            });
        }
    }

    fn wake(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> Option<Event> {
        let event = state.wire.poll_event();
        self.count_queue(state.wire.queued_memory());
        if let Some(deadline) = state.wire.poll_timeout() {
            let deadline = state.too_old_at.map_or(deadline, |at| at.min(deadline));
            self.engine.sweep.arm(self.sid, &mut state.armed, deadline);
        }
        let is_closed = state.wire.is_closed();
        let pump = if is_closed || state.wire.poll_transmit().is_some() {
            state.pump.take()
        } else {
            None
        };
        // The waiting request looks for itself whether there is anything for it.
        let poll = state.poll.take();
        drop(state);
        if let Some(pump) = pump {
            pump.wake();
        }
        if let Some(poll) = poll {
            poll.wake();
        }
        event
    }

    fn dispatch(self: &Arc<Self>, event: Event) {
        match event {
            Event::Upgraded => self.engine.application.upgraded(self),
            Event::Closed(reason) => {
                let was_open = self.engine.remove(self);
                let has_lost = self.lock().wire.has_lost_messages();
                if has_lost && self.engine.is_draining() {
                    self.engine.counts.lost();
                }
                self.engine.application.closed(self, reason);
                if was_open {
                    self.engine.ended();
                }
            }
        }
    }

    /// The wheel has come to `tick`.
    pub(super) fn handle_tick(self: &Arc<Self>, tick: Tick, now: Instant) {
        {
            let mut state = self.lock();
            if state.armed != Some(tick) {
                return;
            }
            state.armed = None;
        }
        self.engine.application.handle_timeout(self, now);
        let deadline = self.engine.application.poll_timeout(self);
        let mut state = self.lock();
        state.wire.handle_timeout(now);
        if state.too_old_at.is_some_and(|at| at <= now) {
            state.too_old_at = None;
            let config = &self.engine.config.engine;
            state.wire.close(CloseReason::TooOld, config, now);
            self.engine.counts.too_old();
        }
        if let Some(deadline) = deadline
            && !state.wire.is_closed()
        {
            self.engine.sweep.arm(self.sid, &mut state.armed, deadline);
        }
        self.settle(state);
    }
}

/// Whether a packet has no meaning when a client sends it: OPEN, UPGRADE where
/// nothing is probed, and NOOP.
pub(super) fn is_noise(packet: &[u8]) -> bool {
    matches!(packet.first(), Some(b'0' | b'5' | b'6'))
}

/// Writes packets as far as the socket takes them. Returns how many bytes that
/// is. An error is the reading side's to find.
fn write_now(stream: &TcpStream, packets: &[EncodedPacket]) -> usize {
    let written = match packets {
        [packet] => stream.try_write(packet.frame().bytes()),
        _ => {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = packets.len().min(MAX_SLICES);
            for (slice, packet) in slices.iter_mut().zip(packets) {
                *slice = IoSlice::new(packet.frame().bytes());
            }
            stream.try_write_vectored(&slices[..count])
        }
    };
    written.unwrap_or(0)
}

impl<A: Application> fmt::Debug for Connection<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
