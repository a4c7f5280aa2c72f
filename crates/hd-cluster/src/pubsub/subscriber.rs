use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, Pipeline, PushInfo, PushKind, RedisError, Value,
    from_redis_value,
};
use tokio::sync::Notify;

use super::{Ear, Heard, Publish, Topic};
use crate::connection::open_for_pushes;

/// A connection, and what it is subscribed to.
#[derive(Debug)]
pub(super) struct Subscriber {
    connection: MultiplexedConnection,
    subscriptions: Arc<Subscriptions>,
    /// Counts the commands that ended a pipeline.
    fences: u64,
}

/// What the connection's server has said of topics.
#[derive(Debug)]
struct Subscriptions {
    state: Mutex<State>,
    /// Whether something was lost.
    has_changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    topics: HashMap<Topic, Subscription>,
    losses: Losses,
}

/// ```text
///       SSUBSCRIBE          ssubscribe               sunsubscribe
/// (none) ──────────► Asked ────────────► Subscribed ──────────────► (none), a loss
/// ```
///
/// Given up it is none at once, and what Redis says to that is passed over.
#[derive(Clone, Copy, Debug)]
enum Subscription {
    Asked { since: u64 },
    Subscribed { since: u64 },
}

/// What is not listened to any more, and was not given up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Losses {
    /// Of these, because their slot has left.
    Topics(Vec<Topic>),
    /// The connection is closed.
    Everything,
}

/// Topics that the server did not subscribe to.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    pub(super) topics: Vec<Topic>,
    /// What it has said, of some of them at least.
    pub(super) errors: Vec<RedisError>,
}

/// Listens to what the server pushes, until the connection ends.
struct Pushes {
    subscriptions: Arc<Subscriptions>,
    ear: Ear,
}

impl Subscriber {
    pub(super) async fn connect(
        client: &Client,
        timeouts: &AsyncConnectionConfig,
        ear: &Ear,
        has_changed: &Arc<Notify>,
    ) -> Result<Self, RedisError> {
        let subscriptions = Arc::new(Subscriptions {
            state: Mutex::default(),
            has_changed: Arc::clone(has_changed),
        });
        let pushes = Pushes {
            subscriptions: Arc::clone(&subscriptions),
            ear: ear.clone(),
        };
        let sender = move |push| {
            pushes.take(push);
            Ok::<(), RedisError>(())
        };
        Ok(Self {
            connection: Box::pin(open_for_pushes(client, timeouts, sender)).await?,
            subscriptions,
            fences: 0,
        })
    }

    /// For commands that have one answer each.
    pub(super) fn connection(&mut self) -> &mut MultiplexedConnection {
        &mut self.connection
    }

    /// The time by the clock of this server, in milliseconds since 1970.
    pub(super) async fn time(&mut self) -> Result<u64, RedisError> {
        let time = redis::cmd("TIME");
        let (seconds, micros): (u64, u64) = time.query_async(&mut self.connection).await?;
        Ok(seconds.saturating_mul(1000).saturating_add(micros / 1000))
    }

    /// Subscribes to topics, by the clock of this server.
    pub(super) async fn subscribe(&mut self, topics: Vec<Topic>) -> Result<Refusals, RedisError> {
        if topics.is_empty() {
            return Ok(Refusals::default());
        }
        // Before anything can be heard.
        let since = self.time().await?;
        self.subscribe_since(topics, since).await
    }

    /// Subscribes to topics, in batches. What comes of them is heard since that
    /// time.
    pub(super) async fn subscribe_since(
        &mut self,
        topics: Vec<Topic>,
        since: u64,
    ) -> Result<Refusals, RedisError> {
        let mut refusals = Refusals::default();
        for batch in topics.chunks(BATCH) {
            let mut pipeline = redis::pipe();
            for topic in batch {
                let (command, name) = match topic {
                    Topic::Pattern(name) => ("PSUBSCRIBE", name),
                    Topic::Channel(name) => ("SUBSCRIBE", name),
                    Topic::Shard(name) => ("SSUBSCRIBE", name),
                };
                // One name each: each has one answer then.
                pipeline.cmd(command).arg(name);
                let asked = Subscription::Asked { since };
                self.state().topics.insert(topic.clone(), asked);
            }
            let errors = self.run(pipeline).await?;
            let topics = &mut self.state().topics;
            // What is not confirmed by now will not be.
            for topic in batch {
                if matches!(topics.get(topic), Some(Subscription::Asked { .. })) {
                    topics.remove(topic);
                    refusals.topics.push(topic.clone());
                }
            }
            refusals.errors.extend(errors);
        }
        Ok(refusals)
    }

    /// Gives topics up, in batches.
    pub(super) async fn unsubscribe(&mut self, topics: Vec<Topic>) -> Result<(), RedisError> {
        let topics = self.subscriptions.given_up(topics);
        for batch in topics.chunks(BATCH) {
            let mut pipeline = redis::pipe();
            for topic in batch {
                let (command, name) = match topic {
                    Topic::Pattern(name) => ("PUNSUBSCRIBE", name),
                    Topic::Channel(name) => ("UNSUBSCRIBE", name),
                    Topic::Shard(name) => ("SUNSUBSCRIBE", name),
                };
                pipeline.cmd(command).arg(name);
            }
            // Where the slot has left there is nothing to give up.
            let _refused = self.run(pipeline).await?;
        }
        Ok(())
    }

