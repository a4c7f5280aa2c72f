//! From the stream to the sockets of a node.

use std::rc::Rc;

use hd_replay::Arrival;

use super::mutant::Mutant;
use super::node::{ConnectionId, Followed, Life, Reader, StreamLink};
use super::plan::Weather;
use super::sending::Sends;
use super::stream::{Batch, Entry};
use super::world::{Step, World};

impl World {
    /// Wakes a node's reader.
    pub(crate) fn wake(&mut self, node: usize) {
        if self.nodes[node].life == Life::Dead {
            return;
        }
        let reader = &mut self.nodes[node].reader;
        match *reader {
            Reader::Idle => {
                *reader = Reader::Reading;
                let lag = self.lag();
                self.after(0, lag, Step::Read(node));
            }
            Reader::Reading => *reader = Reader::ReadingAndWoken,
            Reader::ReadingAndWoken => {}
        }
    }

    /// How long a reader may be late.
    fn lag(&mut self) -> u64 {
        let is_slow = !self.is_calm && self.random.has_chance(10);
        match (is_slow, self.plan.weather) {
            (false, _) => 20,
            (true, Weather::Gentle) => 1_000,
            (true, Weather::Rough) => 10_000,
        }
    }

    pub(crate) fn read(&mut self, node: usize) {
        if self.now < self.stream_paused_until {
            return self.at(self.stream_paused_until, Step::Read(node));
        }
        let now = (self.clock(self.stream_skew), self.leap());
        let Self { stream, nodes, .. } = self;
        let reader = &mut nodes[node];
        if reader.link == StreamLink::Broken {
            reader.connect(stream.last());
        }
        if let Some(log) = reader.forked() {
            let current = stream.fork(log, now);
            reader.handle_fork(current);
        }
        let after = reader.place().map(|(_, last)| last).unwrap_or_default();
        let batch = stream.read(after, self.plan.read_most);
        let asked = reader.arrivals();
        let latency = self.answer_latency();
        self.after(0, latency, Step::Take { node, batch, asked });
    }

    /// How long the stream's answer may take.
    fn answer_latency(&mut self) -> u64 {
        let is_slow = !self.is_calm && self.random.has_chance(10);
        match (is_slow, self.plan.weather) {
            (false, _) => 20,
            (true, Weather::Gentle) => 500,
            (true, Weather::Rough) => 5_000,
        }
    }

    pub(crate) fn take_batch(&mut self, index: usize, batch: Batch, asked: Arrival) {
        let node = &mut self.nodes[index];
        if node.life == Life::Dead {
            return;
        }
        let is_at_end = batch.entries.is_empty();
        let was_woken = node.reader == Reader::ReadingAndWoken;
        node.reader = Reader::Idle;
        if is_at_end && node.life == Life::Filling {
            node.life = Life::Serving;
        }
        if is_at_end {
            let is_earlier = self.mutant == Some(Mutant::BelievesAnEarlierEnd);
            let asked = if is_earlier { node.arrivals() } else { asked };
            for id in node.handle_end(batch.end, asked) {
                self.close_transport(id);
            }
        }
        for entry in batch.entries {
            match self.nodes[index].handle_entry(&entry, &batch.trimmed) {
                Followed::Next => {}
                Followed::Passed => continue,
                Followed::Gap => self.send_everyone_away(index),
            }
            if self.nodes[index].understands(&entry) {
                self.deliver(index, &entry);
            } else if self.nodes[index].handle_unreadable(&entry) {
                self.send_everyone_away(index);
            }
        }
        self.let_in_who_waits(index);
        let is_forked = self.nodes[index].forked().is_some();
        if was_woken || !is_at_end || is_forked {
            self.wake(index);
        }
    }

    fn deliver(&mut self, index: usize, entry: &Rc<Entry>) {
        let is_for_many = self.random.has_chance(20);
        let Sends {
            frames,
            starts_task,
        } = self.nodes[index].publish(entry, is_for_many);
        self.note(|_| format!("node {index} has {entry:?}, sends to {:?}", ids(&frames)));
        self.send_events(&frames);
        if starts_task {
            self.after(1, 300, Step::FanOut(index));
        }
    }

    pub(crate) fn fan_out(&mut self, index: usize) {
        if self.nodes[index].life == Life::Dead {
            return;
        }
        let sockets = 1 + self.random.below(3);
        let Some(frames) = self.nodes[index].fan_out(sockets) else {
            return;
        };
        self.note(|_| format!("node {index} fans out to {:?}", ids(&frames)));
        self.send_events(&frames);
        self.after(1, 150, Step::FanOut(index));
    }

    /// A client's queue has drained: it is sent the next portion, if it is behind.
    pub(crate) fn send_portion(&mut self, id: ConnectionId) {
        let index = self.connections[id.0].node();
        let now = self.now_at(index);
        if self.nodes[index].life == Life::Dead {
            return;
        }
        match self.nodes[index].next_portion(id, now) {
            None => {}
            Some(Ok(entries)) => {
                self.note(|_| format!("node {index} sends {id:?} the portion {entries:?}"));
                self.counts.portions += 1;
                for entry in entries {
                    self.send_events(&[(id, entry)]);
                }
            }
            Some(Err(gap)) => {
                self.note(|_| format!("node {index} has no portion for {id:?}: {gap}"));
                self.close_transport(id);
            }
        }
    }

    fn send_events(&mut self, frames: &[(ConnectionId, Rc<Entry>)]) {
        for (id, entry) in frames {
            if let Some(frame) = entry.to_frame() {
                self.send(*id, frame);
            }
        }
    }
}

fn ids(frames: &[(ConnectionId, Rc<Entry>)]) -> Vec<ConnectionId> {
    frames.iter().map(|(id, _)| *id).collect()
}
