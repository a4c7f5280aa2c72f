use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest event name, in bytes. Ours: it leaves ample room over the 16 bytes of the longest
/// known name, and keeps what is logged and counted by name small.
pub const MAX_EVENT_NAME_BYTES: usize = 128;

/// The names that Socket.IO keeps for itself; a client that receives one drops the connection.
pub const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// The event by which the service sends a client its recovery state. A client keeps what it says, so
/// nobody else may emit it.
pub const RECOVERY_STATE_EVENT: &str = "recovery:state";

/// The name of an event that may be sent to clients.
///
/// Any text may be one that is not empty, not longer than [`MAX_EVENT_NAME_BYTES`], not in
/// [`RESERVED_EVENTS`] and not [`RECOVERY_STATE_EVENT`]: help-desk-back may add events of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct EventName(Cow<'static, str>);

impl EventName {
    /// There is a new notification for the user; the payload is a
    /// [`NewNotification`](crate::NewNotification).
    pub const NEW_NOTIFICATION: Self = Self(Cow::Borrowed("new_notification"));
    /// A ticket was assigned to the user; the payload is a [`TicketData`](crate::TicketData).
    pub const TICKET_ASSIGNED: Self = Self(Cow::Borrowed("ticket_assigned"));
    /// A ticket was changed; the payload is a [`TicketData`](crate::TicketData).
    pub const TICKET_UPDATED: Self = Self(Cow::Borrowed("ticket_updated"));
    /// A ticket is overdue; the payload is a [`TicketOverdue`](crate::TicketOverdue).
    pub const TICKET_OVERDUE: Self = Self(Cow::Borrowed("ticket_overdue"));
    /// A ticket was closed; the payload is a [`TicketClosed`](crate::TicketClosed).
    pub const TICKET_CLOSED: Self = Self(Cow::Borrowed("ticket_closed"));

    /// The events that front end and back end agree on today.
    pub const KNOWN: [Self; 5] = [
        Self::NEW_NOTIFICATION,
        Self::TICKET_ASSIGNED,
        Self::TICKET_UPDATED,
        Self::TICKET_OVERDUE,
        Self::TICKET_CLOSED,
    ];

    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`EventNameError`] for a name that no client may be sent.
    pub fn new(name: impl Into<String>) -> Result<Self, EventNameError> {
        let name = name.into();
        if name.is_empty() {
            return Err(EventNameError::Empty);
        }
        if name.len() > MAX_EVENT_NAME_BYTES {
            return Err(EventNameError::TooLong);
        }
        if RESERVED_EVENTS.contains(&&*name) || name == RECOVERY_STATE_EVENT {
            return Err(EventNameError::Reserved);
        }
        Ok(Self(Cow::Owned(name)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for EventName {
    type Error = EventNameError;

    fn try_from(name: String) -> Result<Self, EventNameError> {
        Self::new(name)
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text cannot be an event's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EventNameError {
    /// It is empty.
    #[error("the event name is empty")]
    Empty,
    /// It is longer than [`MAX_EVENT_NAME_BYTES`].
    #[error("the event name is longer than {MAX_EVENT_NAME_BYTES} bytes")]
    TooLong,
    /// It is one of [`RESERVED_EVENTS`], or [`RECOVERY_STATE_EVENT`].
    #[error("the event name is reserved by Socket.IO or by the service")]
    Reserved,
}
