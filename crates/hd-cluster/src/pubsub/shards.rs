use std::collections::{HashMap, HashSet};
use std::time::Duration;

use redis::RedisError;
use tokio::time::Instant;

use crate::address::Address;
use crate::connection::backoff;
use crate::slots::{Slots, slot_of};

/// At which server of a Redis Cluster each channel is, and is to be.
///
/// ```text
///              handle_subscribed            handle_slots: another one has the slot
///  nowhere ────────────────────────► there ◄──────────────────────► there, and to move
///     ▲                                │         handle_subscribed           │
///     └────────────────────────────────┴─────────────────────────────────────┘
///                         handle_lost, handle_closed
/// ```
#[derive(Debug)]
pub(super) struct Shards {
    /// The longest time for which a node is left alone.
    max_backoff: Duration,
    slots: Slots,
    /// What is wanted, and where it is listened to.
    channels: HashMap<String, Option<Address>>,
    /// Channels that are nowhere, or not where they are to be.
    to_place: HashSet<String>,
    /// What is given up, where it is listened to.
    to_leave: HashMap<Address, Vec<String>>,
    /// Those that did not do what they were asked for.
    left_alone: HashMap<Address, LeftAlone>,
}

/// A node is asked for nothing more until then.
#[derive(Clone, Copy, Debug)]
struct LeftAlone {
    until: Instant,
    /// How often it was left alone before.
    attempt: u32,
}

/// What is to be done at a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) unsubscribe: Vec<String>,
    pub(super) subscribe: Vec<String>,
}

impl Shards {
    pub(super) fn new(max_backoff: Duration) -> Self {
        Self {
            max_backoff,
            slots: Slots::default(),
            channels: HashMap::new(),
            to_place: HashSet::new(),
            to_leave: HashMap::new(),
            left_alone: HashMap::new(),
        }
    }

    pub(super) fn want(&mut self, channel: &str) {
        if !self.channels.contains_key(channel) {
            self.channels.insert(channel.to_owned(), None);
            self.to_place.insert(channel.to_owned());
        }
    }

    pub(super) fn give_up(&mut self, channel: &str) {
        self.to_place.remove(channel);
        if let Some(Some(node)) = self.channels.remove(channel) {
            self.leave(node, channel.to_owned());
        }
    }

    /// Where slots are now.
    pub(super) fn handle_slots(&mut self, slots: Slots) {
        if self.slots == slots {
            return;
        }
        self.slots = slots;
        self.left_alone.retain(|node, _| self.slots.has(node));
        for (channel, place) in &self.channels {
            let master = self.slots.master(slot_of(channel));
            if master.is_some() && master != place.as_ref() {
                self.to_place.insert(channel.clone());
            }
        }
    }

    /// A node answers so. Returns whether it says where a slot is.
    pub(super) fn handle_redirection(&mut self, error: &RedisError, answering: &Address) -> bool {
        self.slots.redirect(error, answering)
    }

    /// The slot of this channel has left this node.
    pub(super) fn handle_lost(&mut self, node: &Address, channel: &str) {
        if let Some(place) = self.channels.get_mut(channel)
            && place.as_ref() == Some(node)
        {
            *place = None;
            self.to_place.insert(channel.to_owned());
        }
    }

    /// The connection to this node is closed.
    pub(super) fn handle_closed(&mut self, node: &Address) {
        self.to_leave.remove(node);
        for (channel, place) in &mut self.channels {
            if place.as_ref() == Some(node) {
                *place = None;
                self.to_place.insert(channel.clone());
            }
        }
    }

    /// These are listened to at this node.
    pub(super) fn handle_subscribed(&mut self, node: &Address, channels: Vec<String>) {
        for channel in channels {
            self.to_place.remove(&channel);
            match self.channels.get_mut(&channel) {
                // Given up meanwhile.
                None => self.leave(node.clone(), channel),
                Some(place) => {
                    if let Some(before) = place.replace(node.clone())
                        && before != *node
                    {
                        self.leave(before, channel);
                    }
                }
            }
        }
    }

    /// This node does not answer, or its connection is closed.
    pub(super) fn handle_silent(&mut self, node: &Address, now: Instant) {
        let did_well = self.is_at(node);
        self.handle_closed(node);
        self.leave_alone(node, did_well, now);
    }

    /// This node refuses: it is left alone for a while, longer each time. What is
    /// listened to there stays.
    pub(super) fn handle_refusal(&mut self, node: &Address, now: Instant) {
        self.leave_alone(node, self.is_at(node), now);
    }

    fn leave_alone(&mut self, node: &Address, did_well: bool, now: Instant) {
        let before = self.left_alone.get(node);
        // Nothing was heard there: it did not do well, however long it took.
        let recent = before.filter(|before| !did_well || now < before.until + self.max_backoff);
        // One that has done well for as long as it may be left alone begins anew:
        // to have answered is not enough, as it may close right after.
        let attempt = recent.map_or(0, |before| before.attempt.saturating_add(1));
        let until = now + backoff(attempt, self.max_backoff);
        self.left_alone
            .insert(node.clone(), LeftAlone { until, attempt });
    }

