//! A node: a copy of the stream in memory, and the sockets that it serves. What
//! is done here in one call is done there under one lock.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use hd_replay::{
    Acknowledged, Chain, ChainStep, Cursor, Gap, Log, LogConfig, LogId, MAC_BYTES, NewEntry,
    Offset, Place,
};
use hd_rooms::RoomName;

use super::mutant::Mutant;
use super::stream::{Batch, Entry, Event};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) usize);

/// What a node sends.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Connect { pid: String, place: (LogId, Offset) },
    Event { publication: usize, offset: Offset },
    Disconnect,
    Close,
}

/// What a client says of itself in CONNECT. Its user is in its token.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    pub(crate) user: usize,
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

pub(crate) struct Node {
    pub(crate) life: Life,
    pub(crate) reader: Reader,
    pub(crate) sockets: BTreeMap<ConnectionId, Socket>,
    /// CONNECTs that wait for the reader.
    pub(crate) waiting: Vec<(ConnectionId, Auth)>,
    /// How far its clock is ahead, in milliseconds.
    pub(crate) skew: i64,
    pub(crate) queue: VecDeque<(u64, Rc<Entry>)>,
    queued: u64,
    /// How far it has read, once it has begun.
    chain: Option<Chain>,
    /// What it was told to be in the stream.
    pub(crate) acknowledged: Acknowledged,
    pub(crate) link: StreamLink,
    log: Log<usize>,
    config: LogConfig,
    mutant: Option<Mutant>,
}

pub(crate) struct Socket {
    rooms: Rc<[RoomName]>,
    /// How many events were queued before it entered.
    entered_after: u64,
    /// Up to where its client has had what is not here yet.
    ahead: Option<Offset>,
}

/// A client's place in the log.
pub(crate) struct Resumed {
    pub(crate) pid: String,
    /// Where it is, if it begins anew.
    pub(crate) place: (LogId, Offset),
    pub(crate) missed: Vec<Frame>,
    /// Up to where the client has had what is not here yet.
    pub(crate) ahead: Option<Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    First,
    Recovered,
    Refused,
}

/// What became of a batch.
pub(crate) enum Taken {
    /// These were appended, and are to be delivered.
    Appended(Vec<Rc<Entry>>),
    /// The stream does not go on where the copy ends: the copy began anew, and
    /// whoever is here has to come back to be told.
    LostItsPlace,
}

