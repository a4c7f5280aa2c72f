//! Which Redis has the whole log. Instances write it down beside the log: the run of the server at
//! which they have looked that nothing is missing of what they know.
//!
//! | an instance | finds | and |
//! |---|---|---|
//! | with memory | all that it has read, and was acknowledged | writes down this run of the server |
//! | with memory | some of it missing | begins another log, then writes down the run |
//! | without memory | the run that is written down | goes on |
//! | without memory | a replica that was promoted | goes on, and writes down its run |
//! | without memory | another run | waits a moment for one with memory, begins another log, then writes down the run |

use std::time::{Duration, Instant};

use hd_replay::LogId;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands as _, InfoDict, RedisError};

use crate::AppendError;
use crate::SharedLog;
use crate::error::is_of_connection;
use crate::server_identity::{Continuity, KnownServer, ServerIdentity};

impl SharedLog {
    /// Begins another log instead of one that is proven to have lost something, once for all
    /// instances that notice. Those that follow it are told by the beginning
    /// ([`Followed::Gap`](crate::Followed::Gap)).
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    ///
    /// # Cancel safety
    ///
    /// The other log may have begun or not.
    pub async fn begin_another(&self, lost: LogId) -> Result<(), AppendError> {
        let config = &self.0.config;
        let beginning = async {
            config.url.promoted().await;
            let lease = self.0.commands.get(config).await?;
            let running = self.0.commands.run(lease, async |mut connection| {
                self.fork(&mut connection, lost).await
            });
            running.await
        };
        match tokio::time::timeout(config.command_timeout, Box::pin(beginning)).await {
            Ok(Ok(_current)) => Ok(()),
            Ok(Err(error)) if is_of_connection(&error) => {
                Err(AppendError::Unavailable(Some(error)))
            }
            Ok(Err(error)) => Err(AppendError::Refused(error)),
            Err(_) => Err(AppendError::Unavailable(None)),
        }
    }

    /// Looks, without memory of the log, whether the server has had it all the time, and begins
    /// another one where that is not known.
    pub(crate) async fn check_server(
        &self,
        connection: &mut MultiplexedConnection,
        log: LogId,
    ) -> Result<(), RedisError> {
        let Some(server) = self.server(connection).await? else {
            return Ok(());
        };
        if let Some(known) = self.known_server(connection).await? {
            let end = self.end(connection).await?;
            match server.continuity(&known, end) {
                Continuity::Unbroken => return Ok(()),
                Continuity::Promoted => {}
                Continuity::Unknown if self.is_vouched_for(connection, &server).await? => {
                    return Ok(());
                }
                Continuity::Unknown => {
                    tracing::info!(
                        context = "Cluster",
                        "Redis was restarted and no instance remembers what it had acknowledged; \
                         another log begins"
                    );
                    self.fork(connection, log).await?;
                }
            }
        }
        self.try_write_down(connection, &server).await?;
        Ok(())
    }

    /// Whether an instance with memory, which connects to the restarted server about now, finds
    /// that nothing is missing. It is waited for as long as one takes to reconnect.
    async fn is_vouched_for(
        &self,
        connection: &mut MultiplexedConnection,
        server: &ServerIdentity,
    ) -> Result<bool, RedisError> {
        let wanted = server.known_at(self.now_millis());
        let until = Instant::now() + self.0.config.max_backoff * 2;
        loop {
            let known = self.known_server(connection).await?;
            if known.is_some_and(|known| known.is(&wanted)) {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_DELAY).await;
        }
    }

    /// Writes down that the server has all that this instance knows of. Returns whether there is
    /// nothing more to do.
    pub(crate) async fn vouch(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<bool, RedisError> {
        let Some(server) = self.server(connection).await? else {
            return Ok(true);
        };
        let known = self.known_server(connection).await?;
        let current = server.known_at(self.now_millis());
        if known.is_some_and(|known| known.is(&current)) {
            return Ok(true);
        }
        self.try_write_down(connection, &server).await
    }

    /// `None` where the server does not say it, for instance because the user may not ask.
    async fn server(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Option<ServerIdentity>, RedisError> {
        // With several sections, `INFO` has an answer only from Redis 7 on.
        let info: Result<InfoDict, RedisError> = redis::cmd("INFO")
            .arg("server")
            .arg("replication")
            .query_async(connection)
            .await;
        match info {
            Ok(info) => Ok(ServerIdentity::parse(&info, self.now_millis())),
            Err(error) if is_of_connection(&error) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "Redis does not say which server it is");
                Ok(None)
            }
        }
    }

    async fn known_server(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Option<KnownServer>, RedisError> {
        let text: Option<Vec<u8>> = connection.get(self.0.config.server_key()).await?;
        let text = text.and_then(|text| String::from_utf8(text).ok());
        Ok(text.and_then(|text| KnownServer::parse(&text)))
    }

    /// Writes it down, unless Redis refuses: one that takes no writes can be read all the same.
    /// Returns whether it is written.
    async fn try_write_down(
        &self,
        connection: &mut MultiplexedConnection,
        server: &ServerIdentity,
    ) -> Result<bool, RedisError> {
        match self.write_down(connection, server).await {
            Ok(()) => Ok(true),
            Err(error) if is_of_connection(&error) => Err(error),
            Err(error) => {
                tracing::debug!(%error, "Redis does not take which server it is");
                Ok(false)
            }
        }
    }

    async fn write_down(
        &self,
        connection: &mut MultiplexedConnection,
        server: &ServerIdentity,
    ) -> Result<(), RedisError> {
        let known = server.known_at(self.now_millis());
        connection
            .set(self.0.config.server_key(), known.to_text())
            .await
    }
}

/// From one look whether another instance has vouched to the next.
const LOOK_DELAY: Duration = Duration::from_millis(50);
