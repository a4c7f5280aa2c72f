//! An event on its way out, encoded once for each dialect that needs it.

use std::cell::OnceCell;

use engineio_proto::{EncodedPacket, Frame};
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
    socket_io: OnceCell<Encoded>,
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
            socket_io: OnceCell::new(),
            plain: OnceCell::new(),
        }
    }

    /// The event for whoever may be in the namespace.
    pub(super) fn into_event(self) -> Event {
        let Self {
            namespace,
            name,
            args,
            ..
        } = self;
        Event {
            socket_io: self
                .socket_io
                .into_inner()
                .unwrap_or_else(|| encode::event(namespace.name(), None, name, args)),
            plain: self.plain.into_inner().unwrap_or_else(|| plain(name, args)),
        }
    }

    /// The event in the bytes that this socket's client takes.
    pub(super) fn packets_for(&self, socket: &Socket) -> &[EncodedPacket] {
        match socket.0.dialect {
            Dialect::SocketIo => self
                .socket_io
                .get_or_init(|| encode::event(self.namespace.name(), None, self.name, self.args))
                .packets(),
            Dialect::Plain => {
                std::slice::from_ref(self.plain.get_or_init(|| plain(self.name, self.args)))
            }
        }
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
