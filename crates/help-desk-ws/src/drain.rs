//! Moving clients to other processes, and stopping: who asks for it, and what is told of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hd_ws_server::{CancelDrain, Drain, DrainPlan, Engine, Phase, SocketIo};
use tokio::sync::Notify;

use crate::telemetry::events::{
    DrainCancelled, DrainProgress, Drained, Draining, Hurried, Stopped, Stopping,
};

/// Begins drains. Whoever watches for the end of the process, such as a task of ECS that is being
/// replaced, calls [`begin`](Self::begin) as the admin route does.
#[derive(Debug)]
pub(crate) struct Drainer {
    engine: Arc<Engine<SocketIo>>,
    shutdown_timeout: Duration,
    /// Sessions that earlier drains had lost when the latest one began.
    lost_before: AtomicU64,
    changed: Notify,
}

impl Drainer {
    pub(crate) fn new(engine: Arc<Engine<SocketIo>>, shutdown_timeout: Duration) -> Self {
        Self {
            engine,
            shutdown_timeout,
            lost_before: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    pub(crate) fn engine(&self) -> &Engine<SocketIo> {
        &self.engine
    }

    /// Moves the clients away and stays; see [`Engine::drain`].
    pub(crate) fn begin(&self, window: Option<Duration>) {
        self.note_losses();
        if let Drain::Begun(plan) = self.engine.drain(window) {
            Draining {
                clients: plan.clients,
                window: plan.window,
            }
            .emit();
            self.changed.notify_one();
        }
    }

    /// Keeps whoever is still connected, and admits new clients; see [`Engine::cancel_drain`].
    pub(crate) fn cancel(&self) -> CancelDrain {
        let cancelled = self.engine.cancel_drain();
        if let CancelDrain::Cancelled(plan) = cancelled {
            DrainCancelled {
                clients: plan.clients,
                left: self.engine.len(),
            }
            .emit();
            self.changed.notify_one();
        }
        cancelled
    }

    /// Moves the clients away and ends; closes the rest at once when it is called again.
    pub(crate) fn stop(&self, signal: &'static str) {
        let is_first = self.engine.deadline().is_none();
        self.note_losses();
        let told = Instant::now();
        let plan = self.engine.stop(self.shutdown_timeout);
        let clients = self.engine.len();
        if is_first {
            Stopping {
                signal,
                clients,
                // Of a drain that was under way, what is left.
                window: (plan.began + plan.window).saturating_duration_since(told.max(plan.began)),
                timeout: self.shutdown_timeout,
            }
            .emit();
        } else {
            Hurried { signal, clients }.emit();
        }
        self.changed.notify_one();
    }

    /// Tells how each drain gets on, for ever.
    pub(crate) async fn report(&self) {
        // When the drain began whose end has been told.
        let mut told = None;
        loop {
            let Some(plan) = self.plan().filter(|plan| told != Some(plan.began)) else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = self.engine.emptied() => {
                    told = Some(plan.began);
                    // A stop has the last word itself.
                    if self.engine.deadline().is_none() {
                        Drained {
                            clients: plan.clients,
                            lost: self.lost(),
                            elapsed: plan.began.elapsed(),
                        }
                        .emit();
                    }
                }
                () = self.changed.notified() => {}
                () = tokio::time::sleep(PROGRESS_INTERVAL) => {
                    let (clients, left) = (plan.clients, self.engine.len());
                    DrainProgress { clients, left }.emit();
                }
            }
        }
    }

    /// The last word.
    pub(crate) fn stopped(&self) {
        if let Some(plan) = self.plan() {
            Stopped {
                clients: plan.clients,
                lost: self.lost(),
                elapsed: plan.began.elapsed(),
            }
            .emit();
        }
    }

    /// Sessions that the latest drain has lost.
    pub(crate) fn lost(&self) -> u64 {
        let before = self.lost_before.load(Ordering::Relaxed);
        self.engine.counts().lost_total().saturating_sub(before)
    }

    /// What was lost so far is not the loss of a drain that begins now.
    fn note_losses(&self) {
        if self.plan().is_none() {
            let lost = self.engine.counts().lost_total();
            self.lost_before.store(lost, Ordering::Relaxed);
        }
    }

    fn plan(&self) -> Option<DrainPlan> {
        match self.engine.phase() {
            Phase::Draining(plan) | Phase::Stopped(plan) => Some(plan),
            Phase::Starting | Phase::Serving => None,
        }
    }
}

/// A line for an operator who watches, and not a flood.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
