use std::fmt;
use std::str::FromStr;

/// The place of an event in the one order of a log.
///
/// It is a time in milliseconds since 1970 and a count within the millisecond,
/// and written as Redis writes the ids of a stream: `1764072000123-0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset {
    millis: u64,
    count: u64,
}

/// A text is no [`Offset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an offset is two decimal numbers with a hyphen between them")]
pub struct InvalidOffset;

impl Offset {
    /// The offset of a time and a count.
    #[must_use]
    pub const fn new(millis: u64, count: u64) -> Self {
        Self { millis, count }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.millis
    }

    /// The count within the millisecond.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.count
    }

    /// It as JSON has it: a string, with nothing around it.
    #[must_use]
    pub fn to_json(self) -> String {
        let (mut millis, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
        let millis = millis.format(self.millis);
        ["\"", millis, "-", count.format(self.count), "\""].concat()
    }

    /// The offset that follows at this time. A clock that was set back does not
    /// change the order.
    #[must_use]
    pub const fn next(self, now_millis: u64) -> Self {
        if now_millis > self.millis {
            Self::new(now_millis, 0)
        } else if self.count == u64::MAX {
            Self::new(self.millis.saturating_add(1), 0)
        } else {
            Self::new(self.millis, self.count + 1)
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.count)
    }
}

impl FromStr for Offset {
    type Err = InvalidOffset;

    fn from_str(text: &str) -> Result<Self, InvalidOffset> {
        let (millis, count) = text.split_once('-').ok_or(InvalidOffset)?;
        Ok(Self::new(number(millis)?, number(count)?))
    }
}

/// A number without a sign: `u64` takes a plus.
fn number(text: &str) -> Result<u64, InvalidOffset> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| InvalidOffset)
    } else {
        Err(InvalidOffset)
    }
}
