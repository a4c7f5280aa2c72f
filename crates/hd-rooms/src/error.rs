use thiserror::Error;

/// The registry cannot take another member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InsertError {
    /// [`RoomsConfig::max_members`](crate::RoomsConfig::max_members) is reached,
    /// or no index is left.
    #[error("no more members fit: at most {max} are allowed")]
    TooManyMembers {
        /// The configured bound.
        max: u32,
    },
}

/// A member cannot join a room. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The key is stale: its member has been removed.
    #[error("the member is not in the registry any more")]
    UnknownMember,
    /// [`RoomsConfig::max_rooms_per_member`](crate::RoomsConfig::max_rooms_per_member) is reached.
    #[error("the member is in too many rooms: at most {max} are allowed")]
    TooManyRoomsOfMember {
        /// The configured bound.
        max: u32,
    },
    /// The room would be new and [`RoomsConfig::max_rooms`](crate::RoomsConfig::max_rooms) is reached.
    #[error("too many rooms: at most {max} are allowed")]
    TooManyRooms {
        /// The configured bound.
        max: u32,
    },
}

/// The text is not a room name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RoomNameError {
    /// The text is longer than [`MAX_ROOM_NAME_BYTES`](crate::MAX_ROOM_NAME_BYTES).
    #[error("the room name is too long: {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Length of the refused text in bytes.
        len: usize,
        /// The bound in bytes.
        max: usize,
    },
}
