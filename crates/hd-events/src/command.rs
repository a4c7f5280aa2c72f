use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::error::EmitError;
use crate::event_name::EventName;
use crate::json;
use crate::limits::EmitLimits;
use crate::options::{IdempotencyKey, Ttl};
use crate::target::{Recipients, Target, TargetFields, exceptions, serialize_targets};

/// An event and who it is for: the body of the emit routes, and an item of a batch.
///
/// It serializes to the body of `POST /notifications/emit`.
#[derive(Clone, Debug)]
pub struct EmitCommand {
    /// Who it is for.
    pub recipients: Recipients,
    /// Who it is not for, even if they are recipients.
    pub except: Vec<Target>,
    /// The event's name.
    pub event: EventName,
    /// The event's only argument, as it was received.
    pub payload: Box<RawValue>,
    /// Whether it is only for sockets that can take it at once.
    pub volatile: bool,
    /// How long it is worth being replayed, where the sender says so.
    pub ttl: Option<Ttl>,
    /// What the sender calls it, where it has a name.
    pub id: Option<IdempotencyKey>,
}

impl EmitCommand {
    /// An event for some, with nothing special about it.
    #[must_use]
    pub fn new(
        recipients: impl Into<Recipients>,
        event: EventName,
        payload: Box<RawValue>,
    ) -> Self {
        Self {
            recipients: recipients.into(),
            except: Vec::new(),
            event,
            payload,
            volatile: false,
            ttl: None,
            id: None,
        }
    }

    /// Parses a body such as `{"userId", "event", "payload"}`.
    ///
    /// - Recipients are all that `userId`, `userIds`, `rooms`, `role`, `department`, `region`,
    ///   `position` and `"broadcast": true` name together; at least one must be named. `userIds`
    ///   and `rooms` are lists; the four after them are an id or a list of ids.
    /// - An id is a JSON number with an integer value (`123`, `123.0`), or a string of its
    ///   decimal digits: both named the same room in the replaced service.
    /// - `except` is an object of the same members, without `broadcast`.
    /// - The payload is any JSON, `null` when it is missing, and may be called `data`.
    /// - `volatile` is a boolean, `ttl` a number of seconds, `id` an [`IdempotencyKey`].
    /// - Other fields are ignored, but in `except`. Of a repeated field the last one counts.
    ///
    /// The body itself must be bounded by whoever receives it; it is walked through once, without
    /// recursion.
    ///
    /// # Errors
    ///
    /// [`EmitError`], the first that applies: to the body, to its recipients, to its event, to
    /// its payload, to the other fields in the order above.
    pub fn parse(body: &[u8], limits: &EmitLimits) -> Result<Self, EmitError> {
        Self::parse_text(json::text(body)?, limits)
    }

    /// Parses the body of `POST /notifications/broadcast`, by the rules of [`parse`](Self::parse).
    /// It is for everyone: fields that name recipients are ignored like any other field.
    ///
    /// # Errors
    ///
    /// Those of [`parse`](Self::parse).
    pub fn parse_broadcast(body: &[u8], limits: &EmitLimits) -> Result<Self, EmitError> {
        Fields::parse(json::text(body)?)?.command(Recipients::Everyone, limits)
    }

    pub(crate) fn parse_text(text: &str, limits: &EmitLimits) -> Result<Self, EmitError> {
        let fields = Fields::parse(text)?;
        let recipients = fields.targets.recipients(limits.max_targets)?;
        fields.command(recipients, limits)
    }

    /// Names the command by a key that did not come in its body.
    ///
    /// # Errors
    ///
    /// [`EmitError::AmbiguousId`] when the body has another.
    pub fn identify(&mut self, key: IdempotencyKey) -> Result<(), EmitError> {
        match &self.id {
            Some(id) if *id != key => Err(EmitError::AmbiguousId),
            Some(_) | None => {
                self.id = Some(key);
                Ok(())
            }
        }
    }
}

