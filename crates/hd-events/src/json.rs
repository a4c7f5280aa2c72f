//! Reading JSON as JavaScript's `JSON.parse` does, without building a tree.
//!
//! Nesting is skipped iteratively, so that its depth is bounded by the length of the text alone.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Deserializer;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::error::EmitError;

/// `Number.MAX_SAFE_INTEGER`, 2^53 − 1: above it JavaScript cannot tell neighbours apart.
pub(crate) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The text of a body.
pub(crate) fn text(body: &[u8]) -> Result<&str, EmitError> {
    let text = std::str::from_utf8(body).map_err(|_| EmitError::InvalidJson)?;
    // Express drops a byte order mark, too.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Calls `f` with each member of the object in `text`, in order. The values are valid JSON.
pub(crate) fn members<'a>(
    text: &'a str,
    f: impl FnMut(&[u8], &'a RawValue),
) -> Result<(), EmitError> {
    let mut deserializer = Deserializer::from_str(text);
    deserializer
        .deserialize_map(MemberVisitor(f))
        .and_then(|()| deserializer.end())
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

/// Calls `f` with each element of the array in `value`, in order, until it fails. The error is
/// `not_an_array` for any other type.
pub(crate) fn elements<'a>(
    value: &'a RawValue,
    not_an_array: EmitError,
    mut f: impl FnMut(&'a RawValue) -> Result<(), EmitError>,
) -> Result<(), EmitError> {
    let mut result = Ok(());
    let read = Deserializer::from_str(value.get()).deserialize_seq(ElementVisitor(|element| {
        result = f(element);
        result.is_ok()
    }));
    result?;
    // The text is valid JSON, so there is no other reason.
    read.map_err(|_| not_an_array)
}

/// The string in `value`; `None` for any other type and for a string with a lone surrogate.
pub(crate) fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// The id in `value`: an integer that JavaScript holds exactly, or a string of its digits.
pub(crate) fn id(value: &RawValue) -> Option<u64> {
    match value.get().as_bytes().first() {
        Some(b'"') => string(value).and_then(|digits| canonical_digits(&digits)),
        _ => integer(value),
    }
    .filter(|id| *id <= MAX_SAFE_INTEGER)
}

/// The number in `value` as JavaScript reads it, if it is an integer that is not negative and that
/// JavaScript holds exactly.
pub(crate) fn integer(value: &RawValue) -> Option<u64> {
    let text = value.get();
    if !matches!(text.as_bytes().first(), Some(b'-' | b'0'..=b'9')) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    let is_integer = number.fract() == 0.0 && (0.0..=MAX_SAFE_INTEGER as f64).contains(&number);
    is_integer.then_some(number as u64)
}

/// How deep arrays and objects are nested in valid JSON: 0 for a number, 1 for `[]`.
pub(crate) fn depth(json: &RawValue) -> usize {
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

/// The number that `digits` is the usual notation of. `007` is not: in the replaced service it
/// named a room of its own, in which nobody was.
fn canonical_digits(digits: &str) -> Option<u64> {
    let id: u64 = digits.parse().ok()?;
    (id.to_string() == digits).then_some(id)
}

struct MemberVisitor<F>(F);

impl<'de, F: FnMut(&[u8], &'de RawValue)> Visitor<'de> for MemberVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(MemberName(name)) = map.next_key()? {
            (self.0)(&name, map.next_value()?);
        }
        Ok(())
    }
}

/// A member's name with its escapes resolved; bytes, because it may hold a lone surrogate.
struct MemberName<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for MemberName<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = MemberName<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_borrowed_bytes<E>(self, name: &'de [u8]) -> Result<MemberName<'de>, E> {
                Ok(MemberName(Cow::Borrowed(name)))
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<MemberName<'de>, E> {
                Ok(MemberName(Cow::Owned(name.to_vec())))
            }
        }

        deserializer.deserialize_bytes(NameVisitor)
    }
}

/// Stops where the function says so.
struct ElementVisitor<F>(F);

impl<'de, F: FnMut(&'de RawValue) -> bool> Visitor<'de> for ElementVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element()? {
            if !(self.0)(element) {
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}
