//! Connections to Redis, made again when they break.

use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, RedisError};
use tokio::sync::Mutex;

use crate::ClusterConfig;
use crate::error::is_of_connection;
use crate::sentinels::{Tenure, another_is_named};

/// The connection that commands share; they are pipelined.
#[derive(Debug)]
pub(crate) struct Commands {
    leaving: Leaving,
    /// Held while it is being made, so that one is made for all who wait.
    current: Mutex<Current>,
}

/// When a master is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// As soon as Sentinel names another one, also if it runs on.
    WhenReplaced,
    /// Not before the connection to it breaks.
    WhenBroken,
}

#[derive(Debug, Default)]
struct Current {
    connection: Option<(MultiplexedConnection, Tenure)>,
    /// Counts the connections that were made.
    generation: u64,
}

/// A connection for one command.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: MultiplexedConnection,
    tenure: Tenure,
    generation: u64,
}

impl Commands {
    pub(crate) fn new(leaving: Leaving) -> Self {
        Self {
            leaving,
            current: Mutex::default(),
        }
    }

    /// The connection, made if there is none to the master.
    pub(crate) async fn get(&self, config: &ClusterConfig) -> Result<Lease, RedisError> {
        self.get_by(connect(config, config.answer_timeout())).await
    }

    /// The connection, made so if there is none that is good.
    pub(crate) async fn get_by(
        &self,
        connecting: impl Future<Output = Result<(MultiplexedConnection, Tenure), RedisError>>,
    ) -> Result<Lease, RedisError> {
        let mut current = self.current.lock().await;
        let good = current.connection.take();
        let (connection, tenure) = match good.filter(|(_, tenure)| !tenure.has_ended()) {
            Some(connected) => connected,
            None => {
                let (connection, tenure) = connecting.await?;
                current.generation += 1;
                match self.leaving {
                    Leaving::WhenReplaced => (connection, tenure),
                    Leaving::WhenBroken => (connection, Tenure::Unlimited),
                }
            }
        };
        current.connection = Some((connection.clone(), tenure.clone()));
        Ok(Lease {
            connection,
            tenure,
            generation: current.generation,
        })
    }

    /// Runs a command. Its answer is not waited for any longer when the master
    /// is left: the command may be carried out or not.
    pub(crate) async fn run<T>(
        &self,
        lease: Lease,
        command: impl AsyncFnOnce(MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, RedisError> {
        let Lease {
            connection,
            mut tenure,
            generation,
        } = lease;
        let result = tokio::select! {
            biased;
            () = tenure.ended() => Err(another_is_named()),
            result = command(connection) => result,
        };
        if result.as_ref().is_err_and(is_of_connection) {
            let mut current = self.current.lock().await;
            if current.generation == generation {
                current.connection = None;
            }
        }
        result
    }
}

/// A connection to the master on which an answer may take this long, and for
/// how long it is good.
pub(crate) async fn connect(
    config: &ClusterConfig,
    response_timeout: Duration,
) -> Result<(MultiplexedConnection, Tenure), RedisError> {
    // Some 2 kB, needed seldom.
    Box::pin(async {
        let timeouts = timeouts(config, response_timeout);
        let (client, tenure) = config.url.master(config, &timeouts).await?;
        let connecting = client.get_multiplexed_async_connection_with_config(&timeouts);
        let connection = verified(Box::pin(connecting), &tenure).await?;
        Ok((connection, tenure))
    })
    .await
}

/// A connection to a server that is the master, unless another one is named
/// before it is there.
async fn verified(
    connecting: impl Future<Output = Result<MultiplexedConnection, RedisError>>,
    tenure: &Tenure,
) -> Result<MultiplexedConnection, RedisError> {
    let verifying = async {
        let mut connection = connecting.await?;
        tenure.verify(&mut connection).await?;
        Ok(connection)
    };
    let mut tenure = tenure.clone();
    tokio::select! {
        biased;
        () = tenure.ended() => Err(another_is_named()),
        verified = verifying => verified,
    }
}

/// A connection on which a server also speaks unasked.
pub(crate) async fn open_for_pushes(
    client: &Client,
    timeouts: &AsyncConnectionConfig,
    sender: impl AsyncPushSender,
) -> Result<MultiplexedConnection, RedisError> {
    let info = client.get_connection_info();
    let settings = info.redis_settings().clone();
    let settings = settings.set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.clone().set_redis_settings(settings))?;
    let pushes = timeouts.clone().set_push_sender(sender);
    Box::pin(client.get_multiplexed_async_connection_with_config(&pushes)).await
}

/// Of a connection on which an answer may take this long.
pub(crate) fn timeouts(
    config: &ClusterConfig,
    response_timeout: Duration,
) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.command_timeout))
        .set_response_timeout(Some(response_timeout))
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
