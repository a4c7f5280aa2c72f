use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// When something is logged that may happen at any rate, and could fill the
/// log.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// In seconds since 1970; 0 when there is none.
    logged_at: AtomicU64,
}

impl Pace {
    /// Whether it is to be logged at this time since 1970, when it is at most
    /// once in an interval, in whole seconds. Whoever asks then logs it.
    pub(crate) fn is_due(&self, now: Duration, interval: Duration) -> bool {
        let now = now.as_secs();
        let logged_at = self.logged_at.load(Ordering::Relaxed);
        // The system's clock may have been set back.
        now.abs_diff(logged_at) >= interval.as_secs()
            && self
                .logged_at
                .compare_exchange(logged_at, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_logged_once_in_its_time() {
        let pace = Pace::default();
        let minute = Duration::from_secs(60);
        let noon = 1_800_000_000;
        let logged = [0, 0, 1, 59, 60, 61, 119, 120, 10_000, 120]
            .map(|seconds| pace.is_due(Duration::from_secs(noon + seconds), minute));
        let (yes, no) = (true, false);
        assert_eq!(logged, [yes, no, no, no, yes, no, no, yes, yes, yes]);
    }
}
