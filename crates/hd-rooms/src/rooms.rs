use std::fmt;

use smallvec::{Array, SmallVec};

use crate::{
    Audience, AudienceScratch, InsertError, JoinError, MemberKey, RoomName, RoomsConfig,
    members::{Members, Membership},
    room_table::{RoomMember, RoomTable},
};

/// The members of one namespace and the rooms they are in.
///
/// `M` is what a member is to the caller. It is held by value, so for anything
/// bigger than a pointer use an `Arc`.
///
/// Both sides of a membership know where the other one is, so leaving a room
/// does not look through the room, however large it is.
pub struct Rooms<M> {
    config: RoomsConfig,
    members: Members<M>,
    rooms: RoomTable,
}

/// What [`Rooms::join`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The member is in the room from now on.
    New,
    /// The member was in the room before; nothing has changed.
    Already,
}

impl<M> Rooms<M> {
    /// An empty registry. Allocates nothing yet.
    #[must_use]
    pub fn new(config: RoomsConfig) -> Self {
        Self {
            config,
            members: Members::new(),
            rooms: RoomTable::new(),
        }
    }

    /// Adds a member that is in no room.
    ///
    /// # Errors
    ///
    /// [`InsertError::TooManyMembers`] at [`RoomsConfig::max_members`]; `member`
    /// is dropped then.
    pub fn insert(&mut self, member: M) -> Result<MemberKey, InsertError> {
        self.members.insert(member, self.config.max_members)
    }

    /// Takes a member out of every room and out of the registry.
    ///
    /// `None` when the key is stale.
    pub fn remove(&mut self, key: MemberKey) -> Option<M> {
        // The last one first: then no other membership changes its position.
        while let Some(position) = self.members.get(key)?.memberships.len().checked_sub(1) {
            self.detach(key.index, position);
        }
        self.members.remove(key).map(|member| member.value)
    }

    /// Puts a member into a room, which comes into being with its first member.
    ///
    /// # Errors
    ///
    /// [`JoinError::UnknownMember`] when the key is stale,
    /// [`JoinError::TooManyRoomsOfMember`] and [`JoinError::TooManyRooms`] at the
    /// bounds of [`RoomsConfig`]. Nothing has changed then.
    pub fn join(&mut self, key: MemberKey, room: &RoomName) -> Result<Joined, JoinError> {
        let member = self.members.get_mut(key).ok_or(JoinError::UnknownMember)?;
        let found = self.rooms.find(room);
        if found.is_some_and(|id| member.position(id).is_some()) {
            return Ok(Joined::Already);
        }
        let position = bounded(member.memberships.len());
        let max = self.config.max_rooms_per_member;
        if position >= max {
            return Err(JoinError::TooManyRoomsOfMember { max });
        }
        let id = match found {
            Some(id) => id,
            None => self.rooms.create(room.clone(), self.config.max_rooms)?,
        };
        let in_room = &mut self.rooms.room_mut(id).members;
        let slot = bounded(in_room.len());
        in_room.push(RoomMember {
            member: key.index,
            position,
        });
        member.memberships.push(Membership { room: id, slot });
        Ok(Joined::New)
    }

    /// Takes a member out of a room; a room without members ceases to be.
    ///
    /// False when it was not in the room, or the key is stale.
    pub fn leave(&mut self, key: MemberKey, room: &str) -> bool {
        let Some(position) = self.position(key, room) else {
            return false;
        };
        self.detach(key.index, position);
        true
    }

    /// The member, unless the key is stale.
    #[must_use]
    pub fn get(&self, key: MemberKey) -> Option<&M> {
        self.members.get(key).map(|member| &member.value)
    }

    /// Whether the member is in the room. False when the key is stale.
    #[must_use]
    pub fn contains(&self, key: MemberKey, room: &str) -> bool {
        self.position(key, room).is_some()
    }

    /// The rooms of a member; none when the key is stale.
    ///
    /// In the order of joining, except that leaving a room puts the last one in
    /// its place.
    pub fn rooms_of(&self, key: MemberKey) -> impl Iterator<Item = &RoomName> {
        self.members
            .get(key)
            .into_iter()
            .flat_map(|member| &member.memberships)
            .map(|membership| &self.rooms.room(membership.room).name)
    }

