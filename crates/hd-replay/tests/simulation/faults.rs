//! What goes wrong, until it is calm.

use std::rc::Rc;

use super::device::{Device, Phase};
use super::mutant::Mutant;
use super::node::{Frame, Life, Node, StreamLink, Version};
use super::plan::Weather;
use super::world::{Step, World, rooms_of};

#[derive(Clone, Copy, Debug)]
enum Fault {
    CutOne,
    CutMany,
    Crash,
    Deploy,
    ClockStep,
    Pause,
    SwitchUser,
    ChangeRooms,
    LoseStream,
    LoseEnd,
}

impl World {
    pub(crate) fn fault(&mut self) {
        if self.is_calm {
            return;
        }
        let often = [
            Fault::CutOne,
            Fault::CutOne,
            Fault::CutMany,
            Fault::Deploy,
            Fault::ChangeRooms,
        ];
        let seldom = [Fault::Crash, Fault::ClockStep, Fault::Pause];
        let rough = [Fault::SwitchUser, Fault::LoseStream, Fault::LoseEnd];
        let is_rough = self.plan.weather == Weather::Rough;
        let fault = match self.random.below(10) {
            0..=4 => often[self.random.below(often.len())],
            5 | 6 if is_rough => rough[self.random.below(rough.len())],
            _ => seldom[self.random.below(seldom.len())],
        };
        self.counts.faults += 1;
        self.note(|_| format!("fault: {fault:?}"));
        match fault {
            Fault::CutOne => self.cut_some(1),
            Fault::CutMany => self.cut_some(10),
            Fault::Crash => self.crash(),
            Fault::Deploy => self.deploy(),
            Fault::ClockStep => self.step_a_clock(),
            Fault::Pause => self.pause(),
            Fault::SwitchUser => self.switch_user(),
            Fault::ChangeRooms => self.change_rooms(),
            Fault::LoseStream => self.lose_stream(),
            Fault::LoseEnd => self.lose_end(),
        }
        let mean = self.plan.mean_time_between_faults;
        self.after(1, 2 * mean, Step::Fault);
    }

    pub(crate) fn calm(&mut self) {
        self.note(|_| "calm".to_owned());
        self.is_calm = true;
        self.stream_paused_until = 0;
        if self
            .nodes_that(|life| life != Life::Dead && life != Life::Draining)
            .is_empty()
        {
            self.start_node();
        }
    }

    pub(crate) fn start_node(&mut self) {
        let skew = self.any_skew(120_000);
        let version = if self.plan.has_two_versions && self.nodes.len() < self.plan.nodes {
            Version::First
        } else {
            Version::Second
        };
        let node = Node::new(version, self.plan.log, skew, self.mutant);
        self.nodes.push(node);
        self.wake(self.nodes.len() - 1);
    }

    fn any_skew(&mut self, most: i64) -> i64 {
        let width = 2 * most.unsigned_abs();
        most.saturating_sub_unsigned(self.random.between(0, width))
    }

    fn cut_some(&mut self, most: usize) {
        for _ in 0..most {
            let device = self.random.below(self.devices.len());
            if let Some(id) = self.devices[device].connection() {
                self.cut(id);
            }
        }
    }

    fn crash(&mut self) {
        let up = self.nodes_that(|life| life != Life::Dead);
        let Some(node) = self.random.pick(&up) else {
            return;
        };
        if self.is_loss_unnoticed() {
            return;
        }
        self.kill(node);
    }

    fn kill(&mut self, node: usize) {
        self.nodes[node].life = Life::Dead;
        for id in self.connections_of(node) {
            self.cut(id);
            self.node_notices(id);
        }
        self.after(500, 10_000, Step::StartNode);
    }

    /// Starts a node and has an old one drained.
    fn deploy(&mut self) {
        self.start_node();
        let serving = self.nodes_that(|life| life == Life::Serving);
        if let Some(node) = self.random.pick(&serving) {
            self.nodes[node].life = Life::Draining;
            self.after(0, 2_000, Step::DrainOne(node));
        }
    }

    pub(crate) fn drain_one(&mut self, node: usize) {
        if self.nodes[node].life == Life::Dead {
            return;
        }
        let open = self.connections_of(node);
        let Some(id) = self.random.pick(&open) else {
            if self.is_loss_unnoticed() {
                return self.after(100, 100, Step::DrainOne(node));
            }
            self.nodes[node].life = Life::Dead;
            return;
        };
        let last_words = if self.mutant == Some(Mutant::DisconnectsOnDrain) {
            Frame::Disconnect
        } else {
            Frame::Close
        };
        self.end(id, last_words);
        self.after(0, 2_000, Step::DrainOne(node));
    }

