use socketio_proto::msgpack::MsgpackError;

/// A message is none of a server's, or more than is taken. Nothing of it is
/// shown: it is a notification, or garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// More bytes than [`Limits::max_bytes`](crate::Limits::max_bytes).
    #[error("more than {limit} bytes")]
    TooLarge {
        /// The setting in force.
        limit: usize,
    },
    /// It is neither MessagePack nor JSON.
    #[error("neither MessagePack nor JSON")]
    Malformed,
    /// Values are nested deeper than [`Limits::max_depth`](crate::Limits::max_depth).
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The setting in force.
        limit: usize,
    },
    /// More attachments than [`Limits::max_attachments`](crate::Limits::max_attachments).
    #[error("more than {limit} attachments")]
    TooManyAttachments {
        /// The setting in force.
        limit: usize,
    },
    /// More rooms than [`Limits::max_rooms`](crate::Limits::max_rooms).
    #[error("more than {limit} rooms")]
    TooManyRooms {
        /// The setting in force.
        limit: usize,
    },
    /// Something is missing, or of another type than servers send.
    #[error("not a message of a Socket.IO server")]
    NotAMessage,
    /// A broadcast of something else than an event, or of an event whose name is
    /// reserved or whose placeholders are for no attachment.
    #[error("not an event that a client takes")]
    NotAnEvent,
}

/// An event cannot be handed on: its arguments are nested deeper than
/// MessagePack is written here, some 120 levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the arguments are nested too deep")]
pub struct TooDeep;

impl From<MsgpackError> for ParseError {
    fn from(error: MsgpackError) -> Self {
        match error {
            MsgpackError::TooDeep { limit } => Self::TooDeep { limit },
            MsgpackError::TooManyAttachments { limit } => Self::TooManyAttachments { limit },
            MsgpackError::Malformed | _ => Self::Malformed,
        }
    }
}
