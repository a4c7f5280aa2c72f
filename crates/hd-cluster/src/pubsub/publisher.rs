use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{ErrorKind, RedisError};

use super::Publish;
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
    here: Commands,
    /// In a Redis Cluster, what goes to shards.
    routes: Mutex<Routes>,
}

#[derive(Debug, Default)]
struct Routes {
    /// `None` until they are asked for.
    slots: Option<Slots>,
    nodes: HashMap<Address, Arc<Commands>>,
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
        let command = match (publish, config.url.cluster()) {
            (Publish::Classic, _) => "PUBLISH",
            (Publish::Sharded, None) => "SPUBLISH",
            (Publish::Sharded, Some(cluster)) => {
                return self
                    .publish_in_slot(config, cluster, channel, payload)
                    .await;
            }
        };
        let mut command = redis::cmd(command);
        command.arg(channel).arg(payload);
        let lease = self.here.get(config).await?;
        let running = self.here.run(lease, async |mut connection| {
            command.query_async(&mut connection).await
        });
        running.await
    }

    /// To the server that has the slot, wherever a server says it has gone.
    async fn publish_in_slot(
        &self,
        config: &ClusterConfig,
        cluster: &RedisCluster,
        channel: &str,
        payload: &[u8],
    ) -> Result<u64, RedisError> {
        let mut doubt = Doubt {
            publisher: self,
            slot: slot_of(channel),
            master: Some(self.master(config, cluster, channel).await?),
        };
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
            let mut command = redis::cmd("SPUBLISH");
            command.arg(channel).arg(payload);
            let publishing = async {
                let lease = commands.get_by(connecting).await?;
                let running = commands.run(lease, async |mut connection| {
                    match command.query_async(&mut connection).await {
                        // The connection is good.
                        Err(error) if error.redirect_node().is_some() => Ok(Err(error)),
                        answer => answer.map(Ok),
                    }
                });
                running.await
            };
            let error = match publishing.await {
                Ok(Ok(heard)) => {
                    doubt.dispel();
                    return Ok(heard);
                }
                Ok(Err(error)) => {
                    if let Some(master) = self.redirected(&error, &node, channel) {
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
        channel: &str,
    ) -> Result<Address, RedisError> {
        let slot = slot_of(channel);
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
    fn redirected(
        &self,
        error: &RedisError,
        answering: &Address,
        channel: &str,
    ) -> Option<Address> {
        let mut routes = self.routes();
        let slots = routes.slots.get_or_insert_default();
        if !slots.redirect(error, answering) {
            return None;
        }
        slots.master(slot_of(channel)).cloned()
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
        let mut routes = self.publisher.routes();
        let known = routes.slots.as_ref();
        // Unless somebody has asked meanwhile, and knows another one.
        if self.master.is_some()
            && known.and_then(|slots| slots.master(self.slot)) == self.master.as_ref()
        {
            routes.slots = None;
        }
    }
}

/// Servers that are asked, one after the other, when each says that it is
/// another one.
const TURNS: usize = 3;
