use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use redis::{Client, ErrorKind, RedisError};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::shards::{Errand, Shards};
use super::subscriber::{Losses, Refusals, Subscriber};
use super::{Changes, Ear, Topic};
use crate::ClusterConfig;
use crate::address::Address;
use crate::connection::timeouts;
use crate::error::{is_of_connection, is_without_shard};
use crate::redis_url::RedisCluster;
use crate::slots::{Slots, slot_of};

/// The connections to the servers of a Redis Cluster that have channels which
/// are wanted: one to each, besides the one that all else is listened to on.
#[derive(Debug)]
pub(super) struct ShardSubscribers {
    config: ClusterConfig,
    cluster: RedisCluster,
    /// The node that the other connection is to.
    here: Address,
    /// The log's master, as that node called it at first: by which name others
    /// know it is not for certain.
    log_master: Option<Address>,
    ear: Ear,
    has_changed: Arc<Notify>,
    shards: Shards,
    subscribers: HashMap<Address, Subscriber>,
    /// Those of whose refusals it was told.
    warned_of: HashSet<Address>,
    slots: SlotsKnown,
}

/// Whether it is known where slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotsKnown {
    NotYet,
    Known,
}

/// What is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// All that is wanted.
    Everything,
    /// Not all.
    Something,
}

/// What came of an errand.
struct Done {
    node: Address,
    channels: Vec<String>,
    result: Result<(Subscriber, Refusals), RedisError>,
}

impl ShardSubscribers {
    /// Of which none is connected yet.
    pub(super) fn new(
        config: &ClusterConfig,
        cluster: RedisCluster,
        here: Address,
        ear: &Ear,
        has_changed: Arc<Notify>,
    ) -> Self {
        Self {
            config: config.clone(),
            cluster,
            here,
            log_master: None,
            ear: ear.clone(),
            has_changed,
            shards: Shards::new(config.max_backoff),
            subscribers: HashMap::new(),
            warned_of: HashSet::new(),
            slots: SlotsKnown::NotYet,
        }
    }

    /// Takes over what has changed of channels of shards.
    pub(super) fn take_over(&mut self, changes: &mut Changes) {
        changes.unsubscribe.retain(|topic| match topic {
            Topic::Shard(channel) => {
                self.shards.give_up(channel);
                false
            }
            Topic::Pattern(_) | Topic::Channel(_) => true,
        });
        changes.subscribe.retain(|topic| match topic {
            Topic::Shard(channel) => {
                self.shards.want(channel);
                false
            }
            Topic::Pattern(_) | Topic::Channel(_) => true,
        });
    }

    /// Looks what was lost since it was asked last. Returns whether that is
    /// anything.
    pub(super) fn take_losses(&mut self) -> bool {
        let Self {
            shards,
            subscribers,
            ..
        } = self;
        let mut is_anything = false;
        subscribers.retain(|node, subscriber| match subscriber.take_losses() {
            Losses::Topics(topics) => {
                for topic in &topics {
                    if let Topic::Shard(channel) = topic {
                        shards.handle_lost(node, channel);
                    }
                }
                is_anything |= !topics.is_empty();
                true
            }
            Losses::Everything => {
                is_anything |= shards.is_at(node);
                // It may answer, and close again at once.
                shards.handle_silent(node, Instant::now());
                false
            }
        });
        is_anything
    }

    /// Asks where slots are. A node that has lost one says so only to who is
    /// connected, and one that became a replica of another one not even that.
    ///
    /// # Errors
    ///
    /// The other connection breaks, or its node has not the log any more: one that
    /// was taken out of the cluster may run on.
    pub(super) async fn look_for_slots(&mut self, here: &mut Subscriber) -> Result<(), RedisError> {
        let slots = Slots::ask(here.connection(), &self.here).await?;
        let is_as_it_was =
            |master: &&Address| self.log_master.as_ref().is_none_or(|was| was == *master);
        let master = slots.master(slot_of(&self.config.log_key()));
        let Some(master) = master.filter(is_as_it_was) else {
            let what = "the log has another master";
            return Err(RedisError::from((ErrorKind::Io, what)));
        };
        self.log_master = Some(master.clone());
        self.shards.handle_slots(slots);
        self.slots = SlotsKnown::Known;
        Ok(())
    }

    /// Has connections that died without a word be noticed.
    pub(super) async fn ping(&mut self) {
        let mut pings = JoinSet::new();
        for (node, mut subscriber) in self.subscribers.drain() {
            pings.spawn(async move {
                if let Err(error) = subscriber.ping().await {
                    tracing::debug!(%node, %error, "channels of shards are cut off");
                }
                (node, subscriber)
            });
        }
        // Else the runtime is about to end.
        while let Some(Ok((node, subscriber))) = pings.join_next().await {
            self.subscribers.insert(node, subscriber);
        }
    }

