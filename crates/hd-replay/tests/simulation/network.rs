//! Connections: what is sent comes in order, or a part of it and then nothing.

use std::collections::VecDeque;
use std::rc::Rc;

use hd_replay::{Arrival, Standing};
use hd_rooms::RoomName;

use super::device::Phase;
use super::mutant::Mutant;
use super::node::{Auth, ConnectionId, Frame, Life, Resumed};
use super::witness::Violation;
use super::world::{Half, Step, World};

pub(crate) struct Connection {
    device: usize,
    node: usize,
    path: Path,
    /// What the node takes it for.
    node_end: End,
    in_flight: VecDeque<Frame>,
    /// When the last frame that was sent is there.
    last_arrival: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Whole,
    /// Nothing that is sent arrives any more.
    Cut,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Gone,
}

impl Connection {
    pub(crate) const fn node(&self) -> usize {
        self.node
    }
}

impl World {
    pub(crate) fn connect(&mut self, device: usize) {
        if self.devices[device].phase != Phase::Offline {
            return;
        }
        let serving = self.nodes_that(|life| life == Life::Serving);
        let Some(node) = self.random.pick(&serving) else {
            return self.after(100, 2_000, Step::Connect(device));
        };
        let id = ConnectionId(self.connections.len());
        self.connections.push(Connection {
            device,
            node,
            path: Path::Whole,
            node_end: End::Open,
            in_flight: VecDeque::new(),
            last_arrival: self.now,
        });
        self.devices[device].phase = Phase::Joining(id);
        let auth = self.devices[device].auth();
        self.note(|_| format!("device {device} connects to node {node} by {id:?}: {auth:?}"));
        self.after(1, 100, Step::Admit(id, auth));
    }

