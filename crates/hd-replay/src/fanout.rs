//! Events for many sockets: the order in which they are sent.

use std::collections::VecDeque;

use crate::rules::Rules;
use crate::{Rule, Standing};

/// What [`FanoutQueue::enter`] returns for a client that is behind. Such a socket is not sent the events
/// that are sent without the queue either.
pub const DUE_NONE: u64 = u64::MAX;

/// Events that wait to be sent, in the order in which they were published.
///
/// An event for a few sockets is sent at once while nothing waits. Any other is queued, and everything
/// that is published later waits behind it.
#[derive(Debug)]
pub struct FanoutQueue<J> {
    waiting: VecDeque<Queued<J>>,
    turn: Turn,
    /// Events that were queued so far.
    count: u64,
    max_direct: usize,
    rules: Rules,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Idle,
    /// A task sends what was queued, and looks again until nothing is left.
    Running,
}

/// An event that was queued.
#[derive(Debug)]
pub struct Queued<J> {
    number: u64,
    job: J,
}

/// What the caller has to do for an event that it queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Start {
    /// Start a task that sends what is queued.
    Task,
    /// Nothing: a task is running.
    Nothing,
}

/// Events on their way through the sockets of one audience.
///
/// An event begins at the position of the pass, and ends when the pass is there again. Each socket is
/// written to once for all events that are under way. As events begin in the order in which they
/// were queued, no socket gets one before an earlier one.
#[derive(Debug)]
pub struct FanoutPass<K, J> {
    sockets: Vec<K>,
    position: usize,
    under_way: Vec<UnderWay<J>>,
}

#[derive(Debug)]
struct UnderWay<J> {
    queued: Queued<J>,
    /// Sockets that have yet to be written to.
    left: usize,
    took: usize,
}

/// The events of a pass that a socket is due.
#[derive(Debug)]
pub enum Due<'a, J> {
    /// All that are under way.
    All,
    /// The later ones: the socket entered after the others were queued.
    Later(Later<'a, J>),
}

/// The later events of a pass, in order.
#[derive(Debug)]
pub struct Later<'a, J>(std::slice::Iter<'a, UnderWay<J>>);

impl<'a, J> Iterator for Later<'a, J> {
    type Item = &'a J;

    fn next(&mut self) -> Option<&'a J> {
        self.0.next().map(|event| &event.queued.job)
    }
}

impl<J> Queued<J> {
    /// The event.
    pub const fn job(&self) -> &J {
        &self.job
    }
}

impl<J> FanoutQueue<J> {
    /// An empty queue. An event for at most `max_direct` sockets may be sent without it.
    #[must_use]
    pub fn new(max_direct: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            turn: Turn::Idle,
            count: 0,
            max_direct,
            rules: Rules::default(),
        }
    }

    /// The same queue without one of its rules.
    #[doc(hidden)]
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn without(mut self, rule: Rule) -> Self {
        self.rules = Rules::without(rule);
        self
    }

    /// Whether an event for so many sockets may be sent at once.
    pub fn is_direct(&self, sockets: usize) -> bool {
        let is_first = self.turn == Turn::Idle || !self.rules.hold(Rule::QueueIsInOrder);
        sockets <= self.max_direct && is_first
    }

    /// After which event of the queue a socket is due the events, when its client stands so to the log
    /// now: those that are queued already are in what it is sent, and of a client that is behind all that
    /// will be, until it asks again.
    pub fn enter(&self, standing: Standing) -> u64 {
        let is_behind = matches!(standing, Standing::Behind(_));
        if is_behind && self.rules.hold(Rule::BehindGetsPortionsOnly) {
            DUE_NONE
        } else if self.rules.hold(Rule::NewcomerSkipsQueue) {
            self.count
        } else {
            0
        }
    }

    /// Queues an event.
    pub fn push(&mut self, job: J) -> Start {
        self.count += 1;
        let number = self.count;
        self.waiting.push_back(Queued { number, job });
        match std::mem::replace(&mut self.turn, Turn::Running) {
            Turn::Idle => Start::Task,
            Turn::Running => Start::Nothing,
        }
    }

    /// The event that has waited longest. When none waits, the task is to end.
    pub fn take(&mut self) -> Option<Queued<J>> {
        let first = self.waiting.pop_front();
        if first.is_none() {
            self.turn = Turn::Idle;
        }
        first
    }

    /// The event that has waited longest, if it may join the pass that is running. The task goes on
    /// in any case.
    pub fn take_if(&mut self, may_join: impl FnOnce(&J) -> bool) -> Option<Queued<J>> {
        self.waiting.pop_front_if(|queued| may_join(&queued.job))
    }
}

impl<K, J> FanoutPass<K, J> {
    /// A pass of an event through the sockets of its audience.
    #[must_use]
    pub fn new(sockets: Vec<K>, first: Queued<J>) -> Self {
        let mut pass = Self {
            sockets,
            position: 0,
            under_way: Vec::new(),
        };
        pass.begin(first);
        pass
    }

    /// Another event for the same sockets joins.
    pub fn begin(&mut self, queued: Queued<J>) {
        self.under_way.push(UnderWay {
            queued,
            left: self.sockets.len(),
            took: 0,
        });
    }

    /// Events that are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Whether every event has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Has the next sockets, up to `max`, sent what they are due. `entered_after` is what
    /// [`FanoutQueue::enter`] returned for a socket; `send` returns whether the socket took the events.
    pub fn advance(
        &mut self,
        max: usize,
        entered_after: impl Fn(&K) -> u64,
        mut send: impl FnMut(&K, Due<'_, J>) -> bool,
    ) {
        let Some(oldest) = self.under_way.first() else {
            return;
        };
        let first = oldest.queued.number;
        let end = (self.position + max.min(oldest.left)).min(self.sockets.len());
        let chunk = &self.sockets[self.position..end];
        let mut took_all = 0;
        for socket in chunk {
            let after = entered_after(socket);
            if after < first {
                took_all += usize::from(send(socket, Due::All));
                continue;
            }
            let is_earlier = |event: &UnderWay<J>| event.queued.number <= after;
            let later = self.under_way.partition_point(is_earlier);
            let later = &mut self.under_way[later..];
            if !later.is_empty() && send(socket, Due::Later(Later(later.iter()))) {
                later.iter_mut().for_each(|event| event.took += 1);
            }
        }
        for event in &mut self.under_way {
            event.left -= chunk.len();
            event.took += took_all;
        }
        self.position = if end == self.sockets.len() { 0 } else { end };
    }

    /// Removes the events that have been everywhere, each with how many sockets took it.
    pub fn end(&mut self) -> impl Iterator<Item = (J, usize)> + '_ {
        let ended = self.under_way.iter().take_while(|event| event.left == 0);
        let ended = ended.count();
        let ended = self.under_way.drain(..ended);
        ended.map(|event| (event.queued.job, event.took))
    }
}
