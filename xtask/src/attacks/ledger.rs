//! What happened to good clients and to the back end's events: how long it took, and what never came.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What the rig is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Clients connect for the first time.
    Warmup,
    /// Without the attack.
    Baseline,
    Attack,
    /// The attackers are gone; clients stay, and get what they missed.
    After,
}

/// The record of one run.
#[derive(Debug)]
pub(crate) struct Ledger {
    phase: Phase,
    clients: Vec<Presence>,
    has_been_in: Vec<bool>,
    events: Vec<Event>,
    /// Times of connecting, by the phase in which they began.
    connects: Vec<(Phase, Duration)>,
    deliveries: Vec<(Phase, Duration)>,
    /// Connections that ended without the client's wish, with or after the attack.
    pub(crate) cut: u64,
    /// Tries to connect that failed in the attack.
    pub(crate) failed: u64,
    /// Why, with counts.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Emits in the attack that were not accepted.
    pub(crate) emits_refused: u64,
}

#[derive(Debug, Clone, Copy)]
enum Presence {
    Absent,
    Connecting { since: Instant, phase: Phase },
    Joined { since: Instant },
}

#[derive(Debug)]
struct Event {
    at: Instant,
    phase: Phase,
    is_accepted: bool,
    received: u32,
}

/// Quantiles of durations.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Ledger {
    pub(crate) fn new(clients: usize) -> Self {
        Self {
            phase: Phase::Warmup,
            clients: vec![Presence::Absent; clients],
            has_been_in: vec![false; clients],
            events: Vec::new(),
            connects: Vec::new(),
            deliveries: Vec::new(),
            cut: 0,
            failed: 0,
            failures: BTreeMap::new(),
            emits_refused: 0,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
    }

    pub(crate) fn begin_connecting(&mut self, client: usize) {
        self.clients[client] = Presence::Connecting {
            since: Instant::now(),
            phase: self.phase,
        };
    }

    pub(crate) fn join(&mut self, client: usize) {
        let now = Instant::now();
        if let Presence::Connecting { since, phase } = self.clients[client] {
            self.connects.push((phase, now - since));
        }
        self.clients[client] = Presence::Joined { since: now };
        self.has_been_in[client] = true;
    }

    pub(crate) fn leave(&mut self, client: usize) {
        self.clients[client] = Presence::Absent;
    }

    /// The service, or the network, ended a client's connection.
    pub(crate) fn cut(&mut self, why: &str) {
        if self.is_judged() {
            self.cut += 1;
            self.count(format!("cut: {why}"));
        }
    }

    /// A try to connect failed.
    pub(crate) fn fail(&mut self, why: &str) {
        if self.is_judged() {
            self.failed += 1;
            self.count(format!("connect: {why}"));
        }
    }

    /// The back end emits an event to a client; its number. `None` for a client that has not been in yet: it
    /// missed nothing.
    pub(crate) fn emit(&mut self, client: usize) -> Option<u64> {
        if !self.has_been_in[client] {
            return None;
        }
        self.events.push(Event {
            at: Instant::now(),
            phase: self.phase,
            is_accepted: false,
            received: 0,
        });
        Some(self.events.len() as u64 - 1)
    }

    pub(crate) fn accept(&mut self, number: u64) {
        if let Some(event) = self.events.get_mut(number as usize) {
            event.is_accepted = true;
        }
    }

    pub(crate) fn refuse(&mut self, why: String) {
        if self.is_judged() {
            self.emits_refused += 1;
            self.count(format!("emit: {why}"));
        }
    }

    /// A client got an event.
    pub(crate) fn deliver(&mut self, number: u64, client: usize) {
        let Some(event) = self.events.get_mut(number as usize) else {
            return;
        };
        event.received += 1;
        // What was replayed to a client that was away says nothing of the way there.
        if let Presence::Joined { since } = self.clients[client]
            && since <= event.at
        {
            self.deliveries.push((event.phase, event.at.elapsed()));
        }
    }

    /// Clients that are in.
    pub(crate) fn joined(&self) -> usize {
        let joined = |presence: &&Presence| matches!(presence, Presence::Joined { .. });
        self.clients.iter().filter(joined).count()
    }

    /// Clients in all.
    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Accepted events that no client has got, of those that are older than this.
    pub(crate) fn lost_for(&self, age: Duration) -> usize {
        self.accepted()
            .filter(|event| event.received == 0 && event.at.elapsed() > age)
            .count()
    }

    /// Accepted events that no client has got.
    pub(crate) fn lost(&self) -> usize {
        self.accepted().filter(|event| event.received == 0).count()
    }

    /// Events that a client has got more than once.
    pub(crate) fn duplicated(&self) -> usize {
        self.accepted().filter(|event| event.received > 1).count()
    }

    /// Events that were accepted in this phase.
    pub(crate) fn emitted(&self, phase: Phase) -> usize {
        self.accepted().filter(|event| event.phase == phase).count()
    }

    /// How long connecting took that began in this phase; who is not in yet counts with the time so far.
    pub(crate) fn connect_times(&self, phase: Phase) -> Spread {
        let waiting = self.clients.iter().filter_map(|client| match client {
            Presence::Connecting { since, phase } => Some((*phase, since.elapsed())),
            Presence::Absent | Presence::Joined { .. } => None,
        });
        spread(self.connects.iter().copied().chain(waiting), phase)
    }

    pub(crate) fn delivery_times(&self, phase: Phase) -> Spread {
        spread(self.deliveries.iter().copied(), phase)
    }

    fn accepted(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| event.is_accepted)
    }

    fn is_judged(&self) -> bool {
        matches!(self.phase, Phase::Attack | Phase::After)
    }

    fn count(&mut self, why: String) {
        *self.failures.entry(why).or_default() += 1;
    }
}