    /// The members of a room; none when there is no such room.
    ///
    /// In the order of joining, except that whoever leaves is replaced by the
    /// last one.
    pub fn members_of<'a>(
        &'a self,
        room: &str,
    ) -> impl ExactSizeIterator<Item = (MemberKey, &'a M)> + use<'a, M> {
        self.rooms.members(room).iter().map(|in_room| {
            let (key, member) = self.members.at(in_room.member);
            (key, &member.value)
        })
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len() as usize
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of rooms; each has at least one member.
    #[must_use]
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// Number of members of a room; 0 when there is no such room.
    #[must_use]
    pub fn room_len(&self, room: &str) -> usize {
        self.rooms.members(room).len()
    }

    /// The rooms; each has at least one member. By place, which a room that
    /// ceases to be leaves to another one.
    pub fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        self.rooms.iter().map(|(_, room)| &room.name)
    }

    /// Takes note of rooms that come into being and cease to be from now on, and
    /// of those that are there: ask [`take_changed`](Self::take_changed) for them,
    /// or the notes grow with each change.
    pub fn record_changes(&mut self) {
        self.rooms.record_changes();
    }

    /// Whether [`take_changed`](Self::take_changed) has something.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.rooms.has_changed()
    }

    /// The rooms that came or went since this was asked, in order: one that came,
    /// went and came is there three times. [`room_len`](Self::room_len) says which
    /// are there now.
    #[must_use]
    pub fn take_changed(&mut self) -> Vec<RoomName> {
        self.rooms.take_changed()
    }

    /// Calls `visitor` for each member of the audience, once each.
    ///
    /// Everyone comes by place in the registry; otherwise the rooms come as the
    /// audience names them, each in the order of [`Rooms::members_of`], and a
    /// member of several comes with the first. Rooms that do not exist and stale
    /// keys count for nothing. `scratch` is not touched, and nothing is
    /// allocated, for everyone or for one room without exceptions.
    ///
    /// The registry is borrowed, and so probably locked, until this returns:
    /// a visitor should only take note, and the caller act afterwards.
    pub fn visit(
        &self,
        audience: &Audience,
        scratch: &mut AudienceScratch,
        mut visitor: impl FnMut(MemberKey, &M),
    ) {
        if audience.has_no_exceptions() {
            match audience.to_rooms() {
                [] => {
                    for (key, member) in self.members.iter() {
                        visitor(key, &member.value);
                    }
                    return;
                }
                [room] => {
                    for (key, member) in self.members_of(room) {
                        visitor(key, member);
                    }
                    return;
                }
                _ => {}
            }
        }

        scratch.begin(self.members.index_end());
        for room in audience.except_rooms() {
            for in_room in self.rooms.members(room) {
                scratch.mark(in_room.member);
            }
        }
        for key in audience.except_members() {
            if self.members.get(*key).is_some() {
                scratch.mark(key.index);
            }
        }
        if audience.to_rooms().is_empty() {
            for (key, member) in self.members.iter() {
                if scratch.mark(key.index) {
                    visitor(key, &member.value);
                }
            }
        }
        for room in audience.to_rooms() {
            for in_room in self.rooms.members(room) {
                if scratch.mark(in_room.member) {
                    let (key, member) = self.members.at(in_room.member);
                    visitor(key, &member.value);
                }
            }
        }
    }

    /// Appends each member of the audience to `out`, once each, in the order of
    /// [`Rooms::visit`].
    pub fn resolve(&self, audience: &Audience, scratch: &mut AudienceScratch, out: &mut Vec<M>)
    where
        M: Clone,
    {
        self.visit(audience, scratch, |_, member| out.push(member.clone()));
    }

    /// Checks the whole registry against itself, for tests: O(everything).
    ///
    /// # Panics
    ///
    /// When the two sides of a membership disagree or a count is wrong, which is
    /// a bug in this crate.
    pub fn assert_invariants(&self) {
        self.members.assert_invariants();
        self.rooms.assert_invariants();
        let mut memberships = 0;
        for (key, member) in self.members.iter() {
            let max = self.config.max_rooms_per_member as usize;
            assert!(member.memberships.len() <= max, "rooms of a member");
            for (position, membership) in member.memberships.iter().enumerate() {
                let room = self.rooms.room(membership.room);
                let in_room = room.members[membership.slot as usize];
                assert_eq!(in_room.member, key.index, "room's side of a membership");
                assert_eq!(
                    in_room.position as usize, position,
                    "back pointer of a room"
                );
                assert_eq!(
                    member.position(membership.room),
                    Some(position),
                    "joined twice"
                );
                memberships += 1;
            }
        }
        let in_rooms: usize = self.rooms.iter().map(|(_, room)| room.members.len()).sum();
        assert_eq!(in_rooms, memberships, "count of memberships");
    }

    /// Where in its list of rooms the member has this room.
    fn position(&self, key: MemberKey, room: &str) -> Option<usize> {
        let member = self.members.get(key)?;
        member.position(self.rooms.find(room)?)
    }

    /// Undoes the membership at `position` of a member. O(1): both lists are
    /// filled up from their ends, and each entry that moves says where its
    /// other side is, which is then told the new place.
    fn detach(&mut self, index: u32, position: usize) {
        let memberships = &mut self.members.at_mut(index).memberships;
        let Membership { room: id, slot } = take_out(memberships, position);
        if let Some(moved) = memberships.get(position) {
            let in_room = &mut self.rooms.room_mut(moved.room).members;
            in_room[moved.slot as usize].position = bounded(position);
        }

        let in_room = &mut self.rooms.room_mut(id).members;
        take_out(in_room, slot as usize);
        if let Some(moved) = in_room.get(slot as usize) {
            let memberships = &mut self.members.at_mut(moved.member).memberships;
            memberships[moved.position as usize].slot = slot;
        } else if in_room.is_empty() {
            self.rooms.free(id);
        }
    }
}

impl<M> fmt::Debug for Rooms<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms")
            .field("config", &self.config)
            .field("len", &self.len())
            .field("room_count", &self.room_count())
            .finish_non_exhaustive()
    }
}

/// Takes one entry out, puts the last one in its place, and gives memory back
/// when three quarters are unused, which is rare enough to cost nothing on
/// average.
fn take_out<A: Array>(list: &mut SmallVec<A>, at: usize) -> A::Item {
    let taken = list.swap_remove(at);
    if list.spilled() && list.len() <= list.capacity() / 4 {
        list.shrink_to_fit();
    }
    taken
}

/// A place in one of the lists, as it is stored.
fn bounded(place: usize) -> u32 {
    u32::try_from(place).expect("invariant: a list is no longer than the u32 settings allow")
}
