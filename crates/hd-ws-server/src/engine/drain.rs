//! Sending clients away: the engine's side of [`Lifecycle`].

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engineio_proto::{CloseReason, Sid, Transport};

use super::{Application, Connection, Engine};
use crate::lifecycle::{CancelDrain, Drain, DrainPlan, Lifecycle, Phase, Step};

impl<A: Application> Engine<A> {
    /// Where the server is in its life.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.lifecycle().phase()
    }

    /// Whether new clients are turned away with 503.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.lifecycle().is_draining()
    }

    /// When the server stops at the latest, once it was told to.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.lifecycle().deadline()
    }

    /// Turns new clients away from now on, and closes the connected ones one by
    /// one, each at a random moment: a load balancer and the clients themselves
    /// look for another server. No packet tells a client to stay away, so it
    /// reconnects. The server goes on to answer until [`stop`](Self::stop).
    ///
    /// The moments are spread over `window`, or over a longer one when
    /// [`ServerConfig::drain_rate`](crate::ServerConfig::drain_rate) asks for
    /// it. Without a window it is
    /// [`ServerConfig::drain_window`](crate::ServerConfig::drain_window), and
    /// less for a few clients. Called again, with a window, it can only hasten
    /// the drain that is under way.
    pub fn drain(&self, window: Option<Duration>) -> Drain {
        let drain = {
            let mut lifecycle = self.lifecycle();
            // Under the lock: whoever is missing here sees the drain; see `insert`.
            let clients = self.sids();
            let random = random_numbers(clients.len());
            lifecycle.handle_drain(clients, window, Instant::now(), random)
        };
        self.lifecycle_changed.notify_one();
        drain
    }

    /// Cancels a drain: new clients are admitted again, and those that are still
    /// connected stay. A [`stop`](Self::stop) cannot be cancelled.
    pub fn cancel_drain(&self) -> CancelDrain {
        let cancelled = self.lifecycle().handle_drain_cancelled();
        // The moments that the task waits for are void.
        self.lifecycle_changed.notify_one();
        cancelled
    }

    /// Has the server stop within `timeout`: as [`drain`](Self::drain), with a
    /// window that ends in time, and then [`Server::serve`](crate::Server::serve)
    /// returns. Called again, it closes who is left at once.
    pub fn stop(&self, timeout: Duration) -> DrainPlan {
        let plan = {
            let mut lifecycle = self.lifecycle();
            let clients = self.sids();
            let random = random_numbers(clients.len());
            lifecycle.handle_stop(clients, timeout, Instant::now(), random)
        };
        self.lifecycle_changed.notify_one();
        plan
    }

    pub(crate) fn started(&self) {
        self.lifecycle().handle_started();
    }

    /// Closes clients when it is their time. Ends when the server was told to
    /// stop, and no session is left or the time is up. Returns the deadline.
    pub(crate) async fn run_lifecycle(&self) -> Instant {
        loop {
            for turn in 1_usize.. {
                let step = self.lifecycle().poll(Instant::now());
                match step {
                    None if turn == 1 => break,
                    None => {
                        self.clients_sent_away.notify_waiters();
                        break;
                    }
                    Some(Step::Close(sid)) => {
                        if let Some(connection) = self.find(&sid) {
                            self.counts.drained();
                            connection.close(CloseReason::ServerShuttingDown);
                        }
                    }
                    Some(Step::EndPolling) => {
                        self.end_all(|transport| transport == Transport::Polling)
                    }
                    Some(Step::EndAll) => self.end_all(|_| true),
                }
                if turn % CLOSE_BATCH == 0 {
                    tokio::task::yield_now().await;
                }
            }
            let (phase, deadline, next) = {
                let lifecycle = self.lifecycle();
                let deadline = lifecycle.deadline();
                (lifecycle.phase(), deadline, lifecycle.poll_timeout())
            };
            if let (Phase::Stopped(_), Some(deadline)) = (phase, deadline) {
                return deadline;
            }
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.lifecycle_changed.notified() => {}
                () = self.emptied(), if deadline.is_some() => {
                    self.lifecycle().handle_emptied();
                }
            }
        }
    }

    /// Waits until a drain, or a stop, closes this client.
    pub(super) async fn sends_away(&self, connection: &Connection<A>) {
        loop {
            let sent_away = self.clients_sent_away.notified();
            tokio::pin!(sent_away);
            sent_away.as_mut().enable();
            if !connection.is_open() {
                return;
            }
            sent_away.await;
        }
    }

    fn lifecycle(&self) -> MutexGuard<'_, Lifecycle<Sid>> {
        self.lifecycle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn sids(&self) -> Vec<Sid> {
        self.connections.iter().map(|entry| *entry.key()).collect()
    }

    /// Ends the sessions on these transports. What waits for them is lost.
    fn end_all(&self, is_meant: impl Fn(Transport) -> bool) {
        // Collected first: ending may remove an entry of the map.
        let connections: Vec<Arc<Connection<A>>> = self
            .connections
            .iter()
            .filter(|entry| is_meant(entry.value().transport()))
            .map(|entry| Arc::clone(entry.value()))
            .collect();
        for connection in connections {
            connection.abort(CloseReason::ServerShuttingDown);
        }
    }
}

/// Two for each client.
fn random_numbers(clients: usize) -> impl FnMut() -> u64 {
    let mut bytes = vec![0; 2 * size_of::<u64>() * clients];
    getrandom::fill(&mut bytes).expect("invariant: the operating system gives random bytes");
    let mut place = 0;
    move || {
        let word = bytes.get(place..).and_then(<[u8]>::first_chunk);
        place += size_of::<u64>();
        word.map_or(0, |word| u64::from_ne_bytes(*word))
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Clients that are closed before the task lets others run.
const CLOSE_BATCH: usize = 128;
