//! An event on its way out, encoded once for each dialect that needs it.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use engineio_proto::{EncodedPacket, Frame, Message, Packet};
use hd_replay::Offset;
use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;
use socketio_proto::{
    Decoder, Encoded, EventName, Limits, OutgoingArgs, PacketData, Parser, encode,
};

use super::Namespace;
use super::dialect::{Dialect, Variant};
use super::fanout::Event;
use super::socket::Socket;

/// An event in the packets of one dialect.
pub(super) type Packets = SmallVec<[EncodedPacket; 1]>;

/// One event for any number of sockets of a namespace.
pub(super) struct Emission<'a> {
    namespace: &'a Namespace,
    name: EventName<'a>,
    args: OutgoingArgs<'a>,
    /// Where it is in the log, if it is kept there.
    offset: Option<Offset>,
    socket_io: OnceCell<Encoded>,
    socket_io_2: OnceCell<Encoded>,
    plain: OnceCell<EncodedPacket>,
    /// Few namespaces have a client of any of these.
    variants: OnceCell<Box<[OnceCell<Packets>; Variant::ALL.len()]>>,
}

impl<'a> Emission<'a> {
    pub(super) const fn new(
        namespace: &'a Namespace,
        name: EventName<'a>,
        args: OutgoingArgs<'a>,
    ) -> Self {
        Self {
            namespace,
            name,
            args,
            offset: None,
            socket_io: OnceCell::new(),
            socket_io_2: OnceCell::new(),
            plain: OnceCell::new(),
            variants: OnceCell::new(),
        }
    }

    /// The event has this offset in the log. Clients get it as the last argument, and present it when
    /// they reconnect.
    pub(super) const fn set_offset(&mut self, offset: Offset) {
        self.offset = Some(offset);
    }

    pub(super) const fn is_in_log(&self) -> bool {
        self.offset.is_some()
    }

    /// The event for clients of Socket.IO, all of which have the same parser.
    pub(super) fn socket_io(&self) -> &Encoded {
        self.socket_io
            .get_or_init(|| self.with_offset_last(self.namespace.parser()))
    }

    fn with_offset_last(&self, parser: Parser) -> Encoded {
        let Some(offset) = self.offset else {
            return self.encode(parser, without_offset(self.namespace, self.args));
        };
        self.encode(parser, self.args.with_last(&offset_text(offset)))
    }

    fn encode(&self, parser: Parser, args: OutgoingArgs<'_>) -> Encoded {
        parser.event(self.namespace.name(), None, self.name, args)
    }

    /// The event with its offset in the payload. A payload that is not an object stays as it is: one
    /// argument more is what the client wants to avoid.
    fn with_offset_inside(&self, parser: Parser) -> Encoded {
        let array = to_array(self.args);
        let mut values = values_of(&array);
        let inside = self.offset.and_then(|offset| {
            let first = values.first()?;
            with_member(first, offset, !self.args.attachments().is_empty())
        });
        if let (Some(first), Some(inside)) = (values.first_mut(), &inside) {
            *first = inside;
        }
        let attachments = self.args.attachments();
        let args = OutgoingArgs::with_attachments(&values, attachments);
        self.encode(parser, args)
    }

    fn variant(&self, variant: Variant) -> &[EncodedPacket] {
        let variants = self.variants.get_or_init(Box::default);
        variants[variant.index()].get_or_init(|| {
            let parser = self.namespace.parser();
            let encoded = match variant {
                Variant::SocketIoBare => self.encode(parser, self.args),
                Variant::SocketIoPayload => self.with_offset_inside(parser),
                Variant::SocketIo2Argument => self.with_offset_last(Parser::Text),
                Variant::SocketIo2Payload => self.with_offset_inside(Parser::Text),
                Variant::PlainId => {
                    return SmallVec::from_buf([plain(self.name, self.args, self.offset)]);
                }
            };
            encoded.packets().into()
        })
    }

    /// The event for clients of Socket.IO 2, which recover nothing and are told no
    /// offset.
    fn socket_io_2(&self) -> &Encoded {
        self.socket_io_2
            .get_or_init(|| encode::event(self.namespace.name(), None, self.name, self.args))
    }

    /// The event for whoever may be in the namespace.
    pub(super) fn to_event(&self) -> Event {
        let has_socket_io_2 = self.namespace.has_socket_io_2();
        let variants = self.namespace.variants();
        Event {
            socket_io: self.socket_io().clone(),
            socket_io_2: has_socket_io_2.then(|| self.socket_io_2().clone()),
            plain: self.plain().clone(),
            variants: variants
                .map(|variant| (variant, self.variant(variant).into()))
                .collect(),
        }
    }

    /// The event in the bytes that this socket's client takes.
    pub(super) fn packets_for(&self, socket: &Socket) -> &[EncodedPacket] {
        self.packets_in(socket.dialect())
    }

    /// The event in the bytes of a dialect.
    pub(super) fn packets_in(&self, dialect: Dialect) -> &[EncodedPacket] {
        match dialect {
            Dialect::SocketIo => self.socket_io().packets(),
            Dialect::SocketIo2 => self.socket_io_2().packets(),
            Dialect::Plain => std::slice::from_ref(self.plain()),
            Dialect::Variant(variant) => self.variant(variant),
        }
    }

