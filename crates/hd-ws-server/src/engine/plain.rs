//! Plain WebSocket clients: no Engine.IO, text frames only.

use std::time::{Duration, Instant};

use engineio_proto::{CloseReason, Event, Frame, Outbound, SendError};

/// A client that speaks WebSocket and nothing above it, such as `wscat`. It is
/// kept alive by WebSocket's own ping and pong frames.
#[derive(Debug)]
pub(crate) struct PlainSession {
    state: PlainState,
    outbound: Outbound,
    event: Option<Event>,
    ping_interval: Duration,
    ping_timeout: Duration,
    send_queue_bytes: usize,
}

/// ```text
///   Open ── close() ──► Closing ── written out, or timeout ──► Closed
///     └──────────── peer gone, no pong, queue full ──────────────▲
/// ```
#[derive(Debug)]
enum PlainState {
    Open(Heartbeat),
    Closing {
        reason: CloseReason,
        deadline: Instant,
    },
    Closed {
        /// Whether events waited.
        lost: bool,
    },
}

#[derive(Debug)]
enum Heartbeat {
    PingAt(Instant),
    PongBy(Instant),
}

impl PlainSession {
    pub(crate) fn new(config: &engineio_proto::Config, now: Instant) -> Self {
        Self {
            state: PlainState::Open(Heartbeat::PingAt(now + config.ping_interval)),
            outbound: Outbound::default(),
            event: None,
            ping_interval: config.ping_interval,
            ping_timeout: config.ping_timeout,
            send_queue_bytes: config.send_queue_bytes,
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, PlainState::Open(_))
    }

    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.state, PlainState::Closed { .. })
    }

    pub(crate) const fn has_lost_messages(&self) -> bool {
        matches!(self.state, PlainState::Closed { lost: true })
    }

    pub(crate) fn queued_memory(&self) -> usize {
        self.outbound.memory()
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.is_open() && self.outbound.is_empty()
    }

    pub(crate) fn send(&mut self, frame: Frame) -> Result<(), SendError> {
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        if self.outbound.memory().saturating_add(frame.len()) > self.send_queue_bytes {
            self.abort(CloseReason::SendQueueFull, Some(1008));
            return Err(SendError::QueueFull);
        }
        self.outbound.push(frame);
        Ok(())
    }

    pub(crate) fn queue_rest(&mut self, frame: Frame, written: usize) {
        if written < frame.len() {
            self.outbound.push_partial(frame, written);
        }
    }

    pub(crate) fn handle_ping(&mut self, data: &[u8], now: Instant) {
        self.judge_deadlines(now);
        // A full queue closes the session, and that is all there is to do.
        let _closed = self.send(Frame::pong(data));
    }

    pub(crate) fn handle_pong(&mut self, now: Instant) {
        self.judge_deadlines(now);
        if let PlainState::Open(heartbeat) = &mut self.state {
            *heartbeat = Heartbeat::PingAt(now + self.ping_interval);
        }
    }

    pub(crate) fn close(&mut self, reason: CloseReason, code: Option<u16>, deadline: Instant) {
        if self.is_open() {
            self.outbound.push(Frame::close(code));
            self.state = PlainState::Closing { reason, deadline };
        }
    }

    pub(crate) fn abort(&mut self, reason: CloseReason, code: Option<u16>) {
        if !self.is_closed() {
            self.handle_transport_closed(reason);
            self.outbound.push(Frame::close(code));
        }
    }

    pub(crate) fn handle_transport_closed(&mut self, reason: CloseReason) {
        if !self.is_closed() {
            let lost = self.outbound.frames().any(Frame::is_text);
            self.outbound.discard();
            self.state = PlainState::Closed { lost };
            self.event = Some(Event::Closed(reason));
        }
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<&mut Outbound> {
        (!self.outbound.is_empty()).then_some(&mut self.outbound)
    }

    pub(crate) fn handle_written(&mut self) {
        if let PlainState::Closing { reason, .. } = self.state
            && self.outbound.is_empty()
        {
            self.handle_transport_closed(reason);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.judge_deadlines(now);
        if let PlainState::Open(Heartbeat::PingAt(at)) = self.state
            && at <= now
        {
            self.outbound.push(Frame::ping());
            self.state = PlainState::Open(Heartbeat::PongBy(now + self.ping_timeout));
        }
    }

    /// Ends the session if it is over at `now`. Every input is preceded by it:
    /// the wheel is coarse.
    fn judge_deadlines(&mut self, now: Instant) {
        match self.state {
            PlainState::Open(Heartbeat::PongBy(by)) if by <= now => {
                self.abort(CloseReason::PingTimeout, None);
            }
            PlainState::Closing { reason, deadline } if deadline <= now => {
                self.abort(reason, None);
            }
            PlainState::Open(_) | PlainState::Closing { .. } | PlainState::Closed { .. } => {}
        }
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            PlainState::Open(Heartbeat::PingAt(at)) => Some(at),
            PlainState::Open(Heartbeat::PongBy(by)) => Some(by),
            PlainState::Closing { deadline, .. } => Some(deadline),
            PlainState::Closed { .. } => None,
        }
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session whose ping is out, and when its pong is due.
    fn awaiting_pong() -> (PlainSession, Instant) {
        let config = engineio_proto::Config::default();
        let opened = Instant::now();
        let mut session = PlainSession::new(&config, opened);
        let pinged = opened + config.ping_interval;
        session.handle_timeout(pinged);
        (session, pinged + config.ping_timeout)
    }

    #[test]
    fn input_after_the_ping_timeout_finds_the_session_ended() {
        let inputs: [fn(&mut PlainSession, Instant); 2] =
            [PlainSession::handle_pong, |session, now| {
                session.handle_ping(b"late", now)
            }];
        for input in inputs {
            let (mut session, due) = awaiting_pong();
            input(&mut session, due - Duration::from_nanos(1));
            assert!(session.is_open());

            let (mut session, due) = awaiting_pong();
            input(&mut session, due);
            let ended = Event::Closed(CloseReason::PingTimeout);
            assert_eq!(session.poll_event(), Some(ended));
        }
    }
}
