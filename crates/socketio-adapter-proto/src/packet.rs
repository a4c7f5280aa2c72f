//! Events, and whom they are for, as servers hand them to each other.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use socketio_proto::{Args, EventName};

use crate::{Limits, ParseError};

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    name: Box<str>,
    args: Args,
}

impl Event {
    /// The name.
    #[must_use]
    pub fn name(&self) -> EventName<'_> {
        EventName::new(&self.name).expect("invariant: checked when it was read")
    }

    /// The arguments after the name.
    #[must_use]
    pub const fn args(&self) -> &Args {
        &self.args
    }
}

/// Whom something is for, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The members of any of these rooms; everyone when there are none. A
    /// socket's id is the name of a room with that socket.
    pub rooms: Vec<String>,
    /// But not who is in one of these.
    pub except: Vec<String>,
    /// How.
    pub flags: Flags,
}

/// How an event is sent, as far as other servers have to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Only to clients that it leaves for at once.
    pub volatile: bool,
    /// How long acks are waited for.
    pub timeout: Option<Duration>,
}

/// `{type, data, nsp}`
#[derive(Deserialize)]
pub(crate) struct RawPacket<'a> {
    #[serde(rename = "type")]
    packet_type: u8,
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    nsp: Option<Cow<'a, str>>,
}

/// `{rooms, except, flags}`
#[derive(Deserialize)]
pub(crate) struct RawOptions<'a> {
    // Required: without it everyone would be meant.
    #[serde(borrow)]
    rooms: Vec<RoomText<'a>>,
    #[serde(borrow, default)]
    except: Vec<RoomText<'a>>,
    #[serde(borrow, default)]
    flags: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct RawFlags {
    #[serde(default)]
    volatile: Option<bool>,
    #[serde(default)]
    timeout: Option<f64>,
}

/// The name of a room. JavaScript may call one by a number.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum RoomText<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Whole(i64),
    Number(f64),
}

impl RawPacket<'_> {
    /// The namespace, where the packet says so.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.nsp.as_deref()
    }

    pub(crate) fn into_event(self, attachments: Vec<Bytes>) -> Result<Event, ParseError> {
        if ![EVENT, BINARY_EVENT].contains(&self.packet_type) {
            return Err(ParseError::NotAnEvent);
        }
        let (first, values) = self.data.split_first().ok_or(ParseError::NotAnEvent)?;
        let name: Box<str> = match serde_json::from_str(first.get()) {
            Ok(RoomText::Text(name)) => name.into(),
            Ok(RoomText::Whole(_) | RoomText::Number(_)) => first.get().into(),
            Err(_) => return Err(ParseError::NotAnEvent),
        };
        EventName::new(&name).map_err(|_| ParseError::NotAnEvent)?;
        let args =
            Args::with_attachments(values, attachments).map_err(|_| ParseError::NotAnEvent)?;
        Ok(Event { name, args })
    }
}

impl RawOptions<'_> {
    pub(crate) fn into_options(self, limits: &Limits) -> Result<Options, ParseError> {
        let flags = self
            .flags
            .and_then(|flags| serde_json::from_str::<RawFlags>(flags.get()).ok())
            .unwrap_or_default();
        let timeout = flags
            .timeout
            .and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok());
        Ok(Options {
            rooms: room_names(self.rooms, limits)?,
            except: room_names(self.except, limits)?,
            flags: Flags {
                volatile: flags.volatile.unwrap_or_default(),
                timeout,
            },
        })
    }
}

impl RoomText<'_> {
    pub(crate) fn into_string(self) -> String {
        match self {
            Self::Text(name) => name.into_owned(),
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

pub(crate) fn room_names(
    rooms: Vec<RoomText<'_>>,
    limits: &Limits,
) -> Result<Vec<String>, ParseError> {
    let limit = limits.max_rooms;
    if rooms.len() > limit {
        return Err(ParseError::TooManyRooms { limit });
    }
    Ok(rooms.into_iter().map(RoomText::into_string).collect())
}

/// Socket.IO's types of packets. Node's servers send the first also when there
/// is binary data.
pub(crate) const EVENT: u8 = 2;
const BINARY_EVENT: u8 = 5;
