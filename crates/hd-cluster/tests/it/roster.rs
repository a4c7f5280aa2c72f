//! Which users are written when, under a virtual clock.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use hd_cluster::{Due, Roster, RosterConfig, Write, Written};

const PAUSE: Duration = Duration::from_millis(250);
const RETRY: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(3);

fn config() -> RosterConfig {
    RosterConfig {
        pause: PAUSE,
        retry: RETRY,
        heartbeat: HEARTBEAT,
        max_users: 3,
    }
}

/// A roster of users that are there, all of whom were written.
fn current(users: Vec<u64>, now: Instant) -> Roster {
    let mut roster = Roster::new(config(), now);
    assert_eq!(roster.poll(now), Due::Everyone);
    roster.fill(users);
    loop {
        let write = write(&mut roster, now);
        let is_last = write.is_whole;
        roster.handle_written(write, Written::Kept, now);
        if is_last {
            return roster;
        }
    }
}

#[track_caller]
fn write(roster: &mut Roster, now: Instant) -> Write {
    match roster.poll(now) {
        Due::Write(write) => write,
        other @ (Due::Nothing | Due::Everyone) => panic!("{other:?}"),
    }
}

/// The users that are written when all that is due is kept.
fn written(roster: &mut Roster, now: Instant) -> Vec<Vec<u64>> {
    let mut writes = Vec::new();
    while let Due::Write(write) = roster.poll(now) {
        writes.push(write.users.clone());
        roster.handle_written(write, Written::Kept, now);
    }
    writes
}

#[test]
fn a_process_begins_by_writing_all_that_it_has_in_parts() {
    let now = Instant::now();
    let mut roster = Roster::new(config(), now);
    assert_eq!(roster.poll(now), Due::Everyone);
    roster.fill((1..=7).collect());
    let mut parts = Vec::new();
    while let Due::Write(write) = roster.poll(now) {
        parts.push((write.users.len(), write.begins_anew, write.is_whole));
        roster.handle_written(write, Written::Kept, now);
    }
    let (yes, no) = (true, false);
    assert_eq!(parts, [(3, yes, no), (3, no, no), (1, no, yes)]);
}

#[test]
fn one_without_users_writes_that_it_is_there() {
    let now = Instant::now();
    let mut roster = Roster::new(config(), now);
    assert_eq!(roster.poll(now), Due::Everyone);
    roster.fill(Vec::new());
    let first = write(&mut roster, now);
    assert!(first.begins_anew && first.is_whole && first.users.is_empty());
}

#[test]
fn changes_are_written_together_after_the_pause_each_user_once() {
    let now = Instant::now();
    let mut roster = current(vec![1, 2], now);
    roster.changed(5);
    assert_eq!(written(&mut roster, now), [[5]]);
    for user in [5, 6, 5, 6, 6] {
        roster.changed(user);
    }
    let soon = now + PAUSE - Duration::from_millis(1);
    assert_eq!(roster.poll(soon), Due::Nothing);
    assert_eq!(written(&mut roster, now + PAUSE), [[5, 6]]);
    assert_eq!(roster.poll(now + PAUSE * 2), Due::Nothing);
}

#[test]
fn a_storm_is_some_writes_of_bounded_size() {
    let now = Instant::now();
    let mut roster = current(Vec::new(), now);
    for user in 0..10 {
        roster.changed(user);
    }
    let sizes: Vec<usize> = written(&mut roster, now).iter().map(Vec::len).collect();
    assert_eq!(sizes, [3, 3, 3, 1]);
}

#[test]
fn without_changes_there_is_a_sign_of_life() {
    let now = Instant::now();
    let mut roster = current(vec![1], now);
    let before = now + HEARTBEAT - Duration::from_millis(1);
    assert_eq!(roster.poll(before), Due::Nothing);
    let none: [u64; 0] = [];
    assert_eq!(written(&mut roster, now + HEARTBEAT), [none]);
    assert_eq!(roster.poll(now + HEARTBEAT), Due::Nothing);
}

#[test]
fn what_was_lost_is_written_again_with_all_the_rest() {
    let now = Instant::now();
    let mut roster = current(vec![1, 2], now);
    roster.changed(3);
    let lost = write(&mut roster, now);
    roster.handle_written(lost, Written::Lost, now);
    assert_eq!(roster.poll(now), Due::Everyone);
    // What changes from here on may not have been seen.
    roster.changed(4);
    roster.fill(vec![1, 2, 3]);
    let again = write(&mut roster, now);
    assert!(again.begins_anew && again.is_whole);
    assert_eq!(again.users, [1, 2, 3]);
    roster.handle_written(again, Written::Kept, now);
    assert_eq!(written(&mut roster, now + PAUSE), [[4]]);
}

