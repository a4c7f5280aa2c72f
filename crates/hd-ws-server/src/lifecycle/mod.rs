//! When a server takes clients, and how it sends them away.

mod schedule;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use schedule::{Schedule, at_rate, fraction};

/// The life of a server, as a machine without I/O.
///
/// After any `handle_*` call, and when the time of
/// [`poll_timeout`](Self::poll_timeout) has come, ask for [`poll`](Self::poll)
/// until it gives nothing.
#[derive(Debug)]
pub(crate) struct Lifecycle<K> {
    window: Duration,
    rate: NonZeroU32,
    state: State<K>,
}

/// ```text
///                   ◄── drain cancelled ───
///   Starting ──► Serving ── drain, stop ──► Draining ── stopping, and all are gone ──► Stopped
///       │                                   ▲                  or the time is up
///       └─────────── drain, stop ───────────┘
/// ```
#[derive(Debug)]
enum State<K> {
    Starting,
    Serving,
    Draining {
        plan: DrainPlan,
        schedule: Schedule<K>,
        end: End,
    },
    Stopped {
        plan: DrainPlan,
        deadline: Instant,
    },
}

/// How a drain ends.
///
/// ```text
///   Open ── stop ──► Closing ── all are closed ──► Fetching ── given up ──► Leaving
/// ```
#[derive(Clone, Copy, Debug)]
enum End {
    /// It does not: the server goes on to answer.
    Open,
    /// Until `flush` before the deadline clients are closed at their moments.
    Closing { deadline: Instant, flush: Duration },
    /// Clients that poll may come for the rest.
    Fetching { deadline: Instant, until: Instant },
    /// Whoever reads slowly has the time that is left.
    Leaving { deadline: Instant },
}

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does not serve yet.
    Starting,
    /// Clients are let in.
    Serving,
    /// New clients are turned away, and connected ones closed one by one.
    Draining(DrainPlan),
    /// It serves no more.
    Stopped(DrainPlan),
}

/// What a drain sets out to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainPlan {
    /// When it began.
    pub began: Instant,
    /// Clients that were connected then.
    pub clients: usize,
    /// The time after `began` in which their transports are closed.
    pub window: Duration,
}

/// What became of a call for a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// It began with this call.
    Begun(DrainPlan),
    /// One was under way.
    UnderWay(DrainPlan),
}

/// The outcome of a call that cancels a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelDrain {
    /// New clients are admitted again, and no client is closed any more.
    Cancelled(DrainPlan),
    /// No drain was under way.
    NotDraining,
    /// The server is stopping, or has stopped: that cannot be cancelled.
    Stopping,
}

/// What the owner has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<K> {
    /// Close this client's transport.
    Close(K),
    /// End the sessions that poll: their clients do not come any more.
    EndPolling,
    /// The time is up: end all sessions.
    EndAll,
}

impl<K> Lifecycle<K> {
    pub(crate) const fn new(window: Duration, rate: NonZeroU32) -> Self {
        Self {
            window,
            rate,
            state: State::Starting,
        }
    }

    pub(crate) const fn phase(&self) -> Phase {
        match self.state {
            State::Starting => Phase::Starting,
            State::Serving => Phase::Serving,
            State::Draining { plan, .. } => Phase::Draining(plan),
            State::Stopped { plan, .. } => Phase::Stopped(plan),
        }
    }

    /// Whether new clients are turned away.
    pub(crate) const fn is_draining(&self) -> bool {
        match self.state {
            State::Starting | State::Serving => false,
            State::Draining { .. } | State::Stopped { .. } => true,
        }
    }

