use std::time::Duration;

use thiserror::Error;

/// The longest `ttl`, in seconds: 28 days, the longest that Firebase Cloud Messaging takes.
pub const MAX_TTL_SECONDS: u32 = 28 * 24 * 60 * 60;

/// The longest idempotency key, in bytes. Ours: three times a UUID, and half of Stripe's bound.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 128;

/// How long an event is worth being replayed to a client that was away: whole seconds, at most
/// [`MAX_TTL_SECONDS`]. 0 is for an event that is worth nothing later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// Checks a number of seconds; `None` above [`MAX_TTL_SECONDS`].
    #[must_use]
    pub fn from_secs(seconds: u64) -> Option<Self> {
        let seconds = u32::try_from(seconds).ok()?;
        (seconds <= MAX_TTL_SECONDS).then_some(Self(seconds))
    }

    /// The time in seconds.
    #[must_use]
    pub const fn as_secs(self) -> u32 {
        self.0
    }

    /// The time.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

/// What a sender calls a command, so that it is carried out once however often it is sent: 1 to
/// [`MAX_IDEMPOTENCY_KEY_BYTES`] visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// Checks a key.
    ///
    /// # Errors
    ///
    /// [`InvalidIdempotencyKey`] for an empty text, a long one, and one with a space or with
    /// anything else that is not visible ASCII.
    pub fn new(key: impl Into<Box<str>>) -> Result<Self, InvalidIdempotencyKey> {
        let key = key.into();
        let is_valid = !key.is_empty()
            && key.len() <= MAX_IDEMPOTENCY_KEY_BYTES
            && key.bytes().all(|byte| byte.is_ascii_graphic());
        is_valid.then_some(Self(key)).ok_or(InvalidIdempotencyKey)
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no [`IdempotencyKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an id must have 1 to {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII characters")]
pub struct InvalidIdempotencyKey;
