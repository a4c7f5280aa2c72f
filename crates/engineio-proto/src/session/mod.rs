//! The server's side of one session, as a machine without I/O.

mod outcome;
pub use outcome::{
    CloseReason, Event, ProtocolViolation, SendError, TimerReason, UpgradeId, UpgradeStep,
};

mod polling;
mod recent_polls;
mod upgrade;
mod websocket;

use std::sync::Arc;
use std::time::{Duration, Instant};

use recent_polls::RecentPolls;

use crate::packet::PONG;
use crate::payload::v3::JsonpIndex;
use crate::{
    Config, EncodedPacket, Frame, Handshake, Message, Outbound, Packet, PacketType, Revision, Sid,
    Transport,
};

/// One session on a server, from its handshake to its end.
///
/// Transports are pumps around it: they hand in what arrives and carry out
/// what waits. After **any** `handle_*` call, [`send`](Self::send) or
/// [`close`](Self::close), ask again for:
///
/// - [`poll_response`](Self::poll_response), when a poll waits;
/// - [`poll_transmit`](Self::poll_transmit), when there is a WebSocket;
/// - [`poll_event`](Self::poll_event);
/// - [`poll_timeout`](Self::poll_timeout).
///
/// Input to a closed session does nothing. Input that arrives after a deadline
/// finds what that deadline made of the session, whether or not
/// [`handle_timeout`](Self::handle_timeout) was called in between.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    state: State,
    requests: Requests,
    heartbeat: Heartbeat,
    outbound: Outbound,
    event: Option<Event>,
    next_upgrade: UpgradeId,
    sid: Sid,
    revision: Revision,
    supports_binary: bool,
    jsonp: Option<JsonpIndex>,
}

/// ```text
///           handshake                        handshake
///               │                                │
///               ▼     WebSocket with this sid    │
///   ┌──────► Polling ───────────────► Upgrading  │
///   │           │                      │  │  │   │
///   │ new transport closed, timed out, │  │  │`5`│
///   └───────── or spoke out of turn ───┘  │  ▼   ▼
///               │                         │ WebSocket
///               │ close()                 │     │ close()
///               ▼                         ▼     ▼
///            Closing ◄──────────────────────────┘
///               │ queue carried out, or closeTimeout
///               ▼
///            Closed ◄── from any state: peer gone, violation, ping timeout
/// ```
#[derive(Debug)]
enum State {
    Polling,
    Upgrading {
        id: UpgradeId,
        probe: Probe,
        deadline: Instant,
    },
    WebSocket,
    Closing {
        transport: Transport,
        reason: CloseReason,
        deadline: Instant,
    },
    Closed {
        /// What carried messages last: what is left in the queue is for it.
        transport: Transport,
        reason: CloseReason,
        /// Whether messages waited that the peer does not get.
        lost: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    Awaited,
    Answered,
}

/// The HTTP requests under way; a POST may outlive the upgrade.
#[derive(Debug)]
struct Requests {
    get: Get,
    recent_polls: RecentPolls,
    post: Post,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Get {
    Idle,
    Waiting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Post {
    Idle,
    Reading,
}

#[derive(Clone, Copy, Debug)]
enum Heartbeat {
    PingAt(Instant),
    PongBy(Instant),
    /// Revision 3, in which clients ping.
    ClientPingBy(Instant),
}

impl Heartbeat {
    /// The first one, or the next.
    fn new(revision: Revision, config: &Config, now: Instant) -> Self {
        let ping_at = now + config.ping_interval;
        match revision {
            Revision::V4 => Self::PingAt(ping_at),
            Revision::V3 => Self::ClientPingBy(ping_at + config.ping_timeout),
        }
    }
}

impl Session {
    /// A session that begins on `transport`. Its open packet waits already.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        sid: Sid,
        transport: Transport,
        revision: Revision,
        supports_binary: bool,
        now: Instant,
    ) -> Self {
        let mut outbound = Outbound::default();
        outbound.push(
            Handshake::new(sid, transport, &config)
                .encode()
                .into_frame(),
        );
        Self {
            state: match transport {
                Transport::Polling => State::Polling,
                Transport::WebSocket => State::WebSocket,
            },
            requests: Requests {
                get: Get::Idle,
                recent_polls: RecentPolls::None,
                post: Post::Idle,
            },
            heartbeat: Heartbeat::new(revision, &config, now),
            outbound,
            event: None,
            next_upgrade: UpgradeId(0),
            sid,
            revision,
            supports_binary,
            jsonp: None,
            config,
        }
    }

    /// The same session, which polls by JSONP: the answers to its polls are
    /// scripts, and the bodies of its POSTs are forms
    /// ([`jsonp_payload`](crate::payload::v3::jsonp_payload)).
    #[must_use]
    pub fn with_jsonp(self, index: JsonpIndex) -> Self {
        Self {
            jsonp: Some(index),
            supports_binary: false,
            ..self
        }
    }

    /// Whether the session polls by JSONP.
    #[must_use]
    pub const fn is_jsonp(&self) -> bool {
        self.jsonp.is_some()
    }

    /// The session id.
    #[must_use]
    pub const fn sid(&self) -> &Sid {
        &self.sid
    }

    /// The client's protocol revision.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The transport that carries messages now; `None` once closed.
    #[must_use]
    pub const fn transport(&self) -> Option<Transport> {
        match self.state {
            State::Polling | State::Upgrading { .. } => Some(Transport::Polling),
            State::WebSocket => Some(Transport::WebSocket),
            State::Closing { transport, .. } => Some(transport),
            State::Closed { .. } => None,
        }
    }

    /// Whether messages can be sent.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        match self.state {
            State::Polling | State::Upgrading { .. } | State::WebSocket => true,
            State::Closing { .. } | State::Closed { .. } => false,
        }
    }

