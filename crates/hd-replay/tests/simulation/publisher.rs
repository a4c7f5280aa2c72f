//! Publishers: one that has given an id sends again until it has an answer.

use std::rc::Rc;

use hd_replay::Place;
use hd_rooms::RoomName;

use super::node::{Life, Version};
use super::plan::Weather;
use super::stream::{Audience, Event};
use super::world::{Step, World};

#[derive(Clone)]
pub(crate) struct Publication {
    id: Option<String>,
    audience: Rc<Audience>,
    ttl: Option<u64>,
    bytes: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Unanswered,
    Acknowledged,
}

impl Publication {
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.state == State::Acknowledged
    }
}

impl World {
    pub(crate) fn add_publication(&mut self) {
        let number = self.publications.len();
        let has_id = self.random.has_chance(80);
        let audience = Rc::new(self.audience());
        let has_ttl = self.random.has_chance(15);
        let ttl = has_ttl.then(|| self.random.between(1_000, 60_000));
        let is_large = self.random.has_chance(10);
        let bytes = if is_large {
            self.random.between(10, 120)
        } else {
            10
        };
        self.publications.push(Publication {
            id: has_id.then(|| format!("ticket-{number}")),
            audience,
            ttl,
            bytes: usize::try_from(bytes).expect("a few bytes"),
            state: State::Unanswered,
        });
    }

    fn audience(&mut self) -> Audience {
        let is_quiet = self.plan.is_quiet && !self.is_calm && self.random.has_chance(98);
        let user = if is_quiet {
            0
        } else {
            self.random.below(self.plan.users)
        };
        let [own, role] = &*self.rooms[user] else {
            unreachable!("a user has two rooms");
        };
        let to = |rooms: &[&RoomName]| rooms.iter().copied().cloned().collect::<Vec<_>>();
        let (rooms, except) = match self.random.below(10) {
            _ if is_quiet => (to(&[own]), to(&[])),
            0 | 1 => (to(&[]), to(&[])),
            2 => (to(&[]), to(&[own])),
            3 | 4 => (to(&[role]), to(&[])),
            5 => (to(&[own, role]), to(&[])),
            _ => (to(&[own]), to(&[])),
        };
        Audience { rooms, except }
    }

    pub(crate) fn publish(&mut self, number: usize) {
        let publication = &self.publications[number];
        if publication.is_acknowledged() {
            return;
        }
        // Without an answer it may send again what has an id.
        if publication.id.is_some() || self.is_calm {
            self.after(2_000, 5_000, Step::Publish(number));
        } else if self.random.has_chance(10) {
            // It may come twice then, as two events.
            let again = self.publications[number].clone();
            self.publications.push(again);
            let number = self.publications.len() - 1;
            self.after(2_000, 5_000, Step::Publish(number));
        }
        let up = self.nodes_that(|life| matches!(life, Life::Serving | Life::Draining));
        let Some(node) = self.random.pick(&up) else {
            return;
        };
        if self.is_calm || !self.random.has_chance(5) {
            let publication = number;
            self.after(1, 50, Step::Append { publication, node });
        }
    }

    pub(crate) fn append(&mut self, publication: usize, node: usize) {
        if self.nodes[node].life == Life::Dead {
            return;
        }
        if self.now < self.stream_paused_until {
            return self.at(self.stream_paused_until, Step::Append { publication, node });
        }
        let now = (self.clock(self.stream_skew), self.leap());
        let is_new = self.nodes[node].version == Version::Second && self.random.has_chance(30);
        let Publication {
            id,
            audience,
            ttl,
            bytes,
            ..
        } = &self.publications[publication];
        let event = Event {
            publication,
            audience: Rc::clone(audience),
            ttl: *ttl,
            bytes: *bytes,
            is_new,
        };
        let entry = self.stream.append(id.as_deref(), event, now, self.mutant);
        self.note(|_| format!("appended by node {node}: {entry:?}"));
        let place = entry.as_ref().map(|entry| Place {
            log: entry.link.log,
            offset: entry.offset,
        });
        if let Some(entry) = entry {
            self.counts.published += 1;
            self.all.push(entry);
            for node in 0..self.nodes.len() {
                self.wake(node);
            }
        }
        let is_lost = !self.is_calm && self.random.has_chance(self.lost_answers());
        if !is_lost {
            let answer = Step::Answer {
                publication,
                node,
                place,
            };
            self.after(1, 50, answer);
        }
    }

    /// A node has the stream's answer, and the publisher has the node's.
    pub(crate) fn answer(&mut self, publication: usize, node: usize, place: Option<Place>) {
        if self.nodes[node].life == Life::Dead {
            return;
        }
        self.publications[publication].state = State::Acknowledged;
        if let Some(place) = place {
            self.nodes[node].acknowledged.insert(place);
        }
    }

    fn lost_answers(&self) -> u64 {
        match self.plan.weather {
            Weather::Gentle => 5,
            Weather::Rough => 15,
        }
    }
}
