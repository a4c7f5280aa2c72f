//! From the stream to the sockets of a node.

use std::rc::Rc;

use super::node::{ConnectionId, Frame, Life, Reader, StreamLink, Taken};
use super::plan::Weather;
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
        self.after(0, 20, Step::Take { node, batch });
    }

    pub(crate) fn take_batch(&mut self, index: usize, batch: Batch) {
        let node = &mut self.nodes[index];
        if node.life == Life::Dead {
            return;
        }
        let is_at_end = batch.is_empty();
        let was_woken = node.reader == Reader::ReadingAndWoken;
        node.reader = Reader::Idle;
        let taken = node.take(batch);
        if is_at_end && node.life == Life::Filling {
            node.life = Life::Serving;
        }
        match taken {
            Taken::Appended(entries) => {
                for entry in entries {
                    self.deliver(index, &entry);
                }
            }
            Taken::LostItsPlace => self.send_everyone_away(index),
        }
        self.let_in_who_waits(index);
        let is_forked = self.nodes[index].forked().is_some();
        if was_woken || !is_at_end || is_forked {
            self.wake(index);
        }
    }

    fn deliver(&mut self, index: usize, entry: &Rc<Entry>) {
        let is_for_many = self.random.has_chance(20);
        let was_idle = self.nodes[index].queue.is_empty();
        let audience = self.nodes[index].deliver(entry, is_for_many);
        self.note(|world| {
            let node = &world.nodes[index];
            let queued = node.queue.len();
            format!("node {index} has {entry:?}, sends to {audience:?}, queued {queued}")
        });
        self.send_event(&audience, entry);
        if was_idle && !self.nodes[index].queue.is_empty() {
            self.after(1, 300, Step::SendQueued(index));
        }
    }

    pub(crate) fn send_queued(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.life == Life::Dead {
            return;
        }
        let Some((entry, audience)) = node.next_queued() else {
            return;
        };
        let is_idle = node.queue.is_empty();
        self.send_event(&audience, &entry);
        if !is_idle {
            self.after(1, 300, Step::SendQueued(index));
        }
    }

    fn send_event(&mut self, audience: &[ConnectionId], entry: &Entry) {
        for id in audience {
            if let Some(event) = &entry.event {
                let frame = Frame::Event {
                    publication: event.publication,
                    offset: entry.offset,
                };
                self.send(*id, frame);
            }
        }
    }
}
