//! The Engine.IO protocol, revision 4 and for servers revision 3, without I/O.
//!
//! Packets, polling payloads, the handshake, the verdict on a request, and the
//! machine of a session on either side. There is no socket, no clock and no
//! source of randomness in here: bytes, time and session ids come in as
//! arguments, and what is to be written comes out. That makes the crate usable
//! under any runtime, or none, and lets its tests run under a virtual clock.
//!
//! It does not do WebSocket's own framing for reading (a WebSocket library
//! does) but it does build the frames that a server sends: they are unmasked,
//! so one encoded packet serves every recipient.
//!
//! Specification: <https://socket.io/docs/v4/engine-io-protocol/>. Where it is
//! silent, engine.io 6.6 for Node is the reference.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//!
//! use engineio_proto::{
//!     CacheBuster, Config, EncodedPacket, Message, Packet, Query, Revision, Session, Sid, Transport,
//! };
//!
//! let mut now = Instant::now(); // the only clock, and it is the caller's
//! let sid = Sid::from_random([7; Sid::RANDOM_BYTES]); // from the system's generator
//! let config = Arc::new(Config::default());
//! let mut session = Session::new(config, sid, Transport::Polling, Revision::V4, true, now);
//!
//! // The handshake request is a poll; its answer is the open packet.
//! let query = Query::parse("EIO=4&transport=polling&t=PNqBx1");
//! session.handle_poll(query.cache_buster(), now)?;
//! assert!(session.poll_response().unwrap().starts_with(b"0{\"sid\":"));
//!
//! // A POST from the client, and what we answer.
//! session.handle_post(now)?;
//! let message = session.handle_packet(Transport::Polling, Packet::decode("4hi")?, now)?;
//! assert_eq!(message, Some(Message::Text("hi")));
//! session.handle_post_end();
//! session.send(EncodedPacket::message("hello"))?;
//! session.handle_poll(CacheBuster::new("PNqBx2"), now)?;
//! assert_eq!(session.poll_response().unwrap(), "4hello");
//!
//! // 25 s later a ping is due.
//! now += Duration::from_secs(25);
//! session.handle_timeout(now);
//! session.handle_poll(CacheBuster::new("PNqBx3"), now)?;
//! assert_eq!(session.poll_response().unwrap(), "2");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
pub use client::{ClientEvent, ClientSession, ServerViolation};

mod config;
pub use config::{Config, Revision, Transport, Transports};

mod frame;
pub use frame::Frame;

mod handshake;
pub use handshake::{Handshake, InvalidHandshake};

mod outbound;
pub use outbound::Outbound;

mod packet;
pub use packet::{DecodeError, EncodedPacket, Message, Packet, PacketType};

pub mod payload;

mod request;
pub use request::{
    CacheBuster, Method, OriginVerdict, Query, RequestError, RequestFacts, UpgradeHeader, Verified,
};

mod session;
pub use session::{
    CloseReason, Event, ProtocolViolation, SendError, Session, TimerReason, UpgradeId, UpgradeStep,
};

mod sid;
pub use sid::{InvalidSid, Sid};
