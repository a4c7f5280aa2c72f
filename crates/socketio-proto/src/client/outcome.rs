//! What comes out of the machine: events, errors, timeouts.

use serde_json::value::RawValue;

use crate::{Ack, DecodeError, Event, Namespace};

/// What a message of the client means.
#[derive(Clone)]
pub enum ClientEvent {
    /// The client asks to join a namespace. Answer with [`Client::accept`](crate::Client::accept) or
    /// [`Client::refuse`](crate::Client::refuse).
    Connect {
        /// The namespace, which need not exist.
        namespace: Namespace,
        /// The client's `auth`, a JSON object.
        auth: Option<Box<RawValue>>,
    },
    /// An event, in a namespace that the client is in.
    Event {
        /// The namespace.
        namespace: Namespace,
        /// The event.
        event: Event,
    },
    /// The ack of an event that awaited it.
    Ack {
        /// The namespace.
        namespace: Namespace,
        /// The ack.
        ack: Ack,
    },
    /// The client has left a namespace.
    Disconnect {
        /// The namespace.
        namespace: Namespace,
        /// The ids of the acks that will not come any more.
        lost_acks: Vec<u64>,
    },
}

/// Leaves out `auth`: it holds tokens, and this must be safe to log.
impl std::fmt::Debug for ClientEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect { namespace, auth: _ } => f
                .debug_struct("Connect")
                .field("namespace", namespace)
                .finish_non_exhaustive(),
            Self::Event { namespace, event } => f
                .debug_struct("Event")
                .field("namespace", namespace)
                .field("event", event)
                .finish(),
            Self::Ack { namespace, ack } => f
                .debug_struct("Ack")
                .field("namespace", namespace)
                .field("ack", ack)
                .finish(),
            Self::Disconnect {
                namespace,
                lost_acks,
            } => f
                .debug_struct("Disconnect")
                .field("namespace", namespace)
                .field("lost_acks", lost_acks)
                .finish(),
        }
    }
}

/// What the client sent is wrong: close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It is not a packet: `parse error`. Node has no reason of its own for
    /// this, and reports `forced close`.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It is a packet that has no place there. Node reports `forced server
    /// close`.
    #[error(transparent)]
    Violation(#[from] ProtocolViolation),
    /// It comes after [`Connect`](TimerReason::Connect) or
    /// [`Attachment`](TimerReason::Attachment) was due, which
    /// [`Client::handle_timeout`](crate::Client::handle_timeout) would have told.
    #[error("a message after the deadline: {0}")]
    TimedOut(TimerReason),
}

/// A packet that has no place where it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolViolation {
    /// A packet for a namespace that the client is not in, be it that it has
    /// asked for it and has no answer yet.
    #[error("a packet for a namespace that the client is not in")]
    NotConnected,
    /// CONNECT to a namespace that the client is in or has asked for.
    #[error("a second CONNECT to a namespace")]
    AlreadyConnected,
    /// CONNECT_ERROR, which only servers send.
    #[error("a CONNECT_ERROR packet from a client")]
    ConnectErrorFromClient,
    /// More CONNECTs in too short a time than the setting allows.
    #[error("more than {limit} CONNECT packets a minute")]
    TooManyConnects {
        /// The setting in force.
        limit: u32,
    },
    /// More namespaces than the setting allows.
    #[error("more than {limit} namespaces")]
    TooManyNamespaces {
        /// The setting in force.
        limit: usize,
    },
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimerReason {
    /// The client is in no namespace.
    #[error("the client is in no namespace")]
    Connect,
    /// Attachments of a packet are due.
    #[error("attachments are due")]
    Attachment,
    /// An ack is awaited.
    #[error("an ack is awaited")]
    Ack,
}

/// A deadline that has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// The client is in no namespace for too long: close the connection.
    /// Node reports `forced server close`.
    Connect,
    /// The attachments of a packet did not come: close the connection.
    Attachment,
    /// An ack did not come. It is ignored if it comes later.
    Ack {
        /// The namespace.
        namespace: Namespace,
        /// The id of the event.
        id: u64,
    },
}

/// No ack can be awaited from this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AwaitAckError {
    /// The client is not in the namespace.
    #[error("the client is not in the namespace")]
    NotConnected,
    /// As many acks are awaited as the setting allows.
    #[error("{limit} acks are awaited from this client already")]
    TooManyAcks {
        /// The setting in force.
        limit: usize,
    },
}
