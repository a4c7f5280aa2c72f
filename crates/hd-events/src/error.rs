use thiserror::Error;

use crate::event_name::EventNameError;
use crate::options::{InvalidIdempotencyKey, MAX_IDEMPOTENCY_KEY_BYTES, MAX_TTL_SECONDS};
use crate::target::{MAX_ID, MAX_ROOM_NAME_BYTES};

/// Why a body is not a command. Every variant is the sender's fault, and none holds a part of the
/// body; its text is meant for the developer who sent it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The body is not JSON in UTF-8.
    #[error("the body is not valid JSON")]
    InvalidJson,
    /// The body, or an item of a batch, is JSON, but not an object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// A field is missing.
    #[error("the field \"{field}\" is missing")]
    MissingField {
        /// The field's name.
        field: &'static str,
    },
    /// Nobody is named, not even by a field: an audience that was forgotten.
    #[error(
        "no recipient is named: give \"userId\", \"userIds\", \"rooms\", \"role\", \
         \"department\", \"region\", \"position\" or \"broadcast\": true"
    )]
    NoTarget,
    /// A user's id is not an integer from 0 to 2^53 − 1.
    #[error(
        "\"userId\" must be an integer from 0 to {MAX_ID}, and \"userIds\" a list of such integers"
    )]
    InvalidUserId,
    /// Another field that names recipients, or `except`, is not what it has to be.
    #[error("\"{field}\" must be {}", expected(.field))]
    InvalidTarget {
        /// The field's name.
        field: &'static str,
    },
    /// More targets are named than [`EmitLimits::max_targets`](crate::EmitLimits).
    #[error("more than {limit} targets are named")]
    TooManyTargets {
        /// The bound.
        limit: usize,
    },
    /// `event` is not a string.
    #[error("\"event\" must be a string")]
    InvalidEvent,
    /// `event` is not a name that clients may be sent.
    #[error("\"event\" is not allowed: {0}")]
    EventName(#[from] EventNameError),
    /// Both `payload` and `data` are given.
    #[error("\"payload\" and \"data\" are the same field: give one of them")]
    AmbiguousPayload,
    /// The payload is larger than [`EmitLimits::max_payload_bytes`](crate::EmitLimits).
    #[error("the payload has more than {limit} bytes")]
    PayloadTooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// The payload is nested deeper than [`EmitLimits::max_payload_depth`](crate::EmitLimits).
    #[error("the payload is nested more than {limit} levels deep")]
    PayloadTooDeep {
        /// The bound, in levels.
        limit: usize,
    },
    /// `volatile` is not a boolean.
    #[error("\"volatile\" must be true or false")]
    InvalidVolatile,
    /// `ttl` is not a whole number of seconds up to [`MAX_TTL_SECONDS`].
    #[error("\"ttl\" must be an integer from 0 to {MAX_TTL_SECONDS}")]
    InvalidTtl,
    /// The id is not an [`IdempotencyKey`](crate::IdempotencyKey).
    #[error(
        "an \"id\" or Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII characters"
    )]
    InvalidId,
    /// The command came with two ids.
    #[error("\"id\" and Idempotency-Key are the same field: give one of them, or equal ones")]
    AmbiguousId,
    /// `items` is not an array.
    #[error("\"items\" must be an array")]
    InvalidItems,
    /// The batch has more items than [`EmitLimits::max_batch_items`](crate::EmitLimits).
    #[error("the batch has more than {limit} items")]
    TooManyItems {
        /// The bound.
        limit: usize,
    },
}

impl EmitError {
    /// Every code, for guides that want to be complete.
    pub const CODES: [&'static str; 18] = [
        "invalid_json",
        "not_an_object",
        "missing_field",
        "invalid_user_id",
        "invalid_target",
        "too_many_targets",
        "invalid_event",
        "event_too_long",
        "reserved_event",
        "ambiguous_payload",
        "payload_too_large",
        "payload_too_deep",
        "invalid_volatile",
        "invalid_ttl",
        "invalid_id",
        "ambiguous_id",
        "invalid_items",
        "too_many_items",
    ];

