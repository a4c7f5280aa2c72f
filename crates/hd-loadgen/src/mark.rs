//! The mark that a payload carries from the generator through the server back
//! to the generator: which event it is, and when it was due.

use std::time::{Duration, Instant};

use memchr::memmem;

/// One event's mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Counts up by one for each audience.
    pub(crate) sequence: u64,
    /// When the event was sent, or was due to be, since the clock's start.
    pub(crate) at: Duration,
}

/// One process' clock, which its marks are read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }

    /// The moment that this clock showed `at`.
    pub(crate) fn instant(self, at: Duration) -> Instant {
        self.0 + at
    }
}

impl Mark {
    /// A notification's payload with this mark, `bytes` long or a little more
    /// where the mark needs it.
    pub(crate) fn payload(self, bytes: usize) -> String {
        let (sequence, at) = (self.sequence, self.at.as_nanos() as u64);
        let mut payload = format!(
            r#"{{"mark":"{sequence:016x}{at:016x}","ticketId":7,"fecha":"2026-01-31T10:00:00.000Z","mensaje":""#
        );
        let padding = bytes.saturating_sub(payload.len() + 2);
        payload.extend(std::iter::repeat_n('x', padding));
        payload.push_str("\"}");
        payload
    }

    /// The mark in an event's text.
    pub(crate) fn find(text: &[u8]) -> Option<Self> {
        let start = memmem::find(text, KEY)? + KEY.len();
        let digits = text.get(start..start + 32)?;
        let (sequence, at) = digits.split_at(16);
        Some(Self {
            sequence: hexadecimal(sequence)?,
            at: Duration::from_nanos(hexadecimal(at)?),
        })
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

const KEY: &[u8] = br#""mark":""#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_in_its_payload() {
        let mark = Mark {
            sequence: 4711,
            at: Duration::from_nanos(1_234_567_890_123),
        };
        let payload = mark.payload(200);
        assert_eq!(payload.len(), 200);
        assert!(serde_json::from_str::<serde_json::Value>(&payload).is_ok());
        let text = format!(r#"42/notifications,["x",{payload}]"#);
        assert_eq!(Mark::find(text.as_bytes()), Some(mark));
    }

    #[test]
    fn no_mark_is_found_where_none_is() {
        assert_eq!(Mark::find(br#"42["x",{"mark":"00"}]"#), None);
    }
}
