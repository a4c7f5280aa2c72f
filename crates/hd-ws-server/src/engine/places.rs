//! How many clients there may be.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

/// A place for each client. What is turned away is logged now and then.
#[derive(Debug)]
pub(super) struct Places {
    free: Semaphore,
    log: Mutex<Log>,
}

/// A place that is free again when it is dropped, and that a session keeps by
/// [`forget`](SemaphorePermit::forget).
pub(super) type Place<'a> = SemaphorePermit<'a>;

#[derive(Debug, Default)]
struct Log {
    last: Option<Instant>,
    /// Clients that no line has told of.
    untold: u64,
}

impl Places {
    pub(super) fn new(most: Option<NonZeroUsize>) -> Self {
        let most = most.map_or(Semaphore::MAX_PERMITS, NonZeroUsize::get);
        Self {
            free: Semaphore::new(most.min(Semaphore::MAX_PERMITS)),
            log: Mutex::default(),
        }
    }

    pub(super) fn take(&self) -> Option<Place<'_>> {
        self.free.try_acquire().ok()
    }

    /// A session that kept its place has ended.
    pub(super) fn give_back(&self) {
        self.free.add_permits(1);
    }

    /// A client was turned away. Returns how many a line in the log is to tell
    /// of, when it is time for one.
    pub(super) fn turned_away(&self, now: Instant) -> Option<u64> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.untold += 1;
        if log.last.is_some_and(|last| now < last + LOG_PAUSE) {
            return None;
        }
        log.last = Some(now);
        Some(std::mem::take(&mut log.untold))
    }
}

/// Between two lines about clients that were turned away, who may come by the
/// thousand.
const LOG_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_of_all_since_the_one_before() {
        let places = Places::new(NonZeroUsize::new(1));
        let start = Instant::now();
        assert_eq!(places.turned_away(start), Some(1));
        for _ in 0..1000 {
            assert_eq!(places.turned_away(start + LOG_PAUSE / 2), None);
        }
        assert_eq!(places.turned_away(start + LOG_PAUSE), Some(1001));
        assert_eq!(places.turned_away(start + LOG_PAUSE), None);
    }
}
