use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The payload of [`EventName::NEW_NOTIFICATION`](crate::EventName::NEW_NOTIFICATION).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNotification {
    /// The notification's id, if it has been stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The text shown to the user.
    pub mensaje: String,
    /// The ticket that it is about.
    #[serde(rename = "ticketId")]
    pub ticket_id: i64,
    /// When it happened, in ISO 8601.
    pub fecha: String,
}

/// The payload of [`EventName::TICKET_ASSIGNED`](crate::EventName::TICKET_ASSIGNED) and of
/// [`EventName::TICKET_UPDATED`](crate::EventName::TICKET_UPDATED).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TicketData {
    /// The ticket.
    #[serde(rename = "ticketId")]
    pub ticket_id: i64,
    /// Whatever else the back end tells of the ticket.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The payload of [`EventName::TICKET_OVERDUE`](crate::EventName::TICKET_OVERDUE).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketOverdue {
    /// The notification's id, if it has been stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The ticket.
    #[serde(rename = "ticketId")]
    pub ticket_id: i64,
    /// The text shown to the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mensaje: Option<String>,
    /// When it happened, in ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fecha: Option<String>,
}

/// The payload of [`EventName::TICKET_CLOSED`](crate::EventName::TICKET_CLOSED).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketClosed {
    /// The notification's id, if it has been stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The text shown to the user.
    pub mensaje: String,
    /// The ticket.
    #[serde(rename = "ticketId")]
    pub ticket_id: i64,
    /// When it happened, in ISO 8601.
    pub fecha: String,
}
