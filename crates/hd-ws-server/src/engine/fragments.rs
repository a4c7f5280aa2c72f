//! A message that comes in fragments (RFC 6455 §5.4).

use super::frame_error::{FrameError, MAX_FRAGMENTS};
use super::partial_input::append;

/// The first fragments of a message.
#[derive(Debug)]
pub(super) struct Fragments {
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
    /// How much of a text is known to be UTF-8.
    valid: usize,
    /// How many fragments came after the first.
    count: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Binary,
}

impl Fragments {
    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            payload: Vec::new(),
            valid: 0,
            // The first is none that comes after it.
            count: 0,
        }
    }

    pub(super) fn add(
        &mut self,
        payload: &[u8],
        is_final: bool,
        most: usize,
    ) -> Result<(), FrameError> {
        if self.count > MAX_FRAGMENTS {
            return Err(FrameError::TooManyFragments);
        }
        self.count += 1;
        if self.payload.len().saturating_add(payload.len()) > most {
            return Err(FrameError::TooLarge);
        }
        append(&mut self.payload, payload, most);
        if self.kind == Kind::Text {
            let unchecked = &self.payload[self.valid..];
            match std::str::from_utf8(unchecked) {
                Ok(_) => self.valid = self.payload.len(),
                // A character may go on in the next fragment.
                Err(error) if error.error_len().is_none() && !is_final => {
                    self.valid += error.valid_up_to();
                }
                Err(_) => return Err(FrameError::InvalidUtf8),
            }
        }
        Ok(())
    }
}