fn spread(samples: impl Iterator<Item = (Phase, Duration)>, phase: Phase) -> Spread {
    let mut times: Vec<Duration> = samples
        .filter(|(of, _)| *of == phase)
        .map(|(_, time)| time)
        .collect();
    times.sort_unstable();
    let Some(last) = times.len().checked_sub(1) else {
        return Spread::default();
    };
    Spread {
        count: times.len(),
        p50: times[last / 2],
        p99: times[last * 99 / 100],
        max: times[last],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_event_that_nobody_got_is_lost() {
        let mut ledger = Ledger::new(1);
        ledger.enter(Phase::Attack);
        assert_eq!(ledger.emit(0), None, "it has not been in yet");
        ledger.join(0);
        let numbers = [0; 3].map(|client| ledger.emit(client).unwrap());
        ledger.accept(numbers[0]);
        ledger.accept(numbers[1]);
        ledger.deliver(numbers[1], 0);
        ledger.deliver(numbers[1], 0);
        assert_eq!((ledger.lost(), ledger.duplicated()), (1, 1));
        assert_eq!(ledger.emitted(Phase::Attack), 2);
    }

    #[test]
    fn a_client_that_is_not_in_counts_with_its_time_so_far() {
        let mut ledger = Ledger::new(2);
        ledger.enter(Phase::Attack);
        ledger.begin_connecting(0);
        ledger.begin_connecting(1);
        ledger.join(1);
        ledger.enter(Phase::After);
        assert_eq!(ledger.connect_times(Phase::Attack).count, 2);
        assert_eq!(ledger.connect_times(Phase::Baseline).count, 0);
    }

    #[test]
    fn a_replayed_event_is_no_delivery_time() {
        let mut ledger = Ledger::new(1);
        ledger.join(0);
        ledger.leave(0);
        let missed = ledger.emit(0).unwrap();
        ledger.begin_connecting(0);
        ledger.deliver(missed, 0);
        ledger.join(0);
        let live = ledger.emit(0).unwrap();
        ledger.deliver(live, 0);
        assert_eq!(ledger.delivery_times(Phase::Warmup).count, 1);
    }
}
