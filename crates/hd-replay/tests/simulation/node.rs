//! A node: a copy of the stream in memory, and the sockets that it serves. The
//! decisions are those of production: `Broker`, `FanoutQueue`, `FanoutPass` and `Chain`. What is done
//! here in one call is done there under one lock.

use std::collections::BTreeMap;
use std::rc::Rc;

use hd_replay::{
    Acknowledged, Arrival, Broker, BrokerConfig, Chain, ChainStep, Cursor, FanoutQueue, Gap,
    LogConfig, LogId, MAC_BYTES, Offset, Place, Reconnect, ResumeOutcome, ResumeRequest,
    SeenConfig, Standing, Trimmed,
};
use hd_rooms::RoomName;

use super::mutant::Mutant;
use super::sending::{Job, Pass, fanout_queue};
use super::stream::Entry;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) usize);

/// What a node sends.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Connect {
        pid: String,
        place: (LogId, Offset),
        rooms: Rc<[RoomName]>,
    },
    Event {
        publication: usize,
        offset: Offset,
    },
    Disconnect,
    Close,
}

/// What a client says of itself in CONNECT. Its user and its rooms are in its token.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    pub(crate) user: usize,
    pub(crate) rooms: Rc<[RoomName]>,
    pub(crate) pid: Option<String>,
    pub(crate) offset: Option<String>,
}

/// ```text
///  Filling ──► Serving ──► Draining ──► Dead
///     └───────────┴────────────┴── crash ──▲
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It reads the stream, and takes no clients yet.
    Filling,
    Serving,
    /// It closes its transports one by one, and goes on delivering.
    Draining,
    Dead,
}

/// One read is under way at most, so that batches come in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Idle,
    Reading,
    /// Something was appended since it began.
    ReadingAndWoken,
}

/// A node's connection to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamLink {
    Up,
    /// When it is made again, the node looks where the stream ends.
    Broken,
}

/// Of the software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    First,
    /// It may write what the first one does not understand.
    Second,
}

pub(crate) struct Node {
    pub(crate) version: Version,
    pub(crate) life: Life,
    pub(crate) reader: Reader,
    pub(crate) sockets: BTreeMap<ConnectionId, Socket>,
    /// CONNECTs that wait for the reader.
    pub(crate) waiting: Vec<(ConnectionId, Auth, Arrival)>,
    /// How far its clock is ahead, in milliseconds.
    pub(crate) skew: i64,
    pub(crate) queue: FanoutQueue<Job>,
    /// What is being sent to the sockets of one audience.
    pub(crate) pass: Option<Pass>,
    /// Counts the changes of the rooms.
    pub(crate) rooms_version: u64,
    /// How far it has read, once it has begun.
    pub(crate) chain: Option<Chain>,
    /// What it was told to be in the stream.
    pub(crate) acknowledged: Acknowledged,
    pub(crate) link: StreamLink,
    /// Once it has begun to read.
    pub(crate) broker: Option<Broker<Rc<Entry>, ConnectionId>>,
    pub(crate) config: LogConfig,
    pub(crate) mutant: Option<Mutant>,
}

pub(crate) struct Socket {
    pub(crate) rooms: Rc<[RoomName]>,
    /// How many events were queued before it entered.
    pub(crate) entered_after: u64,
    pub(crate) standing: Standing,
}

/// A client's place in the log.
pub(crate) struct Resumed {
    pub(crate) pid: String,
    /// Where it is, if it begins anew.
    pub(crate) place: (LogId, Offset),
    pub(crate) missed: Vec<Frame>,
    pub(crate) standing: Standing,
}

/// What an entry of the stream is to a node.
pub(crate) enum Followed {
    /// It is the next one.
    Next,
    /// Nothing.
    Passed,
    /// The stream does not go on where the copy ends: the copy begins anew, and
    /// whoever is here has to reconnect to be notified. The entry is to be taken too.
    Gap,
}

impl Node {
    pub(crate) fn new(
        version: Version,
        config: LogConfig,
        skew: i64,
        mutant: Option<Mutant>,
    ) -> Self {
        Self {
            version,
            life: Life::Filling,
            reader: Reader::Idle,
            sockets: BTreeMap::new(),
            waiting: Vec::new(),
            skew,
            queue: fanout_queue(mutant),
            pass: None,
            rooms_version: 0,
            chain: None,
            acknowledged: Acknowledged::default(),
            link: StreamLink::Broken,
            broker: None,
            config,
            mutant,
        }
    }

    /// Where it is in the stream.
    pub(crate) fn place(&self) -> Option<(LogId, Offset)> {
        let Place { log, offset } = self.chain.as_ref()?.place();
        Some((log, offset))
    }

    /// Where its own log ends.
    fn log_place(&self) -> Option<(LogId, Offset)> {
        let Place { log, offset } = self.broker.as_ref()?.end()?;
        Some((log, offset))
    }

