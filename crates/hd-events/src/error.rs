use thiserror::Error;

use crate::event_name::EventNameError;

/// Why a body is not a command. Every variant is the sender's fault, and none holds a part of the
/// body; its text is meant for the developer who sent it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The body is not JSON in UTF-8.
    #[error("the body is not valid JSON")]
    InvalidJson,
    /// The body is JSON, but not an object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// A field is missing. `null` is a payload; no payload is not.
    #[error("the field \"{field}\" is missing")]
    MissingField {
        /// The field's name.
        field: &'static str,
    },
    /// `userId` is not an integer from 0 to 2^53 − 1.
    #[error("\"userId\" must be an integer from 0 to 9007199254740991")]
    InvalidUserId,
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
}

impl EmitError {
    /// Every code, for guides that want to be complete.
    pub const CODES: [&'static str; 10] = [
        "invalid_json",
        "not_an_object",
        "missing_field",
        "invalid_user_id",
        "invalid_event",
        "event_too_long",
        "reserved_event",
        "ambiguous_payload",
        "payload_too_large",
        "payload_too_deep",
    ];

    /// A short code for programs. It never changes for a given cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::MissingField { .. } => "missing_field",
            Self::InvalidUserId => "invalid_user_id",
            Self::InvalidEvent | Self::EventName(EventNameError::Empty) => "invalid_event",
            Self::EventName(EventNameError::TooLong) => "event_too_long",
            Self::EventName(EventNameError::Reserved) => "reserved_event",
            Self::AmbiguousPayload => "ambiguous_payload",
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::PayloadTooDeep { .. } => "payload_too_deep",
        }
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
            EmitError::MissingField { .. } => EmitError::InvalidUserId,
            EmitError::InvalidUserId => EmitError::InvalidEvent,
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
            EmitError::PayloadTooDeep { .. } => return None,
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
