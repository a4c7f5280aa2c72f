//! Which bytes packets are.

use serde_json::value::RawValue;

use crate::msgpack::encode as msgpack;
use crate::{Encoded, EventName, Namespace, OutgoingArgs, encode};

/// The format of packets. Both sides of a connection have to have the same one,
/// and cannot tell which the other has: it is the option `parser` of Socket.IO.
///
/// It encodes packets as [`encode`] does, and
/// [`Decoder::with_parser`](crate::Decoder::with_parser) decodes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parser {
    /// Text and attachments: `socket.io-parser`, which is the default.
    #[default]
    Text,
    /// One map of MessagePack in one binary message: `socket.io-msgpack-parser`.
    Msgpack,
}

impl Parser {
    /// CONNECT from a server: see [`encode::connect`].
    #[must_use]
    pub fn connect(self, namespace: &Namespace, sid: &str, pid: Option<&str>) -> Encoded {
        match self {
            Self::Text => encode::connect(namespace, sid, pid),
            Self::Msgpack => msgpack::connect(namespace, sid, pid),
        }
    }

    /// CONNECT from a client: see [`encode::connect_request`].
    #[must_use]
    pub fn connect_request(self, namespace: &Namespace, auth: Option<&RawValue>) -> Encoded {
        match self {
            Self::Text => encode::connect_request(namespace, auth),
            Self::Msgpack => msgpack::connect_request(namespace, auth),
        }
    }

    /// CONNECT_ERROR: see [`encode::connect_error`].
    #[must_use]
    pub fn connect_error(
        self,
        namespace: &Namespace,
        message: &str,
        data: Option<&RawValue>,
    ) -> Encoded {
        match self {
            Self::Text => encode::connect_error(namespace, message, data),
            Self::Msgpack => msgpack::connect_error(namespace, message, data),
        }
    }

    /// DISCONNECT.
    #[must_use]
    pub fn disconnect(self, namespace: &Namespace) -> Encoded {
        match self {
            Self::Text => encode::disconnect(namespace),
            Self::Msgpack => msgpack::disconnect(namespace),
        }
    }

    /// An event: see [`encode::event`].
    #[must_use]
    pub fn event<'a>(
        self,
        namespace: &Namespace,
        id: Option<u64>,
        name: EventName<'_>,
        args: impl Into<OutgoingArgs<'a>>,
    ) -> Encoded {
        match self {
            Self::Text => encode::event(namespace, id, name, args),
            Self::Msgpack => msgpack::event(namespace, id, name, &args.into()),
        }
    }

    /// An ack: see [`encode::ack`].
    #[must_use]
    pub fn ack<'a>(
        self,
        namespace: &Namespace,
        id: u64,
        args: impl Into<OutgoingArgs<'a>>,
    ) -> Encoded {
        match self {
            Self::Text => encode::ack(namespace, id, args),
            Self::Msgpack => msgpack::ack(namespace, id, &args.into()),
        }
    }
}
