//! The world under its clock: what happens, one thing after another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

use hd_replay::{Arrival, Gap, LogId, Offset, Place, ResumeOutcome, ResumeRefusal};
use hd_rooms::RoomName;

use super::device::{Device, Heard, Phase};
use super::mutant::Mutant;
use super::network::Connection;
use super::node::{Auth, ConnectionId, Frame, Node};
use super::plan::{Plan, Weather};
use super::publisher::Publication;
use super::random::Random;
use super::stream::{Batch, Entry, Stream};
use super::witness::{Violation, Witness};

/// What happens at a time.
pub(crate) enum Step {
    /// A publisher sends a publication to some node.
    Publish(usize),
    /// A node asks the stream to append it.
    Append {
        publication: usize,
        node: usize,
    },
    /// The stream reads for a node.
    Read(usize),
    /// A node has what it read.
    Take {
        node: usize,
        batch: Batch,
        asked: Arrival,
    },
    /// A node has the stream's answer to an append.
    Answer {
        publication: usize,
        node: usize,
        place: Option<Place>,
    },
    /// A client's queue has drained.
    Drained(ConnectionId),
    /// A node has a client's new token.
    Refresh(ConnectionId, Rc<[RoomName]>),
    /// A node's task sends some of what was queued.
    FanOut(usize),
    /// A device connects to some node.
    Connect(usize),
    /// A node reads a CONNECT.
    Admit(ConnectionId, Auth),
    /// A node has waited long enough for its reader.
    StopWaiting(ConnectionId),
    /// The second half of an admission that should be one.
    Finish(ConnectionId, Half),
    /// A frame is at the client.
    Arrive(ConnectionId),
    ClientNotices(ConnectionId),
    NodeNotices(ConnectionId),
    /// A node closes one more transport.
    DrainOne(usize),
    CloseTransport(ConnectionId),
    StartNode,
    Fault,
    Calm,
}

pub(crate) enum Half {
    Read(Auth),
    Enter(Rc<[RoomName]>),
    Send(Vec<Frame>),
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) millis: u64,
    pub(crate) faults: u64,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) connects: u64,
    pub(crate) recovered: u64,
    /// Clients that came back and were told that they may have missed
    /// something.
    pub(crate) told: u64,
    /// The same, since their rooms had changed.
    pub(crate) rooms_changed: u64,
    /// The same, since what they had received was found to be lost.
    pub(crate) lost_ends: u64,
    /// Portions of replays, after the first ones.
    pub(crate) portions: u64,
    /// CONNECTs that waited for the reader of their node.
    pub(crate) waited: u64,
    /// Times that a node did not find its place in the stream any more.
    pub(crate) lost_places: u64,
}

impl Counts {
    pub(crate) const fn add(&mut self, other: Self) {
        self.millis += other.millis;
        self.faults += other.faults;
        self.published += other.published;
        self.delivered += other.delivered;
        self.connects += other.connects;
        self.recovered += other.recovered;
        self.told += other.told;
        self.rooms_changed += other.rooms_changed;
        self.lost_ends += other.lost_ends;
        self.portions += other.portions;
        self.waited += other.waited;
        self.lost_places += other.lost_places;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} virtual hours, {} faults, {} published, {} delivered, {} connects, {} recovered, {} told, {} more for their rooms, {} for what was lost, {} portions, {} waited, {} places lost",
            self.millis / (60 * 60 * 1000),
            self.faults,
            self.published,
            self.delivered,
            self.connects,
            self.recovered,
            self.told,
            self.rooms_changed,
            self.lost_ends,
            self.portions,
            self.waited,
            self.lost_places
        )
    }
}