    /// A short code for programs. It never changes for a given cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::MissingField { .. } | Self::NoTarget => "missing_field",
            Self::InvalidUserId => "invalid_user_id",
            Self::InvalidTarget { .. } => "invalid_target",
            Self::TooManyTargets { .. } => "too_many_targets",
            Self::InvalidEvent | Self::EventName(EventNameError::Empty) => "invalid_event",
            Self::EventName(EventNameError::TooLong) => "event_too_long",
            Self::EventName(EventNameError::Reserved) => "reserved_event",
            Self::AmbiguousPayload => "ambiguous_payload",
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::PayloadTooDeep { .. } => "payload_too_deep",
            Self::InvalidVolatile => "invalid_volatile",
            Self::InvalidTtl => "invalid_ttl",
            Self::InvalidId => "invalid_id",
            Self::AmbiguousId => "ambiguous_id",
            Self::InvalidItems => "invalid_items",
            Self::TooManyItems { .. } => "too_many_items",
        }
    }
}

impl From<InvalidIdempotencyKey> for EmitError {
    fn from(InvalidIdempotencyKey: InvalidIdempotencyKey) -> Self {
        Self::InvalidId
    }
}

fn expected(field: &str) -> String {
    match field {
        "broadcast" => "true or false".to_owned(),
        "rooms" => format!("a list of names of 1 to {MAX_ROOM_NAME_BYTES} bytes"),
        "except" => {
            "an object in which every field names recipients, \"broadcast\" excluded".to_owned()
        }
        _ => format!("an integer from 0 to {MAX_ID}, or a list of such integers"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One error after the other. A new one does not compile until it is here.
    const fn next(error: &EmitError) -> Option<EmitError> {
        Some(match error {
            EmitError::InvalidJson => EmitError::NotAnObject,
            EmitError::NotAnObject => EmitError::MissingField { field: "" },
            EmitError::MissingField { .. } => EmitError::NoTarget,
            EmitError::NoTarget => EmitError::InvalidUserId,
            EmitError::InvalidUserId => EmitError::InvalidTarget { field: "" },
            EmitError::InvalidTarget { .. } => EmitError::TooManyTargets { limit: 0 },
            EmitError::TooManyTargets { .. } => EmitError::InvalidEvent,
            EmitError::InvalidEvent => EmitError::EventName(EventNameError::Empty),
            EmitError::EventName(EventNameError::Empty) => {
                EmitError::EventName(EventNameError::TooLong)
            }
            EmitError::EventName(EventNameError::TooLong) => {
                EmitError::EventName(EventNameError::Reserved)
            }
            EmitError::EventName(EventNameError::Reserved) => EmitError::AmbiguousPayload,
            EmitError::AmbiguousPayload => EmitError::PayloadTooLarge { limit: 0 },
            EmitError::PayloadTooLarge { .. } => EmitError::PayloadTooDeep { limit: 0 },
            EmitError::PayloadTooDeep { .. } => EmitError::InvalidVolatile,
            EmitError::InvalidVolatile => EmitError::InvalidTtl,
            EmitError::InvalidTtl => EmitError::InvalidId,
            EmitError::InvalidId => EmitError::AmbiguousId,
            EmitError::AmbiguousId => EmitError::InvalidItems,
            EmitError::InvalidItems => EmitError::TooManyItems { limit: 0 },
            EmitError::TooManyItems { .. } => return None,
        })
    }

    #[test]
    fn the_codes_are_those_of_all_errors() {
        let errors = std::iter::successors(Some(EmitError::InvalidJson), next);
        let mut codes: Vec<_> = errors.map(|error| error.code()).collect();
        codes.dedup();
        assert_eq!(codes, EmitError::CODES);
    }
}
