//! A client, as socket.io-client 4.8 is one (`socket.ts`: `onevent`,
//! `emitEvent`, `onconnect`, `onclose`).

use std::rc::Rc;

use hd_replay::{LogId, Offset};
use hd_rooms::RoomName;

use super::node::{Auth, ConnectionId, Frame};

pub(crate) struct Device {
    pub(crate) user: usize,
    /// The rooms that its token is good for.
    pub(crate) rooms: Rc<[RoomName]>,
    pub(crate) phase: Phase,
    pid: Option<String>,
    last_offset: Option<Offset>,
    /// Events that came before the CONNECT reply. It outlives the connection.
    receive_buffer: Vec<(usize, Offset)>,
}

/// ```text
///  Offline ──► Joining ──► Connected
///     ▲           │            │
///     └───────────┴────────────┴──► Left (DISCONNECT: it does not come back)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Offline,
    /// It waits for the CONNECT reply.
    Joining(ConnectionId),
    Connected(ConnectionId),
    Left,
}

/// What a page hears.
#[derive(Debug)]
pub(crate) enum Heard {
    Event {
        publication: usize,
        offset: Offset,
    },
    /// It is at this place of a log, if it has not recovered.
    Connected {
        recovered: bool,
        place: (LogId, Offset),
        /// What it was admitted to.
        rooms: Rc<[RoomName]>,
    },
    Closed,
}

impl Device {
    pub(crate) const fn new(user: usize, rooms: Rc<[RoomName]>) -> Self {
        Self {
            user,
            rooms,
            phase: Phase::Offline,
            pid: None,
            last_offset: None,
            receive_buffer: Vec::new(),
        }
    }

    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self.phase {
            Phase::Joining(id) | Phase::Connected(id) => Some(id),
            Phase::Offline | Phase::Left => None,
        }
    }

    /// What it says of itself in CONNECT.
    pub(crate) fn auth(&self) -> Auth {
        Auth {
            user: self.user,
            rooms: Rc::clone(&self.rooms),
            pid: self.pid.clone(),
            offset: self
                .pid
                .as_ref()
                .and(self.last_offset)
                .map(|offset| offset.to_string()),
        }
    }

    pub(crate) fn receive(&mut self, frame: Frame) -> Vec<Heard> {
        match (self.phase, frame) {
            (
                Phase::Joining(_),
                Frame::Event {
                    publication,
                    offset,
                },
            ) => {
                self.receive_buffer.push((publication, offset));
                Vec::new()
            }
            (
                Phase::Connected(_),
                Frame::Event {
                    publication,
                    offset,
                },
            ) => vec![self.event(publication, offset)],
            (Phase::Joining(id), Frame::Connect { pid, place, rooms }) => {
                self.phase = Phase::Connected(id);
                let recovered = self.pid.as_ref() == Some(&pid);
                self.pid = Some(pid);
                let buffered = std::mem::take(&mut self.receive_buffer);
                let mut heard: Vec<Heard> = buffered
                    .into_iter()
                    .map(|(publication, offset)| self.event(publication, offset))
                    .collect();
                heard.push(Heard::Connected {
                    recovered,
                    place,
                    rooms,
                });
                heard
            }
            (Phase::Joining(_) | Phase::Connected(_), Frame::Close) => {
                self.phase = Phase::Offline;
                vec![Heard::Closed]
            }
            (Phase::Joining(_) | Phase::Connected(_), Frame::Disconnect) => {
                self.phase = Phase::Left;
                Vec::new()
            }
            (Phase::Connected(_), Frame::Connect { .. }) | (Phase::Offline | Phase::Left, _) => {
                Vec::new()
            }
        }
    }

    fn event(&mut self, publication: usize, offset: Offset) -> Heard {
        self.last_offset = Some(offset);
        Heard::Event {
            publication,
            offset,
        }
    }
}
