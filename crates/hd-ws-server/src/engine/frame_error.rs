//! What is wrong with a client's WebSocket frames.

use super::partial_input::NoRoom;

/// The client broke WebSocket's rules or this server's bounds. Carries the
/// status for the close frame (RFC 6455 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a message is larger than the setting allows")]
    TooLarge,
    #[error("a message has more than {MAX_FRAGMENTS} fragments")]
    TooManyFragments,
    #[error("too much is kept of messages that have come in part")]
    NoRoom,
    #[error("text is not UTF-8")]
    InvalidUtf8,
    #[error("a frame breaks the protocol")]
    Protocol,
}

impl FrameError {
    pub(crate) const fn close_code(self) -> u16 {
        match self {
            Self::TooLarge => 1009,
            Self::TooManyFragments | Self::NoRoom => 1008,
            Self::InvalidUtf8 => 1007,
            Self::Protocol => 1002,
        }
    }
}

impl From<NoRoom> for FrameError {
    fn from(NoRoom: NoRoom) -> Self {
        Self::NoRoom
    }
}

/// Most fragments of one message: the limit of `ws` 8.21 for Node.
pub(super) const MAX_FRAGMENTS: usize = 16_384;
