//! The text parser, and the assembly of packets with attachments; the other
//! parser is in [`msgpack`].
//!
//! [Socket.IO protocol, "Packet encoding"](https://socket.io/docs/v4/socket-io-protocol/#packet-encoding)

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engineio_proto::Message;
use serde_json::value::RawValue;

use crate::placeholder::check_placeholders;
use crate::revision::{auth_of_query, split_query};
use crate::{
    Args, Event, EventName, Namespace, Packet, PacketData, PacketType, Parser, Revision, msgpack,
};

/// Bounds on what a peer may make us keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most attachments of one packet. 10, socket.io-parser's
    /// `maxAttachments`.
    pub max_attachments: usize,
    /// Most bytes of all attachments of one packet. socket.io-parser has no
    /// such limit; 1 MB is `maxHttpBufferSize`, that of one message.
    pub max_attachment_bytes: usize,
    /// How long the attachments of a packet may take. socket.io-parser has no
    /// such limit; 20 s is `pingTimeout`.
    pub attachment_timeout: Duration,
    /// How deep values of MessagePack may be nested: it is read with a stack.
    /// socket.io-msgpack-parser has no such limit; 100, since serde_json reads
    /// to 128.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_attachments: 10,
            max_attachment_bytes: 1_000_000,
            attachment_timeout: Duration::from_secs(20),
            max_depth: 100,
        }
    }
}

/// The peer's bytes are not a packet. Nothing more of what it sends can be
/// understood: the connection is to be closed, with `parse error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No packet type, or one that does not exist.
    #[error("the packet type is unknown")]
    UnknownType,
    /// The number of attachments is missing, malformed or zero.
    #[error("the number of attachments is malformed")]
    InvalidAttachmentCount,
    /// More attachments than the setting allows.
    #[error("more than {limit} attachments")]
    TooManyAttachments {
        /// The setting in force.
        limit: usize,
    },
    /// The attachments are larger than the setting allows.
    #[error("attachments of more than {limit} bytes")]
    AttachmentsTooLarge {
        /// The setting in force.
        limit: usize,
    },
    /// A placeholder that is for none of the attachments.
    #[error("illegal attachments")]
    IllegalAttachments,
    /// The name of the namespace is longer than
    /// [`MAX_NAMESPACE_BYTES`](crate::MAX_NAMESPACE_BYTES).
    #[error("the namespace is too long")]
    NamespaceTooLong,
    /// An ack id over 2^53 − 1.
    #[error("the ack id is invalid")]
    InvalidId,
    /// The name of the namespace is missing, or is none.
    #[error("the namespace is invalid")]
    InvalidNamespace,
    /// The payload is not what a packet of this type carries.
    #[error("invalid payload")]
    InvalidPayload,
    /// Text while attachments are due.
    #[error("got text instead of an attachment")]
    TextInsteadOfAttachment,
    /// Text where packets are MessagePack.
    #[error("got text instead of MessagePack")]
    TextInsteadOfMsgpack,
    /// The bytes are not MessagePack, or not one value of it.
    #[error("malformed MessagePack")]
    Malformed,
    /// Values are nested deeper than the setting allows.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The setting in force.
        limit: usize,
    },
    /// Binary data while none is due.
    #[error("got an attachment that no packet announced")]
    UnexpectedAttachment,
}

/// Turns messages into packets. It holds memory only while attachments are due.
///
/// It serves both sides of a connection, so it lets packets through that only
/// the other side may send. [`Client`](crate::Client) refuses those.
#[derive(Debug, Default)]
pub struct Decoder {
    parser: Parser,
    unfinished: Option<Box<Unfinished>>,
    revision: Revision,
}

/// A packet of which attachments are due.
#[derive(Debug)]
struct Unfinished {
    packet: Packet,
    due: usize,
    bytes: usize,
    deadline: Instant,
    /// Whether attachments are counted only: nobody will look at them.
    is_discarded: bool,
}

