//! Token buckets: how much may be done at once, and how often in the long run.

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How fast a [`TokenBucket`] fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that are added in each period.
    tokens: NonZeroU32,
    period_nanos: u64,
    /// The time in which an empty bucket fills.
    capacity_nanos: u64,
}

impl Rate {
    /// `tokens` in each `period`, and a bucket that holds `burst` of them.
    ///
    /// A bucket holds one token at least, and a period is at least a
    /// nanosecond long.
    #[must_use]
    pub fn new(tokens: NonZeroU32, period: Duration, burst: u32) -> Self {
        let period_nanos = nanos(period).max(1);
        let mut rate = Self {
            tokens,
            period_nanos,
            capacity_nanos: 0,
        };
        rate.capacity_nanos = rate.time_of(u64::from(burst.max(1)));
        rate
    }

    /// `tokens` a second, and a bucket that holds those of `burst` seconds.
    #[must_use]
    pub fn per_second(tokens: NonZeroU32, burst: u32) -> Self {
        let burst = tokens.get().saturating_mul(burst);
        Self::new(tokens, Duration::from_secs(1), burst)
    }

    /// The same rate, in a bucket that holds `burst` tokens, or more if it held
    /// more before.
    #[must_use]
    pub fn with_burst_of_at_least(mut self, burst: u64) -> Self {
        self.capacity_nanos = self.capacity_nanos.max(self.time_of(burst));
        self
    }

    /// The time in which so many tokens are added.
    fn time_of(self, tokens: u64) -> u64 {
        tokens.saturating_mul(self.period_nanos) / u64::from(self.tokens.get())
    }
}

/// A moment, as buckets count time. Whoever asks several of them asks the clock
/// once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BucketTime(
    /// In nanoseconds since [`EPOCH`].
    u64,
);

impl BucketTime {
    /// The present moment.
    #[must_use]
    pub fn now() -> Self {
        Instant::now().into()
    }
}

impl From<Instant> for BucketTime {
    fn from(now: Instant) -> Self {
        Self(nanos(now.saturating_duration_since(*EPOCH)))
    }
}

/// A token bucket, by the generic cell rate algorithm: eight bytes that hold
/// when it is full again. A new one is full.
///
/// It does not know its [`Rate`], which many of them share.
#[derive(Debug, Default)]
pub struct TokenBucket {
    /// In nanoseconds since [`EPOCH`]; in the past when it is full.
    full_at: AtomicU64,
}

impl TokenBucket {
    /// Takes tokens if they are there. More tokens than the bucket holds are
    /// taken from a full one, which then owes the rest.
    ///
    /// # Errors
    ///
    /// The time after which they are there, unless others take them.
    pub fn take(
        &self,
        rate: &Rate,
        tokens: u64,
        now: impl Into<BucketTime>,
    ) -> Result<(), Duration> {
        let BucketTime(now) = now.into();
        let cost = rate.time_of(tokens);
        let needed = cost.min(rate.capacity_nanos);
        let limit = now.saturating_add(rate.capacity_nanos - needed);
        let taken = self
            .full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                let full_at = full_at.max(now);
                (full_at <= limit).then(|| full_at.saturating_add(cost))
            });
        match taken {
            Ok(_) => Ok(()),
            Err(full_at) => Err(Duration::from_nanos(full_at.saturating_sub(limit))),
        }
    }

    /// Takes tokens, whether they are there or not. Returns how long it takes
    /// until the bucket owes nothing; zero when it does not.
    pub fn charge(&self, rate: &Rate, tokens: u64, now: impl Into<BucketTime>) -> Duration {
        let BucketTime(now) = now.into();
        let cost = rate.time_of(tokens);
        let mut charged = 0;
        let _previous =
            self.full_at
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                    charged = full_at.max(now).saturating_add(cost);
                    Some(charged)
                });
        Duration::from_nanos(charged.saturating_sub(now.saturating_add(rate.capacity_nanos)))
    }

    /// Whether as many tokens are there as the bucket holds: it is as good as a
    /// new one.
    #[must_use]
    pub fn is_full(&self, now: impl Into<BucketTime>) -> bool {
        self.full_at.load(Ordering::Relaxed) <= now.into().0
    }
}

/// 584 years at most.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What buckets count time from: an [`Instant`] takes twice the memory, and is
/// not atomic. One that is earlier counts as this.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).unwrap()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn gives_the_burst_at_once_and_then_the_rate() {
        let rate = Rate::new(tokens(1), 10 * SECOND, 6);
        let bucket = TokenBucket::default();
        let now = Instant::now() + SECOND;
        for _ in 0..6 {
            assert_eq!(bucket.take(&rate, 1, now), Ok(()));
        }
        assert_eq!(bucket.take(&rate, 1, now), Err(10 * SECOND));
        assert_eq!(bucket.take(&rate, 1, now + 9 * SECOND), Err(SECOND));
        assert_eq!(bucket.take(&rate, 1, now + 10 * SECOND), Ok(()));
        assert!(bucket.take(&rate, 1, now + 10 * SECOND).is_err());
        // Nothing is saved up beyond the burst.
        let later = now + 1000 * SECOND;
        assert!(bucket.is_full(later));
        assert_eq!(bucket.take(&rate, 6, later), Ok(()));
        assert!(bucket.take(&rate, 1, later).is_err());
    }

    #[test]
    fn a_refused_attempt_costs_nothing() {
        let rate = Rate::per_second(tokens(10), 1);
        let bucket = TokenBucket::default();
        let now = Instant::now() + SECOND;
        assert_eq!(bucket.take(&rate, 10, now), Ok(()));
        for _ in 0..1000 {
            assert!(bucket.take(&rate, 1, now).is_err());
        }
        assert_eq!(bucket.take(&rate, 10, now + SECOND), Ok(()));
    }

    #[test]
    fn more_than_the_burst_is_taken_from_a_full_bucket_and_owed() {
        let rate = Rate::per_second(tokens(10), 1);
        let bucket = TokenBucket::default();
        let now = Instant::now() + SECOND;
        assert_eq!(bucket.take(&rate, 30, now), Ok(()));
        assert_eq!(bucket.take(&rate, 10, now), Err(3 * SECOND));
        assert_eq!(bucket.take(&rate, 10, now + 3 * SECOND), Ok(()));
    }

    #[test]
    fn a_charge_says_how_long_the_debt_lasts() {
        let rate = Rate::per_second(tokens(50), 5);
        let bucket = TokenBucket::default();
        let now = Instant::now() + SECOND;
        assert_eq!(bucket.charge(&rate, 250, now), Duration::ZERO);
        assert_eq!(bucket.charge(&rate, 50, now), SECOND);
        assert_eq!(bucket.charge(&rate, 0, now + SECOND), Duration::ZERO);
        let rate = rate.with_burst_of_at_least(1000);
        let bucket = TokenBucket::default();
        assert_eq!(bucket.charge(&rate, 1000, now), Duration::ZERO);
    }
}
