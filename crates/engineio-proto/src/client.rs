//! The client's side of one session over a WebSocket, as a machine without I/O.

use std::time::{Duration, Instant};

use crate::{EncodedPacket, Handshake, Message, Packet, PacketType};

/// A client's session over a direct WebSocket: handshake, heartbeat, messages.
#[derive(Debug)]
pub struct ClientSession {
    state: ClientState,
}

/// ```text
///   Opening ── open packet ──► Open ── close packet, silence ──► Closed
///      └──────────────────────── any other ───────────────────────▲
/// ```
#[derive(Debug)]
enum ClientState {
    Opening,
    Open {
        handshake: Handshake<Box<str>>,
        silent_until: Instant,
    },
    Closed,
}

/// What a packet from the server means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent<'a> {
    /// The session is open.
    Opened,
    /// Send this packet: the answer to a ping.
    Reply(EncodedPacket),
    /// Data.
    Message(Message<'a>),
    /// The server closed the session.
    Closed,
}

/// The server sent a packet that has no place here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerViolation {
    /// The first packet was no handshake.
    #[error("the first packet is no handshake")]
    NoHandshake,
    /// A second handshake.
    #[error("a second handshake")]
    SecondHandshake,
}

impl ClientSession {
    /// A session whose WebSocket has just been opened.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: ClientState::Opening,
        }
    }

    /// The handshake, once the session is open.
    #[must_use]
    pub const fn handshake(&self) -> Option<&Handshake<Box<str>>> {
        match &self.state {
            ClientState::Open { handshake, .. } => Some(handshake),
            ClientState::Opening | ClientState::Closed => None,
        }
    }

    /// A packet has arrived. `None` for packets that mean nothing here.
    ///
    /// # Errors
    ///
    /// [`ServerViolation`] when the server breaks the protocol; the session is
    /// closed then.
    pub fn handle_packet<'a>(
        &mut self,
        packet: Packet<'a>,
        now: Instant,
    ) -> Result<Option<ClientEvent<'a>>, ServerViolation> {
        match (&mut self.state, packet) {
            (ClientState::Opening, Packet::Open(data)) => {
                let Ok(handshake) = Handshake::decode(data) else {
                    return Err(self.close(ServerViolation::NoHandshake));
                };
                self.state = ClientState::Open {
                    silent_until: now + patience(&handshake),
                    handshake,
                };
                Ok(Some(ClientEvent::Opened))
            }
            (ClientState::Opening, _) => Err(self.close(ServerViolation::NoHandshake)),
            (ClientState::Open { .. }, Packet::Open(_)) => {
                Err(self.close(ServerViolation::SecondHandshake))
            }
            (
                ClientState::Open {
                    handshake,
                    silent_until,
                },
                Packet::Ping(data),
            ) => {
                *silent_until = now + patience(handshake);
                Ok(Some(ClientEvent::Reply(EncodedPacket::control(
                    PacketType::Pong,
                    data,
                ))))
            }
            (ClientState::Open { .. }, Packet::Message(message)) => {
                Ok(Some(ClientEvent::Message(message)))
            }
            (ClientState::Open { .. }, Packet::Close) => {
                self.state = ClientState::Closed;
                Ok(Some(ClientEvent::Closed))
            }
            (ClientState::Open { .. }, Packet::Pong(_) | Packet::Upgrade | Packet::Noop)
            | (ClientState::Closed, _) => Ok(None),
        }
    }

    /// When the server counts as gone if no ping has come.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            ClientState::Open { silent_until, .. } => Some(*silent_until),
            ClientState::Opening | ClientState::Closed => None,
        }
    }

    /// Whether the server counts as gone at `now`; the session is closed then.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let is_over = self.poll_timeout().is_some_and(|until| until <= now);
        if is_over {
            self.state = ClientState::Closed;
        }
        is_over
    }

    fn close(&mut self, violation: ServerViolation) -> ServerViolation {
        self.state = ClientState::Closed;
        violation
    }
}

impl Default for ClientSession {
    fn default() -> Self {
        Self::new()
    }
}

fn patience(handshake: &Handshake<Box<str>>) -> Duration {
    handshake.ping_interval + handshake.ping_timeout
}
