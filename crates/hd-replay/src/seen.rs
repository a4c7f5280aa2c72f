use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::config::millis;

/// Bounds of [`Seen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenConfig {
    /// Most ids that are remembered. 100,000, some 20 MB: more than one a
    /// second for a day. When it is full the oldest is forgotten.
    pub max_ids: usize,
    /// How long an id is remembered. 24 hours.
    pub ttl: Duration,
}

impl Default for SeenConfig {
    fn default() -> Self {
        Self {
            max_ids: 100_000,
            ttl: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Ids that came lately, and what came of them.
#[derive(Debug)]
pub struct Seen<T> {
    config: SeenConfig,
    outcomes: HashMap<Box<str>, T>,
    /// When each came, the oldest first.
    order: VecDeque<(u64, Box<str>)>,
}

impl<T> Seen<T> {
    /// Nothing has come.
    #[must_use]
    pub fn new(config: SeenConfig) -> Self {
        Self {
            config,
            outcomes: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// What came of an id that came lately.
    pub fn find(&mut self, id: &str, now_millis: u64) -> Option<&T> {
        self.expire(now_millis);
        self.outcomes.get(id)
    }

    /// Remembers an id that is new. Returns whether another one had to be
    /// forgotten before its time.
    pub fn insert(&mut self, id: &str, outcome: T, now_millis: u64) -> bool {
        self.expire(now_millis);
        if self.outcomes.insert(id.into(), outcome).is_some() {
            return false;
        }
        self.order.push_back((now_millis, id.into()));
        let is_over = self.order.len() > self.config.max_ids;
        if is_over {
            self.forget_oldest();
        }
        is_over
    }

    /// Ids that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    fn expire(&mut self, now_millis: u64) {
        let ttl = millis(self.config.ttl);
        while let Some((came_at, _)) = self.order.front()
            && came_at.saturating_add(ttl) <= now_millis
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.outcomes.remove(&id);
        }
    }
}