impl Decoder {
    /// A decoder of text at the beginning of a packet.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_parser(Parser::Text)
    }

    /// A decoder at the beginning of a packet.
    #[must_use]
    pub const fn with_parser(parser: Parser) -> Self {
        Self::with_revision(Revision::V5, parser)
    }

    /// The same, for a peer of this revision. One of revision 4 has the text
    /// parser, whichever the others have.
    #[must_use]
    pub const fn with_revision(revision: Revision, parser: Parser) -> Self {
        Self {
            parser: match revision {
                Revision::V5 => parser,
                Revision::V4 => Parser::Text,
            },
            unfinished: None,
            revision,
        }
    }

    pub(crate) const fn parser(&self) -> Parser {
        self.parser
    }

    pub(crate) const fn revision(&self) -> Revision {
        self.revision
    }

    /// Takes a message. Returns the packet with the last message of it, and
    /// `None` with the ones before.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]; close the connection then. An unfinished packet is
    /// gone.
    pub fn add(
        &mut self,
        message: Message<'_>,
        limits: &Limits,
        now: Instant,
    ) -> Result<Option<Packet>, DecodeError> {
        match (self.parser, message) {
            (Parser::Text, Message::Text(text)) => self.add_text(text, limits, now),
            (Parser::Text, Message::Binary(data)) => self.add_binary(data, limits),
            (Parser::Msgpack, Message::Binary(data)) => {
                msgpack::decode::packet(&data, limits).map(Some)
            }
            (Parser::Msgpack, Message::Text(_)) => Err(DecodeError::TextInsteadOfMsgpack),
        }
    }

    fn add_text(
        &mut self,
        text: &str,
        limits: &Limits,
        now: Instant,
    ) -> Result<Option<Packet>, DecodeError> {
        if self.unfinished.take().is_some() {
            return Err(DecodeError::TextInsteadOfAttachment);
        }
        let Head {
            packet_type,
            due,
            namespace,
            id,
            payload,
        } = Head::parse(text, limits)?;
        let packet = match self.revision {
            Revision::V5 => packet(namespace, packet_type, id, payload)?,
            Revision::V4 => packet_v4(namespace, packet_type, id, payload)?,
        };
        if due == 0 {
            return Ok(Some(packet));
        }
        check_placeholders(payload, due)?;
        self.unfinished = Some(Box::new(Unfinished {
            packet,
            due,
            bytes: 0,
            is_discarded: false,
            deadline: now + limits.attachment_timeout,
        }));
        Ok(None)
    }

    fn add_binary(
        &mut self,
        data: Cow<'_, [u8]>,
        limits: &Limits,
    ) -> Result<Option<Packet>, DecodeError> {
        let mut unfinished = self
            .unfinished
            .take()
            .ok_or(DecodeError::UnexpectedAttachment)?;
        unfinished.bytes = unfinished.bytes.saturating_add(data.len());
        let limit = limits.max_attachment_bytes;
        if unfinished.bytes > limit {
            return Err(DecodeError::AttachmentsTooLarge { limit });
        }
        unfinished.due -= 1;
        if !unfinished.is_discarded {
            let args = unfinished
                .packet
                .data
                .args_mut()
                .expect("invariant: only events and acks have attachments");
            args.push_attachment(match data {
                Cow::Borrowed(data) => Bytes::copy_from_slice(data),
                Cow::Owned(data) => data.into(),
            });
        }
        if unfinished.due == 0 {
            return Ok(Some(unfinished.packet));
        }
        self.unfinished = Some(unfinished);
        Ok(None)
    }

    /// The namespace of the packet of which attachments are due.
    pub(crate) fn unfinished(&self) -> Option<&Namespace> {
        self.unfinished
            .as_ref()
            .map(|unfinished| &unfinished.packet.namespace)
    }

    /// Keeps nothing of the packet of which attachments are due, but that they
    /// are.
    pub(crate) fn discard(&mut self) {
        if let Some(unfinished) = &mut self.unfinished {
            unfinished.is_discarded = true;
            unfinished.packet.data = PacketData::Ack {
                id: None,
                args: Args::from_elements(""),
            };
        }
    }

    /// How many bytes of memory are kept, about: the parts of a packet of which
    /// attachments are due. 0 between packets.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |unfinished| {
            size_of::<Unfinished>() + unfinished.packet.data.memory()
        })
    }

    /// When the attachments that are due must have come: close the connection
    /// then. Ask again after every [`add`](Self::add).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.unfinished
            .as_ref()
            .map(|unfinished| unfinished.deadline)
    }
}

/// A text message, taken apart.
struct Head<'a> {
    packet_type: PacketType,
    /// How many attachments follow.
    due: usize,
    namespace: &'a str,
    id: Option<u64>,
    payload: &'a str,
}

