//! Help-desk events: their names and payloads, and the commands by which help-desk-back sends one.
//!
//! - [`EventName`]: a name that Socket.IO lets pass, with constants for the known events.
//! - [`EmitCommand`]: an event and who it is for, parsed from the JSON bodies of
//!   `POST /notifications/emit`, `POST /emit` and `POST /notifications/broadcast`; [`EmitBatch`]:
//!   several of them, from that of `POST /emit/batch`.
//! - [`NewNotification`], [`TicketData`], [`TicketOverdue`], [`TicketClosed`]: the payloads of the
//!   known events, for those who send them.
//!
//! A command's payload stays the JSON text that was received. It is checked, measured and relayed,
//! never taken apart. The crate does no I/O and knows neither HTTP nor Socket.IO.
//!
//! ```
//! use hd_events::{EmitCommand, EmitError, EmitLimits, EventName, Target};
//!
//! let body = br#"{"userId": 42, "event": "ticket_closed", "payload": {"ticketId": 7}}"#;
//! let command = EmitCommand::parse(body, &EmitLimits::default())?;
//! assert_eq!(command.recipients, Target::User(42).into());
//! assert_eq!(command.event, EventName::TICKET_CLOSED);
//! assert_eq!(command.payload.get(), r#"{"ticketId": 7}"#);
//!
//! let body = br#"{"userId": 42, "event": "disconnect", "payload": null}"#;
//! let error = EmitCommand::parse(body, &EmitLimits::default()).unwrap_err();
//! assert_eq!(error.code(), "reserved_event");
//! # Ok::<(), EmitError>(())
//! ```

mod batch;
mod command;
mod error;
mod event_name;
mod json;
mod limits;
mod options;
mod payloads;
mod target;

pub use batch::EmitBatch;
pub use command::EmitCommand;
pub use error::EmitError;
pub use event_name::{
    EventName, EventNameError, MAX_EVENT_NAME_BYTES, RECOVERY_STATE_EVENT, RESERVED_EVENTS,
};
pub use limits::{
    DEFAULT_MAX_BATCH_ITEMS, DEFAULT_MAX_PAYLOAD_BYTES, DEFAULT_MAX_PAYLOAD_DEPTH,
    DEFAULT_MAX_TARGETS, EmitLimits,
};
pub use options::{
    IdempotencyKey, InvalidIdempotencyKey, MAX_IDEMPOTENCY_KEY_BYTES, MAX_TTL_SECONDS, Ttl,
};
pub use payloads::{NewNotification, TicketClosed, TicketData, TicketOverdue};
pub use target::{
    InvalidRoomName, MAX_ID, MAX_ROOM_NAME_BYTES, Recipients, RoomName, Target, Targets,
};
