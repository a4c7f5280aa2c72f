//! How many clients there may be.

use std::num::NonZeroUsize;

use tokio::sync::{Semaphore, SemaphorePermit};

/// A place for each client.
#[derive(Debug)]
pub(super) struct Places {
    free: Semaphore,
}

/// A place that is free again when it is dropped, and that a session keeps by
/// [`forget`](SemaphorePermit::forget).
pub(super) type Place<'a> = SemaphorePermit<'a>;

impl Places {
    pub(super) fn new(most: Option<NonZeroUsize>) -> Self {
        let most = most.map_or(Semaphore::MAX_PERMITS, NonZeroUsize::get);
        Self {
            free: Semaphore::new(most.min(Semaphore::MAX_PERMITS)),
        }
    }

    pub(super) fn take(&self) -> Option<Place<'_>> {
        self.free.try_acquire().ok()
    }

    /// A session that kept its place has ended.
    pub(super) fn give_back(&self) {
        self.free.add_permits(1);
    }
}
