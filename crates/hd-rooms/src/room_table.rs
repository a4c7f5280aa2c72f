use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::{JoinError, RoomName};

/// All rooms with members, under interned names.
pub(crate) struct RoomTable {
    /// Finds a room by its name. Holds ids only: the name is in the room, once.
    index: HashTable<RoomId>,
    rooms: Vec<Room>,
    /// Places in `rooms` to reuse.
    vacant: Vec<RoomId>,
    /// Seeded at random, against chosen names that collide. The order of
    /// `index` is never looked at, so the seed cannot be seen from outside.
    hash_builder: RandomState,
    /// Rooms that came or went; `None` while nobody wants to know.
    changed: Option<Vec<RoomName>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RoomId(u32);

pub(crate) struct Room {
    pub(crate) name: RoomName,
    /// Empty only while the room's place is vacant. Three tabs of one user
    /// need no allocation.
    pub(crate) members: SmallVec<[RoomMember; 3]>,
}

/// A room's side of a membership; `members[member].memberships[position]` is the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoomMember {
    pub(crate) member: u32,
    pub(crate) position: u32,
}

impl RoomTable {
    pub(crate) fn new() -> Self {
        Self {
            index: HashTable::new(),
            rooms: Vec::new(),
            vacant: Vec::new(),
            hash_builder: RandomState::new(),
            changed: None,
        }
    }

    /// Notes what comes and goes from now on, and what is there.
    pub(crate) fn record_changes(&mut self) {
        let present = self.iter().map(|(_, room)| room.name.clone()).collect();
        self.changed = Some(present);
    }

    pub(crate) fn has_changed(&self) -> bool {
        self.changed.as_ref().is_some_and(|names| !names.is_empty())
    }

    pub(crate) fn take_changed(&mut self) -> Vec<RoomName> {
        self.changed
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    pub(crate) fn find(&self, name: &str) -> Option<RoomId> {
        let hash = self.hash_builder.hash_one(name);
        self.index
            .find(hash, |id| self.room(*id).name.as_str() == name)
            .copied()
    }

    /// Adds a room that is not there yet; the caller puts a member into it.
    pub(crate) fn create(&mut self, name: RoomName, max: u32) -> Result<RoomId, JoinError> {
        if self.index.len() >= max as usize {
            return Err(JoinError::TooManyRooms { max });
        }
        if let Some(changed) = &mut self.changed {
            changed.push(name.clone());
        }
        let room = Room {
            name,
            members: SmallVec::new(),
        };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.rooms[id.0 as usize] = room;
                id
            }
            None => {
                // Ids stay below `u32::MAX`, so that a count of rooms is a u32 too.
                let id = u32::try_from(self.rooms.len())
                    .ok()
                    .filter(|id| *id < u32::MAX)
                    .map(RoomId)
                    .ok_or(JoinError::TooManyRooms { max })?;
                self.rooms.push(room);
                id
            }
        };
        let hash_of = |id: &RoomId| -> u64 { hash(&self.hash_builder, &self.rooms[id.0 as usize]) };
        self.index.insert_unique(hash_of(&id), id, hash_of);
        Ok(id)
    }

    /// Gives up a room that the last member has left, and with it its memory.
    pub(crate) fn free(&mut self, id: RoomId) {
        let hash = hash(&self.hash_builder, self.room(id));
        self.index
            .find_entry(hash, |other| *other == id)
            .expect("invariant: a room is found by its name until it is freed")
            .remove();
        let name = std::mem::replace(&mut self.room_mut(id).name, RoomName::vacant());
        if let Some(changed) = &mut self.changed {
            changed.push(name);
        }
        self.vacant.push(id);
    }

    pub(crate) fn room(&self, id: RoomId) -> &Room {
        &self.rooms[id.0 as usize]
    }

    pub(crate) fn room_mut(&mut self, id: RoomId) -> &mut Room {
        &mut self.rooms[id.0 as usize]
    }

    /// Who is in the room; nobody when there is no such room.
    pub(crate) fn members(&self, name: &str) -> &[RoomMember] {
        self.find(name)
            .map_or(&[], |id| self.room(id).members.as_slice())
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Every room with members, by ascending id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RoomId, &Room)> {
        // The rooms first: the range must not be asked for one id more.
        self.rooms
            .iter()
            .zip((0..).map(RoomId))
            .filter(|(room, _)| !room.members.is_empty())
            .map(|(room, id)| (id, room))
    }

    /// # Panics
    ///
    /// When names, vacancies and the count do not match the rooms.
    pub(crate) fn assert_invariants(&self) {
        assert_eq!(self.iter().count(), self.len(), "count of rooms");
        for (id, room) in self.iter() {
            assert_eq!(self.find(&room.name), Some(id), "index of a room");
        }
        let mut vacant = self.vacant.clone();
        vacant.sort_unstable();
        let expected: Vec<RoomId> = self
            .rooms
            .iter()
            .zip((0..).map(RoomId))
            .filter(|(room, _)| room.members.is_empty())
            .map(|(_, id)| id)
            .collect();
        assert_eq!(vacant, expected, "vacant rooms");
    }
}

fn hash(hash_builder: &RandomState, room: &Room) -> u64 {
    hash_builder.hash_one(room.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_costs_56_bytes() {
        assert_eq!(size_of::<Room>(), 56);
    }
}