    /// A connection that does not answer counts as closed.
    pub(super) async fn ping(&mut self) -> Result<(), RedisError> {
        let result = self.run(redis::pipe()).await;
        if result.is_err() {
            self.state().losses = Losses::Everything;
        }
        result.map(drop)
    }

    /// What was lost since this was asked last.
    pub(super) fn take_losses(&self) -> Losses {
        let losses = &mut self.state().losses;
        match losses {
            Losses::Topics(topics) => Losses::Topics(std::mem::take(topics)),
            Losses::Everything => Losses::Everything,
        }
    }

    /// Gives commands, and returns once all are answered, with the errors.
    ///
    /// A server that loses a slot says `sunsubscribe` for each of its channels,
    /// and nothing tells that from the answer to a command. The commands that
    /// are under way are then taken to be answered too early, by as many. So the
    /// last one is known by its answer, and is given again until it has its own:
    /// answers that nobody waits for are passed over.
    async fn run(&mut self, mut pipeline: Pipeline) -> Result<Vec<RedisError>, RedisError> {
        let mut errors = Vec::new();
        for _attempt in 0..MAX_FENCES {
            self.fences += 1;
            let fence = self.fences.to_string();
            pipeline.cmd("PING").arg(&fence).ignore_errors();
            let running = pipeline.query_async(&mut self.connection);
            let mut answers: Vec<Result<Value, RedisError>> = Box::pin(running).await?;
            let last = answers.pop();
            let is_last =
                matches!(&last, Some(Ok(Value::BulkString(answer))) if answer == fence.as_bytes());
            errors.extend(answers.into_iter().chain(last).filter_map(Result::err));
            if is_last {
                return Ok(errors);
            }
            pipeline = redis::pipe();
        }
        let what = "answers do not come to their commands";
        Err(RedisError::from((ErrorKind::Io, what)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.subscriptions.state()
    }
}

impl Subscriptions {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn confirmed(&self, topic: Topic) {
        if let Some(subscription) = self.state().topics.get_mut(&topic) {
            let since = subscription.since();
            *subscription = Subscription::Subscribed { since };
        }
    }

    /// Returns those that were there.
    fn given_up(&self, mut topics: Vec<Topic>) -> Vec<Topic> {
        let mut state = self.state();
        topics.retain(|topic| state.topics.remove(topic).is_some());
        topics
    }

    fn lost(&self, topic: Topic) {
        let State { topics, losses } = &mut *self.state();
        if matches!(topics.get(&topic), Some(Subscription::Subscribed { .. })) {
            topics.remove(&topic);
            if let Losses::Topics(lost) = losses {
                lost.push(topic);
            }
            self.has_changed.notify_one();
        }
    }
}

impl Subscription {
    fn since(self) -> u64 {
        match self {
            Self::Asked { since } | Self::Subscribed { since } => since,
        }
    }
}

impl Losses {
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Losses {
    fn default() -> Self {
        Self::Topics(Vec::new())
    }
}

impl Pushes {
    /// A channel without a name in UTF-8 is none of ours.
    fn take(&self, push: PushInfo) {
        let mut data = push.data.into_iter();
        let mut name = || -> Option<String> { from_redis_value(data.next()?).ok() };
        let Some(first) = name() else {
            return;
        };
        let (topic, publish) = match push.kind {
            PushKind::Message => (Topic::Channel(first), Publish::Classic),
            PushKind::PMessage => (Topic::Pattern(first), Publish::Classic),
            PushKind::SMessage => (Topic::Shard(first), Publish::Sharded),
            PushKind::Subscribe => return self.subscriptions.confirmed(Topic::Channel(first)),
            PushKind::PSubscribe => return self.subscriptions.confirmed(Topic::Pattern(first)),
            PushKind::SSubscribe => return self.subscriptions.confirmed(Topic::Shard(first)),
            PushKind::Unsubscribe => return self.subscriptions.lost(Topic::Channel(first)),
            PushKind::PUnsubscribe => return self.subscriptions.lost(Topic::Pattern(first)),
            PushKind::SUnsubscribe => return self.subscriptions.lost(Topic::Shard(first)),
            PushKind::Disconnection | PushKind::Other(_) | PushKind::Invalidate | _ => return,
        };
        let Some(subscription) = self.subscriptions.state().topics.get(&topic).copied() else {
            return;
        };
        let channel = match topic {
            Topic::Pattern(_) => name(),
            Topic::Channel(channel) | Topic::Shard(channel) => Some(channel),
        };
        let (Some(channel), Some(Value::BulkString(payload))) = (channel, data.next()) else {
            return;
        };
        self.ear.hear(Heard::Message {
            channel,
            publish,
            since: subscription.since(),
            payload,
        });
    }
}

impl Drop for Pushes {
    fn drop(&mut self) {
        let mut state = self.subscriptions.state();
        state.losses = Losses::Everything;
        drop(state);
        self.subscriptions.has_changed.notify_one();
    }
}

/// Channels that are subscribed to at once.
const BATCH: usize = 1000;
/// How often an answer is waited for: each of them outlasts what Redis said of a
/// slot that left meanwhile.
const MAX_FENCES: usize = 100;
