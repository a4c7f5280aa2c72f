//! Channels of Redis, for those who speak by them: what is published while
//! nobody listens is gone. The log needs none of it.
//!
//! | module | what |
//! |---|---|
//! | this one | what is wanted, and the listening for it |
//! | `queue` | what was heard and waits to be taken |
//! | `subscriber` | a connection, and what it is subscribed to |
//! | `shards` | at which server of a Redis Cluster each channel is; no I/O |
//! | `shard_subscribers` | the connections to those servers |
//! | `publisher` | publishing |

mod publisher;
mod queue;
mod shard_subscribers;
mod shards;
mod subscriber;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{ErrorKind, RedisError};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::address::Address;
use crate::connection::{backoff, timeouts};
use crate::error::{is_of_connection, is_without_shard};
use crate::{AppendError, ClusterConfig};
use publisher::Publisher;
use queue::{Ear, deliver};
use shard_subscribers::{Followed, ShardSubscribers};
use subscriber::Subscriber;

/// What is listened to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Every channel whose name matches, as `PSUBSCRIBE` has it.
    Pattern(String),
    /// A channel, as `SUBSCRIBE` has it: who asks Redis how many listen to it
    /// (`PUBSUB NUMSUB`) finds these, and no patterns.
    Channel(String),
    /// A channel of one shard, of `SSUBSCRIBE`: Redis 7, and Valkey. In a Redis
    /// Cluster it is at the server that has its slot.
    Shard(String),
}

/// How a message is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// To the channel and its patterns: `PUBLISH`.
    Classic,
    /// To the channel in its shard: `SPUBLISH`.
    Sharded,
}

/// What comes of listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message {
        /// The channel that it was published to.
        channel: String,
        /// How it was published.
        publish: Publish,
        /// Since when everything is heard that comes this way; what was
        /// published until then may have been missed. A time by the clock of the
        /// log's Redis, in milliseconds since 1970.
        since: u64,
        /// What was published.
        payload: Vec<u8>,
    },
    /// Everything that was asked for before is listened to.
    Listening,
    /// This Redis knows no shards, or it is a Redis Cluster that is spoken to as
    /// if it were one server.
    NoShards,
    /// So many messages came faster than they were taken, and were dropped.
    Dropped(u64),
    /// Redis does not answer, or some channels are not where they were: what is
    /// published meanwhile is missed.
    CutOff,
}

/// The channels of a Redis. A clone is the same.
#[derive(Clone, Debug)]
pub struct PubSub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ClusterConfig,
    publisher: Publisher,
    wanted: Mutex<Wanted>,
    changed: Notify,
}

/// What is to be listened to.
#[derive(Debug, Default)]
struct Wanted {
    topics: HashSet<Topic>,
    /// Those that were asked for, or given up, since it was last looked: many
    /// may be there, of which few change at a time.
    changed: HashSet<Topic>,
}

/// What became of topics since it was last looked.
#[derive(Debug, Default)]
struct Changes {
    subscribe: Vec<Topic>,
    unsubscribe: Vec<Topic>,
}

/// Whether everything that is wanted is listened to.
///
/// ```text
///            subscribed to everything              a slot has left, or its server
/// Beginning ──────────────────────────► Listening ──────────────────────────────► CutOff
///     │                                     ▲      subscribed to everything         ▲ │
///     │                                     └───────────────────────────────────────┼─┘
///     └─────────────────────────────────────────────────────────────────────────────┘
///            a server does not answer
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Beginning,
    Listening,
    CutOff,
}

/// Where channels of shards are.
enum Shards {
    /// At the one server.
    Here,
    /// Each at the server of its slot.
    Slots(Box<ShardSubscribers>),
    /// Nowhere.
    Unknown,
}

