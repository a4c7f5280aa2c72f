//! Packets as they are received.

use serde_json::value::RawValue;

use crate::{Args, EventName, Namespace};

/// The type of a packet: the digit that an encoded packet begins with.
///
/// [Socket.IO protocol, "Packet types"](https://socket.io/docs/v4/socket-io-protocol/#packet-types)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketType {
    /// `0`: join a namespace; from the server, the answer.
    Connect,
    /// `1`: leave a namespace.
    Disconnect,
    /// `2`: an event.
    Event,
    /// `3`: the answer to an event that asked for one.
    Ack,
    /// `4`: a CONNECT was refused; from the server.
    ConnectError,
    /// `5`: an event with attachments.
    BinaryEvent,
    /// `6`: an ack with attachments.
    BinaryAck,
}

impl PacketType {
    /// The digit on the wire.
    #[must_use]
    pub const fn digit(self) -> char {
        match self {
            Self::Connect => '0',
            Self::Disconnect => '1',
            Self::Event => '2',
            Self::Ack => '3',
            Self::ConnectError => '4',
            Self::BinaryEvent => '5',
            Self::BinaryAck => '6',
        }
    }

    /// The type that a digit stands for.
    #[must_use]
    pub const fn from_digit(digit: u8) -> Option<Self> {
        Some(match digit {
            b'0' => Self::Connect,
            b'1' => Self::Disconnect,
            b'2' => Self::Event,
            b'3' => Self::Ack,
            b'4' => Self::ConnectError,
            b'5' => Self::BinaryEvent,
            b'6' => Self::BinaryAck,
            _ => return None,
        })
    }
}

/// A received packet, its attachments included.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The namespace that it is for.
    pub namespace: Namespace,
    /// What it says.
    pub data: PacketData,
}

/// What a packet says.
#[derive(Clone)]
pub enum PacketData {
    /// CONNECT.
    Connect {
        /// From a client, its `auth` object if it has one. From a server,
        /// what [`Connected`](crate::Connected) reads.
        auth: Option<Box<RawValue>>,
    },
    /// DISCONNECT.
    Disconnect,
    /// EVENT or BINARY_EVENT.
    Event(Event),
    /// ACK or BINARY_ACK.
    Ack {
        /// The id of the event that it answers. Node's parser takes an ack
        /// without one, which answers nothing.
        id: Option<u64>,
        /// The arguments.
        args: Args,
    },
    /// CONNECT_ERROR.
    ConnectError {
        /// An object or a string, which
        /// [`ConnectError`](crate::ConnectError) reads.
        error: Box<RawValue>,
    },
}

impl PacketData {
    /// Bytes of memory of what the peer sent, about.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Event(event) => event.name.len() + event.args.memory(),
            Self::Ack { args, .. } => args.memory(),
            Self::Connect { auth } => auth.as_ref().map_or(0, |auth| auth.get().len()),
            Self::ConnectError { error } => error.get().len(),
            Self::Disconnect => 0,
        }
    }

    pub(crate) const fn args_mut(&mut self) -> Option<&mut Args> {
        match self {
            Self::Event(event) => Some(&mut event.args),
            Self::Ack { args, .. } => Some(args),
            Self::Connect { .. } | Self::Disconnect | Self::ConnectError { .. } => None,
        }
    }
}

/// Leaves out what the peer sent: it holds tokens, and must be safe to log.
impl std::fmt::Debug for PacketData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect { .. } => f.debug_struct("Connect").finish_non_exhaustive(),
            Self::Disconnect => f.write_str("Disconnect"),
            Self::Event(event) => event.fmt(f),
            Self::Ack { id, args } => f
                .debug_struct("Ack")
                .field("id", id)
                .field("args", args)
                .finish(),
            Self::ConnectError { .. } => f.debug_struct("ConnectError").finish_non_exhaustive(),
        }
    }
}

/// An event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Set when the sender wants an ack.
    pub id: Option<u64>,
    /// The arguments after the name.
    pub args: Args,
    pub(crate) name: Box<str>,
}

impl Event {
    /// The name. JavaScript sends a number for a name that is one; here it is
    /// that number's text.
    #[must_use]
    pub fn name(&self) -> EventName<'_> {
        EventName::received(&self.name)
    }
}

/// The answer to an event.
#[derive(Clone, Debug)]
pub struct Ack {
    /// The id of the event.
    pub id: u64,
    /// The arguments.
    pub args: Args,
}
