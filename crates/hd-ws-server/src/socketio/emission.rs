//! An event on its way out, encoded once for each dialect that needs it.

use std::cell::OnceCell;

use engineio_proto::{EncodedPacket, Frame};
use hd_replay::Offset;
use serde_json::value::RawValue;
use socketio_proto::{Encoded, EventName, OutgoingArgs, encode};

use super::Namespace;
use super::fanout::Event;
use super::socket::{Dialect, Socket};

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
        }
    }

    /// The same event, at its place in the log: clients get that as its last
    /// argument, and come back with it.
    pub(super) fn at(self, offset: Offset) -> Self {
        Self {
            offset: Some(offset),
            ..self
        }
    }

    /// The event for clients of Socket.IO, all of which have the same parser.
    pub(super) fn socket_io(&self) -> &Encoded {
        self.socket_io.get_or_init(|| {
            let (parser, name) = (self.namespace.parser(), self.namespace.name());
            let Some(offset) = self.offset else {
                let args = without_offset(self.namespace, self.args);
                return parser.event(name, None, self.name, args);
            };
            let offset = RawValue::from_string(offset.to_json())
                .expect("invariant: an offset has nothing to escape");
            parser.event(name, None, self.name, self.args.with_last(&offset))
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
        Event {
            socket_io: self.socket_io().clone(),
            socket_io_2: has_socket_io_2.then(|| self.socket_io_2().clone()),
            plain: self.plain().clone(),
        }
    }

    /// The event in the bytes that this socket's client takes.
    pub(super) fn packets_for(&self, socket: &Socket) -> &[EncodedPacket] {
        match socket.0.dialect {
            Dialect::SocketIo => self.socket_io().packets(),
            Dialect::SocketIo2 => self.socket_io_2().packets(),
            Dialect::Plain => std::slice::from_ref(self.plain()),
        }
    }

    fn plain(&self) -> &EncodedPacket {
        self.plain.get_or_init(|| plain(self.name, self.args))
    }
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
/// placeholder, since a text frame has no bytes.
fn plain(name: EventName<'_>, args: OutgoingArgs<'_>) -> EncodedPacket {
    let mut array = String::new();
    array.push('[');
    args.write_elements("", &mut array);
    array.push(']');
    let values: Vec<&RawValue> =
        serde_json::from_str(&array).expect("invariant: arguments are JSON texts");
    EncodedPacket::from_frame(Frame::text_with(
        name.as_str().len() + array.len() + 24,
        |text| {
            text.push_str("{\"event\":");
            text.push_str(&serde_json::Value::from(name.as_str()).to_string());
            if let Some(first) = values.first() {
                text.push_str(",\"data\":");
                text.push_str(first.get());
            }
            text.push('}');
        },
    ))
}
