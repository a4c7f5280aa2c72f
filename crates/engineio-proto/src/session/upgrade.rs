//! A session's move from polling to a WebSocket.

use std::time::Instant;

use super::{Event, Probe, Session, State, UpgradeStep};
use crate::{EncodedPacket, Packet, PacketType};

impl Session {
    /// A WebSocket for this session has been opened. Returns whether it may go
    /// on; if not, close it. One upgrade runs at a time.
    #[must_use]
    pub fn handle_upgrade(&mut self, now: Instant) -> bool {
        match self.state {
            State::Polling => {
                self.state = State::Upgrading {
                    probe: Probe::Awaited,
                    deadline: now + self.config.upgrade_timeout,
                };
                true
            }
            State::Upgrading { .. }
            | State::WebSocket
            | State::Closing { .. }
            | State::Closed { .. } => false,
        }
    }

    /// A packet has arrived on the new transport.
    #[must_use]
    pub fn handle_upgrade_packet(&mut self, packet: &Packet<'_>, now: Instant) -> UpgradeStep {
        let State::Upgrading { deadline, .. } = self.state else {
            return UpgradeStep::Refused;
        };
        match packet {
            Packet::Ping("probe") => {
                self.state = State::Upgrading {
                    probe: Probe::Answered,
                    deadline,
                };
                UpgradeStep::Answer(EncodedPacket::control(PacketType::Pong, "probe"))
            }
            // engine.io takes it without a probe before it, too.
            Packet::Upgrade if now < deadline => {
                self.state = State::WebSocket;
                self.event = Some(Event::Upgraded);
                UpgradeStep::Complete
            }
            Packet::Open(_)
            | Packet::Close
            | Packet::Ping(_)
            | Packet::Pong(_)
            | Packet::Message(_)
            | Packet::Upgrade
            | Packet::Noop => {
                self.state = State::Polling;
                UpgradeStep::Refused
            }
        }
    }

    /// The new transport has closed, or sent something that is no packet.
    pub fn handle_upgrade_aborted(&mut self) {
        if matches!(self.state, State::Upgrading { .. }) {
            self.state = State::Polling;
        }
    }
}
