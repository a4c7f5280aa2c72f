//! The two protocols that a connection may speak.

use std::time::Instant;

use engineio_proto::{CloseReason, EncodedPacket, Event, Frame, Outbound, SendError, Session};

use super::plain::PlainSession;

/// What is spoken on a connection.
#[derive(Debug)]
pub(crate) enum Wire {
    EngineIo(Session),
    Plain(PlainSession),
}

impl Wire {
    pub(crate) const fn is_closed(&self) -> bool {
        match self {
            Self::EngineIo(session) => session.transport().is_none(),
            Self::Plain(session) => session.is_closed(),
        }
    }

    /// Whether messages waited when it ended.
    pub(crate) const fn has_lost_messages(&self) -> bool {
        match self {
            Self::EngineIo(session) => session.has_lost_messages(),
            Self::Plain(session) => session.has_lost_messages(),
        }
    }

    /// What waits; see [`Outbound::memory`].
    pub(crate) fn queued_memory(&self) -> usize {
        match self {
            Self::EngineIo(session) => session.queued_memory(),
            Self::Plain(session) => session.queued_memory(),
        }
    }

    pub(crate) fn is_writable(&self) -> bool {
        match self {
            Self::EngineIo(session) => session.is_writable(),
            Self::Plain(session) => session.is_writable(),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Self::EngineIo(session) => session.is_ready(),
            Self::Plain(session) => session.is_writable(),
        }
    }

    /// Whether the packet's own frame is what goes out.
    pub(crate) fn takes_frame(&self, packet: &EncodedPacket) -> bool {
        match self {
            Self::EngineIo(session) => session.takes_frame(packet),
            Self::Plain(_) => true,
        }
    }

    pub(crate) fn send(&mut self, packet: EncodedPacket) -> Result<(), SendError> {
        match self {
            Self::EngineIo(session) => session.send(packet),
            Self::Plain(session) => session.send(packet.into_frame()),
        }
    }

    pub(crate) fn queue_rest(&mut self, frame: Frame, written: usize) {
        match self {
            Self::EngineIo(session) => session.queue_rest(frame, written),
            Self::Plain(session) => session.queue_rest(frame, written),
        }
    }

    pub(crate) fn close(
        &mut self,
        reason: CloseReason,
        config: &engineio_proto::Config,
        now: Instant,
    ) {
        match self {
            Self::EngineIo(session) => session.close(reason, now),
            Self::Plain(session) => {
                let deadline = now + config.close_timeout_of(reason);
                session.close(reason, reason.close_code(), deadline);
            }
        }
    }

    pub(crate) fn abort(&mut self, reason: CloseReason) {
        match self {
            Self::EngineIo(session) => session.abort(reason),
            Self::Plain(session) => session.abort(reason, reason.close_code()),
        }
    }

    pub(crate) fn handle_transport_closed(&mut self, reason: CloseReason) {
        match self {
            Self::EngineIo(session) => session.handle_transport_closed(reason),
            Self::Plain(session) => session.handle_transport_closed(reason),
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<&mut Outbound> {
        match self {
            Self::EngineIo(session) => session.poll_transmit(),
            Self::Plain(session) => session.poll_transmit(),
        }
    }

    pub(crate) fn handle_written(&mut self) {
        match self {
            Self::EngineIo(session) => session.handle_written(),
            Self::Plain(session) => session.handle_written(),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::EngineIo(session) => session.handle_timeout(now),
            Self::Plain(session) => session.handle_timeout(now),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::EngineIo(session) => session.poll_timeout().map(|(at, _)| at),
            Self::Plain(session) => session.poll_timeout(),
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::EngineIo(session) => session.poll_event(),
            Self::Plain(session) => session.poll_event(),
        }
    }
}
