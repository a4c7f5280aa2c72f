use smallvec::SmallVec;

use crate::{MemberKey, RoomName};

/// Who a message is for: the members of any room in `to`, without those of any
/// room in `except` and without single members.
///
/// As in Socket.IO, no room in `to` means everyone, which is why there is no
/// way to make one that says neither [`Audience::everyone`] nor a room.
///
/// One entry of each kind is held inline. How many rooms are named is up to the
/// caller, who has to bound what comes from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    to: SmallVec<[RoomName; 1]>,
    except: SmallVec<[RoomName; 1]>,
    except_members: SmallVec<[MemberKey; 2]>,
}

impl Audience {
    /// Every member of the registry.
    #[must_use]
    pub fn everyone() -> Self {
        Self {
            to: SmallVec::new(),
            except: SmallVec::new(),
            except_members: SmallVec::new(),
        }
    }

    /// The members of one room.
    #[must_use]
    pub fn room(room: RoomName) -> Self {
        Self::everyone().to(room)
    }

    /// Also the members of this room. On [`Audience::everyone`], only them.
    #[must_use]
    pub fn to(mut self, room: RoomName) -> Self {
        self.to.push(room);
        self
    }

    /// Not the members of this room, whatever else they are in.
    #[must_use]
    pub fn except(mut self, room: RoomName) -> Self {
        self.except.push(room);
        self
    }

    /// Not this member, for instance the sender of a broadcast.
    #[must_use]
    pub fn except_member(mut self, key: MemberKey) -> Self {
        self.except_members.push(key);
        self
    }

    /// The rooms in `to`, in the order given; empty for everyone.
    #[must_use]
    pub fn to_rooms(&self) -> &[RoomName] {
        &self.to
    }

    /// The rooms in `except`, in the order given.
    #[must_use]
    pub fn except_rooms(&self) -> &[RoomName] {
        &self.except
    }

    /// The members left out one by one, in the order given.
    #[must_use]
    pub fn except_members(&self) -> &[MemberKey] {
        &self.except_members
    }

    pub(crate) fn has_no_exceptions(&self) -> bool {
        self.except.is_empty() && self.except_members.is_empty()
    }
}
