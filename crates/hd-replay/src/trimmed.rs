use std::collections::BTreeMap;

use hd_rooms::RoomName;

use crate::Offset;

/// What a log no longer has: of each room the latest event that a bound removed.
///
/// A client has a gap when something of its own rooms was removed after its position. What was removed
/// of other rooms is no gap of its own: a client to which nothing was sent for a month has missed
/// nothing.
///
/// A room counts as a 64-bit key. Two rooms with the same key share a gap, which costs a client of the
/// other one a needless notification. The memory is bounded: where there are more rooms than
/// it may hold, those removed longest ago become a *floor* that counts for every room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    floor: Offset,
    rooms: BTreeMap<u64, Offset>,
}

impl Trimmed {
    /// Nothing was removed.
    #[must_use]
    pub const fn nothing() -> Self {
        Self::all_up_to(Offset::new(0, 0))
    }

    /// Everything up to an offset may have been removed, of any room.
    #[must_use]
    pub const fn all_up_to(floor: Offset) -> Self {
        Self {
            floor,
            rooms: BTreeMap::new(),
        }
    }

    /// What somebody else remembers: the floor, and the latest offset removed of each room, by
    /// [`room_key`]. In any order.
    #[must_use]
    pub fn from_parts(floor: Offset, rooms: impl IntoIterator<Item = (u64, Offset)>) -> Self {
        let mut trimmed = Self::all_up_to(floor);
        trimmed.merge(floor, rooms);
        trimmed
    }

    /// Adds what somebody else remembers.
    pub fn merge(&mut self, floor: Offset, rooms: impl IntoIterator<Item = (u64, Offset)>) {
        self.floor = self.floor.max(floor);
        for (room, offset) in rooms {
            self.insert(room, offset);
        }
        let floor = self.floor;
        self.rooms.retain(|_, offset| *offset > floor);
    }

    /// Up to where something of any room may have been removed.
    #[must_use]
    pub const fn floor(&self) -> Offset {
        self.floor
    }

    /// The latest offset removed of each room, by [`room_key`].
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = (u64, Offset)> + '_ {
        self.rooms.iter().map(|(room, offset)| (*room, *offset))
    }

    /// An event for these rooms, or for everyone when there are none, was removed.
    pub fn record(&mut self, rooms: &[RoomName], offset: Offset) {
        if rooms.is_empty() {
            self.insert(EVERYONE_KEY, offset);
        }
        for room in rooms {
            self.insert(room_key(room.as_str()), offset);
        }
    }

    /// Merges those removed longest ago into the floor, where there are more than `max`. It leaves half,
    /// so that it is seldom needed.
    pub fn bound(&mut self, max: usize) {
        if self.rooms.len() <= max {
            return;
        }
        let mut offsets: Vec<Offset> = self.rooms.values().copied().collect();
        let excess = offsets.len() - max / 2 - 1;
        let (_, floor, _) = offsets.select_nth_unstable(excess);
        self.floor = self.floor.max(*floor);
        let floor = self.floor;
        self.rooms.retain(|_, offset| *offset > floor);
    }

    /// The latest offset removed of what is for a client of these rooms.
    #[must_use]
    pub fn latest_of(&self, rooms: &[RoomName]) -> Option<Offset> {
        let keys = rooms.iter().map(|room| room_key(room.as_str()));
        let latest = keys.chain([EVERYONE_KEY]);
        latest.filter_map(|key| self.rooms.get(&key).copied()).max()
    }

    pub(crate) fn insert(&mut self, room: u64, offset: Offset) {
        let latest = self.rooms.entry(room).or_insert(offset);
        *latest = offset.max(*latest);
    }
}

/// The key of a room: the same in every instance and every version.
#[must_use]
pub fn room_key(name: &str) -> u64 {
    // FNV-1a, and the last step of MurmurHash3, which spreads what differs in the last bytes only.
    let bytes = name.bytes();
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    // Not the key of everyone.
    (hash ^ (hash >> 33)).max(1)
}

/// A number that two sets of rooms share when they are equal, whatever their order.
#[must_use]
pub fn room_set_key(rooms: &[RoomName]) -> u64 {
    let mut keys: Vec<u64> = rooms.iter().map(|room| room_key(room.as_str())).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.iter().fold(0x9e37_79b9_7f4a_7c15, |hash, key| {
        (hash ^ key)
            .rotate_left(29)
            .wrapping_mul(0xff51_afd7_ed55_8ccd)
    })
}

/// The key of events for everyone.
pub const EVERYONE_KEY: u64 = 0;