    /// When the server stops at the latest, once it was told to.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Draining { end, .. } => end.deadline(),
            State::Stopped { deadline, .. } => Some(*deadline),
            State::Starting | State::Serving => None,
        }
    }

    /// The server accepts connections.
    pub(crate) fn handle_started(&mut self) {
        if matches!(self.state, State::Starting) {
            self.state = State::Serving;
        }
    }

    /// Clients are to be moved away; the server stays. `window` is kept to
    /// whatever the number of clients, but for the rate; without one it is the
    /// configured one, or less for a few clients. A drain that is under way
    /// is only ever hastened.
    pub(crate) fn handle_drain(
        &mut self,
        clients: Vec<K>,
        window: Option<Duration>,
        now: Instant,
        random: impl FnMut() -> u64,
    ) -> Drain {
        let count = match &self.state {
            State::Starting | State::Serving => clients.len(),
            State::Draining { schedule, .. } => schedule.len(),
            State::Stopped { plan, .. } => return Drain::UnderWay(*plan),
        };
        let spread = match window {
            Some(window) => window.max(at_rate(count, self.rate)),
            None => self.usual_window(count),
        };
        if let State::Draining { plan, schedule, .. } = &mut self.state {
            if window.is_some() {
                plan.shorten(schedule, spread, self.rate, now);
            }
            return Drain::UnderWay(*plan);
        }
        Drain::Begun(self.begin(clients, spread, End::Open, now, random))
    }

    /// The clients that are still connected are to stay, and new ones are
    /// admitted again. A stop is final: whoever asked for it, such as ECS, kills
    /// the process soon.
    pub(crate) fn handle_drain_cancelled(&mut self) -> CancelDrain {
        match &self.state {
            State::Starting | State::Serving => CancelDrain::NotDraining,
            State::Draining {
                plan,
                end: End::Open,
                ..
            } => {
                let plan = *plan;
                self.state = State::Serving;
                CancelDrain::Cancelled(plan)
            }
            State::Draining { .. } | State::Stopped { .. } => CancelDrain::Stopping,
        }
    }

    /// The server is to stop within `timeout`. The second time, whoever is left
    /// is closed at once.
    pub(crate) fn handle_stop(
        &mut self,
        clients: Vec<K>,
        timeout: Duration,
        now: Instant,
        random: impl FnMut() -> u64,
    ) -> DrainPlan {
        let deadline = now + timeout;
        let flush = (timeout / 4).min(MOST_FLUSH);
        let usual_window = self.usual_window(match &self.state {
            State::Starting | State::Serving => clients.len(),
            State::Draining { schedule, .. } => schedule.len(),
            State::Stopped { plan, .. } => return *plan,
        });
        let spread = usual_window.min(timeout - flush);
        let State::Draining {
            plan,
            schedule,
            end,
        } = &mut self.state
        else {
            return self.begin(
                clients,
                spread,
                End::Closing { deadline, flush },
                now,
                random,
            );
        };
        match *end {
            End::Open => {
                plan.shorten(schedule, spread, self.rate, now);
                *end = End::Closing { deadline, flush };
            }
            End::Closing { deadline, flush } => {
                schedule.hurry(now);
                plan.window = now.saturating_duration_since(plan.began);
                let deadline = deadline.min(now + flush);
                *end = End::Closing { deadline, flush };
            }
            End::Fetching { deadline, until } => {
                let deadline = deadline.min(until);
                *end = End::Fetching { deadline, until };
            }
            End::Leaving { .. } => *end = End::Leaving { deadline: now },
        }
        *plan
    }

    /// No session is left.
    pub(crate) fn handle_emptied(&mut self) {
        if let State::Draining { plan, end, .. } = self.state
            && let Some(deadline) = end.deadline()
        {
            self.state = State::Stopped { plan, deadline };
        }
    }

    /// What to do at `now`.
    #[must_use]
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Step<K>> {
        let State::Draining {
            plan,
            schedule,
            end,
        } = &mut self.state
        else {
            return None;
        };
        if let Some(deadline) = end.deadline()
            && deadline <= now
        {
            let plan = *plan;
            self.state = State::Stopped { plan, deadline };
            return Some(Step::EndAll);
        }
        if let Some(client) = schedule.pop_due(now) {
            return Some(Step::Close(client));
        }
        match *end {
            End::Closing { deadline, flush } if schedule.is_empty() => {
                let until = deadline.min(now + flush);
                *end = End::Fetching { deadline, until };
                None
            }
            End::Fetching { deadline, until } if until <= now => {
                *end = End::Leaving { deadline };
                Some(Step::EndPolling)
            }
            End::Open | End::Closing { .. } | End::Fetching { .. } | End::Leaving { .. } => None,
        }
    }

    /// When [`poll`](Self::poll) has something to do next.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let State::Draining { schedule, end, .. } = &self.state else {
            return None;
        };
        let end = match *end {
            End::Open => None,
            End::Closing { deadline, .. } | End::Leaving { deadline } => Some(deadline),
            End::Fetching { until, deadline } => Some(until.min(deadline)),
        };
        schedule.next_at().into_iter().chain(end).min()
    }

    fn begin(
        &mut self,
        clients: Vec<K>,
        window: Duration,
        end: End,
        now: Instant,
        random: impl FnMut() -> u64,
    ) -> DrainPlan {
        let plan = DrainPlan {
            began: now,
            clients: clients.len(),
            window,
        };
        self.state = State::Draining {
            plan,
            schedule: Schedule::new(clients, window, self.rate, now, random),
            end,
        };
        plan
    }

    /// The configured window, less when there are few clients, and more when
    /// there are too many for the rate.
    fn usual_window(&self, clients: usize) -> Duration {
        let gaps = u32::try_from(clients).map_or(Duration::MAX, |clients| {
            MOST_MEAN_GAP.saturating_mul(clients)
        });
        self.window.min(gaps).max(at_rate(clients, self.rate))
    }
}

impl DrainPlan {
    /// Has what is left end within `window` from `now`.
    fn shorten<K>(
        &mut self,
        schedule: &mut Schedule<K>,
        window: Duration,
        rate: NonZeroU32,
        now: Instant,
    ) {
        schedule.shorten(window, rate, now);
        let ends = now + window;
        self.window = self.window.min(ends.saturating_duration_since(self.began));
    }
}

impl End {
    const fn deadline(self) -> Option<Instant> {
        match self {
            Self::Open => None,
            Self::Closing { deadline, .. }
            | Self::Fetching { deadline, .. }
            | Self::Leaving { deadline } => Some(deadline),
        }
    }
}

/// An age up to a tenth shorter or longer, so that clients that came together do
/// not go together.
pub(crate) fn jittered(age: Duration, random: u64) -> Duration {
    age - age / 10 + fraction(age / 5, random)
}

/// Time at the end of a stop in which nobody is closed any more, and what waits
/// is written and fetched: a quarter of the whole, and no more than a client
/// needs that polls over a bad line.
const MOST_FLUSH: Duration = Duration::from_secs(5);
/// A few clients are no herd: one that is alone goes within this time, ten go
/// within ten times as long. AnyCable's slow drain takes 500 ms, and a
/// developer who stops the server should not have to wait.
const MOST_MEAN_GAP: Duration = Duration::from_millis(100);