impl Node {
    pub(crate) fn new(config: LogConfig, skew: i64, mutant: Option<Mutant>) -> Self {
        Self {
            life: Life::Filling,
            reader: Reader::Idle,
            sockets: BTreeMap::new(),
            waiting: Vec::new(),
            skew,
            queue: VecDeque::new(),
            queued: 0,
            chain: None,
            acknowledged: Acknowledged::default(),
            link: StreamLink::Broken,
            log: Log::starting_at(config, Offset::default()),
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
        let (log, _) = self.place()?;
        Some((log, self.log.last_offset()))
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

    pub(crate) fn take(&mut self, batch: Batch) -> Taken {
        let mut has_lost_its_place = false;
        let mut appended = Vec::new();
        for entry in batch {
            let step = self.follow(&entry);
            match step {
                ChainStep::Next => {}
                ChainStep::Passed | ChainStep::Lost => continue,
                ChainStep::Began(place) => {
                    has_lost_its_place = true;
                    self.begin_log_at(place.offset);
                    appended.clear();
                }
            }
            if let Some(event) = &entry.event
                && self.append(&entry, event)
            {
                appended.push(entry);
            }
        }
        if has_lost_its_place {
            Taken::LostItsPlace
        } else {
            Taken::Appended(appended)
        }
    }

    fn begin_log_at(&mut self, began: Offset) {
        self.log = Log::starting_at(self.config, began);
        self.queue.clear();
    }

    fn follow(&mut self, entry: &Entry) -> ChainStep {
        let Some(chain) = &mut self.chain else {
            let mut began = entry.link.begins_after(entry.offset);
            self.chain = Some(Chain::at(began));
            if self.mutant == Some(Mutant::TrimsInSilence) {
                began.offset = Offset::default();
            }
            self.begin_log_at(began.offset);
            return self.follow(entry);
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

    fn append(&mut self, entry: &Entry, event: &Event) -> bool {
        if entry.offset <= self.log.last_offset() {
            return false; // only where offsets are not in order
        }
        let new = NewEntry {
            except: &event.audience.except,
            ..NewEntry::to(&event.audience.rooms, EVENT_BYTES, event.publication)
        };
        self.log.append(entry.offset, new, entry.offset.millis());
        true
    }

    /// Who is to be sent an event now. Where others wait, it waits as well.
    pub(crate) fn deliver(&mut self, entry: &Rc<Entry>, is_for_many: bool) -> Vec<ConnectionId> {
        let has_to_wait = !self.queue.is_empty() && self.mutant != Some(Mutant::OvertakesTheQueue);
        if has_to_wait || is_for_many {
            self.queued += 1;
            self.queue.push_back((self.queued, Rc::clone(entry)));
            return Vec::new();
        }
        self.audience(entry, u64::MAX)
    }

    /// The event that has waited longest, and who is to be sent it.
    pub(crate) fn next_queued(&mut self) -> Option<(Rc<Entry>, Vec<ConnectionId>)> {
        let (number, entry) = self.queue.pop_front()?;
        let audience = self.audience(&entry, number);
        Some((entry, audience))
    }

    fn audience(&self, entry: &Entry, number: u64) -> Vec<ConnectionId> {
        let takes_any = self.mutant == Some(Mutant::SendsQueuedToNewcomers);
        self.sockets
            .iter()
            .filter(|(_, socket)| {
                let event = entry.event.as_ref();
                event.is_some_and(|event| event.audience.has(&socket.rooms))
            })
            .filter(|(_, socket)| number > socket.entered_after || takes_any)
            .filter(|(_, socket)| socket.ahead.is_none_or(|ahead| entry.offset > ahead))
            .map(|(id, _)| *id)
            .collect()
    }

    pub(crate) fn enter(&mut self, id: ConnectionId, rooms: Rc<[RoomName]>, ahead: Option<Offset>) {
        let entered_after = self.queued;
        let socket = Socket {
            rooms,
            entered_after,
            ahead,
        };
        self.sockets.insert(id, socket);
    }

    /// Whether a client is ahead of this node's reader.
    pub(crate) fn is_behind(&self, auth: &Auth) -> bool {
        let (Some(cursor), Some(place)) = (auth.cursor(), self.log_place()) else {
            return false;
        };
        (cursor.log, cursor.after(auth.shown())) > place
    }

    /// What `socketio/recovery.rs` of hd-ws-server does.
    pub(crate) fn resume(
        &mut self,
        id: ConnectionId,
        auth: &Auth,
        rooms: &[RoomName],
        now: u64,
    ) -> (Resumed, Outcome) {
        self.log.expire(now);
        match self.missed(auth, rooms, now) {
            None => (self.begin_anew(id, auth), Outcome::First),
            Some(Ok(resumed)) => (resumed, Outcome::Recovered),
            Some(Err(_)) => (self.begin_anew(id, auth), Outcome::Refused),
        }
    }

    fn begin_anew(&self, id: ConnectionId, auth: &Auth) -> Resumed {
        let place = self.log_place().expect("a node that serves has begun");
        // It makes the `pid` another one than the client has.
        let sid = id.0.to_string();
        let before = auth.cursor();
        let cursor = Cursor::anew(auth.identity(), place, sid, before.as_ref(), auth.shown());
        Resumed {
            pid: cursor.seal(mac),
            place,
            missed: Vec::new(),
            ahead: None,
        }
    }

    fn missed(
        &self,
        auth: &Auth,
        rooms: &[RoomName],
        now: u64,
    ) -> Option<Result<Resumed, Refused>> {
        let pid = auth.pid.as_ref()?;
        let found = self.position(auth, pid).and_then(|after| {
            match self.log.missed(rooms, after, now) {
                Ok(missed) => Ok((missed, None)),
                Err(Gap::AfterLog) if self.mutant == Some(Mutant::LetsInAheadOfItsReader) => {
                    Ok((Vec::new(), None))
                }
                // A log that loses any of that is another one.
                Err(Gap::AfterLog) => Ok((Vec::new(), Some(after))),
                Err(_) => Err(Refused),
            }
        });
        Some(found.map(|(missed, ahead)| {
            let missed = missed.into_iter();
            Resumed {
                pid: pid.clone(),
                place: self.log_place().expect("a node that serves has begun"),
                missed: missed
                    .map(|(offset, &publication)| Frame::Event {
                        publication,
                        offset,
                    })
                    .collect(),
                ahead,
            }
        }))
    }

    fn position(&self, auth: &Auth, pid: &str) -> Result<Offset, Refused> {
        let cursor = Cursor::open(pid, mac).map_err(|_| Refused)?;
        let is_own = cursor.identity == auth.identity();
        if !is_own && self.mutant != Some(Mutant::TakesAnybodysPid) {
            return Err(Refused);
        }
        if Some(cursor.log) != self.place().map(|(log, _)| log) {
            return Err(Refused);
        }
        match auth.shown() {
            Some(shown) if self.mutant == Some(Mutant::TakesStaleOffsets) => Ok(shown),
            Some(shown) if self.mutant == Some(Mutant::TakesOffsetsOfOtherLogs) => {
                Ok(shown.max(cursor.start))
            }
            shown => Ok(cursor.after(shown)),
        }
    }
}

/// What it missed cannot be told.
struct Refused;

impl Auth {
    fn identity(&self) -> u64 {
        u64::try_from(self.user).expect("a few users")
    }

    fn cursor(&self) -> Option<Cursor> {
        Cursor::open(self.pid.as_ref()?, mac).ok()
    }

    fn shown(&self) -> Option<Offset> {
        let shown = self.offset.as_ref()?;
        Some(shown.parse().expect("an offset of this server"))
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

/// What an event counts for.
const EVENT_BYTES: usize = 10;
