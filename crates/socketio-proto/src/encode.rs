//! Packets to send, encoded once for all their recipients.
//!
//! The functions are named after the packets, and write
//! `<type>[<attachments>-][<namespace>,][<id>][<payload>]`
//! ([Socket.IO protocol, "Packet encoding"](https://socket.io/docs/v4/socket-io-protocol/#packet-encoding)).

use std::fmt::Write as _;

use engineio_proto::EncodedPacket;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::{EventName, Namespace, OutgoingArgs, PacketType};

/// A packet in its bytes on the wire: a text message, and a binary message for
/// each attachment; or one binary message of MessagePack. A clone costs a reference count for each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(SmallVec<[EncodedPacket; 1]>);

impl Encoded {
    /// The Engine.IO packets. They are to be sent in this order, with no other
    /// text or binary message in between.
    #[must_use]
    pub fn packets(&self) -> &[EncodedPacket] {
        &self.0
    }

    /// Length on a WebSocket, frame headers included, in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.0.iter().map(|packet| packet.frame().len()).sum()
    }

    pub(crate) fn binary(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Self(SmallVec::from_buf([EncodedPacket::binary_message_with(
            capacity, write,
        )]))
    }

    fn text(capacity: usize, write: impl FnOnce(&mut String)) -> Self {
        Self(SmallVec::from_buf([EncodedPacket::message_with(
            capacity, write,
        )]))
    }
}

/// CONNECT from a server: the socket's id, and the id for connection state
/// recovery when that is on.
#[must_use]
pub fn connect(namespace: &Namespace, sid: &str, pid: Option<&str>) -> Encoded {
    let capacity = head_len(namespace) + sid.len() + pid.map_or(0, str::len) + 20;
    Encoded::text(capacity, |out| {
        write_head(out, PacketType::Connect, 0, namespace, None);
        out.push_str("{\"sid\":");
        write_string(out, sid);
        if let Some(pid) = pid {
            out.push_str(",\"pid\":");
            write_string(out, pid);
        }
        out.push('}');
    })
}

/// CONNECT from a server to a client of revision 4, which makes an id of its own
/// from the one of its session.
#[must_use]
pub fn connect_v4(namespace: &Namespace) -> Encoded {
    Encoded::text(head_len(namespace), |out| {
        write_head(out, PacketType::Connect, 0, namespace, None);
    })
}

/// CONNECT_ERROR to a client of revision 4, which knows it as ERROR: the data
/// when there is some, and the message otherwise, as a string.
#[must_use]
pub fn connect_error_v4(namespace: &Namespace, message: &str, data: Option<&RawValue>) -> Encoded {
    let data = data.map(RawValue::get);
    let capacity = head_len(namespace) + data.map_or(message.len() + 2, str::len);
    Encoded::text(capacity, |out| {
        write_head(out, PacketType::ConnectError, 0, namespace, None);
        match data {
            Some(data) => out.push_str(data),
            None => write_string(out, message),
        }
    })
}

/// CONNECT from a client, with its `auth` if it has one: a JSON object, or a
/// server refuses the packet.
#[must_use]
pub fn connect_request(namespace: &Namespace, auth: Option<&RawValue>) -> Encoded {
    let auth = auth.map_or("", RawValue::get);
    Encoded::text(head_len(namespace) + auth.len(), |out| {
        write_head(out, PacketType::Connect, 0, namespace, None);
        out.push_str(auth);
    })
}

/// CONNECT_ERROR: a message, and data when there is some.
#[must_use]
pub fn connect_error(namespace: &Namespace, message: &str, data: Option<&RawValue>) -> Encoded {
    let data = data.map(RawValue::get);
    let capacity = head_len(namespace) + message.len() + data.map_or(0, str::len) + 24;
    Encoded::text(capacity, |out| {
        write_head(out, PacketType::ConnectError, 0, namespace, None);
        out.push_str("{\"message\":");
        write_string(out, message);
        if let Some(data) = data {
            out.push_str(",\"data\":");
            out.push_str(data);
        }
        out.push('}');
    })
}

/// DISCONNECT.
#[must_use]
pub fn disconnect(namespace: &Namespace) -> Encoded {
    Encoded::text(head_len(namespace), |out| {
        write_head(out, PacketType::Disconnect, 0, namespace, None);
    })
}

/// EVENT, or BINARY_EVENT when there are attachments; with an id when an ack
/// is wanted.
#[must_use]
pub fn event<'a>(
    namespace: &Namespace,
    id: Option<u64>,
    name: EventName<'_>,
    args: impl Into<OutgoingArgs<'a>>,
) -> Encoded {
    let args = args.into();
    let packet_type = if args.attachments().is_empty() {
        PacketType::Event
    } else {
        PacketType::BinaryEvent
    };
    let capacity = head_len(namespace) + name.as_str().len() + args.json_bytes() + 4;
    with_attachments(
        &args,
        Encoded::text(capacity, |out| {
            write_head(out, packet_type, args.attachments().len(), namespace, id);
            out.push('[');
            write_string(out, name.as_str());
            args.write_elements(",", out);
            out.push(']');
        }),
    )
}

/// ACK, or BINARY_ACK when there are attachments, of the event with this id.
#[must_use]
pub fn ack<'a>(namespace: &Namespace, id: u64, args: impl Into<OutgoingArgs<'a>>) -> Encoded {
    let args = args.into();
    let packet_type = if args.attachments().is_empty() {
        PacketType::Ack
    } else {
        PacketType::BinaryAck
    };
    with_attachments(
        &args,
        Encoded::text(head_len(namespace) + args.json_bytes() + 2, |out| {
            let attachments = args.attachments().len();
            write_head(out, packet_type, attachments, namespace, Some(id));
            out.push('[');
            args.write_elements("", out);
            out.push(']');
        }),
    )
}

fn with_attachments(args: &OutgoingArgs<'_>, mut encoded: Encoded) -> Encoded {
    encoded.0.extend(
        args.attachments()
            .iter()
            .map(|data| EncodedPacket::binary_message(data)),
    );
    encoded
}

fn write_head(
    out: &mut String,
    packet_type: PacketType,
    attachments: usize,
    namespace: &Namespace,
    id: Option<u64>,
) {
    out.push(packet_type.digit());
    let mut digits = itoa::Buffer::new();
    if attachments > 0 {
        out.push_str(digits.format(attachments));
        out.push('-');
    }
    if namespace.as_str() != "/" {
        out.push_str(namespace.as_str());
        out.push(',');
    }
    if let Some(id) = id {
        out.push_str(digits.format(id));
    }
}

/// At least as long as a head is, but for more attachments than usual.
fn head_len(namespace: &Namespace) -> usize {
    /// A type, a count such as `10-`, a comma, and 2^53 − 1.
    const FIXED: usize = 1 + 3 + 1 + 16;
    FIXED + namespace.as_str().len()
}

/// A JSON string, escaped as `JSON.stringify` does it.
pub(crate) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(position) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        out.push_str(&rest[..position]);
        let byte = rest.as_bytes()[position];
        rest = &rest[position + 1..];
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            byte => write!(out, "\\u{byte:04x}").expect("invariant: a String takes any text"),
        }
    }
    out.push_str(rest);
    out.push('"');
}
