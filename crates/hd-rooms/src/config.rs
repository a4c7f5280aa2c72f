/// Bounds of one registry.
///
/// Socket.IO itself sets none of these; the defaults are this crate's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomsConfig {
    /// Members at the same time. Default `u32::MAX`, all that an index can name:
    /// the server bounds its connections before they get here.
    pub max_members: u32,
    /// Rooms with at least one member at the same time. Default `u32::MAX`, all
    /// that an index can name: rooms are bounded by members and rooms per member.
    pub max_rooms: u32,
    /// Rooms that one member may be in. Default 256: far above any known use,
    /// and small enough that looking through them all stays in one or two pages.
    pub max_rooms_per_member: u32,
}

impl Default for RoomsConfig {
    fn default() -> Self {
        Self {
            max_members: u32::MAX,
            max_rooms: u32::MAX,
            max_rooms_per_member: 256,
        }
    }
}