    /// The log that it knows to have lost something.
    pub(crate) fn forked(&self) -> Option<LogId> {
        self.chain.as_ref()?.forked()
    }

    pub(crate) fn handle_fork(&mut self, current: LogId) {
        if let Some(chain) = &mut self.chain {
            chain.handle_fork(current);
        }
    }

    /// Whether it would notice that a log ends there.
    pub(crate) fn knows_of_more_than(&self, log: LogId, end: Offset) -> bool {
        let place = self.place();
        let is_later = |last| last > end || self.acknowledged.latest(log) > Some(end);
        place.is_some_and(|(its, last)| its == log && is_later(last))
    }

    /// It is connected to the stream again, which ends there.
    pub(crate) fn connect(&mut self, end: Offset) {
        self.link = StreamLink::Up;
        let ignores = self.mutant == Some(Mutant::TrustsTheEnd);
        if let Some(chain) = self.chain.as_mut().filter(|_| !ignores) {
            let acknowledged = self.acknowledged.latest(chain.place().log);
            chain.handle_end(end, acknowledged);
        }
    }

    /// Takes notice of the next entry of the stream.
    pub(crate) fn handle_entry(&mut self, entry: &Entry, trimmed: &Trimmed) -> Followed {
        let read = self.chain.as_ref().map(Chain::place);
        match self.follow(entry, trimmed) {
            ChainStep::Next => Followed::Next,
            ChainStep::Passed | ChainStep::Lost => Followed::Passed,
            ChainStep::Began(place) => {
                let is_known = |read| entry.link.follows_what_was_trimmed(read);
                if read.is_none_or(is_known) {
                    self.begin_log_at(place, trimmed);
                } else {
                    self.begin_log_at(place, &Trimmed::all_up_to(place.offset));
                }
                Followed::Gap
            }
        }
    }

    fn begin_log_at(&mut self, began: Place, trimmed: &Trimmed) {
        let (config, mutant) = (self.config, self.mutant);
        let broker = self.broker.get_or_insert_with(|| broker(config, mutant));
        let trimmed = match mutant {
            Some(Mutant::ForgetsWhatWasTrimmed) => Trimmed::nothing(),
            Some(Mutant::ForgetsWhoseWasTrimmed) => Trimmed::all_up_to(began.offset),
            _ => trimmed.clone(),
        };
        broker.begin_log_at(began, trimmed);
    }

    /// Where it is in the order of those who present an offset.
    pub(crate) fn arrive(&mut self) -> Arrival {
        self.broker.as_mut().map(Broker::arrive).unwrap_or_default()
    }

    pub(crate) fn arrivals(&self) -> Arrival {
        self.broker
            .as_ref()
            .map(Broker::arrivals)
            .unwrap_or_default()
    }

    /// It has read the stream to its end.
    pub(crate) fn handle_end(&mut self, end: Place, asked: Arrival) -> Vec<ConnectionId> {
        let broker = self.broker.as_mut();
        broker
            .map(|broker| broker.handle_end(end, asked))
            .unwrap_or_default()
    }

    pub(crate) fn understands(&self, entry: &Entry) -> bool {
        let is_new = entry.event.as_ref().is_some_and(|event| event.is_new);
        !is_new || self.version == Version::Second
    }

    pub(crate) fn handle_unreadable(&mut self, entry: &Entry) -> bool {
        let broker = self.broker.as_mut();
        broker.is_some_and(|broker| broker.handle_unreadable(entry.offset))
    }

    fn follow(&mut self, entry: &Entry, trimmed: &Trimmed) -> ChainStep {
        let Some(chain) = &mut self.chain else {
            let mut began = entry.link.begins_after(entry.offset);
            self.chain = Some(Chain::at(began));
            if self.mutant == Some(Mutant::TrimsInSilence) {
                began.offset = Offset::default();
            }
            self.begin_log_at(began, trimmed);
            return self.follow(entry, trimmed);
        };
        let before = chain.place();
        if self.mutant == Some(Mutant::ForgetsWhatWasAcknowledged) {
            self.acknowledged = Acknowledged::default();
        }
        let acknowledged = &mut self.acknowledged;
        let step = chain.handle_entry(entry.offset, Some(entry.link), acknowledged);
        assert!(chain.place().log >= before.log, "an old log comes back");
        match (step, self.mutant) {
            (
                ChainStep::Began(place),
                Some(Mutant::TrimsInSilence | Mutant::FollowsTheClockBack),
            ) if place.log == before.log => ChainStep::Next,
            (ChainStep::Lost, Some(Mutant::GoesOnWhenEndIsLost)) => {
                *chain = Chain::at(chain.place());
                ChainStep::Next
            }
            _ => step,
        }
    }

