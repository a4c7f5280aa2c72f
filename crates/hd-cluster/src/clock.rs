//! The time that offsets have: that of Redis, as far as an instance knows it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The clock of Redis: what it said, and how long ago that was. Clocks of instances differ, and
/// are set; what is measured is the time since.
#[derive(Debug, Default)]
pub(crate) struct RedisClock {
    sample: Mutex<Option<Sample>>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    millis: u64,
    at: Instant,
}

impl RedisClock {
    /// Milliseconds since 1970. Before Redis has been asked, by the clock of this machine.
    pub(crate) fn now_millis(&self, now: Instant) -> u64 {
        let sample = *self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        sample.map_or_else(unix_millis, |sample| sample.at(now))
    }

    /// Takes over what Redis said, at some time between these two.
    ///
    /// What differs by less than an answer takes, or would set the clock back by less than
    /// [`MAX_AHEAD`], is left as it is: the clock does not go back and forth with each answer.
    pub(crate) fn handle_time(&self, millis: u64, asked: Instant, answered: Instant) {
        let taken = answered.saturating_duration_since(asked);
        let new = Sample {
            millis,
            at: asked + taken / 2,
        };
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        let is_kept = sample.is_some_and(|old| {
            let (old, new) = (old.at(answered), new.at(answered));
            let is_near = new.abs_diff(old) <= as_millis(taken);
            is_near || (new < old && old - new <= as_millis(MAX_AHEAD))
        });
        if !is_kept {
            *sample = Some(new);
        }
    }
}

impl Sample {
    fn at(self, now: Instant) -> u64 {
        let since = as_millis(now.saturating_duration_since(self.at));
        self.millis.saturating_add(since)
    }
}

fn unix_millis() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, as_millis)
}

fn as_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// By how much the clock may be ahead of that of Redis. Lives of events are counted in seconds.
const MAX_AHEAD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_redis_and_goes_on_with_the_monotonic_clock() {
        let clock = RedisClock::default();
        let began = Instant::now();
        let millis = Duration::from_millis;
        clock.handle_time(1000, began, began + millis(20));
        assert_eq!(clock.now_millis(began + millis(10)), 1000);
        assert_eq!(clock.now_millis(began + millis(510)), 1500);
        // Within what the answer took.
        clock.handle_time(1495, began + millis(500), began + millis(520));
        assert_eq!(clock.now_millis(began + millis(510)), 1500);
        // Redis is ahead.
        clock.handle_time(3000, began + millis(500), began + millis(520));
        assert_eq!(clock.now_millis(began + millis(510)), 3000);
        // It is a little behind, and then set back.
        clock.handle_time(2500, began + millis(500), began + millis(520));
        assert_eq!(clock.now_millis(began + millis(510)), 3000);
        clock.handle_time(1500, began + millis(500), began + millis(520));
        assert_eq!(clock.now_millis(began + millis(510)), 1500);
    }

    #[test]
    fn before_redis_has_said_it_the_time_is_that_of_the_machine() {
        assert!(RedisClock::default().now_millis(Instant::now()) > 1_700_000_000_000);
    }
}
