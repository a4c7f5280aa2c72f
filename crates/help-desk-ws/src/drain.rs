//! Moving clients to other processes, and stopping: who asks for it, and what is told of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hd_ws_server::{Drain, DrainPlan, Engine, Phase, SocketIo};
use tokio::sync::Notify;

use crate::telemetry::events::{DrainProgress, Drained, Draining, Hurried, Stopped, Stopping};

/// Begins drains. Whoever watches for the end of the process, such as a task of ECS that is being
/// replaced, calls [`begin`](Self::begin) as the admin route does.
#[derive(Debug)]
pub(crate) struct Drainer {
    engine: Arc<Engine<SocketIo>>,
    shutdown_timeout: Duration,
    begun: Notify,
}

impl Drainer {
    pub(crate) fn new(engine: Arc<Engine<SocketIo>>, shutdown_timeout: Duration) -> Self {
        Self {
            engine,
            shutdown_timeout,
            begun: Notify::new(),
        }
    }

    pub(crate) fn engine(&self) -> &Engine<SocketIo> {
        &self.engine
    }

    /// Moves the clients away and stays; see [`Engine::drain`].
    pub(crate) fn begin(&self, window: Option<Duration>) {
        if let Drain::Begun(plan) = self.engine.drain(window) {
            Draining {
                clients: plan.clients,
                window: plan.window,
            }
            .emit();
            self.begun.notify_one();
        }
    }

    /// Moves the clients away and ends; closes the rest at once when it is called again.
    pub(crate) fn stop(&self, signal: &'static str) {
        let is_first = self.engine.deadline().is_none();
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
        self.begun.notify_one();
    }

    /// Tells how the drain gets on, for ever.
    pub(crate) async fn report(&self) {
        self.begun.notified().await;
        loop {
            tokio::select! {
                () = self.engine.emptied() => break,
                () = tokio::time::sleep(PROGRESS_INTERVAL) => {
                    let (clients, left) = (self.plan().clients, self.engine.len());
                    DrainProgress { clients, left }.emit();
                }
            }
        }
        // A stop has the last word itself.
        if self.engine.deadline().is_none() {
            let plan = self.plan();
            let lost = self.lost();
            Drained {
                clients: plan.clients,
                lost,
                elapsed: plan.began.elapsed(),
            }
            .emit();
        }
        std::future::pending().await
    }

    /// The last word.
    pub(crate) fn stopped(&self) {
        let plan = self.plan();
        Stopped {
            clients: plan.clients,
            lost: self.lost(),
            elapsed: plan.began.elapsed(),
        }
        .emit();
    }

    fn plan(&self) -> DrainPlan {
        match self.engine.phase() {
            Phase::Draining(plan) | Phase::Stopped(plan) => plan,
            Phase::Starting | Phase::Serving => {
                unreachable!("invariant: asked for once a drain has begun")
            }
        }
    }

    fn lost(&self) -> u64 {
        self.engine.counts().lost_total()
    }
}

/// A line for an operator who watches, and not a flood.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
