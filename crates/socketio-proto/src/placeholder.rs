//! Placeholders: where in the JSON of a packet its attachments belong.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::DecodeError;

/// Checks that each `{"_placeholder":true,"num":n}` in `payload`, which is
/// valid JSON, names one of so many attachments.
///
/// It looks through the JSON without building a tree, and refuses what is
/// nested deeper than serde_json's limit of 128.
pub(crate) fn check_placeholders(payload: &str, attachments: usize) -> Result<(), DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_str(payload);
    let verdict = Check { attachments }
        .deserialize(&mut deserializer)
        .map_err(|_| DecodeError::InvalidPayload)?;
    match verdict {
        Found::Illegal => Err(DecodeError::IllegalAttachments),
        Found::Fine | Found::True | Found::Index(_) => Ok(()),
    }
}

/// Looks at one value.
#[derive(Clone, Copy)]
struct Check {
    attachments: usize,
}

/// What a value is, as far as it matters for placeholders.
#[derive(Clone, Copy)]
enum Found {
    True,
    Index(u64),
    /// A placeholder that names no attachment is in it.
    Illegal,
    Fine,
}

impl Check {
    const fn is_attachment(self, found: Found) -> bool {
        matches!(found, Found::Index(index) if index < self.attachments as u64)
    }
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Fine)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Found, E> {
        Ok(if value { Found::True } else { Found::Fine })
    }

    fn visit_u64<E>(self, value: u64) -> Result<Found, E> {
        Ok(Found::Index(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found, E> {
        Ok(Found::Fine)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found, E> {
        Ok(Found::Fine)
    }

    fn visit_str<E>(self, _: &str) -> Result<Found, E> {
        Ok(Found::Fine)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Found, A::Error> {
        while let Some(found) = items.next_element_seed(self)? {
            if matches!(found, Found::Illegal) {
                // The rest was found to be JSON before.
                while items.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Found::Illegal);
            }
        }
        Ok(Found::Fine)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Found, A::Error> {
        let mut is_placeholder = false;
        let mut number = Found::Fine;
        let mut holds_illegal = false;
        while let Some(key) = fields.next_key_seed(KeySeed)? {
            let found = fields.next_value_seed(self)?;
            match key {
                Key::Placeholder => is_placeholder = matches!(found, Found::True),
                Key::Number => number = found,
                Key::Other => {}
            }
            holds_illegal |= matches!(found, Found::Illegal);
        }
        let is_illegal = if is_placeholder {
            !self.is_attachment(number)
        } else {
            holds_illegal
        };
        Ok(if is_illegal {
            Found::Illegal
        } else {
            Found::Fine
        })
    }
}

/// The keys that matter.
enum Key {
    Placeholder,
    Number,
    Other,
}

/// Looks at a key without keeping it.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(match key {
            "_placeholder" => Key::Placeholder,
            "num" => Key::Number,
            _ => Key::Other,
        })
    }
}
