//! Connections to Redis, made again when they break.

use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, RedisError};
use tokio::sync::Mutex;

use crate::ClusterConfig;

/// The connection that commands share; they are pipelined.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    /// Held while it is being made, so that one is made for all who wait.
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Counts the connections that were made.
    generation: u64,
}

impl Commands {
    /// The connection, made if there is none, and its number.
    pub(crate) async fn get(
        &self,
        config: &ClusterConfig,
    ) -> Result<(MultiplexedConnection, u64), RedisError> {
        self.get_by(connect(config, config.command_timeout)).await
    }

    /// The connection, made so if there is none, and its number.
    pub(crate) async fn get_by(
        &self,
        connecting: impl Future<Output = Result<MultiplexedConnection, RedisError>>,
    ) -> Result<(MultiplexedConnection, u64), RedisError> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((connection.clone(), current.generation));
        }
        let connection = connecting.await?;
        current.connection = Some(connection.clone());
        current.generation += 1;
        Ok((connection, current.generation))
    }

    /// The connection with this number is broken.
    pub(crate) async fn discard(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if current.generation == generation {
            current.connection = None;
        }
    }
}

/// A connection on which an answer may take this long.
pub(crate) async fn connect(
    config: &ClusterConfig,
    response_timeout: Duration,
) -> Result<MultiplexedConnection, RedisError> {
    let timeouts = timeouts(config, response_timeout);
    let client = config.url.client(&config.log_key(), &timeouts).await?;
    let connecting = client.get_multiplexed_async_connection_with_config(&timeouts);
    // Some 2 kB, needed seldom.
    Box::pin(connecting).await
}

/// A connection on which the server also speaks unasked.
pub(crate) async fn connect_for_pushes(
    client: &Client,
    timeouts: AsyncConnectionConfig,
    sender: impl AsyncPushSender,
) -> Result<MultiplexedConnection, RedisError> {
    let info = client.get_connection_info();
    let settings = info.redis_settings().clone();
    let settings = settings.set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.clone().set_redis_settings(settings))?;
    let pushes = timeouts.set_push_sender(sender);
    Box::pin(client.get_multiplexed_async_connection_with_config(&pushes)).await
}

/// Of a connection on which an answer may take this long.
pub(crate) fn timeouts(config: &ClusterConfig, response: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.command_timeout))
        .set_response_timeout(Some(response))
}

/// The pause before the next attempt: longer each time, and random, so that
/// processes that lost the same Redis do not come back together.
pub(crate) fn backoff(attempt: u32, max: Duration) -> Duration {
    let longest = LEAST_BACKOFF.saturating_mul(1 << attempt.min(10)).min(max);
    let mut random = [0];
    getrandom::fill(&mut random).expect("invariant: the operating system gives random bytes");
    longest.mul_f64(0.5 + f64::from(random[0]) / 512.0)
}

const LEAST_BACKOFF: Duration = Duration::from_millis(20);
