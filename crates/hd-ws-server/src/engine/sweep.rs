//! Deadlines of all sessions, on one coarse wheel.
//!
//! A timer per connection would cost each of them a timer entry and the runtime
//! a lock for every re-arming. Sessions are asked for their deadline instead,
//! and put into the slot of the tick at or after it. A deadline that moved
//! later in the meantime is noticed when the slot comes up.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use engineio_proto::Sid;

/// The wheel.
#[derive(Debug)]
pub(crate) struct Sweep {
    started: Instant,
    tick: Duration,
    wheel: Mutex<Wheel>,
}

#[derive(Debug)]
struct Wheel {
    /// `slots[tick % slots.len()]`; an entry is a session and the tick it was
    /// put in for.
    slots: Vec<Vec<(Sid, Tick)>>,
    current: Tick,
}

/// A number of ticks since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

impl Sweep {
    /// A wheel whose tick follows from the shortest of the periods that it
    /// watches: a sixteenth, between 10 ms and 1 s.
    pub(crate) fn new(shortest_period: Duration, started: Instant) -> Self {
        Self {
            started,
            tick: (shortest_period / 16).clamp(Duration::from_millis(10), Duration::from_secs(1)),
            wheel: Mutex::new(Wheel {
                slots: vec![Vec::new(); SLOTS],
                current: Tick(0),
            }),
        }
    }

    pub(crate) const fn tick(&self) -> Duration {
        self.tick
    }

    /// Makes sure that the session comes up at `deadline`, or before it when
    /// it is further away than the wheel reaches. `armed` is where it comes up
    /// now; only an earlier tick makes a new entry, and the old one is stale.
    pub(crate) fn arm(&self, sid: Sid, armed: &mut Option<Tick>, deadline: Instant) {
        let after = deadline.saturating_duration_since(self.started);
        let due = after.as_nanos().div_ceil(self.tick.as_nanos());
        if armed.is_some_and(|armed| u128::from(armed.0) <= due) {
            return;
        }
        let mut wheel = self.wheel.lock().unwrap_or_else(PoisonError::into_inner);
        let first = wheel.current.0 + 1;
        let last = wheel.current.0 + SLOTS as u64 - 1;
        let due = Tick(u64::try_from(due).unwrap_or(u64::MAX).clamp(first, last));
        if armed.is_none_or(|armed| due < armed) {
            *armed = Some(due);
            let slot = due.0 as usize % SLOTS;
            wheel.slots[slot].push((sid, due));
        }
    }

    /// The sessions whose tick has come at `now`, with that tick. A session
    /// that is armed for another tick by now is to be passed over.
    pub(crate) fn take_due(&self, now: Instant) -> Vec<(Sid, Tick)> {
        let elapsed = now.saturating_duration_since(self.started);
        let reached = (elapsed.as_nanos() / self.tick.as_nanos()) as u64;
        let mut due = Vec::new();
        let mut wheel = self.wheel.lock().unwrap_or_else(PoisonError::into_inner);
        while wheel.current.0 < reached {
            wheel.current.0 += 1;
            let slot = wheel.current.0 as usize % SLOTS;
            due.append(&mut wheel.slots[slot]);
        }
        due
    }
}

/// With ticks of one second: somewhat over a minute, more than any default
/// period.
const SLOTS: usize = 64;
