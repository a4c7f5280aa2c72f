//! Who is in which room, for those who ask from outside: other servers of the
//! same namespace.

use engineio_proto::Sid;
use hd_rooms::{Audience, AudienceScratch, JoinError, MemberKey, RoomName};

use super::Namespace;

/// What became of sockets that were to join rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// How many there were.
    pub sockets: usize,
    /// How often one did not fit: it is in as many rooms as it may be.
    pub refused: usize,
}

/// A room came into being, or ceased to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomChange {
    /// Its name.
    pub room: RoomName,
    /// Whether it is there now: it may have come and gone since.
    pub is_there: bool,
}

/// Tells of the rooms of a namespace.
#[derive(Debug)]
pub struct RoomChanges(Namespace);

impl Namespace {
    /// The rooms that somebody is in.
    #[must_use]
    pub fn room_names(&self) -> Vec<RoomName> {
        self.rooms().rooms().cloned().collect()
    }

    /// Puts an audience into rooms, as long as their connections last. Those who
    /// come back are in the rooms that they are admitted to.
    pub fn join(&self, audience: &Audience, rooms: &[RoomName]) -> Moved {
        let members = self.members(audience);
        let mut refused = 0;
        for some in members.chunks(AT_ONCE) {
            let mut registry = self.rooms_mut();
            for (key, room) in pairs(some, rooms) {
                refused += match registry.join(key, room) {
                    // Who has left meanwhile is in no room.
                    Ok(_) | Err(JoinError::UnknownMember) => 0,
                    Err(_) => 1,
                };
            }
        }
        Moved {
            sockets: members.len(),
            refused,
        }
    }

    /// Takes an audience out of rooms. Returns how many sockets there were.
    pub fn leave(&self, audience: &Audience, rooms: &[RoomName]) -> usize {
        let members = self.members(audience);
        for some in members.chunks(AT_ONCE) {
            let mut registry = self.rooms_mut();
            for (key, room) in pairs(some, rooms) {
                registry.leave(key, room.as_str());
            }
        }
        members.len()
    }

    /// Tells of rooms that come and go, beginning with those that are there.
    /// There is to be one who asks, and who keeps asking: changes are kept for
    /// it.
    #[must_use]
    pub fn room_changes(&self) -> RoomChanges {
        self.rooms_mut().record_changes();
        RoomChanges(self.clone())
    }

    fn members(&self, audience: &Audience) -> Vec<MemberKey> {
        let mut members = Vec::new();
        let scratch = &mut AudienceScratch::default();
        self.rooms()
            .visit(audience, scratch, |key, _| members.push(key));
        members
    }
}

impl RoomChanges {
    /// What has changed since the last call, once something has.
    ///
    /// # Cancel safety
    ///
    /// Safe to cancel.
    pub async fn next(&mut self) -> Vec<RoomChange> {
        loop {
            let changed = self.take();
            if !changed.is_empty() {
                return changed;
            }
            // One is kept for who is not waiting yet.
            self.0.rooms_changed().notified().await;
        }
    }

    fn take(&self) -> Vec<RoomChange> {
        let mut registry = self.0.rooms_mut();
        let mut rooms = registry.take_changed();
        rooms.sort_unstable();
        rooms.dedup();
        let change = |room: RoomName| RoomChange {
            is_there: registry.room_len(room.as_str()) > 0,
            room,
        };
        rooms.into_iter().map(change).collect()
    }
}

/// The room of one socket; see [`NamespaceConfig`](super::NamespaceConfig).
pub(super) fn own_room(id: &Sid) -> RoomName {
    RoomName::new(id.as_str()).expect("invariant: an id is shorter than a room's name may be")
}

fn pairs<'a>(
    members: &'a [MemberKey],
    rooms: &'a [RoomName],
) -> impl Iterator<Item = (MemberKey, &'a RoomName)> {
    let with = |key: &'a MemberKey| rooms.iter().map(|room| (*key, room));
    members.iter().flat_map(with)
}

/// Sockets that are moved under one lock: some 100 µs for a few rooms.
const AT_ONCE: usize = 256;
