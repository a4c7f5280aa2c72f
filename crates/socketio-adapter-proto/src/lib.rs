//! What Socket.IO servers say to each other over Redis, without I/O: the
//! messages of Node's `@socket.io/redis-adapter` 8.3, classic and sharded, and
//! of `@socket.io/redis-emitter` 5.1, which speaks as the classic one does.
//!
//! A message is MessagePack or JSON, and comes from whoever may publish: it is
//! judged as a peer's input is. What it asks is a [`Request`], whichever adapter
//! it came by, and what is answered is a [`Response`]. Arguments of events stay
//! JSON with placeholders for attachments, as [`socketio_proto`] takes and gives
//! them.
//!
//! ```
//! use socketio_adapter_proto::{Limits, Request, classic};
//! use socketio_proto::Namespace;
//!
//! let namespace = Namespace::new("/chat")?;
//! let channels = classic::Channels::new("socket.io", &namespace);
//! // What `io.of("/chat").to("room").emit("hi", 1)` publishes on another server.
//! let published = b"\x93\xa6Abc123\x83\xa4type\x02\xa4data\x92\xa2hi\x01\xa3nsp\xa5/chat\
//!     \x83\xa5rooms\x91\xa4room\xa6except\x90\xa5flags\x80";
//! let message = classic::parse_broadcast(published, &namespace, &Limits::default())?;
//! assert_eq!(message.sender.as_deref(), Some("Abc123"));
//! let Request::Broadcast { event, options } = message.request else { panic!() };
//! assert_eq!((event.name().as_str(), event.args().json()), ("hi", "[1]"));
//! assert_eq!(options.rooms, ["room"]);
//!
//! // The same from here: Node's servers hear it on this channel.
//! let bytes = classic::broadcast("Rust-1", &namespace, event.name(), event.args().into(), &options)?;
//! assert_eq!(channels.broadcast(), "socket.io#/chat#");
//! assert_eq!(bytes.len(), published.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod classic;

mod depth;

mod envelope;

mod error;
pub use error::{ParseError, TooDeep};

mod limits;
pub use limits::Limits;

mod packet;
pub use packet::{Event, Flags, Options};

mod request;
pub use request::{Message, Request};

mod response;
pub use response::{Response, SocketDetails};

pub mod sharded;
