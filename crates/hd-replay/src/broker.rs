use std::fmt;

use crate::rules::Rules;
use crate::{Log, LogConfig, LogId, NewEntry, Offset, Place, Seen, SeenConfig};

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
    /// Sockets whose clients have received events that this instance has not read yet, and up to
    /// which offset.
    ahead: Vec<(K, Offset)>,
    pub(crate) rules: Rules,
}

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
        /// The sockets, and up to which offset their clients have received events.
        except: &'a [(K, Offset)],
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
            rules: Rules::default(),
        }
    }

    /// The same broker without one of its rules.
    #[doc(hidden)]
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn without(mut self, rule: crate::Rule) -> Self {
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
            .retain(|(socket, had)| offset <= *had && !has_left(socket));
        FollowOutcome::Accepted {
            except: &self.ahead,
        }
    }

    /// The client of a socket that enters has received everything up to `ahead`, as
    /// [`Resumed`](crate::Resumed) says. The socket has to enter its rooms in the same step.
    pub fn enter(&mut self, socket: K, ahead: Option<Offset>, has_left: impl Fn(&K) -> bool) {
        let Some(offset) = ahead else {
            return;
        };
        // Now and then, so that those that have left do not accumulate.
        if self.ahead.len().is_power_of_two() {
            self.ahead.retain(|(socket, _)| !has_left(socket));
        }
        self.ahead.push((socket, offset));
    }

    /// Starts an empty log at a place: the shared log begins there, or some of it could not be read.
    /// A client that resumes from before it, or from another log, is notified. A later log has a
    /// greater id.
    pub fn begin_log_at(&mut self, began: Place) {
        self.log_id = began.log;
        self.ahead.clear();
        if let Some(log) = &mut self.log {
            *log = Log::starting_at(*log.config(), began.offset);
        }
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
