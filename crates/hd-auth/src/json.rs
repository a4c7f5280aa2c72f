//! Reading JSON objects as JavaScript's `JSON.parse` does, without building a tree.
//!
//! A derived `Deserialize` would differ from Node where it matters for a verdict: it refuses a
//! repeated name (Node: the last one wins), numbers beyond the range of a double (Node: infinity)
//! and lone surrogates in members that nobody reads.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer as _, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::error::Category;
use serde_json::value::RawValue;

/// Why a text is not an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAnObject {
    /// The text is not JSON.
    Syntax,
    /// The text begins as another JSON value.
    OtherType,
}

/// Calls `f` with each member of the object in `text`, in order. The values are valid JSON.
///
/// Nesting is skipped iteratively, so that its depth is bounded by the length of `text` alone.
pub(crate) fn members<'a>(
    text: &'a str,
    f: impl FnMut(&[u8], &'a RawValue),
) -> Result<(), NotAnObject> {
    let mut deserializer = Deserializer::from_str(text);
    deserializer
        .deserialize_map(MemberVisitor(f))
        .and_then(|()| deserializer.end())
        .map_err(|error| match error.classify() {
            Category::Data => NotAnObject::OtherType,
            Category::Io | Category::Syntax | Category::Eof => NotAnObject::Syntax,
        })
}

/// The number in `value`, which may be infinite; `None` for any other type.
pub(crate) fn number(value: &RawValue) -> Option<f64> {
    match value.get().as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => value.get().parse().ok(),
        _ => None,
    }
}

/// The number in `value` if it is one that JavaScript holds exactly as an integer.
pub(crate) fn safe_integer(value: &RawValue) -> Option<i64> {
    let number = number(value)?;
    // The cast is exact: the bound is below 2^63 and the number has no fraction.
    (number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER as f64).then_some(number as i64)
}

/// The string in `value`; `None` for any other type and for a string with a lone surrogate.
pub(crate) fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// The elements of the array in `value`; `None` for any other type.
pub(crate) fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// `Number.MAX_SAFE_INTEGER`, 2^53 − 1: above it JavaScript cannot tell neighbours apart.
pub(crate) const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

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
