//! A session's WebSocket.

use std::time::Instant;

use super::{CloseReason, Session, State, is_message};
use crate::{Frame, Outbound, Transport};

impl Session {
    /// The queue to write to the WebSocket, while there is something in it.
    /// Take what was written off it with [`Outbound::advance`], then call
    /// [`handle_written`](Self::handle_written).
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<&mut Outbound> {
        if self.outbound.is_empty() {
            return None;
        }
        match self.state {
            State::WebSocket
            | State::Closing {
                transport: Transport::WebSocket,
                ..
            }
            | State::Closed {
                transport: Transport::WebSocket,
                ..
            } => Some(&mut self.outbound),
            State::Polling
            | State::Upgrading { .. }
            | State::Closing { .. }
            | State::Closed { .. } => None,
        }
    }

    /// Bytes of the queue have been written. A session that was closing ends
    /// with its last byte.
    pub fn handle_written(&mut self) {
        if let State::Closing {
            transport: Transport::WebSocket,
            reason,
            ..
        } = self.state
            && self.outbound.is_empty()
        {
            self.enter_closed(Transport::WebSocket, reason, false);
        }
    }

    /// The WebSocket has closed: by a close frame, by the end of the stream, or
    /// by an error.
    pub fn handle_transport_closed(&mut self, reason: CloseReason) {
        match self.state {
            State::WebSocket
            | State::Closing {
                transport: Transport::WebSocket,
                ..
            } => {
                let lost = self.outbound.frames().any(is_message);
                self.outbound = Outbound::default();
                self.enter_closed(Transport::WebSocket, reason, lost);
            }
            State::Polling
            | State::Upgrading { .. }
            | State::Closing { .. }
            | State::Closed { .. } => {}
        }
    }

    /// The WebSocket has received a ping frame, which is answered with a pong
    /// (RFC 6455 §5.5.2). Pongs count against the bound of the queue: a peer
    /// that pings and does not read must not fill the memory.
    pub fn handle_ping_frame(&mut self, data: &[u8], now: Instant) {
        if !self.is_overdue(now) && matches!(self.state, State::WebSocket) {
            // A full queue closes the session, and that is all there is to do.
            let _closed = self.enqueue(Frame::pong(data));
        }
    }

    /// Queues the rest of a frame of which `written` bytes went out while
    /// [`is_writable`](Self::is_writable) held. A frame that is out whole
    /// leaves nothing to queue.
    pub fn queue_rest(&mut self, frame: Frame, written: usize) {
        debug_assert!(self.is_writable());
        if written < frame.len() {
            self.outbound.push_partial(frame, written);
        }
    }
}
