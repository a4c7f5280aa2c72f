use std::fmt;

use crate::rules::Rules;
use crate::{
    Log, LogConfig, LogId, NewEntry, Offset, Place, Rule, Seen, SeenConfig, Standing, Trimmed,
};

/// Settings of a [`Broker`].
#[derive(Clone, Copy, Debug, Default)]
pub struct BrokerConfig {
    /// Bounds of the log; `None` retains nothing for clients that reconnect.
    pub log: Option<LogConfig>,
    /// Whether other instances have the same log, so that a client may have read more of it than
    /// this instance has.
    pub is_shared: bool,
    /// Bounds of the ids that are remembered.
    pub ids: SeenConfig,
}

/// Every decision about the events of one namespace: which offset an event gets, whether its id is
/// a duplicate, who must not get it now, and where a client that connects resumes.
///
/// `E` is an event as it is retained, and `K` identifies a socket. The caller has the locks, the
/// sockets, the clock and the rooms of the sockets. It calls the broker and acts on the result under one
/// lock, so that both are one step:
///
/// ```text
///  publish ────┐                            ┌─► offset ─► sockets of the audience,
///  publish_at ─┼─► Broker: log, ids, ahead ─┤             or FanoutQueue
///  resume ─────┘                            └─► CONNECT reply, missed events ─► enter
/// ```
pub struct Broker<E, K> {
    pub(crate) log: Option<Log<E>>,
    pub(crate) log_id: LogId,
    pub(crate) is_shared: bool,
    ids: Seen<()>,
    /// Sockets whose clients have received events that this instance has not read yet.
    ahead: Vec<Ahead<K>>,
    /// Counts the clients that have presented an offset.
    arrivals: u64,
    /// Where the shared log was last found to end, and which clients had presented their offset
    /// before it was asked.
    known_end: Option<(Place, Arrival)>,
    pub(crate) rules: Rules,
}

/// A socket whose client has received events that this instance has not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead<K> {
    /// The socket.
    pub socket: K,
    /// Up to which offset its client has received everything.
    pub offset: Offset,
    /// When its client presented that.
    arrival: Arrival,
}

/// A point in the order in which clients present their offsets and the end of a shared log is
/// asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival(u64);

/// What became of an event that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// It has to be sent to all of its audience.
    Accepted {
        /// Its offset; `None` when there is no log.
        offset: Option<Offset>,
        /// Whether another id had to be forgotten for its own, before its time.
        forgot_id: bool,
    },
    /// Its id is a duplicate. Nothing has to be sent.
    Duplicate,
}

/// What became of an event of a shared log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowOutcome<'a, K> {
    /// It has to be sent to its audience, except to these sockets, whose clients have received it.
    Accepted {
        /// The sockets.
        except: &'a [Ahead<K>],
    },
    /// It is not after the last event. Nothing has to be sent.
    OutOfOrder,
}

impl<E, K> Broker<E, K> {
    /// A broker with an empty log that begins now.
    #[must_use]
    pub fn new(config: BrokerConfig, log_id: LogId, now_millis: u64) -> Self {
        Self {
            log: config.log.map(|log| Log::new(log, now_millis)),
            log_id,
            is_shared: config.is_shared,
            ids: Seen::new(config.ids),
            ahead: Vec::new(),
            arrivals: 0,
            known_end: None,
            rules: Rules::default(),
        }
    }

    /// The same broker without one of its rules.
    #[doc(hidden)]
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn without(mut self, rule: Rule) -> Self {
        self.rules = Rules::without(rule);
        self
    }