impl PubSub {
    /// The channels of the Redis that a configuration names. Nothing is
    /// connected yet.
    #[must_use]
    pub fn new(config: ClusterConfig) -> Self {
        Self(Arc::new(Inner {
            config,
            publisher: Publisher::new(),
            wanted: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Listens to these too. Topics that are asked for at the same time are
    /// subscribed to together.
    pub fn subscribe(&self, topics: impl IntoIterator<Item = Topic>) {
        let mut wanted = self.wanted();
        for topic in topics {
            wanted.changed.insert(topic.clone());
            wanted.topics.insert(topic);
        }
        drop(wanted);
        self.0.changed.notify_one();
    }

    /// Listens to these no more.
    pub fn unsubscribe<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>) {
        let mut wanted = self.wanted();
        for topic in topics {
            wanted.topics.remove(topic);
            wanted.changed.insert(topic.clone());
        }
        drop(wanted);
        self.0.changed.notify_one();
    }

    /// Publishes a message. Returns how many have heard it, of those at the
    /// server that was told.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: it is not tried again.
    ///
    /// # Cancel safety
    ///
    /// The message may be published or not.
    pub async fn publish(
        &self,
        publish: Publish,
        channel: &str,
        payload: &[u8],
    ) -> Result<u64, AppendError> {
        let Inner {
            config, publisher, ..
        } = &*self.0;
        let publishing = publisher.publish(config, publish, channel, payload);
        match tokio::time::timeout(config.command_timeout, Box::pin(publishing)).await {
            Ok(Ok(heard)) => Ok(heard),
            Ok(Err(error)) if is_of_connection(&error) => {
                Err(AppendError::Unavailable(Some(error)))
            }
            Ok(Err(error)) => Err(AppendError::Refused(error)),
            Err(_) => Err(AppendError::Unavailable(None)),
        }
    }

    /// Listens, for ever. What comes while `take` is busy waits, within bounds.
    ///
    /// # Cancel safety
    ///
    /// What waits is lost.
    pub async fn listen<F>(&self, mut take: impl FnMut(Heard) -> F)
    where
        F: Future<Output = ()>,
    {
        let max_backoff = self.0.config.max_backoff;
        let mut attempt = 0;
        loop {
            let (ear, queue) = queue::queue();
            let listening = async {
                let (state, error) = self.keep_up(&ear).await;
                // What was heard before the end is taken before it.
                ear.end().await;
                (state, error)
            };
            let ((state, error), ()) = tokio::join!(listening, deliver(queue, &mut take));
            if state != State::Beginning {
                attempt = 0;
            }
            if attempt == 0 {
                if is_of_connection(&error) {
                    tracing::debug!(%error, "the channels of Redis are cut off; trying again");
                } else {
                    tracing::warn!(%error, "Redis refuses its channels; trying again");
                }
                if state != State::CutOff {
                    take(Heard::CutOff).await;
                }
            }
            tokio::time::sleep(backoff(attempt, max_backoff)).await;
            attempt += 1;
        }
    }

    /// Follows what is wanted until the connection to the log's server breaks,
    /// which ends all others too: their channels have the time by its clock. In a
    /// Redis Cluster those to other servers are made again meanwhile.
    async fn keep_up(&self, ear: &Ear) -> (State, RedisError) {
        let mut state = State::Beginning;
        let Err(error) = Box::pin(self.keep_up_from(&mut state, ear)).await;
        (state, error)
    }

    async fn keep_up_from(
        &self,
        state: &mut State,
        ear: &Ear,
    ) -> Result<std::convert::Infallible, RedisError> {
        let config = &self.0.config;
        let timeouts = timeouts(config, config.command_timeout);
        let (client, tenure) = config.url.master(config, &timeouts).await?;
        let has_changed = Arc::new(Notify::new());
        let mut here = Subscriber::connect(&client, &timeouts, ear, &has_changed).await?;
        tenure.verify(here.connection()).await?;
        let mut shards = match (
            config.url.cluster(),
            Address::of(client.get_connection_info()),
        ) {
            (Some(cluster), Some(node)) => {
                let (cluster, has_changed) = (cluster.clone(), Arc::clone(&has_changed));
                let shards = ShardSubscribers::new(config, cluster, node, ear, has_changed);
                Shards::Slots(Box::new(shards))
            }
            _ => Shards::Here,
        };
        let mut checks = tokio::time::interval(CHECK_INTERVAL);
        // When it is asked again where slots are, and how often it was.
        let (mut retry_at, mut attempt) = (None, 0);
        self.begin_anew();
        loop {
            let is_complete = self.follow(state, &mut here, &mut shards, ear).await?;
            if is_complete && *state != State::Listening {
                *state = State::Listening;
                ear.tell(Heard::Listening).await;
            } else if !is_complete && *state != State::CutOff {
                *state = State::CutOff;
                ear.tell(Heard::CutOff).await;
            }
            if is_complete {
                (retry_at, attempt) = (None, 0);
            } else if retry_at.is_none() {
                retry_at = Some(Instant::now() + backoff(attempt, config.max_backoff));
                attempt += 1;
            }
            let mut wake_at = retry_at;
            if let Shards::Slots(shards) = &shards {
                wake_at = wake_at.into_iter().chain(shards.poll_timeout()).min();
            }
            let retry = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.0.changed.notified() => {}
                () = has_changed.notified() => {}
                () = retry => {
                    if retry_at.is_none_or(|at| at > Instant::now()) {
                        continue;
                    }
                    retry_at = None;
                    if let Shards::Slots(shards) = &mut shards {
                        shards.look_for_slots(&mut here).await?;
                    }
                }
                _ = checks.tick() => {
                    here.ping().await?;
                    if let Shards::Slots(shards) = &mut shards {
                        shards.look_for_slots(&mut here).await?;
                        shards.ping().await;
                    }
                }
            }
        }
    }

    /// Subscribes to what is missing, and to nothing else. Returns whether that
    /// is everything.
    async fn follow(
        &self,
        state: &mut State,
        here: &mut Subscriber,
        shards: &mut Shards,
        ear: &Ear,
    ) -> Result<bool, RedisError> {
        if !here.take_losses().is_nothing() {
            let what = "the connection was closed";
            return Err(RedisError::from((ErrorKind::Io, what)));
        }
        let mut changes = self.take_changes();
        match shards {
            Shards::Here => {}
            Shards::Slots(there) => {
                there.take_over(&mut changes);
                if there.take_losses() && *state == State::Listening {
                    *state = State::CutOff;
                    ear.tell(Heard::CutOff).await;
                }
            }
            Shards::Unknown => changes.subscribe.retain(|topic| !is_of_shards(topic)),
        }
        here.unsubscribe(changes.unsubscribe).await?;
        let refusals = here.subscribe(changes.subscribe).await?;
        if !refusals.topics.is_empty() {
            let error = refusals.errors.into_iter().next().unwrap_or_else(|| {
                let what = "a subscription has no answer";
                RedisError::from((ErrorKind::Io, what))
            });
            if !is_without_shard(&error) || !refusals.topics.iter().all(is_of_shards) {
                return Err(error);
            }
            *shards = Shards::Unknown;
            ear.tell(Heard::NoShards).await;
        }
        let Shards::Slots(there) = shards else {
            return Ok(true);
        };
        match there.follow(here).await {
            Ok(followed) => Ok(followed == Followed::Everything),
            Err(error) if is_without_shard(&error) => {
                *shards = Shards::Unknown;
                ear.tell(Heard::NoShards).await;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// On a connection that is subscribed to nothing yet.
    fn begin_anew(&self) {
        let mut wanted = self.wanted();
        wanted.changed = wanted.topics.clone();
    }

    fn take_changes(&self) -> Changes {
        let Wanted { topics, changed } = &mut *self.wanted();
        let is_wanted = |topic: &Topic| topics.contains(topic);
        let (subscribe, unsubscribe) = changed.drain().partition(is_wanted);
        Changes {
            subscribe,
            unsubscribe,
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_of_shards(topic: &Topic) -> bool {
    matches!(topic, Topic::Shard(_))
}

/// A connection that died without a word is noticed after this and the
/// command's time.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
