//! A session's polls and POSTs.

use std::time::Instant;

use bytes::Bytes;

use super::{CloseReason, Get, Post, Probe, ProtocolViolation, Session, State, is_close_packet};
use crate::{CacheBuster, Frame, Outbound, Revision, Transport, payload};

impl Session {
    /// A poll (GET) has arrived. The first one is the handshake.
    ///
    /// `cache_buster` is that of its query
    /// ([`Query::cache_buster`](crate::Query::cache_buster)). A poll that has
    /// the one of an earlier poll is that poll again, as a proxy or a browser
    /// sends it when the connection broke before the answer. What the first
    /// answer held may be lost, and may as well have arrived, so the session
    /// ends: the client knows what it has, and says so when it reconnects.
    ///
    /// # Errors
    ///
    /// [`ProtocolViolation::OverlappingPoll`] and
    /// [`ProtocolViolation::RepeatedPoll`] close the session and are answered
    /// with 400. [`ProtocolViolation::TransportMismatch`] leaves it as it is.
    /// [`ProtocolViolation::SessionEnded`] is answered as an unknown session is.
    pub fn handle_poll(
        &mut self,
        cache_buster: Option<CacheBuster>,
        now: Instant,
    ) -> Result<(), ProtocolViolation> {
        if self.is_overdue(now) {
            return Err(ProtocolViolation::SessionEnded);
        }
        match self.state {
            State::Polling
            | State::Upgrading { .. }
            | State::Closing {
                transport: Transport::Polling,
                ..
            } => match self.requests.get {
                Get::Idle if self.requests.recent_polls.is_repeated(cache_buster) => {
                    self.end(CloseReason::TransportError);
                    Err(ProtocolViolation::RepeatedPoll)
                }
                Get::Idle => {
                    self.requests.get = Get::Waiting;
                    Ok(())
                }
                Get::Waiting => {
                    self.end(CloseReason::TransportError);
                    Err(ProtocolViolation::OverlappingPoll)
                }
            },
            State::WebSocket | State::Closing { .. } => Err(ProtocolViolation::TransportMismatch),
            State::Closed { .. } => Err(ProtocolViolation::SessionEnded),
        }
    }

    /// The client went away while its poll waited.
    pub fn handle_poll_aborted(&mut self) {
        if self.requests.get == Get::Waiting {
            self.requests.get = Get::Idle;
            match self.state {
                State::Polling
                | State::Upgrading { .. }
                | State::Closing {
                    transport: Transport::Polling,
                    ..
                } => self.end(CloseReason::TransportError),
                State::Closed {
                    transport: Transport::Polling,
                    ..
                } => self.outbound = Outbound::default(),
                State::WebSocket | State::Closing { .. } | State::Closed { .. } => {}
            }
        }
    }

    /// The body for the poll that waits, once there is one: at most
    /// [`Config::max_packets_per_poll`](crate::Config::max_packets_per_poll)
    /// packets. The poll waits no more then.
    ///
    /// A close packet is never in one body with what is before it, but in the
    /// next: engine.io-client closes as soon as it reads the packet, and a
    /// message that it read just before finds the socket closed.
    #[must_use]
    pub fn poll_response(&mut self) -> Option<Bytes> {
        if self.requests.get == Get::Idle {
            return None;
        }
        let body = match self.state {
            State::Polling if self.outbound.is_empty() => return None,
            State::Upgrading { probe, .. } if self.outbound.is_empty() => match probe {
                Probe::Awaited => return None,
                Probe::Answered => self.payload_of_control("6"),
            },
            State::Closing {
                transport: Transport::Polling,
                reason,
                ..
            } => {
                let body = self.take_payload();
                // The close packet is the last one.
                if self.outbound.is_empty() {
                    self.end(reason);
                }
                body
            }
            State::Polling | State::Upgrading { .. } => self.take_payload(),
            // The client polls on after its `5`, which it should not.
            State::WebSocket | State::Closing { .. } => self.payload_of_control("6"),
            State::Closed {
                transport: Transport::Polling,
                ..
            } if !self.outbound.is_empty() => {
                let body = self.take_payload();
                self.outbound = Outbound::default();
                body
            }
            // engine.io lets go of the poll of a client that said `1` with a
            // noop, and of any other with a close packet.
            State::Closed {
                reason: CloseReason::TransportClose,
                ..
            } => self.payload_of_control("6"),
            State::Closed { .. } => self.payload_of_control("1"),
        };
        self.requests.get = Get::Idle;
        Some(body)
    }

