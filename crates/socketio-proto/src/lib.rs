//! The Socket.IO protocol, revision 5 and for servers revision 4, without I/O.
//!
//! Packets, the two parsers, encoding that is done
//! once for all recipients, and the machine that knows which namespaces a
//! client is in. There is no socket and no clock in here; it runs on top of
//! [`engineio_proto`], or of anything else that carries text and binary
//! messages in order.
//!
//! Arguments of events are never turned into a tree: they stay the JSON that
//! they came as. With [`Parser::Msgpack`] packets are MessagePack on the wire,
//! and JSON on this side of it.
//!
//! Specification: <https://socket.io/docs/v4/socket-io-protocol/>. Where it is
//! silent, socket.io 4.8 for Node is the reference; the parser is stricter with
//! input that no client sends.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//!
//! use engineio_proto::Message;
//! use socketio_proto::{Client, ClientConfig, ClientEvent, encode};
//!
//! let now = Instant::now(); // the only clock, and it is the caller's
//! let mut client = Client::new(Arc::new(ClientConfig::default()), now);
//!
//! // The client asks to join, and is let in.
//! let event = client.handle_message(Message::Text(r#"0/chat,{"token":"x"}"#), now)?;
//! let Some(ClientEvent::Connect { namespace, auth }) = event else { panic!() };
//! assert_eq!(auth.unwrap().get(), r#"{"token":"x"}"#);
//! assert!(client.accept(&namespace));
//! let reply = encode::connect(&namespace, "CjdVH4TQvovi1VvgAC5Z", None);
//! let text = reply.packets()[0].frame().payload();
//! assert_eq!(text, br#"40/chat,{"sid":"CjdVH4TQvovi1VvgAC5Z"}"#);
//!
//! // An event that wants an ack; its arguments go back as they came.
//! let event = client.handle_message(Message::Text(r#"2/chat,7["hi",1,"a"]"#), now)?;
//! let Some(ClientEvent::Event { namespace, event }) = event else { panic!() };
//! assert_eq!(event.name().as_str(), "hi");
//! let ack = encode::ack(&namespace, event.id.unwrap(), &event.args);
//! assert_eq!(ack.packets()[0].frame().payload(), br#"43/chat,7[1,"a"]"#);
//! # Ok::<(), socketio_proto::ClientError>(())
//! ```

mod args;
pub use args::{Args, OutgoingArgs};

mod client;
pub use client::{
    AwaitAckError, Client, ClientConfig, ClientError, ClientEvent, ProtocolViolation, Timeout,
    TimerReason,
};

mod decoder;
pub use decoder::{DecodeError, Decoder, Limits};

pub mod encode;
pub use encode::Encoded;

pub mod msgpack;

mod name;
pub use name::{
    EventName, InvalidNamespace, MAX_NAMESPACE_BYTES, Namespace, RESERVED_EVENTS, ReservedEventName,
};

mod packet;
pub use packet::{Ack, Event, Packet, PacketData, PacketType};

mod parser;
pub use parser::Parser;

mod placeholder;

mod revision;
pub use revision::Revision;

mod reply;
pub use reply::{ConnectError, Connected};