    pub(crate) fn enter(
        &mut self,
        id: ConnectionId,
        rooms: Rc<[RoomName]>,
        (standing, arrival): (Standing, Arrival),
    ) {
        let socket = Socket {
            rooms,
            entered_after: self.queue.enter(standing),
            standing,
        };
        self.sockets.insert(id, socket);
        self.rooms_version += 1;
        let sockets = &self.sockets;
        if let Some(broker) = &mut self.broker {
            broker.enter(id, (standing, arrival), |id| !sockets.contains_key(id));
        }
    }

    pub(crate) fn change_rooms(&mut self, id: ConnectionId, rooms: Rc<[RoomName]>) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.rooms = rooms;
            self.rooms_version += 1;
        }
    }

    /// The next portion for a client, if it is behind.
    pub(crate) fn next_portion(
        &mut self,
        id: ConnectionId,
        now: u64,
    ) -> Option<Result<Vec<Rc<Entry>>, Gap>> {
        let socket = self.sockets.get_mut(&id)?;
        let Standing::Behind(position) = socket.standing else {
            return None;
        };
        let broker = self.broker.as_mut()?;
        Some(match broker.next_portion(position, &socket.rooms, now) {
            Ok((events, standing)) => {
                socket.standing = standing;
                socket.entered_after = self.queue.enter(standing);
                Ok(events
                    .into_iter()
                    .map(|(_, entry)| Rc::clone(entry))
                    .collect())
            }
            Err(gap) => Err(gap),
        })
    }

    pub(crate) fn leave(&mut self, id: ConnectionId) {
        self.sockets.remove(&id);
        self.rooms_version += 1;
    }

    /// Every socket leaves.
    pub(crate) fn leave_all(&mut self) {
        self.sockets.clear();
        self.rooms_version += 1;
    }

    /// Whether a client is ahead of this node's reader.
    pub(crate) fn is_behind(&self, auth: &Auth, arrival: Arrival) -> bool {
        let broker = self.broker.as_ref();
        let may_resume =
            |(place, broker): (Place, &Broker<_, _>)| broker.may_resume(place, arrival);
        !auth.place().zip(broker).is_none_or(may_resume)
    }

    /// What `socketio/recovery.rs` of hd-ws-server does.
    pub(crate) fn resume(
        &mut self,
        id: ConnectionId,
        auth: &Auth,
        arrival: Arrival,
        now: u64,
    ) -> (Resumed, ResumeOutcome) {
        let place = self.log_place().expect("a node that serves has begun");
        let reconnect = auth.reconnect();
        let request = ResumeRequest {
            identity: auth.identity(),
            rooms: &auth.rooms,
            own_room: None,
            reconnect: reconnect.as_ref(),
            arrival,
        };
        // It makes the `pid` another one than the client has.
        let new_sid = || id.0.to_string();
        let broker = self.broker.as_mut().expect("a node that serves has begun");
        let resumed = broker
            .resume(&request, new_sid, now)
            .expect("there is a log");
        let kept = || auth.pid.clone().expect("it has recovered");
        let missed = resumed.missed.iter();
        let answer = Resumed {
            pid: resumed.cursor.map_or_else(kept, |cursor| cursor.seal(mac)),
            place,
            missed: missed.filter_map(|(_, entry)| entry.to_frame()).collect(),
            standing: resumed.standing,
        };
        let (outcome, lost) = (resumed.outcome, resumed.lost);
        if let Some((lost, chain)) = lost.zip(self.chain.as_mut()) {
            // Whoever keeps the stream is told: another log begins.
            chain.handle_end(chain.place().offset, Some(lost.offset));
        }
        (answer, outcome)
    }
}

fn broker(config: LogConfig, mutant: Option<Mutant>) -> Broker<Rc<Entry>, ConnectionId> {
    let config = BrokerConfig {
        log: Some(config),
        is_shared: true,
        ids: SeenConfig::default(),
    };
    let broker = Broker::new(config, LogId(0), 0);
    match mutant.and_then(Mutant::rule) {
        Some(rule) => broker.without(rule),
        None => broker,
    }
}

impl Auth {
    fn identity(&self) -> u64 {
        u64::try_from(self.user).expect("a few users")
    }

    /// Up to where it has received everything.
    pub(crate) fn place(&self) -> Option<Place> {
        self.reconnect()?.place()
    }

    fn reconnect(&self) -> Option<Reconnect> {
        Some(Reconnect {
            cursor: Cursor::open(self.pid.as_ref()?, mac),
            shown: self.offset.as_deref().map(str::parse).transpose(),
        })
    }
}

/// Not a good code; nobody here forges.
pub(crate) fn mac(bytes: &[u8]) -> [u8; MAC_BYTES] {
    let mut code = [7_u8; MAC_BYTES];
    for (index, byte) in bytes.iter().enumerate() {
        let place = index % MAC_BYTES;
        code[place] = code[place].wrapping_mul(31).wrapping_add(*byte);
    }
    code
}
