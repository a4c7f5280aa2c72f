//! From a node's log to its sockets, now or by the queue of events for many.

use std::rc::Rc;
use std::time::Duration;

use hd_replay::{DUE_NONE, Due, FanoutPass, FanoutQueue, FollowOutcome, NewEntry, Start};

use super::mutant::Mutant;
use super::node::{ConnectionId, Frame, Node, Socket};
use super::stream::{Audience, Entry, Event};

/// An event that waits, and whose clients have received it elsewhere.
pub(crate) struct Job {
    entry: Rc<Entry>,
    except: Vec<ConnectionId>,
}

pub(crate) struct Pass {
    audience: Rc<Audience>,
    except: Vec<ConnectionId>,
    version: u64,
    pass: FanoutPass<ConnectionId, Job>,
    /// What is under way, in order.
    entries: Vec<Rc<Entry>>,
}

/// What is to be sent, and to which sockets.
#[derive(Default)]
pub(crate) struct Sends {
    pub(crate) frames: Vec<(ConnectionId, Rc<Entry>)>,
    /// Whether a task has to send what is queued.
    pub(crate) starts_task: bool,
}

impl Node {
    /// Publishes an event of the stream, as `publish_at` of hd-ws-server does.
    pub(crate) fn publish(&mut self, entry: &Rc<Entry>, is_for_many: bool) -> Sends {
        let Some((event, broker)) = entry.event.as_ref().zip(self.broker.as_mut()) else {
            return Sends::default();
        };
        let sockets = &self.sockets;
        let has_left = |id: &ConnectionId| !sockets.contains_key(id);
        let new = || NewEntry {
            except: &event.audience.except,
            ttl: event.ttl.map(Duration::from_millis),
            ..NewEntry::to(&event.audience.rooms, event.bytes, Rc::clone(entry))
        };
        let except: Vec<ConnectionId> = match broker.publish_at(entry.offset, has_left, new) {
            FollowOutcome::Accepted { except } => except.iter().map(|ahead| ahead.socket).collect(),
            FollowOutcome::OutOfOrder => return Sends::default(),
        };
        self.send(event, Rc::clone(entry), except, is_for_many)
    }

    /// Sends an event now, or queues it, as `Namespace::send` does.
    fn send(
        &mut self,
        event: &Event,
        entry: Rc<Entry>,
        except: Vec<ConnectionId>,
        is_for_many: bool,
    ) -> Sends {
        let recipients = if is_for_many { MAX_DIRECT + 1 } else { 1 };
        if self.queue.is_direct(recipients) {
            let sockets = self.resolve(&event.audience, &except).into_iter();
            let is_due = |id: &ConnectionId| self.sockets[id].entered_after != DUE_NONE;
            let sockets = sockets.filter(is_due);
            return Sends {
                frames: sockets.map(|id| (id, Rc::clone(&entry))).collect(),
                starts_task: false,
            };
        }
        let start = self.queue.push(Job { entry, except });
        Sends {
            frames: Vec::new(),
            starts_task: start == Start::Task,
        }
    }

    /// One turn of the task that sends what is queued, as `socketio/fanout.rs` has it; `None` when
    /// it ends.
    pub(crate) fn fan_out(&mut self, max: usize) -> Option<Vec<(ConnectionId, Rc<Entry>)>> {
        let mut pass = match self.pass.take() {
            Some(pass) => pass,
            None => {
                let first = self.queue.take()?;
                let audience = Rc::clone(first.job().audience());
                let except = first.job().except.clone();
                let entries = vec![Rc::clone(&first.job().entry)];
                Pass {
                    pass: FanoutPass::new(self.resolve(&audience, &except), first),
                    audience,
                    except,
                    version: self.rooms_version,
                    entries,
                }
            }
        };
        while let Some(joining) = self.queue.take_if(|job| {
            let is_same =
                Rc::ptr_eq(job.audience(), &pass.audience) || **job.audience() == *pass.audience;
            is_same && job.except == pass.except && pass.version == self.rooms_version
        }) {
            pass.entries.push(Rc::clone(&joining.job().entry));
            pass.pass.begin(joining);
        }
        let mut frames = Vec::new();
        let sockets = &self.sockets;
        let entered_after = |id: &ConnectionId| sockets.get(id).map_or(0, |it| it.entered_after);
        let entries = &pass.entries;
        pass.pass.advance(max, entered_after, |id, due| {
            let is_in = sockets.contains_key(id);
            if is_in {
                match due {
                    Due::All => {
                        frames.extend(entries.iter().map(|entry| (*id, Rc::clone(entry))));
                    }
                    Due::Later(jobs) => {
                        frames.extend(jobs.map(|job| (*id, Rc::clone(&job.entry))));
                    }
                }
            }
            is_in
        });
        let ended = pass.pass.end().count();
        pass.entries.drain(..ended);
        if !pass.pass.is_empty() {
            self.pass = Some(pass);
        }
        Some(frames)
    }

    fn resolve(&self, audience: &Audience, except: &[ConnectionId]) -> Vec<ConnectionId> {
        let is_due = |(id, socket): &(&ConnectionId, &Socket)| {
            audience.has(&socket.rooms) && !except.contains(id)
        };
        self.sockets
            .iter()
            .filter(is_due)
            .map(|(id, _)| *id)
            .collect()
    }
}

pub(crate) fn fanout_queue(mutant: Option<Mutant>) -> FanoutQueue<Job> {
    let queue = FanoutQueue::new(MAX_DIRECT);
    match mutant.and_then(Mutant::rule) {
        Some(rule) => queue.without(rule),
        None => queue,
    }
}

impl Job {
    fn audience(&self) -> &Rc<Audience> {
        let event = self.entry.event.as_ref();
        &event.expect("only events are queued").audience
    }
}

impl Entry {
    pub(crate) fn to_frame(&self) -> Option<Frame> {
        let publication = self.event.as_ref()?.publication;
        Some(Frame::Event {
            publication,
            offset: self.offset,
        })
    }
}

/// An event for more sockets is queued.
const MAX_DIRECT: usize = 64;