#[test]
fn what_has_no_answer_is_tried_again_after_a_while() {
    let now = Instant::now();
    let mut roster = current(vec![1], now);
    roster.changed(2);
    let first = write(&mut roster, now);
    let (after, number) = (first.after, first.number);
    roster.handle_written(first, Written::Unanswered, now);
    let soon = now + RETRY - Duration::from_millis(1);
    assert_eq!(roster.poll(soon), Due::Nothing);
    let second = write(&mut roster, now + RETRY);
    assert_eq!((second.after, second.users.as_slice()), (after, &[2][..]));
    assert!(second.number > number);
}

#[test]
fn a_beginning_without_an_answer_is_made_again() {
    let now = Instant::now();
    let mut roster = Roster::new(config(), now);
    assert_eq!(roster.poll(now), Due::Everyone);
    roster.fill((1..=4).collect());
    let first = write(&mut roster, now);
    roster.handle_written(first, Written::Unanswered, now);
    assert_eq!(roster.poll(now), Due::Nothing);
    assert_eq!(roster.poll(now + RETRY), Due::Everyone);
    roster.fill((1..=4).collect());
    assert!(write(&mut roster, now + RETRY).begins_anew);
}

/// What Redis has: as the script does it.
#[derive(Clone, Default)]
struct Kept {
    last: Option<u64>,
    users: BTreeMap<u64, u64>,
}

impl Kept {
    fn take(&mut self, write: &Write, seen: &HashMap<u64, u64>) -> Written {
        let is_late = self.last.is_some_and(|last| last >= write.number);
        let is_on_top = self.last.is_some_and(|last| last >= write.after);
        if is_late || (!write.begins_anew && !is_on_top) {
            return Written::Lost;
        }
        if write.begins_anew {
            self.users.clear();
        }
        self.last = Some(write.number);
        for user in &write.users {
            match seen.get(user) {
                Some(value) => self.users.insert(*user, *value),
                None => self.users.remove(user),
            };
        }
        Written::Kept
    }
}

/// Users come, change and go, Redis does not answer, forgets all, or its last
/// writes, and writes arrive late: when there is peace, it has what there is.
#[test]
fn redis_has_what_there_is_whatever_happened() {
    for seed in 1..300 {
        let mut random = Random(seed);
        let mut now = Instant::now();
        let mut roster = Roster::new(config(), now);
        let mut users: HashMap<u64, u64> = HashMap::new();
        let mut redis = Kept::default();
        let mut before = redis.clone();
        let mut late: Vec<(Write, HashMap<u64, u64>)> = Vec::new();
        for step in 0..400 {
            let is_peace = step >= 300;
            match random.below(if is_peace { 1 } else { 12 }) {
                0 => now += Duration::from_millis(100),
                1 => redis = Kept::default(),
                2 => redis = before.clone(),
                3 => before = redis.clone(),
                4 if !late.is_empty() => {
                    let (write, seen) = late.swap_remove(0);
                    let _unheard = redis.take(&write, &seen);
                }
                _ => {
                    let user = random.below(8);
                    if random.below(3) == 0 {
                        users.remove(&user);
                    } else {
                        users.insert(user, step);
                    }
                    roster.changed(user);
                }
            }
            loop {
                match roster.poll(now) {
                    Due::Nothing => break,
                    Due::Everyone => roster.fill(users.keys().copied().collect()),
                    Due::Write(write) => {
                        let answer = match random.below(if is_peace { 1 } else { 4 }) {
                            0 | 1 => redis.take(&write, &users),
                            2 => {
                                redis.take(&write, &users);
                                Written::Unanswered
                            }
                            _ => {
                                let copy = Write {
                                    users: write.users.clone(),
                                    ..write
                                };
                                late.push((copy, users.clone()));
                                Written::Unanswered
                            }
                        };
                        roster.handle_written(write, answer, now);
                    }
                }
            }
        }
        let there: BTreeMap<u64, u64> = users.into_iter().collect();
        assert_eq!(redis.users, there, "seed {seed}");
    }
}

struct Random(u64);

impl Random {
    /// Of PCG's multiplier; its upper bits are good enough.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }
}