    /// When the first of those that are left alone is to be asked again.
    #[must_use]
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let ends = self.left_alone.values().map(|alone| alone.until);
        ends.filter(|until| *until > now).min()
    }

    /// What is to be done now, and by whom. To be asked again after each `handle_`,
    /// after [`want`](Self::want) and [`give_up`](Self::give_up), and at
    /// [`poll_timeout`](Self::poll_timeout).
    #[must_use]
    pub(super) fn poll(&mut self, now: Instant) -> HashMap<Address, Errand> {
        let mut errands: HashMap<Address, Errand> = HashMap::new();
        for (node, unsubscribe) in self.to_leave.drain() {
            errands.entry(node).or_default().unsubscribe = unsubscribe;
        }
        self.to_place.retain(|channel| {
            let Some(master) = self.slots.master(slot_of(channel)) else {
                return true;
            };
            if self.channels.get(channel).and_then(Option::as_ref) == Some(master) {
                return false;
            }
            let alone = self.left_alone.get(master);
            if alone.is_none_or(|alone| alone.until <= now) {
                let errand = errands.entry(master.clone()).or_default();
                errand.subscribe.push(channel.clone());
            }
            true
        });
        errands
    }

    /// Whether all that is wanted is listened to somewhere.
    pub(super) fn is_complete(&self) -> bool {
        let is_somewhere =
            |channel: &String| self.channels.get(channel).is_none_or(Option::is_some);
        self.to_place.iter().all(is_somewhere)
    }

    /// Whether anything is listened to at this node.
    pub(super) fn is_at(&self, node: &Address) -> bool {
        self.to_leave.contains_key(node)
            || self
                .channels
                .values()
                .any(|place| place.as_ref() == Some(node))
    }

    fn leave(&mut self, node: Address, channel: String) {
        self.to_leave.entry(node).or_default().push(channel);
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    const MAX_BACKOFF: Duration = Duration::from_secs(1);

    fn node(port: u16) -> Address {
        Address::new("10.0.0.1", port)
    }

    /// One node with all slots.
    fn all_at(port: u16) -> Slots {
        Slots::all_at(node(port))
    }

    fn moved(channel: &str, port: u16) -> RedisError {
        let line = format!("-MOVED {} 10.0.0.1:{port}\r\n", slot_of(channel));
        let value = redis::parse_redis_value(line.as_bytes()).expect("a redirection");
        let Value::ServerError(error) = value else {
            panic!("{value:?}");
        };
        error.into()
    }

    fn subscribe(channels: &[&str]) -> Errand {
        Errand {
            subscribe: channels.iter().map(|&channel| channel.to_owned()).collect(),
            ..Errand::default()
        }
    }

    fn unsubscribe(channel: &str) -> Errand {
        Errand {
            unsubscribe: vec![channel.to_owned()],
            ..Errand::default()
        }
    }

    /// That there is this to be done, and nothing else.
    #[track_caller]
    fn check(shards: &mut Shards, errands: &[(u16, Errand)]) {
        check_at(Instant::now(), shards, errands);
    }

    #[track_caller]
    fn check_at(now: Instant, shards: &mut Shards, errands: &[(u16, Errand)]) {
        let expected = errands
            .iter()
            .map(|(port, errand)| (node(*port), errand.clone()));
        assert_eq!(shards.poll(now), expected.collect());
    }

    /// With a channel that is listened to at the first node.
    fn listening() -> Shards {
        let mut shards = Shards::new(MAX_BACKOFF);
        shards.handle_slots(all_at(1));
        shards.want("a");
        shards.handle_subscribed(&node(1), vec!["a".to_owned()]);
        shards
    }

    #[test]
    fn what_is_wanted_is_subscribed_to_where_its_slot_is_known_to_be() {
        let mut shards = Shards::new(MAX_BACKOFF);
        shards.want("a");
        check(&mut shards, &[]);
        assert!(!shards.is_complete());
        shards.handle_slots(all_at(1));
        check(&mut shards, &[(1, subscribe(&["a"]))]);
        shards.handle_subscribed(&node(1), vec!["a".to_owned()]);
        check(&mut shards, &[]);
        assert!(shards.is_complete() && shards.is_at(&node(1)));
        shards.give_up("a");
        check(&mut shards, &[(1, unsubscribe("a"))]);
        assert!(!shards.is_at(&node(1)));
    }

    #[test]
    fn what_a_node_redirects_is_asked_for_there() {
        let mut shards = Shards::new(MAX_BACKOFF);
        shards.handle_slots(all_at(1));
        shards.want("a");
        assert!(shards.handle_redirection(&moved("a", 2), &node(1)));
        check(&mut shards, &[(2, subscribe(&["a"]))]);
        assert!(!shards.is_complete());
    }

    #[test]
    fn a_slot_that_leaves_takes_its_channel_out_until_it_is_found_again() {
        let mut shards = listening();
        shards.handle_lost(&node(1), "a");
        assert!(!shards.is_complete());
        // It does not know yet, and is asked again.
        check(&mut shards, &[(1, subscribe(&["a"]))]);
        assert!(shards.handle_redirection(&moved("a", 2), &node(1)));
        check(&mut shards, &[(2, subscribe(&["a"]))]);
        // Late, and of a place where it is not any more.
        shards.handle_subscribed(&node(2), vec!["a".to_owned()]);
        shards.handle_lost(&node(1), "a");
        assert!(shards.is_complete());
        check(&mut shards, &[]);
    }

    #[test]
    fn a_slot_that_has_another_master_is_left_only_when_it_is_listened_to_there() {
        let mut shards = listening();
        shards.handle_slots(all_at(2));
        check(&mut shards, &[(2, subscribe(&["a"]))]);
        assert!(shards.is_complete());
        shards.handle_subscribed(&node(2), vec!["a".to_owned()]);
        check(&mut shards, &[(1, unsubscribe("a"))]);
    }

    #[test]
    fn what_another_master_has_not_yet_stays() {
        let mut shards = listening();
        shards.handle_slots(all_at(2));
        assert!(shards.handle_redirection(&moved("a", 1), &node(2)));
        check(&mut shards, &[]);
        assert!(shards.is_complete() && shards.is_at(&node(1)));
    }

    #[test]
    fn a_node_that_does_not_answer_is_left_alone_for_a_while() {
        let mut shards = listening();
        let now = Instant::now();
        shards.handle_silent(&node(1), now);
        check_at(now, &mut shards, &[]);
        assert!(!shards.is_complete());
        // That it is asked where slots are changes nothing.
        shards.handle_slots(all_at(1));
        check_at(now, &mut shards, &[]);
        let until = shards.poll_timeout(now).expect("a while");
        check_at(until, &mut shards, &[(1, subscribe(&["a"]))]);
        assert_eq!(shards.poll_timeout(until), None);
        // Another one is asked at once.
        shards.handle_silent(&node(1), until);
        shards.handle_slots(all_at(2));
        check_at(until, &mut shards, &[(2, subscribe(&["a"]))]);
    }

    #[test]
    fn a_node_that_answers_and_closes_is_left_alone_for_longer_each_time() {
        let mut shards = listening();
        let mut now = Instant::now();
        for _turn in 0..20 {
            shards.handle_silent(&node(1), now);
            now = shards.poll_timeout(now).expect("a while");
            shards.handle_subscribed(&node(1), vec!["a".to_owned()]);
        }
        shards.handle_silent(&node(1), now);
        let pause = |shards: &Shards, now| shards.poll_timeout(now).expect("a while") - now;
        let longest = pause(&shards, now);
        assert!((MAX_BACKOFF / 2..=MAX_BACKOFF).contains(&longest));
        // Until it has done well.
        shards.handle_subscribed(&node(1), vec!["a".to_owned()]);
        now += 2 * MAX_BACKOFF;
        shards.handle_silent(&node(1), now);
        assert!(pause(&shards, now) < MAX_BACKOFF / 10);
    }

    #[test]
    fn a_node_that_never_answers_is_left_alone_for_longer_however_long_it_takes() {
        let mut shards = listening();
        let mut now = Instant::now();
        for _turn in 0..20 {
            shards.handle_silent(&node(1), now);
            now = shards.poll_timeout(now).expect("a while") + 2 * MAX_BACKOFF;
        }
        shards.handle_silent(&node(1), now);
        let until = shards.poll_timeout(now).expect("a while");
        assert!(until - now >= MAX_BACKOFF / 2);
    }

    #[test]
    fn what_a_node_that_refuses_has_stays() {
        let mut shards = listening();
        shards.want("b");
        let now = Instant::now();
        shards.handle_refusal(&node(1), now);
        check_at(now, &mut shards, &[]);
        assert!(!shards.is_complete() && shards.is_at(&node(1)));
        shards.give_up("b");
        assert!(shards.is_complete());
    }

    #[test]
    fn a_connection_that_closes_takes_all_of_its_channels_out() {
        let mut shards = listening();
        shards.want("b");
        shards.handle_subscribed(&node(2), vec!["b".to_owned()]);
        shards.handle_closed(&node(1));
        assert!(!shards.is_complete() && shards.is_at(&node(2)));
        check(&mut shards, &[(1, subscribe(&["a"]))]);
    }

    #[test]
    fn what_is_given_up_while_it_is_subscribed_to_is_left() {
        let mut shards = Shards::new(MAX_BACKOFF);
        shards.handle_slots(all_at(1));
        shards.want("a");
        check(&mut shards, &[(1, subscribe(&["a"]))]);
        shards.give_up("a");
        shards.handle_subscribed(&node(1), vec!["a".to_owned()]);
        check(&mut shards, &[(1, unsubscribe("a"))]);
        assert!(shards.is_complete());
    }
}