    /// Publishes an event of a log that this instance alone has. `entry` is the event at its offset,
    /// and is asked for when there is a log.
    pub fn publish<'a>(
        &mut self,
        id: Option<&str>,
        now_millis: u64,
        entry: impl FnOnce(Offset) -> NewEntry<'a, E>,
    ) -> PublishOutcome
    where
        E: 'a,
    {
        let mut forgot_id = false;
        if let Some(id) = id {
            if self.ids.find(id, now_millis).is_some() {
                return PublishOutcome::Duplicate;
            }
            forgot_id = self.ids.insert(id, (), now_millis);
        }
        let offset = self.log.as_mut().map(|log| {
            let offset = log.next_offset(now_millis);
            log.append(offset, entry(offset), now_millis);
            offset
        });
        PublishOutcome::Accepted { offset, forgot_id }
    }

    /// Publishes an event of a shared log, under the offset that it has there. A socket for which
    /// `has_left` is true is forgotten.
    pub fn publish_at<'a>(
        &mut self,
        offset: Offset,
        has_left: impl Fn(&K) -> bool,
        entry: impl FnOnce() -> NewEntry<'a, E>,
    ) -> FollowOutcome<'_, K>
    where
        E: 'a,
    {
        let Some(log) = &mut self.log else {
            return FollowOutcome::Accepted { except: &[] };
        };
        if offset <= log.last_offset() {
            return FollowOutcome::OutOfOrder;
        }
        // Its life began when it was published, which may be long ago.
        log.append(offset, entry(), offset.millis());
        self.ahead
            .retain(|ahead| offset <= ahead.offset && !has_left(&ahead.socket));
        FollowOutcome::Accepted {
            except: &self.ahead,
        }
    }

    /// A socket enters whose client stands so to the log, as [`Resumed`](crate::Resumed) says, and
    /// presented its offset then. It has to enter its rooms in the same step.
    pub fn enter(
        &mut self,
        socket: K,
        (standing, arrival): (Standing, Arrival),
        has_left: impl Fn(&K) -> bool,
    ) {
        let Standing::Ahead(offset) = standing else {
            return;
        };
        // Now and then, so that those that have left do not accumulate.
        if self.ahead.len().is_power_of_two() {
            self.ahead.retain(|ahead| !has_left(&ahead.socket));
        }
        self.ahead.push(Ahead {
            socket,
            offset,
            arrival,
        });
    }

    /// Starts an empty log at a place: the shared log begins there, or some of it could not be read.
    /// `trimmed` is what the log does not have, [`Trimmed::all_up_to`] the place where nobody knows. A
    /// client that has missed any of that, or resumes from another log, is notified. A later log has a
    /// greater id.
    pub fn begin_log_at(&mut self, began: Place, trimmed: Trimmed) {
        self.log_id = began.log;
        self.ahead.clear();
        self.known_end = None;
        if let Some(log) = &mut self.log {
            *log = Log::starting_at(*log.config(), began.offset, trimmed);
        }
    }

    /// A record of the shared log is not understood: a newer version has written it. Nobody knows for
    /// whom it is, so it is a gap for everyone: the transports of all clients have to be closed when this
    /// returns true. It is false for a record that came before.
    #[must_use]
    pub fn handle_unreadable(&mut self, offset: Offset) -> bool {
        let is_next = self.end().is_none_or(|end| offset > end.offset);
        if !is_next || !self.rules.hold(Rule::UnreadableIsAGap) {
            return false;
        }
        let log = self.log_id;
        self.begin_log_at(Place { log, offset }, Trimmed::all_up_to(offset));
        true
    }

    /// A client presents an offset now.
    pub fn arrive(&mut self) -> Arrival {
        self.arrivals += 1;
        Arrival(self.arrivals)
    }

    /// Now: what is asked for after this is asked for after these clients have presented their offset.
    #[must_use]
    pub const fn arrivals(&self) -> Arrival {
        Arrival(self.arrivals)
    }

    /// The shared log ends there, and this instance has read all of it. The end was asked for after
    /// `asked`, that is [`arrivals`](Self::arrivals) before the question.
    ///
    /// Returns the sockets whose clients have received more than the log has: it has lost its end, and
    /// their transports have to be closed, so that they are notified when they reconnect.
    #[must_use]
    pub fn handle_end(&mut self, end: Place, asked: Arrival) -> Vec<K> {
        self.known_end = Some((end, asked));
        let is_proof = |ahead: &mut Ahead<K>| {
            end.log == self.log_id && asked >= ahead.arrival && ahead.offset > end.offset
        };
        let proofs = self.ahead.extract_if(.., is_proof);
        proofs.map(|ahead| ahead.socket).collect()
    }

    /// Whether a client that presented this offset proves that the log has lost its end: the offset
    /// was in the log when the client presented it, and the log was found to end earlier after that.
    #[must_use]
    pub(crate) fn proves_loss(&self, offset: Offset, arrival: Arrival) -> bool {
        self.known_end.is_some_and(|(end, asked)| {
            end.log == self.log_id && asked >= arrival && offset > end.offset
        })
    }

    /// Where the log ends; `None` when there is none.
    #[must_use]
    pub fn end(&self) -> Option<Place> {
        Some(Place {
            log: self.log_id,
            offset: self.log.as_ref()?.last_offset(),
        })
    }

    /// Whether this instance has read a shared log up to a place, or is in a later log.
    #[must_use]
    pub fn has_reached(&self, place: Place) -> bool {
        let is_reached = |end: Place| (end.log, end.offset) >= (place.log, place.offset);
        self.end().is_none_or(is_reached)
    }

    /// Whether a client that presented this place has nothing to wait for: this instance has read as
    /// far, or the log is known to have lost it.
    #[must_use]
    pub fn may_resume(&self, place: Place, arrival: Arrival) -> bool {
        let is_lost = place.log == self.log_id && self.proves_loss(place.offset, arrival);
        is_lost || self.has_reached(place)
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> Option<&Log<E>> {
        self.log.as_ref()
    }

    /// Ids that are remembered.
    #[must_use]
    pub fn id_count(&self) -> usize {
        self.ids.len()
    }
}

/// Shows no event and no socket.
impl<E, K> fmt::Debug for Broker<E, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("end", &self.end())
            .field("ids", &self.ids.len())
            .field("ahead", &self.ahead.len())
            .finish_non_exhaustive()
    }
}
