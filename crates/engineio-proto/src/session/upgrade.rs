//! A session's move from polling to a WebSocket.

use std::time::Instant;

use super::recent_polls::RecentPolls;
use super::{Event, Probe, ProtocolViolation, Session, State, UpgradeId, UpgradeStep};
use crate::{EncodedPacket, Packet, PacketType};

impl Session {
    /// A WebSocket for this session asks to be opened. One upgrade runs at a
    /// time, and a session has one WebSocket.
    ///
    /// # Errors
    ///
    /// [`ProtocolViolation::TransportMismatch`] when the session does not take
    /// it: open the WebSocket and close it again, as engine.io does.
    /// [`ProtocolViolation::SessionEnded`] is answered as an unknown session is.
    pub fn handle_upgrade(&mut self, now: Instant) -> Result<UpgradeId, ProtocolViolation> {
        if self.is_overdue(now) {
            return Err(ProtocolViolation::SessionEnded);
        }
        match self.state {
            State::Polling => {
                let id = self.next_upgrade;
                self.next_upgrade = UpgradeId(id.0.wrapping_add(1));
                self.state = State::Upgrading {
                    id,
                    probe: Probe::Awaited,
                    deadline: now + self.config.upgrade_timeout,
                };
                Ok(id)
            }
            State::Upgrading { .. } | State::WebSocket | State::Closing { .. } => {
                Err(ProtocolViolation::TransportMismatch)
            }
            State::Closed { .. } => Err(ProtocolViolation::SessionEnded),
        }
    }

    /// A packet has arrived on the new transport of `upgrade`. One that is over
    /// is refused.
    #[must_use]
    pub fn handle_upgrade_packet(
        &mut self,
        upgrade: UpgradeId,
        packet: &Packet<'_>,
        now: Instant,
    ) -> UpgradeStep {
        if self.is_overdue(now) {
            return UpgradeStep::Refused;
        }
        let Some(deadline) = self.upgrade_deadline(upgrade) else {
            return UpgradeStep::Refused;
        };
        match packet {
            Packet::Ping("probe") => {
                self.state = State::Upgrading {
                    id: upgrade,
                    probe: Probe::Answered,
                    deadline,
                };
                UpgradeStep::Answer(EncodedPacket::control(PacketType::Pong, "probe"))
            }
            // engine.io takes it without a probe before it, too.
            Packet::Upgrade => {
                self.state = State::WebSocket;
                self.requests.recent_polls = RecentPolls::None;
                self.event = Some(Event::Upgraded);
                UpgradeStep::Complete
            }
            Packet::Open(_)
            | Packet::Close
            | Packet::Ping(_)
            | Packet::Pong(_)
            | Packet::Message(_)
            | Packet::Noop => {
                self.state = State::Polling;
                UpgradeStep::Refused
            }
        }
    }

    /// The new transport of `upgrade` has closed, or sent something that is no
    /// packet. Nothing happens when that upgrade is over.
    pub fn handle_upgrade_aborted(&mut self, upgrade: UpgradeId) {
        if self.upgrade_deadline(upgrade).is_some() {
            self.state = State::Polling;
        }
    }

    /// `None` when it is not this upgrade that runs.
    fn upgrade_deadline(&self, upgrade: UpgradeId) -> Option<Instant> {
        match self.state {
            State::Upgrading { id, deadline, .. } if id == upgrade => Some(deadline),
            State::Polling
            | State::Upgrading { .. }
            | State::WebSocket
            | State::Closing { .. }
            | State::Closed { .. } => None,
        }
    }
}