    /// A node that lost its place in the stream has everyone come back to be
    /// told, and sends them nothing until then.
    pub(crate) fn send_everyone_away(&mut self, node: usize) {
        self.note(|_| format!("node {node} has lost its place"));
        self.counts.lost_places += 1;
        self.nodes[node].leave_all();
        for id in self.connections_of(node) {
            self.after(0, 3_000, Step::CloseTransport(id));
        }
    }

    fn step_a_clock(&mut self) {
        let skew = self.any_skew(30_000);
        let node = self.random.below(self.nodes.len() + 1);
        match self.nodes.get_mut(node) {
            Some(node) => node.skew = skew,
            None => self.stream_skew = skew,
        }
    }

    fn pause(&mut self) {
        let most = match self.plan.weather {
            // Less than a CONNECT waits for its node's reader.
            Weather::Gentle => 1_000,
            Weather::Rough => 20_000,
        };
        if self.now > self.stream_paused_until + 5_000 {
            self.stream_paused_until = self.now + self.random.between(1, most);
        }
    }

    /// Somebody else signs in on a device; its connection ends.
    fn switch_user(&mut self) {
        let device = self.random.below(self.devices.len());
        let user = self.random.below(self.plan.users);
        let has_left = self.devices[device].phase == Phase::Left;
        if user == self.devices[device].user || has_left {
            return;
        }
        if let Some(id) = self.devices[device].connection() {
            self.cut(id);
            self.client_notices(id);
        }
        self.devices[device].user = user;
        self.devices[device].rooms = Rc::clone(&self.rooms[user]);
    }

    /// A device has a token with another role. It hands that in, or reconnects with it.
    fn change_rooms(&mut self) {
        let device = self.random.below(self.devices.len());
        let Device { user, phase, .. } = self.devices[device];
        if phase == Phase::Left {
            return;
        }
        let user = if self.plan.shares_rooms { 0 } else { user };
        let rooms = rooms_of(user, self.random.below(3));
        self.devices[device].rooms = Rc::clone(&rooms);
        self.witnesses[device].change_rooms(&rooms);
        match phase {
            Phase::Connected(id) if self.random.has_chance(50) => {
                self.after(1, 100, Step::Refresh(id, rooms));
            }
            Phase::Joining(id) | Phase::Connected(id) => {
                self.cut(id);
                self.client_notices(id);
            }
            Phase::Offline | Phase::Left => {}
        }
    }

    /// Redis comes back with nothing, often on another machine.
    fn lose_stream(&mut self) {
        if self.random.has_chance(50) {
            self.stream_skew = self.any_skew(30_000);
        }
        let now = self.clock(self.stream_skew);
        self.stream.restart(now, self.mutant);
        self.break_links();
    }

    /// A replica takes Redis' place that had not got everything yet. Some node
    /// knows of what is lost, and lives until that is noticed, and meanwhile the
    /// stream is not trimmed up to there. Or all that know die: then only a page
    /// that has received it can tell.
    fn lose_end(&mut self) {
        if self.plan.stream_max < usize::MAX {
            return;
        }
        let lost = 1 + self.random.below(5);
        let Some(end) = self.stream.end_without(lost) else {
            return;
        };
        let log = self.stream.log();
        let mut knowing = self.nodes_that(|life| life != Life::Dead);
        knowing.retain(|node| self.nodes[*node].knows_of_more_than(log, end));
        self.lost_logs.insert(log);
        if knowing.is_empty() || (!self.is_loss_unnoticed() && self.random.has_chance(30)) {
            if self.stream.begins_within(lost) {
                return;
            }
            self.note(|_| format!("{knowing:?} know what is lost, and die"));
            for node in knowing {
                self.kill(node);
            }
            self.stream.lose_end_unknown(lost);
            return self.break_links();
        }
        if self.random.has_chance(50) {
            self.stream_skew = self.any_skew(30_000);
        }
        self.stream.lose_end(lost);
        self.unnoticed = Some((log, self.now + NOTICED_WITHIN));
        self.break_links();
    }

    /// Whether nobody has noticed yet what the stream has lost.
    fn is_loss_unnoticed(&self) -> bool {
        let unnoticed = |(log, until)| log == self.stream.log() && self.now < until;
        self.unnoticed.is_some_and(unnoticed)
    }

    /// The nodes' connections to the stream end.
    fn break_links(&mut self) {
        for node in 0..self.nodes.len() {
            self.nodes[node].link = StreamLink::Broken;
            self.wake(node);
        }
    }
}

/// More than a reader lags, and the stream pauses.
const NOTICED_WITHIN: u64 = 60_000;
