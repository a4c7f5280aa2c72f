//! Help-desk events: their names and payloads, and the commands by which help-desk-back sends one.
//!
//! - [`EventName`]: a name that Socket.IO lets pass, with constants for the known events.
//! - [`EmitCommand`] and [`BroadcastCommand`]: parsed from the JSON bodies of
//!   `POST /notifications/emit`, `POST /emit` and `POST /notifications/broadcast`.
//! - [`NewNotification`], [`TicketData`], [`TicketOverdue`], [`TicketClosed`]: the payloads of the
//!   known events, for those who send them.
//!
//! A command's payload stays the JSON text that was received. It is checked, measured and relayed,
//! never taken apart. The crate does no I/O and knows neither HTTP nor Socket.IO.
//!
//! ```
//! use hd_events::{EmitCommand, EmitError, EmitLimits, EventName};
//!
//! let body = br#"{"userId": 42, "event": "ticket_closed", "payload": {"ticketId": 7}}"#;
//! let command = EmitCommand::parse(body, &EmitLimits::default())?;
//! assert_eq!(command.user_id, 42);
//! assert_eq!(command.event, EventName::TICKET_CLOSED);
//! assert_eq!(command.payload.get(), r#"{"ticketId": 7}"#);
//!
//! let body = br#"{"userId": 42, "event": "disconnect", "payload": null}"#;
//! let error = EmitCommand::parse(body, &EmitLimits::default()).unwrap_err();
//! assert_eq!(error.code(), "reserved_event");
//! # Ok::<(), EmitError>(())
//! ```

mod command;
mod error;
mod event_name;
mod limits;
mod payloads;

pub use command::{BroadcastCommand, EmitCommand, MAX_USER_ID};
pub use error::EmitError;
pub use event_name::{EventName, EventNameError, MAX_EVENT_NAME_BYTES, RESERVED_EVENTS};
pub use limits::{DEFAULT_MAX_PAYLOAD_BYTES, DEFAULT_MAX_PAYLOAD_DEPTH, EmitLimits};
pub use payloads::{NewNotification, TicketClosed, TicketData, TicketOverdue};