impl<'a> Head<'a> {
    fn parse(text: &'a str, limits: &Limits) -> Result<Self, DecodeError> {
        let packet_type = text
            .bytes()
            .next()
            .and_then(PacketType::from_digit)
            .ok_or(DecodeError::UnknownType)?;
        let (due, rest) = match packet_type {
            PacketType::BinaryEvent | PacketType::BinaryAck => attachments(&text[1..], limits)?,
            PacketType::Connect
            | PacketType::Disconnect
            | PacketType::Event
            | PacketType::Ack
            | PacketType::ConnectError => (0, &text[1..]),
        };
        let (namespace, rest) = if rest.starts_with('/') {
            rest.split_once(',').unwrap_or((rest, ""))
        } else {
            ("/", rest)
        };
        let (id, payload) = match packet_type {
            PacketType::Event
            | PacketType::Ack
            | PacketType::BinaryEvent
            | PacketType::BinaryAck => ack_id(rest)?,
            // An id means nothing here. Node's parser takes it all the same.
            PacketType::Connect | PacketType::Disconnect | PacketType::ConnectError => {
                (None, rest.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
        };
        Ok(Self {
            packet_type,
            due,
            namespace,
            id,
            payload,
        })
    }
}

/// `<digits>-`, at least 1.
fn attachments<'a>(text: &'a str, limits: &Limits) -> Result<(usize, &'a str), DecodeError> {
    let (digits, rest) = text
        .split_once('-')
        .ok_or(DecodeError::InvalidAttachmentCount)?;
    if digits.is_empty()
        || digits.starts_with('0')
        || !digits.bytes().all(|digit| digit.is_ascii_digit())
    {
        return Err(DecodeError::InvalidAttachmentCount);
    }
    let limit = limits.max_attachments;
    let count = digits.parse().ok().filter(|&count| count <= limit);
    Ok((
        count.ok_or(DecodeError::TooManyAttachments { limit })?,
        rest,
    ))
}

/// `[<digits>]`
fn ack_id(text: &str) -> Result<(Option<u64>, &str), DecodeError> {
    let (digits, rest) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    // JSON may begin with white space, but to Node that is part of the id.
    if rest.starts_with(JSON_WHITE_SPACE) {
        return Err(DecodeError::InvalidPayload);
    }
    if digits.is_empty() {
        return Ok((None, rest));
    }
    let id = digits.parse().ok().filter(|&id| id <= MAX_SAFE_INTEGER);
    Ok((Some(id.ok_or(DecodeError::InvalidId)?), rest))
}

fn packet(
    namespace: &str,
    packet_type: PacketType,
    id: Option<u64>,
    payload: &str,
) -> Result<Packet, DecodeError> {
    Ok(Packet {
        namespace: Namespace::new(namespace).map_err(|_| DecodeError::NamespaceTooLong)?,
        data: packet_data(packet_type, id, payload)?,
    })
}

/// The query of the namespace is the `auth` of a CONNECT. It may hold a token, which
/// is longer than a name.
#[cold]
fn packet_v4(
    namespace: &str,
    packet_type: PacketType,
    id: Option<u64>,
    payload: &str,
) -> Result<Packet, DecodeError> {
    let (namespace, query) = split_query(namespace);
    let mut packet = packet(namespace, packet_type, id, payload)?;
    if let PacketData::Connect { auth } = &mut packet.data {
        *auth = query.and_then(auth_of_query);
    }
    Ok(packet)
}

fn packet_data(
    packet_type: PacketType,
    id: Option<u64>,
    payload: &str,
) -> Result<PacketData, DecodeError> {
    Ok(match packet_type {
        PacketType::Connect if payload.is_empty() => PacketData::Connect { auth: None },
        PacketType::Connect => PacketData::Connect {
            auth: Some(json_starting_with(&['{'], payload)?.to_owned()),
        },
        PacketType::Disconnect if payload.is_empty() => PacketData::Disconnect,
        PacketType::Disconnect => return Err(DecodeError::InvalidPayload),
        PacketType::Event | PacketType::BinaryEvent => {
            let (name, args) = split_first(elements(payload)?)?;
            PacketData::Event(Event {
                id,
                args: Args::from_elements(args),
                name: event_name(name)?,
            })
        }
        PacketType::Ack | PacketType::BinaryAck => PacketData::Ack {
            id,
            args: Args::from_elements(elements(payload)?),
        },
        PacketType::ConnectError => PacketData::ConnectError {
            error: json_starting_with(&['{', '"'], payload)?.to_owned(),
        },
    })
}

/// Checks JSON without building anything from it. serde_json does this with a
/// stack of its own, so that depth is no danger.
fn json_starting_with<'a>(first: &[char], payload: &'a str) -> Result<&'a RawValue, DecodeError> {
    let value: &RawValue =
        serde_json::from_str(payload).map_err(|_| DecodeError::InvalidPayload)?;
    if value.get().starts_with(first) {
        Ok(value)
    } else {
        Err(DecodeError::InvalidPayload)
    }
}

/// The inside of a JSON array.
fn elements(payload: &str) -> Result<&str, DecodeError> {
    let array = json_starting_with(&['['], payload)?.get();
    Ok(array[1..array.len() - 1].trim_matches(JSON_WHITE_SPACE))
}

/// The first of the elements of an array, and the inside of an array of the
/// others.
fn split_first(elements: &str) -> Result<(&RawValue, &str), DecodeError> {
    let mut values = serde_json::Deserializer::from_str(elements).into_iter();
    let Some(Ok(first)) = values.next() else {
        return Err(DecodeError::InvalidPayload);
    };
    let rest = elements[values.byte_offset()..].trim_start_matches(JSON_WHITE_SPACE);
    let rest = rest.strip_prefix(',').unwrap_or(rest);
    Ok((first, rest.trim_start_matches(JSON_WHITE_SPACE)))
}

/// A string that is not reserved, or a number.
fn event_name(value: &RawValue) -> Result<Box<str>, DecodeError> {
    let text = value.get();
    if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Ok(text.into());
    }
    // Fails for half a surrogate pair too, which JSON.parse takes.
    let name: Box<str> = serde_json::from_str(text).map_err(|_| DecodeError::InvalidPayload)?;
    EventName::new(&name).map_err(|_| DecodeError::InvalidPayload)?;
    Ok(name)
}

/// RFC 8259 §2.
const JSON_WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];
/// 2^53 − 1, the largest integer that JavaScript counts with.
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