    fn plain(&self) -> &EncodedPacket {
        self.plain.get_or_init(|| plain(self.name, self.args, None))
    }
}

/// Adds an event of the log in the packets of a dialect. The log has each event as clients of
/// [`Dialect::SocketIo`] get it; what others missed is decoded and encoded anew. Returns whether that
/// was possible.
pub(super) fn push_logged(
    namespace: &Namespace,
    dialect: Dialect,
    offset: Offset,
    logged: &Encoded,
    packets: &mut Vec<EncodedPacket>,
) -> bool {
    if dialect == Dialect::SocketIo {
        packets.extend_from_slice(logged.packets());
        return true;
    }
    let Some(event) = decode(namespace.parser(), logged) else {
        tracing::error!(%offset, "an event of the log cannot be encoded for a client");
        return false;
    };
    let mut values: Vec<&RawValue> = event.args.iter().collect();
    let logged_offset = values.pop();
    debug_assert!(logged_offset.is_some_and(|last| last.get() == offset_text(offset).get()));
    let args = OutgoingArgs::with_attachments(&values, event.args.attachments());
    let mut emission = Emission::new(namespace, event.name(), args);
    emission.set_offset(offset);
    packets.extend_from_slice(emission.packets_in(dialect));
    true
}

fn decode(parser: Parser, logged: &Encoded) -> Option<socketio_proto::Event> {
    let mut decoder = Decoder::with_parser(parser);
    let (mut packets, now) = (logged.packets().iter(), Instant::now());
    let packet = packets.find_map(|packet| {
        let frame = packet.frame();
        let message = if frame.is_text() {
            let text = std::str::from_utf8(frame.payload()).ok()?;
            let Packet::Message(message) = Packet::decode(text).ok()? else {
                return None;
            };
            message
        } else {
            Message::Binary(frame.payload().into())
        };
        decoder.add(message, &LOGGED, now).ok().flatten()
    });
    let PacketData::Event(event) = packet?.data else {
        return None;
    };
    Some(event)
}

/// The arguments of an event that is not in the log, for clients that may come
/// back: one more where they would take the last for an offset. Not so of an
/// event that asks for an ack, where the last one is the function that answers.
fn without_offset<'a>(namespace: &Namespace, args: OutgoingArgs<'a>) -> OutgoingArgs<'a> {
    if namespace.order().can_recover() && args.ends_in_string() {
        args.with_last(RawValue::NULL)
    } else {
        args
    }
}

/// `{"event": …, "data": …}`, where the data is the first argument: what comes
/// after it is the protocol's or a program's. An attachment stays its
/// placeholder, since a text frame has no bytes. The offset, for clients that
/// request it, is the `id`.
fn plain(name: EventName<'_>, args: OutgoingArgs<'_>, offset: Option<Offset>) -> EncodedPacket {
    let array = to_array(args);
    let values = values_of(&array);
    EncodedPacket::from_frame(Frame::text_with(
        name.as_str().len() + array.len() + 24,
        |text| {
            text.push_str("{\"event\":");
            text.push_str(&serde_json::Value::from(name.as_str()).to_string());
            if let Some(first) = values.first() {
                text.push_str(",\"data\":");
                text.push_str(first.get());
            }
            if let Some(offset) = offset {
                text.push_str(",\"id\":");
                text.push_str(offset_text(offset).get());
            }
            text.push('}');
        },
    ))
}

/// The arguments as a JSON array.
fn to_array(args: OutgoingArgs<'_>) -> String {
    let mut array = String::new();
    array.push('[');
    args.write_elements("", &mut array);
    array.push(']');
    array
}

fn values_of(array: &str) -> Vec<&RawValue> {
    serde_json::from_str(array).expect("invariant: arguments are JSON texts")
}

fn offset_text(offset: Offset) -> Box<RawValue> {
    RawValue::from_string(offset.to_json()).expect("invariant: an offset has nothing to escape")
}

/// An object with the offset as its last member, so that of two with this name it is the one that
/// counts. `None` for what is not an object, and for one that stands for an attachment.
fn with_member(value: &RawValue, offset: Offset, has_attachments: bool) -> Option<Box<RawValue>> {
    #[derive(Deserialize)]
    struct Placeholder {
        #[serde(rename = "_placeholder")]
        _placeholder: serde::de::IgnoredAny,
    }
    let members = value
        .get()
        .strip_prefix('{')?
        .strip_suffix('}')?
        .trim_ascii();
    if has_attachments && serde_json::from_str::<Placeholder>(value.get()).is_ok() {
        return None;
    }
    let comma = if members.is_empty() { "" } else { "," };
    let text = format!("{{{members}{comma}\"{OFFSET_MEMBER}\":\"{offset}\"}}");
    Some(RawValue::from_string(text).expect("invariant: an object and one member more is JSON"))
}

/// Bounds of an event of the log, which this process has encoded itself. The depth is what may be read
/// recursively; applications bound it lower.
const LOGGED: Limits = Limits {
    max_attachments: usize::MAX,
    max_attachment_bytes: usize::MAX,
    attachment_timeout: Duration::ZERO,
    max_depth: 1000,
};
/// The member of a payload that is the event's offset.
const OFFSET_MEMBER: &str = "_offset";
