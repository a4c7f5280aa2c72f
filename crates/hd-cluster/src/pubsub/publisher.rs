use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{ErrorKind, RedisError};
use tokio::time::Instant;

use super::{CHECK_INTERVAL, Publish};
use crate::ClusterConfig;
use crate::address::Address;
use crate::connection::{Commands, Leaving, timeouts};
use crate::error::is_of_connection;
use crate::redis_url::RedisCluster;
use crate::sentinels::Tenure;
use crate::slots::{Slots, slot_of};

/// The connections that are published on.
#[derive(Debug)]
pub(super) struct Publisher {
    /// Where there is one server.
    here: Commands,
    /// In a Redis Cluster: to the servers that have slots.
    routes: Mutex<Routes>,
}

#[derive(Debug, Default)]
struct Routes {
    /// `None` until they are asked for.
    slots: Option<Slots>,
    nodes: HashMap<Address, Arc<Commands>>,
    /// When the log's master is asked again if it is still of the cluster.
    check_at: Option<Instant>,
}

/// What a server of a Redis Cluster made of a message.
#[derive(Debug)]
enum Published {
    /// So many have heard it.
    Heard(u64),
    /// It has not the slot.
    Elsewhere(RedisError),
    /// It knows nobody who has the slot, and is of the cluster no more.
    Outside,
}

/// Another one may have the slot by now: dropped, it has that be asked again.
/// Also when nobody waits any longer, which is all that is noticed of a master
/// that died without a word.
#[derive(Debug)]
struct Doubt<'a> {
    publisher: &'a Publisher,
    slot: u16,
    /// `None` once it has answered.
    master: Option<Address>,
}

impl Publisher {
    pub(super) fn new() -> Self {
        Self {
            // Others who speak by channels do not leave it either, and what is
            // published elsewhere does not reach them.
            here: Commands::new(Leaving::WhenBroken),
            routes: Mutex::default(),
        }
    }

    pub(super) async fn publish(
        &self,
        config: &ClusterConfig,
        publish: Publish,
        channel: &str,
        payload: &[u8],
    ) -> Result<u64, RedisError> {
        if let Some(cluster) = config.url.cluster() {
            let publishing = self.publish_in_slot(config, cluster, publish, channel, payload);
            return publishing.await;
        }
        let command = command(publish, channel, payload);
        let lease = self.here.get(config).await?;
        let running = self.here.run(lease, async |mut connection| {
            command.query_async(&mut connection).await
        });
        running.await
    }

    /// To the server that has the slot, wherever a server says it has gone: that of
    /// the channel in its shard, else the log's.
    async fn publish_in_slot(
        &self,
        config: &ClusterConfig,
        cluster: &RedisCluster,
        publish: Publish,
        channel: &str,
        payload: &[u8],
    ) -> Result<u64, RedisError> {
        let slot = match publish {
            Publish::Classic => slot_of(&config.log_key()),
            Publish::Sharded => slot_of(channel),
        };
        let mut doubt = Doubt {
            publisher: self,
            slot,
            master: Some(self.master(config, cluster, slot).await?),
        };
        let command = command(publish, channel, payload);
        for _turn in 0..TURNS {
            let Some(node) = doubt.master.clone() else {
                break;
            };
            let commands = self.commands(&node);
            let connecting = async {
                let timeouts = timeouts(config, config.answer_timeout());
                let client = cluster.client(&node)?;
                let connecting = client.get_multiplexed_async_connection_with_config(&timeouts);
                Ok((Box::pin(connecting).await?, Tenure::Unlimited))
            };
            let is_due = publish == Publish::Classic && self.is_check_due();
            let publishing = async {
                let lease = commands.get_by(connecting).await?;
                let running = commands.run(lease, async |mut connection| {
                    if is_due {
                        let slots = Slots::ask(&mut connection, &node).await?;
                        if slots.master(slot).is_none() {
                            return Ok(Published::Outside);
                        }
                    }
                    match command.query_async(&mut connection).await {
                        // The connection is good.
                        Err(error) if error.redirect_node().is_some() => {
                            Ok(Published::Elsewhere(error))
                        }
                        answer => answer.map(Published::Heard),
                    }
                });
                running.await
            };
            let error = match publishing.await {
                Ok(Published::Heard(heard)) => {
                    doubt.dispel();
                    return Ok(heard);
                }
                Ok(Published::Outside) => {
                    self.forget(slot, &node);
                    doubt.master = Some(self.master(config, cluster, slot).await?);
                    continue;
                }
                Ok(Published::Elsewhere(error)) => {
                    if let Some(master) = self.redirected(&error, &node, slot) {
                        doubt.master = Some(master);
                        continue;
                    }
                    error
                }
                Err(error) => error,
            };
            if !is_of_connection(&error) {
                doubt.dispel();
            }
            return Err(error);
        }
        let what = "no server of the cluster has the slot";
        Err(RedisError::from((ErrorKind::Io, what)))
    }

    async fn master(
        &self,
        config: &ClusterConfig,
        cluster: &RedisCluster,
        slot: u16,
    ) -> Result<Address, RedisError> {
        let known = |slots: &Slots| slots.master(slot).cloned();
        if let Some(master) = self.routes().slots.as_ref().and_then(known) {
            return Ok(master);
        }
        let timeouts = timeouts(config, config.command_timeout);
        let (slots, master) = cluster.slots(slot, &timeouts).await?;
        let routes = &mut *self.routes();
        routes.nodes.retain(|node, _| slots.has(node));
        routes.slots = Some(slots);
        Ok(master)
    }

    fn commands(&self, node: &Address) -> Arc<Commands> {
        let mut routes = self.routes();
        let commands = routes.nodes.entry(node.clone());
        Arc::clone(commands.or_insert_with(|| Arc::new(Commands::new(Leaving::WhenBroken))))
    }

    /// Who has the slot, where a server says that it has not.
    fn redirected(&self, error: &RedisError, answering: &Address, slot: u16) -> Option<Address> {
        let mut routes = self.routes();
        let slots = routes.slots.get_or_insert_default();
        if !slots.redirect(error, answering) {
            return None;
        }
        slots.master(slot).cloned()
    }

    /// Who has slots, unless somebody has asked meanwhile, and knows another one.
    fn forget(&self, slot: u16, master: &Address) {
        let mut routes = self.routes();
        let known = routes.slots.as_ref();
        if known.and_then(|slots| slots.master(slot)) == Some(master) {
            routes.slots = None;
        }
    }

    /// Whether the log's master is to be asked if it is still of the cluster. It
    /// takes what is published to all, also when nobody else is there.
    fn is_check_due(&self) -> bool {
        let (mut routes, now) = (self.routes(), Instant::now());
        let is_due = routes.check_at.is_none_or(|at| at <= now);
        if is_due {
            routes.check_at = Some(now + CHECK_INTERVAL);
        }
        is_due
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Doubt<'_> {
    /// It has answered.
    fn dispel(mut self) {
        self.master = None;
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if let Some(master) = &self.master {
            self.publisher.forget(self.slot, master);
        }
    }
}

fn command(publish: Publish, channel: &str, payload: &[u8]) -> redis::Cmd {
    let mut command = redis::cmd(match publish {
        Publish::Classic => "PUBLISH",
        Publish::Sharded => "SPUBLISH",
    });
    command.arg(channel).arg(payload);
    command
}

/// Servers that are asked, one after the other, when each says that it is
/// another one.
const TURNS: usize = 3;