    /// Whether the session has ended with messages in its queue that the peer
    /// does not get.
    #[must_use]
    pub const fn has_lost_messages(&self) -> bool {
        matches!(self.state, State::Closed { lost: true, .. })
    }

    /// What waits; see [`Outbound::memory`].
    #[must_use]
    pub fn queued_memory(&self) -> usize {
        self.outbound.memory()
    }

    /// Whether a frame may be written to the WebSocket right away: nothing
    /// waits before it. What could not be written whole goes to
    /// [`queue_rest`](Self::queue_rest).
    #[must_use]
    pub fn is_writable(&self) -> bool {
        matches!(self.state, State::WebSocket) && self.outbound.is_empty()
    }

    /// Whether a message would leave at once: over a WebSocket with nothing
    /// before it, or in the answer to a poll that waits. Volatile messages are
    /// dropped otherwise.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self.state {
            State::WebSocket => self.outbound.is_empty(),
            State::Polling | State::Upgrading { .. } => {
                self.requests.get == Get::Waiting && self.outbound.is_empty()
            }
            State::Closing { .. } | State::Closed { .. } => false,
        }
    }

    // ===== Sending =====

    /// Queues a message.
    ///
    /// # Errors
    ///
    /// [`SendError`]; with [`SendError::QueueFull`] the session is closed.
    pub fn send(&mut self, packet: EncodedPacket) -> Result<(), SendError> {
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        let packet = match (self.revision, self.supports_binary) {
            (Revision::V4, true) => packet,
            (Revision::V4, false) => packet.without_binary(),
            (Revision::V3, supports_binary) => packet.for_v3(supports_binary),
        };
        self.enqueue(packet.into_frame())
    }

    /// Whether this packet's frame is what this client gets as it is. It is
    /// not when the packet is binary and the client cannot take binary data, or
    /// takes it in the form of revision 3.
    #[must_use]
    pub fn takes_frame(&self, packet: &EncodedPacket) -> bool {
        (self.supports_binary && self.revision == Revision::V4) || !packet.frame().is_binary()
    }

    /// Closes the session once what waits is carried out. The reason decides
    /// the status of the WebSocket close frame.
    pub fn close(&mut self, reason: CloseReason, now: Instant) {
        match self.state {
            State::Polling | State::Upgrading { .. } => {
                self.outbound
                    .push(EncodedPacket::control(PacketType::Close, "").into_frame());
                self.start_closing(Transport::Polling, reason, now);
            }
            State::WebSocket => {
                self.outbound.push(Frame::close(reason.close_code()));
                self.start_closing(Transport::WebSocket, reason, now);
            }
            State::Closing { .. } | State::Closed { .. } => {}
        }
    }

    /// Ends the session at once. What waits is dropped, but for a frame that is
    /// partly written and the close frame after it.
    pub fn abort(&mut self, reason: CloseReason) {
        self.end(reason);
    }

    // ===== Packets =====

    /// A packet has arrived by `transport`. Returns the message in it.
    ///
    /// # Errors
    ///
    /// [`ProtocolViolation`]; the session is closed then.
    pub fn handle_packet<'a>(
        &mut self,
        transport: Transport,
        packet: Packet<'a>,
        now: Instant,
    ) -> Result<Option<Message<'a>>, ProtocolViolation> {
        if self.is_overdue(now) {
            return Err(ProtocolViolation::SessionEnded);
        }
        match (&self.state, transport) {
            (State::Polling | State::Upgrading { .. }, Transport::Polling)
            | (State::WebSocket, Transport::WebSocket) => {}
            // A POST that was under way when the upgrade completed.
            (State::WebSocket, Transport::Polling) if self.requests.post == Post::Reading => {}
            // Nobody will fetch what waits.
            (
                &State::Closing {
                    transport: Transport::Polling,
                    reason,
                    ..
                },
                Transport::Polling,
            ) if matches!(packet, Packet::Close) => {
                self.end(reason);
                return Ok(None);
            }
            (
                State::Polling
                | State::Upgrading { .. }
                | State::WebSocket
                | State::Closing { .. }
                | State::Closed { .. },
                _,
            ) => return Ok(None),
        }
        match packet {
            Packet::Message(message) => Ok(Some(message)),
            Packet::Pong(_) if self.revision == Revision::V4 => {
                self.heartbeat = Heartbeat::PingAt(now + self.config.ping_interval);
                Ok(None)
            }
            Packet::Ping(_) if self.revision == Revision::V3 => {
                self.heartbeat = Heartbeat::new(self.revision, &self.config, now);
                // A client that pings and reads nothing must not fill the memory.
                // A full queue closes the session, and that is all there is to do.
                let _closed = self.enqueue(PONG);
                Ok(None)
            }
            Packet::Ping(_) | Packet::Pong(_) => {
                self.end(CloseReason::TransportError);
                Err(ProtocolViolation::HeartbeatDirection)
            }
            Packet::Close => {
                // engine.io ignores it on a WebSocket, whose close frame says it.
                if transport == Transport::Polling {
                    self.end(CloseReason::TransportClose);
                }
                Ok(None)
            }
            Packet::Open(_) | Packet::Upgrade | Packet::Noop => Ok(None),
        }
    }

    // ===== Time, events =====

    /// Does what is due at `now`. Call it at or after the time that
    /// [`poll_timeout`](Self::poll_timeout) gave; an early call does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_overdue(now) || !self.is_open() {
            return;
        }
        match self.heartbeat {
            Heartbeat::PingAt(at) if at <= now => {
                // One byte over a full queue is no reason to close.
                let ping = EncodedPacket::control(PacketType::Ping, "").into_frame();
                if self.transport() == Some(Transport::Polling) {
                    // What waits may take many polls, and the pong is due.
                    self.outbound.push_first(ping);
                } else {
                    self.outbound.push(ping);
                }
                self.heartbeat = Heartbeat::PongBy(pong_by(at, now, self.config.ping_timeout));
            }
            Heartbeat::PingAt(_) | Heartbeat::PongBy(_) | Heartbeat::ClientPingBy(_) => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, and what for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, TimerReason)> {
        let heartbeat = match self.heartbeat {
            Heartbeat::PingAt(at) => (at, TimerReason::PingInterval),
            Heartbeat::PongBy(by) | Heartbeat::ClientPingBy(by) => (by, TimerReason::PingTimeout),
        };
        match self.state {
            State::Polling | State::WebSocket => Some(heartbeat),
            State::Upgrading { deadline, .. } if deadline < heartbeat.0 => {
                Some((deadline, TimerReason::UpgradeTimeout))
            }
            State::Upgrading { .. } => Some(heartbeat),
            State::Closing { deadline, .. } => Some((deadline, TimerReason::CloseTimeout)),
            State::Closed { .. } => None,
        }
    }

    /// The next thing that the owner of the session wants to know. An upgrade
    /// that was not asked for before the end is not told any more.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    // ===== Transitions =====

    /// Carries out the deadlines that have passed at `now`, but for the ping,
    /// which is no end of anything. Returns whether the session has ended by one
    /// of them. Every input is preceded by it: the owner's timer may be coarse,
    /// and a client must not find a session that is over.
    fn is_overdue(&mut self, now: Instant) -> bool {
        if let State::Upgrading { deadline, .. } = self.state
            && deadline <= now
        {
            self.state = State::Polling;
        }
        let reason = match self.state {
            State::Polling | State::Upgrading { .. } | State::WebSocket => match self.heartbeat {
                Heartbeat::PongBy(by) | Heartbeat::ClientPingBy(by) if by <= now => {
                    CloseReason::PingTimeout
                }
                Heartbeat::PingAt(_) | Heartbeat::PongBy(_) | Heartbeat::ClientPingBy(_) => {
                    return false;
                }
            },
            State::Closing {
                reason, deadline, ..
            } if deadline <= now => reason,
            State::Closing { .. } | State::Closed { .. } => return false,
        };
        self.end(reason);
        true
    }

    fn enqueue(&mut self, frame: Frame) -> Result<(), SendError> {
        let taken = self.outbound.memory();
        if taken.saturating_add(frame.len()) > self.config.send_queue_bytes {
            self.end(CloseReason::SendQueueFull);
            return Err(SendError::QueueFull);
        }
        self.outbound.push(frame);
        Ok(())
    }

    fn start_closing(&mut self, transport: Transport, reason: CloseReason, now: Instant) {
        self.state = State::Closing {
            transport,
            reason,
            deadline: now + self.config.close_timeout_of(reason),
        };
    }

    /// Ends the session. What waits is dropped, but for what the peer is about
    /// to get anyway.
    fn end(&mut self, reason: CloseReason) {
        let Some(transport) = self.transport() else {
            return;
        };
        let waits = self.outbound.frames().any(is_message);
        let lost = match transport {
            // A poll that waits still gets what was meant for it.
            Transport::Polling if self.requests.get == Get::Waiting => false,
            Transport::Polling => {
                self.outbound = Outbound::default();
                waits
            }
            Transport::WebSocket => {
                self.outbound.discard();
                if !self.outbound.ends_with_close() {
                    self.outbound.push(Frame::close(reason.close_code()));
                }
                waits
            }
        };
        self.enter_closed(transport, reason, lost);
    }

    fn enter_closed(&mut self, transport: Transport, reason: CloseReason, lost: bool) {
        self.state = State::Closed {
            transport,
            reason,
            lost,
        };
        self.event = Some(Event::Closed(reason));
    }
}

/// When the pong of a ping that was due at `at` and leaves at `now` is given up.
/// A timer of the owner's that is a little late does not move it, so that a
/// client is silent for `pingInterval + pingTimeout` at most, as it expects. A
/// ping that is much later leaves the client all of its time.
fn pong_by(at: Instant, now: Instant, ping_timeout: Duration) -> Instant {
    let is_punctual = now.saturating_duration_since(at) <= ping_timeout / PUNCTUAL_PART;
    (if is_punctual { at } else { now }) + ping_timeout
}

/// Twice as late as a timer may be whose tick is a sixteenth of `ping_timeout`.
const PUNCTUAL_PART: u32 = 8;

/// Whether the frame is Engine.IO's close packet.
fn is_close_packet(frame: &Frame) -> bool {
    frame.is_text() && frame.payload() == b"1"
}

/// Whether the frame is what the session is for, and not its own housekeeping.
fn is_message(frame: &Frame) -> bool {
    // `b` is a binary one for a client that cannot take it as such.
    frame.is_binary() || (frame.is_text() && matches!(frame.payload().first(), Some(b'4' | b'b')))
}
