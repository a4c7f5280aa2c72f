//! What waits for all clients together that read slowly.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use engineio_proto::CloseReason;

use super::{Application, Connection, Engine};
use crate::Rejection;

/// The sum over all send queues.
#[derive(Debug)]
pub(super) struct SendQueues {
    total: AtomicUsize,
    max_total: usize,
    /// Whether clients are being closed to get back below.
    is_shedding: AtomicBool,
}

impl SendQueues {
    pub(super) fn new(max_total: usize) -> Self {
        Self {
            total: AtomicUsize::new(0),
            max_total,
            is_shedding: AtomicBool::new(false),
        }
    }

    pub(super) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// A queue has changed. Returns whether it is the first to be over the
    /// bound.
    fn changed(&self, before: usize, after: usize) -> bool {
        if after <= before {
            self.total.fetch_sub(before - after, Ordering::Relaxed);
            return false;
        }
        let added = after - before;
        let total = self.total.fetch_add(added, Ordering::Relaxed) + added;
        total > self.max_total && !self.is_shedding.swap(true, Ordering::Relaxed)
    }
}

impl<A: Application> Connection<A> {
    /// Counts what waits now. Under the lock of the session, wherever its queue
    /// may have changed; a message that is written at once changes nothing.
    pub(super) fn count_queue(self: &Arc<Self>, queued: usize) {
        let before = self.queued.load(Ordering::Relaxed);
        if queued == before {
            return;
        }
        self.queued.store(queued, Ordering::Relaxed);
        if self.engine.queues.changed(before, queued) {
            let engine = Arc::clone(&self.engine);
            // Locks of other sessions are not taken under that of one.
            self.spawn(async move { engine.shed() });
        }
        self.tell_if_drained();
    }

    /// Has the application told once, by [`Application::drained`], when nothing waits for the client
    /// any more.
    pub(crate) fn tell_when_drained(self: &Arc<Self>) {
        // Under the lock, as every count of the queue.
        let state = self.lock();
        self.awaits_drain.store(true, Ordering::Relaxed);
        self.tell_if_drained();
        drop(state);
    }

    fn tell_if_drained(self: &Arc<Self>) {
        let is_drained = self.queued.load(Ordering::Relaxed) == 0;
        if is_drained && self.awaits_drain.swap(false, Ordering::Relaxed) {
            let connection = Arc::clone(self);
            // The caller holds the session's lock, and maybe the application's.
            self.spawn(async move {
                connection.engine.application.drained(&connection);
            });
        }
    }
}

impl<A: Application> Engine<A> {
    /// Closes the clients for which most waits, until an eighth of the bound is
    /// free: so it is not looked for them at every event.
    fn shed(&self) {
        let queues = &self.queues;
        let target = queues.max_total - queues.max_total / 8;
        let mut waiting: Vec<_> = self
            .connections
            .iter()
            .map(|entry| {
                let queued = entry.value().queued.load(Ordering::Relaxed);
                (queued, Arc::clone(entry.value()))
            })
            .filter(|(queued, _)| *queued > 0)
            .collect();
        waiting.sort_unstable_by_key(|(queued, _)| Reverse(*queued));
        // Of these alone: what is counted for connections that are closed already is no reason to
        // close others, down to those for which a few bytes wait.
        let mut total: usize = waiting.iter().map(|(queued, _)| queued).sum();
        for (queued, connection) in waiting {
            if total <= target {
                break;
            }
            self.limited(&connection, Rejection::MaxSendQueueTotalBytes, None);
            connection.abort(CloseReason::SendQueueFull);
            total = total.saturating_sub(queued);
        }
        queues.is_shedding.store(false, Ordering::Relaxed);
    }
}

/// What still waits goes with it.
impl<A: Application> Drop for Connection<A> {
    fn drop(&mut self) {
        let queued = *self.queued.get_mut();
        self.engine
            .queues
            .total
            .fetch_sub(queued, Ordering::Relaxed);
    }
}