impl Serialize for EmitCommand {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.recipients {
            Recipients::Everyone => map.serialize_entry("broadcast", &true)?,
            Recipients::AnyOf(targets) => serialize_targets(&mut map, targets.as_slice())?,
        }
        if !self.except.is_empty() {
            map.serialize_entry("except", &Except(&self.except))?;
        }
        map.serialize_entry("event", &self.event)?;
        map.serialize_entry("payload", &self.payload)?;
        if self.volatile {
            map.serialize_entry("volatile", &true)?;
        }
        if let Some(ttl) = self.ttl {
            map.serialize_entry("ttl", &ttl.as_secs())?;
        }
        if let Some(id) = &self.id {
            map.serialize_entry("id", id.as_str())?;
        }
        map.end()
    }
}

struct Except<'a>(&'a [Target]);

impl Serialize for Except<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        serialize_targets(&mut map, self.0)?;
        map.end()
    }
}

/// The fields of a body as they stand in it.
#[derive(Default)]
struct Fields<'a> {
    targets: TargetFields<'a>,
    except: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    volatile: Option<&'a RawValue>,
    ttl: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Result<Self, EmitError> {
        let mut fields = Self::default();
        json::members(text, |name, value| {
            let slot = match name {
                b"except" => &mut fields.except,
                b"event" => &mut fields.event,
                b"payload" => &mut fields.payload,
                b"data" => &mut fields.data,
                b"volatile" => &mut fields.volatile,
                b"ttl" => &mut fields.ttl,
                b"id" => &mut fields.id,
                _ => match fields.targets.slot(name) {
                    Some(slot) => slot,
                    None => return,
                },
            };
            *slot = Some(value);
        })?;
        Ok(fields)
    }

    fn command(
        &self,
        recipients: Recipients,
        limits: &EmitLimits,
    ) -> Result<EmitCommand, EmitError> {
        Ok(EmitCommand {
            recipients,
            event: self.event()?,
            payload: self.payload(limits)?,
            except: match self.except {
                Some(except) => exceptions(except, limits.max_targets)?,
                None => Vec::new(),
            },
            volatile: self.volatile()?,
            ttl: self.ttl.map(ttl).transpose()?,
            id: self.id.map(id).transpose()?,
        })
    }

    fn event(&self) -> Result<EventName, EmitError> {
        let event = self
            .event
            .ok_or(EmitError::MissingField { field: "event" })?;
        Ok(EventName::new(
            json::string(event).ok_or(EmitError::InvalidEvent)?,
        )?)
    }

    fn payload(&self, limits: &EmitLimits) -> Result<Box<RawValue>, EmitError> {
        let payload = match (self.payload, self.data) {
            (Some(_), Some(_)) => return Err(EmitError::AmbiguousPayload),
            (Some(payload), None) | (None, Some(payload)) => payload,
            // As in the replaced service.
            (None, None) => RawValue::NULL,
        };
        if payload.get().len() > limits.max_payload_bytes {
            return Err(EmitError::PayloadTooLarge {
                limit: limits.max_payload_bytes,
            });
        }
        if json::depth(payload) > limits.max_payload_depth {
            return Err(EmitError::PayloadTooDeep {
                limit: limits.max_payload_depth,
            });
        }
        Ok(payload.to_owned())
    }

    fn volatile(&self) -> Result<bool, EmitError> {
        match self.volatile.map(RawValue::get) {
            Some("true") => Ok(true),
            Some("false") | None => Ok(false),
            Some(_) => Err(EmitError::InvalidVolatile),
        }
    }
}

fn ttl(value: &RawValue) -> Result<Ttl, EmitError> {
    json::integer(value)
        .and_then(Ttl::from_secs)
        .ok_or(EmitError::InvalidTtl)
}

fn id(value: &RawValue) -> Result<IdempotencyKey, EmitError> {
    let id = json::string(value).ok_or(EmitError::InvalidId)?;
    Ok(IdempotencyKey::new(id)?)
}