    /// A POST has begun; its packets go to [`handle_packet`](Self::handle_packet).
    ///
    /// # Errors
    ///
    /// As [`handle_poll`](Self::handle_poll).
    pub fn handle_post(&mut self, now: Instant) -> Result<(), ProtocolViolation> {
        if self.is_overdue(now) {
            return Err(ProtocolViolation::SessionEnded);
        }
        match self.state {
            // A POST to a closing session is heard and ignored: refusing it
            // would make the client give up the poll that fetches the rest.
            State::Polling
            | State::Upgrading { .. }
            | State::Closing {
                transport: Transport::Polling,
                ..
            } => match self.requests.post {
                Post::Idle => {
                    self.requests.post = Post::Reading;
                    Ok(())
                }
                Post::Reading => {
                    self.end(CloseReason::TransportError);
                    Err(ProtocolViolation::OverlappingPost)
                }
            },
            State::WebSocket | State::Closing { .. } => Err(ProtocolViolation::TransportMismatch),
            State::Closed { .. } => Err(ProtocolViolation::SessionEnded),
        }
    }

    /// The POST has been read and handled, or refused for its size.
    pub fn handle_post_end(&mut self) {
        self.requests.post = Post::Idle;
    }

    /// The client went away in the middle of its POST.
    pub fn handle_post_aborted(&mut self) {
        if self.requests.post == Post::Reading {
            self.requests.post = Post::Idle;
            match self.state {
                State::Polling | State::Upgrading { .. } => self.end(CloseReason::TransportError),
                State::WebSocket | State::Closing { .. } | State::Closed { .. } => {}
            }
        }
    }

    fn take_payload(&mut self) -> Bytes {
        let first = self.outbound.frames().next();
        let count = if first.is_some_and(is_open) {
            // engine.io has answered before anything else is sent.
            1
        } else {
            self.config.max_packets_per_poll.max(1)
        };
        // What is before the close packet, or the close packet.
        let until_close = self.outbound.frames().take(count);
        let count = until_close
            .take_while(|frame| !is_close_packet(frame))
            .count()
            .max(1);
        let taken = self.outbound.take(count);
        if self.revision == Revision::V3 {
            return self.finish_v3(payload::v3::encode(taken.frames()));
        }
        let mut body = Vec::with_capacity(taken.bytes());
        for frame in taken.frames() {
            payload::append(&mut body, frame);
        }
        body.into()
    }

    /// A body of one packet that is nothing but its type.
    fn payload_of_control(&self, packet: &'static str) -> Bytes {
        match self.revision {
            Revision::V4 => Bytes::from_static(packet.as_bytes()),
            Revision::V3 => self.finish_v3(format!("{}:{packet}", packet.len()).into_bytes()),
        }
    }

    fn finish_v3(&self, body: Vec<u8>) -> Bytes {
        match (self.jsonp, std::str::from_utf8(&body)) {
            (Some(index), Ok(text)) => index.script(text).into(),
            // A JSONP client gets text only.
            (Some(_), Err(_)) | (None, _) => body.into(),
        }
    }
}

/// Whether the frame is the open packet.
fn is_open(frame: &Frame) -> bool {
    frame.is_text() && frame.payload().first() == Some(&b'0')
}
