use smallvec::SmallVec;

use crate::{InsertError, room_table::RoomId};

/// Names one member of one registry, for as long as that member is in it.
///
/// After removal the key is stale: every call with it does nothing, whoever has
/// taken the place since. Keys of another registry are meaningless here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey {
    pub(crate) index: u32,
    generation: u32,
}

/// All members, at a fixed index each, in one piece of memory.
pub(crate) struct Members<M> {
    slots: Vec<Slot<M>>,
    /// Slots to reuse, the latest first, so that the table stays short.
    vacant: Vec<u32>,
    len: u32,
}

struct Slot<M> {
    /// Of the present occupant, or of the next one while vacant.
    generation: u32,
    occupant: Option<Member<M>>,
}

pub(crate) struct Member<M> {
    pub(crate) value: M,
    /// A private room and four more need no allocation, which would cost more than
    /// the places that are empty otherwise.
    pub(crate) memberships: SmallVec<[Membership; 5]>,
}

/// A member's side of being in a room; `rooms[room].members[slot]` is the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Membership {
    pub(crate) room: RoomId,
    pub(crate) slot: u32,
}

impl<M> Members<M> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            len: 0,
        }
    }

    pub(crate) fn insert(&mut self, value: M, max: u32) -> Result<MemberKey, InsertError> {
        if self.len >= max {
            return Err(InsertError::TooManyMembers { max });
        }
        let index = match self.vacant.pop() {
            Some(index) => index,
            None => {
                // Indices stay below `u32::MAX`, so that a count of members is a u32 too.
                let index = u32::try_from(self.slots.len())
                    .ok()
                    .filter(|index| *index < u32::MAX)
                    .ok_or(InsertError::TooManyMembers { max })?;
                self.slots.push(Slot {
                    generation: 0,
                    occupant: None,
                });
                index
            }
        };
        let slot = &mut self.slots[index as usize];
        slot.occupant = Some(Member {
            value,
            memberships: SmallVec::new(),
        });
        self.len += 1;
        Ok(MemberKey {
            index,
            generation: slot.generation,
        })
    }

    pub(crate) fn remove(&mut self, key: MemberKey) -> Option<Member<M>> {
        let slot = self
            .slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.generation == key.generation)?;
        let member = slot.occupant.take()?;
        self.len -= 1;
        // A slot that has used up its generations is given up: reusing it could
        // bring an old key back to life.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.vacant.push(key.index);
        }
        Some(member)
    }

    pub(crate) fn get(&self, key: MemberKey) -> Option<&Member<M>> {
        self.slots
            .get(key.index as usize)
            .filter(|slot| slot.generation == key.generation)?
            .occupant
            .as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: MemberKey) -> Option<&mut Member<M>> {
        self.slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.generation == key.generation)?
            .occupant
            .as_mut()
    }

    /// The member at an index that a room holds.
    pub(crate) fn at(&self, index: u32) -> (MemberKey, &Member<M>) {
        let slot = &self.slots[index as usize];
        let member = slot.occupant.as_ref().expect(IN_ROOM_IS_MEMBER);
        let generation = slot.generation;
        (MemberKey { index, generation }, member)
    }

    /// The member at an index that a room holds.
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Member<M> {
        self.slots[index as usize]
            .occupant
            .as_mut()
            .expect(IN_ROOM_IS_MEMBER)
    }

    /// Everyone, by ascending index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MemberKey, &Member<M>)> {
        // The slots first: the range must not be asked for one index more.
        self.slots.iter().zip(0..).filter_map(|(slot, index)| {
            let generation = slot.generation;
            Some((MemberKey { index, generation }, slot.occupant.as_ref()?))
        })
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// One more than the greatest index in use.
    pub(crate) const fn index_end(&self) -> usize {
        self.slots.len()
    }

    /// # Panics
    ///
    /// When the vacancies and the count do not match the slots.
    pub(crate) fn assert_invariants(&self) {
        assert_eq!(self.iter().count(), self.len as usize, "count of members");
        let mut vacant = self.vacant.clone();
        vacant.sort_unstable();
        let expected: Vec<u32> = self
            .slots
            .iter()
            .zip(0..)
            .filter(|(slot, _)| slot.occupant.is_none() && slot.generation < u32::MAX)
            .map(|(_, index)| index)
            .collect();
        assert_eq!(vacant, expected, "vacant slots of members");
    }
}

impl<M> Member<M> {
    /// Where in `memberships` the room is. O(rooms of this member).
    pub(crate) fn position(&self, room: RoomId) -> Option<usize> {
        self.memberships
            .iter()
            .position(|membership| membership.room == room)
    }
}

const IN_ROOM_IS_MEMBER: &str = "invariant: who is in a room is in the registry";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_without_generations_left_is_never_reused() {
        let mut members = Members::new();
        members.insert("first", u32::MAX).unwrap();
        members.slots[0].generation = u32::MAX;
        let last = MemberKey {
            index: 0,
            generation: u32::MAX,
        };
        assert!(members.get(last).is_some());

        assert!(members.remove(last).is_some());
        members.assert_invariants();
        let next = members.insert("next", u32::MAX).unwrap();
        assert_eq!((next.index, next.generation), (1, 0));
        assert!(members.get(last).is_none());
        assert!(members.remove(last).is_none());
        members.assert_invariants();
    }

    #[test]
    fn a_slot_costs_64_bytes_for_a_pointer() {
        assert_eq!(size_of::<Slot<Box<u8>>>(), 64);
        assert_eq!(size_of::<MemberKey>(), 8);
    }
}