    pub(crate) fn nodes_that(&self, is_meant: impl Fn(Life) -> bool) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|node| is_meant(self.nodes[*node].life))
            .collect()
    }

    pub(crate) fn admit(&mut self, id: ConnectionId, auth: Auth) {
        let Connection {
            node,
            path,
            node_end,
            ..
        } = self.connections[id.0];
        if path == Path::Cut || node_end == End::Gone {
            return;
        }
        if self.nodes[node].life != Life::Serving {
            return self.close_transport(id);
        }
        let waits = self.mutant != Some(Mutant::LetsInAheadOfItsReader);
        let arrival = self.nodes[node].arrive();
        if waits && self.nodes[node].is_behind(&auth, arrival) {
            self.counts.waited += 1;
            self.nodes[node].waiting.push((id, auth, arrival));
            return self.after(READER_TIMEOUT, READER_TIMEOUT, Step::StopWaiting(id));
        }
        self.let_in(id, &auth, arrival);
    }

    /// Those who waited for what has been read now.
    pub(crate) fn let_in_who_waits(&mut self, node: usize) {
        let waiting = std::mem::take(&mut self.nodes[node].waiting);
        for (id, auth, arrival) in waiting {
            if self.nodes[node].is_behind(&auth, arrival) {
                self.nodes[node].waiting.push((id, auth, arrival));
            } else {
                self.let_in(id, &auth, arrival);
            }
        }
    }

    pub(crate) fn stop_waiting(&mut self, id: ConnectionId) {
        let waiting = &mut self.nodes[self.connections[id.0].node].waiting;
        if let Some(place) = waiting.iter().position(|(of, ..)| *of == id) {
            let (_, auth, arrival) = waiting.remove(place);
            self.let_in(id, &auth, arrival);
        }
    }

    /// Reads the log, answers, and enters the rooms: one step, unless it is
    /// broken on purpose.
    fn let_in(&mut self, id: ConnectionId, auth: &Auth, arrival: Arrival) {
        let Connection { node, node_end, .. } = self.connections[id.0];
        if node_end == End::Gone {
            return;
        }
        let rooms = Rc::clone(&auth.rooms);
        if self.mutant == Some(Mutant::EntersBeforeReading) {
            self.nodes[node].enter(id, rooms, (Standing::Current, Arrival::default()));
            return self.after(1, 200, Step::Finish(id, Half::Read(auth.clone())));
        }
        let Resumed {
            pid,
            place,
            missed,
            standing,
        } = self.resume(id, auth, arrival);
        let mut frames = missed;
        match self.mutant {
            Some(Mutant::SendsMissedBeforeReply) => {
                frames.push(Frame::Connect {
                    pid,
                    place,
                    rooms: Rc::clone(&rooms),
                });
            }
            Some(Mutant::SendsMissedLater) => {
                let reply = Frame::Connect {
                    pid,
                    place,
                    rooms: Rc::clone(&rooms),
                };
                let missed = std::mem::replace(&mut frames, vec![reply]);
                self.after(1, 200, Step::Finish(id, Half::Send(missed)));
            }
            _ => frames.insert(
                0,
                Frame::Connect {
                    pid,
                    place,
                    rooms: Rc::clone(&rooms),
                },
            ),
        }
        self.send_all(id, frames);
        if self.mutant == Some(Mutant::EntersAfterReading) {
            return self.after(1, 200, Step::Finish(id, Half::Enter(rooms)));
        }
        self.nodes[node].enter(id, rooms, (standing, arrival));
    }

    fn resume(&mut self, id: ConnectionId, auth: &Auth, arrival: Arrival) -> Resumed {
        let node = self.connections[id.0].node;
        let now = self.now_at(node);
        let (resumed, outcome) = self.nodes[node].resume(id, auth, arrival, now);
        self.count(outcome);
        if !self.has_reason(outcome, auth) {
            self.needless = true;
        }
        if self.nodes[node].forked().is_some() {
            self.wake(node);
        }
        self.note(|_| {
            format!(
                "node {node} lets {auth:?} in: {outcome:?}, {:?}",
                resumed.missed
            )
        });
        resumed
    }

    pub(crate) fn finish(&mut self, id: ConnectionId, half: Half) {
        let Connection { node, node_end, .. } = self.connections[id.0];
        if node_end == End::Gone {
            return;
        }
        match half {
            Half::Read(auth) => {
                let arrival = self.nodes[node].arrive();
                let Resumed {
                    pid, place, missed, ..
                } = self.resume(id, &auth, arrival);
                let rooms = auth.rooms;
                self.send(id, Frame::Connect { pid, place, rooms });
                self.send_all(id, missed);
            }
            Half::Enter(rooms) => {
                self.nodes[node].enter(id, rooms, (Standing::Current, Arrival::default()))
            }
            Half::Send(frames) => self.send_all(id, frames),
        }
    }

    fn send_all(&mut self, id: ConnectionId, frames: Vec<Frame>) {
        for frame in frames {
            self.send(id, frame);
        }
    }

    /// Sends a frame: into the void, where the path is cut and the node has not
    /// noticed.
    pub(crate) fn send(&mut self, id: ConnectionId, frame: Frame) {
        let delay = if self.random.has_chance(10) {
            self.random.between(1, 2_000)
        } else {
            self.random.between(1, 50)
        };
        let connection = &mut self.connections[id.0];
        if connection.path == Path::Cut {
            return;
        }
        connection.last_arrival = connection.last_arrival.max(self.now + delay);
        connection.in_flight.push_back(frame);
        let at = connection.last_arrival;
        self.at(at, Step::Arrive(id));
    }

    pub(crate) fn arrive(&mut self, id: ConnectionId) -> Result<(), Violation> {
        let connection = &mut self.connections[id.0];
        let device = connection.device;
        let Some(frame) = connection.in_flight.pop_front() else {
            return Ok(()); // lost
        };
        if connection.in_flight.len() <= FEW_FRAMES {
            self.after(0, 20, Step::Drained(id));
        }
        if self.devices[device].connection() != Some(id) {
            return Ok(());
        }
        for heard in self.devices[device].receive(frame) {
            self.hear(device, heard)?;
        }
        Ok(())
    }

    pub(crate) fn drained(&mut self, id: ConnectionId) {
        if self.connections[id.0].node_end == End::Open {
            self.send_portion(id);
        }
    }

    /// A client hands in a new token, and stays.
    pub(crate) fn refresh(&mut self, id: ConnectionId, rooms: Rc<[RoomName]>) {
        let Connection {
            node,
            path,
            node_end,
            ..
        } = self.connections[id.0];
        if path == Path::Whole && node_end == End::Open {
            self.nodes[node].change_rooms(id, rooms);
        }
    }

    /// Cuts a connection: a part of what is in flight arrives. Each end notices
    /// for itself, at once or when a heartbeat is missing.
    pub(crate) fn cut(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.0];
        if connection.path == Path::Cut {
            return;
        }
        connection.path = Path::Cut;
        let arrive = self.random.below(connection.in_flight.len() + 1);
        connection.in_flight.truncate(arrive);
        let last_arrival = connection.last_arrival;
        self.note(|_| format!("{id:?} is cut, {arrive} frames arrive"));
        let [client, node] = [(); 2].map(|()| {
            if self.random.has_chance(70) {
                self.random.between(0, 100)
            } else {
                self.random.between(1_000, PING_INTERVAL_AND_TIMEOUT)
            }
        });
        self.at(last_arrival.max(self.now) + client, Step::ClientNotices(id));
        self.at(self.now + node, Step::NodeNotices(id));
    }

    pub(crate) fn client_notices(&mut self, id: ConnectionId) {
        let device = self.connections[id.0].device;
        if self.devices[device].connection() == Some(id) {
            self.devices[device].phase = Phase::Offline;
            self.will_connect(device);
        }
    }

    /// A device comes back soon, or when its lid is opened.
    pub(crate) fn will_connect(&mut self, device: usize) {
        let is_away = !self.is_calm && self.random.has_chance(10);
        let most = if is_away { 120_000 } else { 5_000 };
        self.after(0, most, Step::Connect(device));
    }

    pub(crate) fn node_notices(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.0];
        connection.node_end = End::Gone;
        self.nodes[connection.node].leave(id);
    }

    /// Closes a transport: what was sent arrives before.
    pub(crate) fn close_transport(&mut self, id: ConnectionId) {
        self.end(id, Frame::Close);
    }

    pub(crate) fn end(&mut self, id: ConnectionId, frame: Frame) {
        if self.connections[id.0].node_end == End::Open {
            self.send(id, frame);
            self.node_notices(id);
        }
    }

    /// Connections that a node takes for open.
    pub(crate) fn connections_of(&self, node: usize) -> Vec<ConnectionId> {
        self.connections
            .iter()
            .enumerate()
            .filter(|(_, connection)| connection.node == node && connection.node_end == End::Open)
            .map(|(index, _)| ConnectionId(index))
            .collect()
    }
}

/// When no more wait, a client is sent the next portion.
const FEW_FRAMES: usize = 1;
/// Time that a CONNECT waits for the reader of its node.
const READER_TIMEOUT: u64 = 5_000;
/// After which a dead connection is noticed.
const PING_INTERVAL_AND_TIMEOUT: u64 = 45_000;
