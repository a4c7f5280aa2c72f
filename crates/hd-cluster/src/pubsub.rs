//! Channels of Redis, for those who speak by them: what is published while
//! nobody listens is gone. The log needs none of it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, RedisError, Value, from_redis_value};
use tokio::sync::{Notify, mpsc};

use crate::connection::{Commands, Leaving, backoff, connect_for_pushes};
use crate::error::{is_of_connection, is_without_shard};
use crate::{AppendError, ClusterConfig};

/// What is listened to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Every channel whose name matches, as `PSUBSCRIBE` has it.
    Pattern(String),
    /// A channel, as `SUBSCRIBE` has it: who asks Redis how many listen to it
    /// (`PUBSUB NUMSUB`) finds these, and no patterns.
    Channel(String),
    /// A channel of one shard, of `SSUBSCRIBE`: Redis 7, and Valkey.
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
        /// What was published.
        payload: Vec<u8>,
    },
    /// Everything that was asked for before is listened to.
    Listening {
        /// What was published until then may have been missed: a time by the
        /// clock of Redis, in milliseconds since 1970.
        since: u64,
    },
    /// This Redis knows no shards, or it is a Redis Cluster: that has them at
    /// several servers, and here it is spoken to one.
    NoShards,
    /// So many messages came faster than they were taken, and were dropped.
    Dropped(u64),
    /// Redis does not answer; what is published meanwhile is missed.
    CutOff,
}

/// The channels of a Redis. A clone is the same.
#[derive(Clone, Debug)]
pub struct PubSub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ClusterConfig,
    commands: Commands,
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

/// Messages that have come and wait to be taken.
#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// A connection, and what it is subscribed to.
struct Subscriber {
    connection: MultiplexedConnection,
    subscribed: HashSet<Topic>,
    has_shards: bool,
}

