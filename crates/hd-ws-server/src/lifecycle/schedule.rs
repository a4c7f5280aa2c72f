//! When each client of a drain is closed.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// Clients, each with a random moment of its own.
///
/// The window is cut into as many slots as there are clients, and each client
/// has a random slot and a random moment in it: for one client any moment is as
/// likely as any other, and together they never bunch up.
#[derive(Debug)]
pub(super) struct Schedule<K> {
    /// The next one is the last.
    pending: Vec<(Instant, K)>,
    pace: Pace,
}

/// How many closes a second may have. The moments keep to it by themselves; after
/// a pause of the whole process many of them are past at once.
#[derive(Debug)]
enum Pace {
    /// The deadline asks for more than the rate.
    Free,
    Limited {
        rate: NonZeroU32,
        second: Instant,
        taken: u32,
    },
}

impl<K> Schedule<K> {
    /// Spreads `clients` over a window that begins at `now`. `random` gives
    /// numbers of which each bit is random.
    pub(super) fn new(
        mut clients: Vec<K>,
        window: Duration,
        rate: NonZeroU32,
        now: Instant,
        mut random: impl FnMut() -> u64,
    ) -> Self {
        for last in (1..clients.len()).rev() {
            clients.swap(last, below(last + 1, random()));
        }
        let slot = share(window, clients.len());
        let gap = slot.min(Duration::from_secs(1) / rate.get());
        let mut pending: Vec<(Instant, K)> = Vec::with_capacity(clients.len());
        let mut slot_begins = now;
        for client in clients {
            let mut at = slot_begins + fraction(slot, random());
            if let Some((before, _)) = pending.last() {
                at = at.max(*before + gap);
            }
            pending.push((at, client));
            slot_begins += slot;
        }
        let pace = Pace::new(pending.len(), window, rate, now);
        pending.reverse();
        Self { pending, pace }
    }

    pub(super) const fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// When the last one is due.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.pending.first().map(|(at, _)| *at)
    }

    /// When the next one is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let (at, _) = self.pending.last()?;
        Some(self.pace.ready_at().map_or(*at, |ready| ready.max(*at)))
    }

    /// The next one, if it is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<K> {
        self.next_at().filter(|at| *at <= now)?;
        let (_, client) = self.pending.pop()?;
        self.pace.take(now);
        Some(client)
    }

    /// Has what is pending fit into a shorter window that begins at `now`.
    /// Order and proportions stay.
    pub(super) fn shorten(&mut self, window: Duration, rate: NonZeroU32, now: Instant) {
        let left = self
            .ends_at()
            .map_or(Duration::ZERO, |end| end.saturating_duration_since(now));
        if left <= window {
            return;
        }
        let factor = window.as_secs_f64() / left.as_secs_f64();
        for (at, _) in &mut self.pending {
            *at = now + at.saturating_duration_since(now).mul_f64(factor);
        }
        self.pace = Pace::new(self.pending.len(), window, rate, now);
    }

    /// Has all that is pending due at `now`.
    pub(super) fn hurry(&mut self, now: Instant) {
        for (at, _) in &mut self.pending {
            *at = now;
        }
        self.pace = Pace::Free;
    }
}

impl Pace {
    fn new(clients: usize, window: Duration, rate: NonZeroU32, now: Instant) -> Self {
        if window < at_rate(clients, rate) {
            return Self::Free;
        }
        Self::Limited {
            rate,
            second: now,
            taken: 0,
        }
    }

    /// When there may be another one, if not at once.
    fn ready_at(&self) -> Option<Instant> {
        match self {
            Self::Limited {
                rate,
                second,
                taken,
            } if *taken >= rate.get() => Some(*second + Duration::from_secs(1)),
            Self::Free | Self::Limited { .. } => None,
        }
    }

    fn take(&mut self, now: Instant) {
        if let Self::Limited { second, taken, .. } = self {
            if now.saturating_duration_since(*second) >= Duration::from_secs(1) {
                (*second, *taken) = (now, 0);
            }
            *taken += 1;
        }
    }
}

/// How long this many closes take at this rate.
pub(super) fn at_rate(clients: usize, rate: NonZeroU32) -> Duration {
    Duration::from_secs(clients as u64) / rate.get()
}

fn share(window: Duration, clients: usize) -> Duration {
    u32::try_from(clients.max(1)).map_or(Duration::ZERO, |clients| window / clients)
}

/// A part of `whole`, as large as `random` is among all numbers.
pub(super) fn fraction(whole: Duration, random: u64) -> Duration {
    let nanos = (whole.as_nanos() * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn below(bound: usize, random: u64) -> usize {
    ((bound as u128 * u128::from(random)) >> 64) as usize
}
