use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Which users of a process Redis does not know as they are, and when it is to
/// be told. A pure machine: the caller does what is [`Due`], looks at the users
/// only after they were named, and says what came of it.
///
/// ```text
///             Due::Everyone, fill()          the last of them is written
///  ┌─────────┐ ───────────────► ┌─────────┐ ───────────────► ┌─────────┐
///  │ Missing │                  │ Filling │                  │ Current │
///  └─────────┘ ◄─────────────── └─────────┘                  └─────────┘
///       ▲      Lost, or no answer to the first write              │ Lost
///       └─────────────────────────────────────────────────────────┘
/// ```
///
/// A user that has changed is named once, however often it changed since it was
/// last written. What is kept is bounded by the users.
#[derive(Debug)]
pub struct Roster {
    config: RosterConfig,
    state: State,
    /// Those who changed since the round began.
    changed: HashSet<u64>,
    /// Those who are still to be written in this round.
    round: Vec<u64>,
    /// The number of the last write that is there.
    kept: u64,
    /// The number of the last write.
    last: u64,
    next_round_at: Instant,
    heartbeat_at: Instant,
    /// Before this nothing is tried again.
    retry_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Redis has nothing of this process.
    Missing,
    /// All that there was when this began is being written.
    Filling {
        /// Whether the first write of it was answered.
        has_begun: bool,
    },
    /// Redis has all that there was, but for what changed since.
    Current,
}

/// Times and bounds of a [`Roster`].
#[derive(Clone, Copy, Debug)]
pub struct RosterConfig {
    /// From one round of writes to the next. 250 ms: a storm of connections is
    /// a few writes a second.
    pub pause: Duration,
    /// From one attempt to the next. 1 s, as for the log.
    pub retry: Duration,
    /// From one sign of life to the next. 3 s.
    pub heartbeat: Duration,
    /// Most users of one write. 1,000, a millisecond of Redis' time.
    pub max_users: usize,
}

impl Default for RosterConfig {
    fn default() -> Self {
        Self {
            pause: Duration::from_millis(250),
            retry: Duration::from_secs(1),
            heartbeat: Duration::from_secs(3),
            max_users: 1000,
        }
    }
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Due {
    /// Nothing before the next pause ends.
    Nothing,
    /// Tell [`Roster::fill`] all users that there are.
    Everyone,
    /// Write what there is of these users, and tell
    /// [`Roster::handle_written`].
    Write(Write),
}

/// A write of some users, or of none as a sign of life.
#[derive(Debug, PartialEq, Eq)]
pub struct Write {
    /// Of the last write that has to be there.
    pub after: u64,
    /// Its own. Those between them may be there, and one that arrives after a
    /// later one is not wanted any more.
    pub number: u64,
    /// Whether what is there is to go first.
    pub begins_anew: bool,
    /// Whether Redis has everything with it.
    pub is_whole: bool,
    /// Whom it is about.
    pub users: Vec<u64>,
}

/// What became of a [`Write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there, on top of all that was written before.
    Kept,
    /// It is not, since what was written before is not there any more.
    Lost,
    /// It may be there or not.
    Unanswered,
}

impl Roster {
    /// The roster of a process of which Redis has nothing.
    #[must_use]
    pub fn new(config: RosterConfig, now: Instant) -> Self {
        Self {
            config,
            state: State::Missing,
            changed: HashSet::new(),
            round: Vec::new(),
            kept: 0,
            last: 0,
            next_round_at: now,
            heartbeat_at: now,
            retry_at: now,
        }
    }

    /// Something about a user has changed. To be called after the change.
    pub fn changed(&mut self, user: u64) {
        match self.state {
            // All there are will be looked at.
            State::Missing => {}
            State::Filling { .. } | State::Current => {
                self.changed.insert(user);
            }
        }
    }

    /// What is to be done now. To be asked again when it is done, and else
    /// after a [`pause`](RosterConfig::pause).
    pub fn poll(&mut self, now: Instant) -> Due {
        if now < self.retry_at {
            return Due::Nothing;
        }
        let (begins_anew, is_filling) = match self.state {
            State::Missing => {
                self.state = State::Filling { has_begun: false };
                return Due::Everyone;
            }
            State::Filling { has_begun } => (!has_begun, true),
            State::Current => {
                if self.round.is_empty() && !self.begin_round(now) {
                    return Due::Nothing;
                }
                (false, false)
            }
        };
        let rest = self.round.len().saturating_sub(self.config.max_users);
        let users = self.round.split_off(rest);
        self.last += 1;
        Due::Write(Write {
            after: self.kept,
            number: self.last,
            begins_anew,
            is_whole: !is_filling || self.round.is_empty(),
            users,
        })
    }

    /// False when it is not time for one.
    fn begin_round(&mut self, now: Instant) -> bool {
        let has_changes = !self.changed.is_empty() && now >= self.next_round_at;
        if !has_changes && now < self.heartbeat_at {
            return false;
        }
        self.next_round_at = now + self.config.pause;
        self.round = std::mem::take(&mut self.changed).into_iter().collect();
        // What is written together does not depend on chance.
        self.round.sort_unstable();
        true
    }

    /// All users that there are, asked for by [`Due::Everyone`].
    pub fn fill(&mut self, users: Vec<u64>) {
        self.round = users;
    }

    /// What became of a write.
    pub fn handle_written(&mut self, write: Write, written: Written, now: Instant) {
        match written {
            Written::Kept => {
                self.kept = write.number;
                self.heartbeat_at = now + self.config.heartbeat;
                self.state = if write.is_whole {
                    State::Current
                } else {
                    State::Filling { has_begun: true }
                };
            }
            // What begins anew needs nothing that could be lost.
            Written::Lost if !write.begins_anew => self.begin_anew(),
            Written::Lost | Written::Unanswered => {
                self.retry_at = now + self.config.retry;
                if write.begins_anew {
                    self.begin_anew();
                } else {
                    self.round.extend(write.users);
                }
            }
        }
    }

    fn begin_anew(&mut self) {
        self.state = State::Missing;
        self.round = Vec::new();
        self.changed = HashSet::new();
    }
}