impl PubSub {
    /// The channels of the Redis that a configuration names. Nothing is
    /// connected yet.
    #[must_use]
    pub fn new(config: ClusterConfig) -> Self {
        Self(Arc::new(Inner {
            config,
            // Others who speak by channels do not leave it either, and what is
            // published elsewhere does not reach them.
            commands: Commands::new(Leaving::WhenBroken),
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
            config, commands, ..
        } = &*self.0;
        let command = match publish {
            Publish::Classic => "PUBLISH",
            Publish::Sharded => "SPUBLISH",
        };
        let mut command = redis::cmd(command);
        command.arg(channel).arg(payload);
        let publishing = async {
            let lease = commands.get(config).await?;
            let run = commands.run(lease, async |mut connection| {
                command.query_async(&mut connection).await
            });
            run.await
        };
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
            let (sender, messages) = mpsc::channel(MAX_WAITING);
            let waiting = Arc::new(Waiting::default());
            let accept = accept(sender, Arc::clone(&waiting));
            let error = match connect_for_pushes(&self.0.config, accept).await {
                Ok(connection) => {
                    let begun = || attempt = 0;
                    self.listen_on(connection, messages, &waiting, &mut take, begun)
                        .await
                }
                Err(error) => error,
            };
            if attempt == 0 {
                if is_of_connection(&error) {
                    tracing::debug!(%error, "the channels of Redis are cut off; trying again");
                } else {
                    tracing::warn!(%error, "Redis refuses its channels; trying again");
                }
                take(Heard::CutOff).await;
            }
            tokio::time::sleep(backoff(attempt, max_backoff)).await;
            attempt += 1;
        }
    }

    /// Listens until the connection breaks.
    async fn listen_on<F>(
        &self,
        connection: MultiplexedConnection,
        mut messages: mpsc::Receiver<Heard>,
        waiting: &Waiting,
        take: &mut impl FnMut(Heard) -> F,
        begun: impl FnOnce(),
    ) -> RedisError
    where
        F: Future<Output = ()>,
    {
        // Before anything can be heard.
        let since = match time(connection.clone()).await {
            Ok(since) => since,
            Err(error) => return error,
        };
        let mut subscriber = Subscriber {
            connection,
            subscribed: HashSet::new(),
            has_shards: true,
        };
        let mut pings = tokio::time::interval(PING_INTERVAL);
        let mut begun = Some(begun);
        self.begin_anew();
        loop {
            let changes = self.take_changes();
            let had_shards = subscriber.has_shards;
            if let Err(error) = subscriber.follow(changes).await {
                return error;
            }
            if had_shards && !subscriber.has_shards {
                take(Heard::NoShards).await;
            }
            if let Some(begun) = begun.take() {
                begun();
                take(Heard::Listening { since }).await;
            }
            loop {
                tokio::select! {
                    heard = messages.recv() => {
                        let Some(heard) = heard else {
                            let what = "the connection was closed";
                            return RedisError::from((redis::ErrorKind::Io, what));
                        };
                        if let Heard::Message { payload, .. } = &heard {
                            waiting.bytes.fetch_sub(payload.len(), Ordering::Relaxed);
                        }
                        take(heard).await;
                        let dropped = waiting.dropped.swap(0, Ordering::Relaxed);
                        if dropped > 0 {
                            take(Heard::Dropped(dropped)).await;
                        }
                    }
                    () = self.0.changed.notified() => break,
                    _ = pings.tick() => {
                        let mut connection = subscriber.connection.clone();
                        if let Err(error) = redis::cmd("PING").exec_async(&mut connection).await {
                            return error;
                        }
                    }
                }
            }
        }
    }

    /// On a connection that is subscribed to nothing yet.
    fn begin_anew(&self) {
        let mut wanted = self.wanted();
        wanted.changed = wanted.topics.clone();
    }

    /// Topics, and whether they are to be listened to.
    fn take_changes(&self) -> Vec<(Topic, bool)> {
        let Wanted { topics, changed } = &mut *self.wanted();
        let with_verdict = |topic: Topic| {
            let is_wanted = topics.contains(&topic);
            (topic, is_wanted)
        };
        changed.drain().map(with_verdict).collect()
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber {
    /// Subscribes to what is missing, and to nothing else, in batches.
    async fn follow(&mut self, changes: Vec<(Topic, bool)>) -> Result<(), RedisError> {
        let subscribed = &mut self.subscribed;
        let commands = changes.into_iter().filter_map(|(topic, is_wanted)| {
            let has_changed = if is_wanted {
                subscribed.insert(topic.clone())
            } else {
                subscribed.remove(&topic)
            };
            has_changed.then_some(match (topic, is_wanted) {
                (Topic::Pattern(name), true) => ("PSUBSCRIBE", name),
                (Topic::Pattern(name), false) => ("PUNSUBSCRIBE", name),
                (Topic::Channel(name), true) => ("SUBSCRIBE", name),
                (Topic::Channel(name), false) => ("UNSUBSCRIBE", name),
                (Topic::Shard(name), true) => ("SSUBSCRIBE", name),
                (Topic::Shard(name), false) => ("SUNSUBSCRIBE", name),
            })
        });
        let commands: Vec<_> = commands.collect();
        for batch in commands.chunks(BATCH) {
            let mut pipeline = redis::pipe();
            let is_of_shards = |command: &str| ["SSUBSCRIBE", "SUNSUBSCRIBE"].contains(&command);
            for (command, name) in batch {
                if self.has_shards || !is_of_shards(command) {
                    // One name each: each has one answer then.
                    pipeline.cmd(command).arg(name);
                }
            }
            if pipeline.is_empty() {
                continue;
            }
            match pipeline.exec_async(&mut self.connection).await {
                Ok(()) => {}
                Err(error) if self.has_shards && is_without_shard(&error) => {
                    self.has_shards = false;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

async fn time(mut connection: MultiplexedConnection) -> Result<u64, RedisError> {
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await?;
    Ok(seconds * 1000 + micros / 1000)
}

/// Takes what Redis pushes, as long as there is room.
fn accept(
    sender: mpsc::Sender<Heard>,
    waiting: Arc<Waiting>,
) -> impl Fn(PushInfo) -> Result<(), RedisError> + Send + Sync + 'static {
    move |push| {
        let Some((channel, publish, payload)) = message(push) else {
            return Ok(());
        };
        let len = payload.len();
        let has_room = waiting.bytes.load(Ordering::Relaxed) + len <= MAX_WAITING_BYTES;
        let heard = Heard::Message {
            channel,
            publish,
            payload,
        };
        if has_room && sender.try_send(heard).is_ok() {
            waiting.bytes.fetch_add(len, Ordering::Relaxed);
        } else {
            waiting.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// `None` for what is no message, and for one on a channel without a name in
/// UTF-8.
fn message(push: PushInfo) -> Option<(String, Publish, Vec<u8>)> {
    let is_classic = [PushKind::Message, PushKind::PMessage].contains(&push.kind);
    let publish = if is_classic {
        Publish::Classic
    } else if push.kind == PushKind::SMessage {
        Publish::Sharded
    } else {
        return None;
    };
    let mut data = push.data.into_iter().rev();
    let Some(Value::BulkString(payload)) = data.next() else {
        return None;
    };
    let channel = from_redis_value(data.next()?).ok()?;
    Some((channel, publish, payload))
}

/// Messages that may wait, and their bytes: some seconds of what a help desk
/// sends.
const MAX_WAITING: usize = 4096;
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Channels that are subscribed to at once.
const BATCH: usize = 1000;
/// A connection that died without a word is noticed after this and the
/// command's time.
const PING_INTERVAL: Duration = Duration::from_secs(5);