    /// Subscribes where something is missing, at all servers at once.
    ///
    /// # Errors
    ///
    /// The other connection breaks, or a server knows no shards. One that
    /// refuses is left alone for a while, and what is at others goes on.
    pub(super) async fn follow(&mut self, here: &mut Subscriber) -> Result<Followed, RedisError> {
        if self.slots == SlotsKnown::NotYet && !self.shards.is_complete() {
            self.look_for_slots(here).await?;
        }
        for _turn in 0..TURNS {
            let errands = self.shards.poll(Instant::now());
            if errands.is_empty() {
                break;
            }
            // Before anything can be heard, and by the clock of the log's server.
            let since = here.time().await?;
            if let Some(error) = self.run(errands, since).await {
                return Err(error);
            }
        }
        let shards = &self.shards;
        self.subscribers.retain(|node, _| shards.is_at(node));
        Ok(if shards.is_complete() {
            Followed::Everything
        } else {
            Followed::Something
        })
    }

    /// When it is to be [followed](Self::follow) again, if nothing else happens.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.shards.poll_timeout(Instant::now())
    }

    /// Returns why there are no shards, if a server says so.
    async fn run(&mut self, errands: HashMap<Address, Errand>, since: u64) -> Option<RedisError> {
        let mut running = JoinSet::new();
        for (node, errand) in errands {
            let subscriber = self.subscribers.remove(&node);
            if subscriber.is_none() && errand.subscribe.is_empty() {
                continue;
            }
            let client = self.cluster.client(&node);
            let (config, ear) = (self.config.clone(), self.ear.clone());
            let has_changed = Arc::clone(&self.has_changed);
            running.spawn(async move {
                let connecting = connect(client, subscriber, &config, &ear, &has_changed);
                let (result, channels) = match Box::pin(connecting).await {
                    Ok(subscriber) => Box::pin(carry_out(subscriber, errand, since)).await,
                    Err(error) => (Err(error), errand.subscribe),
                };
                Done {
                    node,
                    channels,
                    result,
                }
            });
        }
        let mut without_shard = None;
        while let Some(done) = running.join_next().await {
            // Else the runtime is about to end.
            if let Ok(done) = done {
                let said = self.take(done);
                without_shard = without_shard.or(said);
            }
        }
        without_shard
    }

    /// Returns why there are no shards, if the server says so.
    fn take(&mut self, done: Done) -> Option<RedisError> {
        let Done {
            node,
            mut channels,
            result,
        } = done;
        let (subscriber, refusals) = match result {
            Ok(done) => done,
            Err(error) => {
                tracing::debug!(%node, %error, "channels of shards are cut off");
                self.shards.handle_silent(&node, Instant::now());
                return if is_of_connection(&error) {
                    None
                } else {
                    self.refused(&node, error)
                };
            }
        };
        self.subscribers.insert(node.clone(), subscriber);
        let refused: HashSet<String> = refusals.topics.into_iter().filter_map(name).collect();
        channels.retain(|channel| !refused.contains(channel));
        self.shards.handle_subscribed(&node, channels);
        let mut refusal = None;
        for error in refusals.errors {
            if !self.shards.handle_redirection(&error, &node) && !is_of_connection(&error) {
                refusal = Some(error);
            }
        }
        let refusal = refusal?;
        self.shards.handle_refusal(&node, Instant::now());
        self.refused(&node, refusal)
    }

    /// Passes on what is true of all servers. What this one refuses is told once:
    /// it is asked again and again.
    fn refused(&mut self, node: &Address, error: RedisError) -> Option<RedisError> {
        if is_without_shard(&error) {
            return Some(error);
        }
        if self.warned_of.insert(node.clone()) {
            tracing::warn!(%node, %error, "a server of the cluster refuses its channels");
        }
        None
    }
}

/// The connection to a server, made if there is none.
async fn connect(
    client: Result<Client, RedisError>,
    subscriber: Option<Subscriber>,
    config: &ClusterConfig,
    ear: &Ear,
    has_changed: &Arc<Notify>,
) -> Result<Subscriber, RedisError> {
    if let Some(subscriber) = subscriber {
        return Ok(subscriber);
    }
    let timeouts = timeouts(config, config.command_timeout);
    Subscriber::connect(&client?, &timeouts, ear, has_changed).await
}

async fn carry_out(
    mut subscriber: Subscriber,
    errand: Errand,
    since: u64,
) -> (Result<(Subscriber, Refusals), RedisError>, Vec<String>) {
    let topics = |channels: &[String]| channels.iter().cloned().map(Topic::Shard).collect();
    if let Err(error) = subscriber.unsubscribe(topics(&errand.unsubscribe)).await {
        return (Err(error), errand.subscribe);
    }
    let subscribing = subscriber.subscribe_since(topics(&errand.subscribe), since);
    let result = subscribing.await;
    let result = result.map(|refusals| (subscriber, refusals));
    (result, errand.subscribe)
}

fn name(topic: Topic) -> Option<String> {
    match topic {
        Topic::Shard(channel) => Some(channel),
        Topic::Pattern(_) | Topic::Channel(_) => None,
    }
}

/// Redirections that are followed at once. After that it is asked again where
/// slots are.
const TURNS: usize = 3;
