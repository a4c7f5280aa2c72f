use std::fmt;

use serde::Serialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::error::EmitError;
use crate::event_name::EventName;
use crate::limits::EmitLimits;

/// The largest user id, 2^53 − 1: above it JavaScript cannot tell neighbours apart.
pub const MAX_USER_ID: u64 = (1 << 53) - 1;

/// An event for one user: the body of `POST /notifications/emit` and of `POST /emit`.
///
/// It serializes to the body of the former.
#[derive(Clone, Debug, Serialize)]
pub struct EmitCommand {
    /// The user, not above [`MAX_USER_ID`].
    #[serde(rename = "userId")]
    pub user_id: u64,
    /// The event's name.
    pub event: EventName,
    /// The event's only argument, as it was received.
    pub payload: Box<RawValue>,
}

impl EmitCommand {
    /// Parses a body `{"userId", "event", "payload"}`, in which `payload` may be called `data`.
    ///
    /// - `userId` is a JSON number with an integer value (`123`, `123.0`), or a string of its
    ///   decimal digits: both named the same room in the replaced service.
    /// - The payload is any JSON; it must be there, if only as `null`.
    /// - Other fields are ignored. Of a repeated field the last one counts.
    ///
    /// The body itself must be bounded by whoever receives it; it is walked through once, without
    /// recursion.
    ///
    /// # Errors
    ///
    /// [`EmitError`], the first that applies: to the body, to its fields in the order above, to the
    /// payload's size, to its depth.
    pub fn parse(body: &[u8], limits: &EmitLimits) -> Result<Self, EmitError> {
        let fields = Fields::parse(body)?;
        Ok(Self {
            user_id: user_id(fields.user_id)?,
            event: fields.event()?,
            payload: fields.payload(limits)?,
        })
    }
}

/// An event for everyone: the body of `POST /notifications/broadcast`.
///
/// It serializes to that body.
#[derive(Clone, Debug, Serialize)]
pub struct BroadcastCommand {
    /// The event's name.
    pub event: EventName,
    /// The event's only argument, as it was received.
    pub payload: Box<RawValue>,
}

impl BroadcastCommand {
    /// Parses a body `{"event", "payload"}`, by the rules of [`EmitCommand::parse`]. A `userId` is
    /// ignored like any other field.
    ///
    /// # Errors
    ///
    /// Those of [`EmitCommand::parse`].
    pub fn parse(body: &[u8], limits: &EmitLimits) -> Result<Self, EmitError> {
        let fields = Fields::parse(body)?;
        Ok(Self {
            event: fields.event()?,
            payload: fields.payload(limits)?,
        })
    }
}

/// The fields of a body as they stand in it.
#[derive(Default)]
struct Fields<'a> {
    user_id: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, EmitError> {
        let text = std::str::from_utf8(body).map_err(|_| EmitError::InvalidJson)?;
        // Express drops a byte order mark, too.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);

        let mut deserializer = Deserializer::from_str(text);
        deserializer
            .deserialize_map(FieldsVisitor)
            .and_then(|fields| deserializer.end().map(|()| fields))
            .map_err(|error| match error.classify() {
                // The start of another type. That type's text may be broken further on.
                Category::Data if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
                    EmitError::NotAnObject
                }
                Category::Data | Category::Io | Category::Syntax | Category::Eof => {
                    EmitError::InvalidJson
                }
            })
    }

    fn event(&self) -> Result<EventName, EmitError> {
        let event = self
            .event
            .ok_or(EmitError::MissingField { field: "event" })?;
        let name: String =
            serde_json::from_str(event.get()).map_err(|_| EmitError::InvalidEvent)?;
        Ok(EventName::new(name)?)
    }

    fn payload(&self, limits: &EmitLimits) -> Result<Box<RawValue>, EmitError> {
        let payload = match (self.payload, self.data) {
            (Some(_), Some(_)) => return Err(EmitError::AmbiguousPayload),
            (Some(payload), None) | (None, Some(payload)) => payload,
            (None, None) => return Err(EmitError::MissingField { field: "payload" }),
        };
        if payload.get().len() > limits.max_payload_bytes {
            return Err(EmitError::PayloadTooLarge {
                limit: limits.max_payload_bytes,
            });
        }
        if depth(payload) > limits.max_payload_depth {
            return Err(EmitError::PayloadTooDeep {
                limit: limits.max_payload_depth,
            });
        }
        Ok(payload.to_owned())
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key()? {
            // Values are skipped as raw JSON, which `serde_json` does without recursion.
            let value = map.next_value()?;
            match name {
                FieldName::UserId => fields.user_id = Some(value),
                FieldName::Event => fields.event = Some(value),
                FieldName::Payload => fields.payload = Some(value),
                FieldName::Data => fields.data = Some(value),
                FieldName::Other => {}
            }
        }
        Ok(fields)
    }
}

enum FieldName {
    UserId,
    Event,
    Payload,
    Data,
    Other,
}

impl<'de> serde::Deserialize<'de> for FieldName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl Visitor<'_> for NameVisitor {
            type Value = FieldName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }

            // Bytes, because the name of another field may hold a lone surrogate.
            fn visit_bytes<E>(self, name: &[u8]) -> Result<FieldName, E> {
                Ok(match name {
                    b"userId" => FieldName::UserId,
                    b"event" => FieldName::Event,
                    b"payload" => FieldName::Payload,
                    b"data" => FieldName::Data,
                    _ => FieldName::Other,
                })
            }
        }

        deserializer.deserialize_bytes(NameVisitor)
    }
}

fn user_id(value: Option<&RawValue>) -> Result<u64, EmitError> {
    let text = value
        .ok_or(EmitError::MissingField { field: "userId" })?
        .get();
    let id = match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(text)
            .ok()
            .and_then(|digits| canonical_digits(&digits)),
        Some(b'-' | b'0'..=b'9') => text.parse().ok().and_then(integer),
        _ => None,
    };
    id.filter(|id| *id <= MAX_USER_ID)
        .ok_or(EmitError::InvalidUserId)
}

/// The number that `digits` is the usual notation of. `007` is not: in the replaced service it
/// named a room of its own, in which nobody was.
fn canonical_digits(digits: &str) -> Option<u64> {
    let id: u64 = digits.parse().ok()?;
    (id.to_string() == digits).then_some(id)
}

/// A number as JavaScript reads it, if it is an integer that JavaScript holds exactly.
fn integer(number: f64) -> Option<u64> {
    let is_integer = number.fract() == 0.0 && (0.0..=MAX_USER_ID as f64).contains(&number);
    is_integer.then_some(number as u64)
}

/// How deep arrays and objects are nested in valid JSON: 0 for a number, 1 for `[]`.
fn depth(json: &RawValue) -> usize {
    let mut deepest = 0;
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut bytes = json.get().bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            // Whatever is escaped, it does not end the string.
            b'\\' if in_string => {
                bytes.next();
            }
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
    }
    deepest
}