pub(crate) struct World {
    pub(crate) now: u64,
    steps: BTreeMap<(u64, u64), Step>,
    scheduled: u64,
    pub(crate) random: Random,
    pub(crate) plan: Plan,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) stream: Stream,
    /// The log that has lost its end, and until when somebody is to notice.
    pub(crate) unnoticed: Option<(LogId, u64)>,
    /// How far the stream's clock is ahead.
    pub(crate) stream_skew: i64,
    pub(crate) stream_paused_until: u64,
    pub(crate) is_calm: bool,
    /// Logs that have lost their end.
    pub(crate) lost_logs: BTreeSet<LogId>,
    /// Whether a client was notified for nothing.
    pub(crate) needless: bool,
    /// The latest time that the stream's clock has shown.
    pub(crate) latest: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) devices: Vec<Device>,
    pub(crate) witnesses: Vec<Witness>,
    /// The rooms of each user.
    pub(crate) rooms: Vec<Rc<[RoomName]>>,
    pub(crate) publications: Vec<Publication>,
    /// Every entry that was ever appended, in order.
    pub(crate) all: Vec<Rc<Entry>>,
    pub(crate) counts: Counts,
    pub(crate) trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather, mutant: Option<Mutant>) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::new(&mut random, weather);
        let rooms: Vec<Rc<[RoomName]>> = (0..plan.users)
            .map(|user| if plan.shares_rooms { 0 } else { user })
            .map(|user| rooms_of(user, user % 2))
            .collect();
        let mut world = Self {
            now: 0,
            steps: BTreeMap::new(),
            scheduled: 0,
            mutant,
            stream: Stream::new(LogId(1), (plan.stream_max, plan.max_trimmed_rooms), NOON),
            unnoticed: None,
            stream_skew: 0,
            stream_paused_until: 0,
            is_calm: false,
            lost_logs: BTreeSet::new(),
            needless: false,
            latest: 0,
            nodes: Vec::new(),
            connections: Vec::new(),
            devices: plan
                .devices
                .iter()
                .map(|user| Device::new(*user, Rc::clone(&rooms[*user])))
                .collect(),
            witnesses: plan.devices.iter().map(|_| Witness::new()).collect(),
            rooms,
            publications: Vec::new(),
            all: Vec::new(),
            counts: Counts::default(),
            trace: None,
            random,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for _ in 0..self.plan.nodes {
            self.start_node();
        }
        for device in 0..self.devices.len() {
            self.after(0, 5_000, Step::Connect(device));
        }
        for publication in 0..self.plan.publications {
            self.add_publication();
            self.after(0, self.plan.length, Step::Publish(publication));
        }
        self.after(0, self.plan.mean_time_between_faults, Step::Fault);
        self.after(self.plan.length, self.plan.length, Step::Calm);
    }

    /// Lets everything happen. Then all is quiet, and everyone has everything,
    /// and what is published is there at once.
    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        self.settle()?;
        self.add_publication();
        self.after(0, 0, Step::Publish(self.publications.len() - 1));
        self.settle()?;
        self.counts.millis = self.now;
        for (device, witness) in self.devices.iter().zip(&mut self.witnesses) {
            if !matches!(device.phase, Phase::Connected(_)) {
                return Err(Violation::NotBack);
            }
            witness.clock = self.latest;
            witness.end(&self.all)?;
        }
        let is_there = |publication| {
            self.all
                .iter()
                .filter_map(|entry| entry.event.as_ref())
                .any(|event| event.publication == publication)
        };
        let forgotten = self
            .publications
            .iter()
            .enumerate()
            .find(|(index, publication)| publication.is_acknowledged() && !is_there(*index));
        match forgotten {
            Some((publication, _)) => Err(Violation::Forgotten { publication }),
            None => Ok(()),
        }
    }

    fn settle(&mut self) -> Result<(), Violation> {
        for _ in 0..MAX_STEPS {
            let Some(((at, _), step)) = self.steps.pop_first() else {
                return Ok(());
            };
            self.now = at;
            self.latest = self.latest.max(self.clock(self.stream_skew));
            self.take(step)?;
            if self.needless {
                return Err(Violation::ToldForNothing);
            }
        }
        Err(Violation::Unsettled)
    }

    fn take(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Publish(publication) => self.publish(publication),
            Step::Append { publication, node } => self.append(publication, node),
            Step::Read(node) => self.read(node),
            Step::Take { node, batch, asked } => self.take_batch(node, batch, asked),
            Step::Answer {
                publication,
                node,
                place,
            } => self.answer(publication, node, place),
            Step::Drained(id) => self.drained(id),
            Step::Refresh(id, rooms) => self.refresh(id, rooms),
            Step::FanOut(node) => self.fan_out(node),
            Step::Connect(device) => self.connect(device),
            Step::Admit(id, auth) => self.admit(id, auth),
            Step::StopWaiting(id) => self.stop_waiting(id),
            Step::Finish(id, half) => self.finish(id, half),
            Step::Arrive(id) => return self.arrive(id),
            Step::ClientNotices(id) => self.client_notices(id),
            Step::NodeNotices(id) => self.node_notices(id),
            Step::DrainOne(node) => self.drain_one(node),
            Step::CloseTransport(id) => self.close_transport(id),
            Step::StartNode => self.start_node(),
            Step::Fault => self.fault(),
            Step::Calm => self.calm(),
        }
        Ok(())
    }

    /// Something happens after a time between these.
    pub(crate) fn after(&mut self, least: u64, most: u64, step: Step) {
        let at = self.now + self.random.between(least, most);
        self.at(at, step);
    }

    pub(crate) fn at(&mut self, at: u64, step: Step) {
        self.scheduled += 1;
        self.steps.insert((at, self.scheduled), step);
    }

    pub(crate) fn note(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = format!("{:>8} {}", self.now, what(self));
            self.trace.get_or_insert_default().push(line);
        }
    }

    pub(crate) fn clock(&self, skew: i64) -> u64 {
        (NOON + self.now).saturating_add_signed(skew)
    }

    /// The time as a node knows it: the stream's.
    pub(crate) fn now_at(&mut self, node: usize) -> u64 {
        if self.mutant == Some(Mutant::GoesByItsOwnClock) {
            return self.clock(self.nodes[node].skew);
        }
        let error = self.random.between(0, 100);
        self.clock(self.stream_skew) - error
    }

    /// Whether a client that was notified may have missed anything.
    pub(crate) fn has_reason(&self, outcome: ResumeOutcome, auth: &Auth) -> bool {
        let ResumeOutcome::Refused(refusal) = outcome else {
            return true;
        };
        let Some(place) = auth.place() else {
            return true;
        };
        let is_to_be_checked = match refusal {
            ResumeRefusal::LostEnd => return self.lost_logs.contains(&place.log),
            ResumeRefusal::Gap(Gap::TooOld | Gap::Dropped) => true,
            // Of as many rooms as there are.
            ResumeRefusal::Gap(Gap::BeforeLog) => {
                // In another log than it had read, a node may know nothing.
                let is_first_log = place.log == LogId(1);
                is_first_log && self.plan.remembers_all_rooms() && place.offset != Offset::default()
            }
            ResumeRefusal::Gap(Gap::AfterLog)
            | ResumeRefusal::Pid(_)
            | ResumeRefusal::OtherIdentity
            | ResumeRefusal::OtherLog
            | ResumeRefusal::RoomsChanged
            | ResumeRefusal::Offset => false,
        };
        let is_missed = |entry: &Rc<Entry>| {
            let event = entry.event.as_ref();
            entry.link.log == place.log
                && entry.offset > place.offset
                && event.is_some_and(|event| event.audience.names(&auth.rooms))
        };
        !is_to_be_checked || self.all.iter().any(is_missed)
    }

    /// By how much an offset leaps ahead.
    pub(crate) fn leap(&mut self) -> u64 {
        self.random.between(0, 0xFFFF)
    }

    /// What a device's page hears, and what it is worth.
    pub(crate) fn hear(&mut self, device: usize, heard: Heard) -> Result<(), Violation> {
        self.note(|_| format!("device {device} hears {heard:?}"));
        let user = self.devices[device].user;
        let witness = &mut self.witnesses[device];
        witness.clock = self.latest;
        match heard {
            Heard::Event {
                publication,
                offset,
            } => {
                self.counts.delivered += 1;
                witness.event(publication, offset, &self.all)
            }
            Heard::Connected {
                recovered: true,
                rooms,
                ..
            } => witness.recovered(user, &rooms),
            Heard::Connected {
                recovered: false,
                place,
                rooms,
            } => {
                witness.told(user, &rooms, place, &self.all);
                witness.change_rooms(&self.devices[device].rooms);
                Ok(())
            }
            Heard::Closed => {
                self.will_connect(device);
                Ok(())
            }
        }
    }

    pub(crate) fn count(&mut self, outcome: ResumeOutcome) {
        self.counts.connects += 1;
        match outcome {
            ResumeOutcome::First => {}
            ResumeOutcome::Recovered => self.counts.recovered += 1,
            ResumeOutcome::Refused(ResumeRefusal::RoomsChanged) => self.counts.rooms_changed += 1,
            ResumeOutcome::Refused(ResumeRefusal::LostEnd) => self.counts.lost_ends += 1,
            ResumeOutcome::Refused(_) => self.counts.told += 1,
        }
    }
}

/// A user is alone in the first, and shares the second.
pub(crate) fn rooms_of(user: usize, role: usize) -> Rc<[RoomName]> {
    [format!("user_{user}"), format!("role_{role}")]
        .iter()
        .map(|name| RoomName::new(name).expect("a short name"))
        .collect()
}

/// The beginning of virtual time, in milliseconds since 1970.
const NOON: u64 = 1_800_000_000_000;
/// More than a world takes by far: some thousands.
const MAX_STEPS: usize = 200_000;
