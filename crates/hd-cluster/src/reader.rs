use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::Ordering;

use hd_replay::Offset;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamRangeReply, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands as _, RedisError, Value, from_redis_value_ref};

use crate::connection::{backoff, connect};
use crate::error::is_of_connection;
use crate::{OpenError, SharedLog};

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub offset: Offset,
    /// What was appended.
    pub bytes: Vec<u8>,
}

/// The log as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Of what is after it, everything is there.
    pub began: Offset,
    /// What is there after that, in order.
    pub records: Vec<Record>,
}

/// What comes of following.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The next records, in order, without a gap.
    Records(Vec<Record>),
    /// Records were trimmed before they could be read, or the log has lost its
    /// end, as after a failover. Of what is after this offset everything will
    /// come.
    Gap(Offset),
    /// Redis does not answer; what is appended meanwhile comes later.
    CutOff,
    /// Redis answers again.
    Back,
}

impl SharedLog {
    /// Reads what is in the log.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open(&self) -> Result<Snapshot, OpenError> {
        let unavailable = |error| OpenError::Unavailable(Some(error));
        let config = &self.0.config;
        let connecting = connect(config, config.command_timeout);
        let mut connection = connecting.await.map_err(unavailable)?;
        let read = |error: RedisError| {
            if is_of_connection(&error) {
                OpenError::Unavailable(Some(error))
            } else {
                OpenError::NotALog(error)
            }
        };
        let began = self.began(&mut connection).await.map_err(read)?;
        let mut records = Vec::new();
        let mut after = began;
        loop {
            let page = self.page(&mut connection, after).await.map_err(read)?;
            let Some(last) = page.last() else {
                return Ok(Snapshot { began, records });
            };
            after = last.offset;
            records.extend(page);
        }
    }

    /// Follows the log from an offset on, for ever. Records are read only when
    /// `take` has done with the ones before.
    ///
    /// # Cancel safety
    ///
    /// Records that are being taken are lost to this call; follow again from
    /// the last one that was taken.
    pub async fn follow<F>(&self, mut after: Offset, mut take: impl FnMut(Followed) -> F)
    where
        F: Future<Output = ()>,
    {
        let config = &self.0.config;
        let mut attempt = 0;
        loop {
            let error = match connect(config, config.read_wait + config.command_timeout).await {
                Ok(connection) => {
                    let was_cut_off = attempt > 0;
                    attempt = 0;
                    self.follow_on(connection, &mut after, was_cut_off, &mut take)
                        .await
                }
                Err(error) => error,
            };
            self.0.is_followed.store(false, Ordering::Relaxed);
            if attempt == 0 {
                tracing::debug!(%error, "Redis does not answer; trying again");
                take(Followed::CutOff).await;
            }
            tokio::time::sleep(backoff(attempt, config.max_backoff)).await;
            attempt += 1;
        }
    }

    /// Follows until the connection breaks.
    async fn follow_on<F>(
        &self,
        mut connection: MultiplexedConnection,
        after: &mut Offset,
        mut was_cut_off: bool,
        take: &mut impl FnMut(Followed) -> F,
    ) -> RedisError
    where
        F: Future<Output = ()>,
    {
        let config = &self.0.config;
        match self.gap(&mut connection, *after).await {
            Ok(Some(began)) => {
                *after = began;
                take(Followed::Gap(began)).await;
            }
            Ok(None) => {}
            Err(error) => return error,
        }
        let wait = usize::try_from(config.read_wait.as_millis()).unwrap_or(usize::MAX);
        let options = StreamReadOptions::default()
            .block(wait)
            .count(config.read_records);
        let key = [config.log_key()];
        loop {
            let from = [after.to_string()];
            let reading = connection.xread_options(&key, &from, &options);
            let reply: Option<StreamReadReply> = match reading.await {
                Ok(reply) => reply,
                Err(error) => return error,
            };
            if was_cut_off {
                was_cut_off = false;
                take(Followed::Back).await;
            }
            let streams = reply.into_iter().flat_map(|reply| reply.keys);
            let records: Vec<Record> = streams
                .flat_map(|stream| stream.ids)
                .filter_map(record)
                .collect();
            let is_at_end = records.len() < config.read_records;
            if let Some(last) = records.last() {
                *after = last.offset;
                take(Followed::Records(records)).await;
            }
            self.0.is_followed.store(is_at_end, Ordering::Relaxed);
        }
    }

    /// The offset after which everything is in the log.
    async fn began(&self, connection: &mut MultiplexedConnection) -> Result<Offset, RedisError> {
        let began: String = redis::Script::new(BEGAN)
            .key(self.0.config.began_key())
            .invoke_async(connection)
            .await?;
        let began = Offset::new(began.parse().unwrap_or(0), 0);
        let found = self.found(connection).await?;
        Ok(found.and_then(|found| found.began).unwrap_or(began))
    }

    /// Where the log begins for who has read it up to an offset, and what was
    /// after that is not there, or was another record.
    async fn gap(
        &self,
        connection: &mut MultiplexedConnection,
        after: Offset,
    ) -> Result<Option<Offset>, RedisError> {
        let found = self.found(connection).await?;
        Ok(found.and_then(|found| {
            let has_lost_its_end = found.last < after;
            let has_lost_its_beginning = found.began.is_some_and(|began| began > after);
            if has_lost_its_end {
                Some(found.last)
            } else if has_lost_its_beginning {
                found.began
            } else {
                None
            }
        }))
    }

    /// What is in the log's place; `None` when nothing is.
    async fn found(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Option<Found>, RedisError> {
        let key = self.0.config.log_key();
        let is_there: bool = connection.exists(&key).await?;
        if !is_there {
            return Ok(None);
        }
        let info: HashMap<String, Value> = redis::cmd("XINFO")
            .arg("STREAM")
            .arg(&key)
            .query_async(connection)
            .await?;
        let number = |name: &str| -> Option<u64> { from_redis_value_ref(info.get(name)?).ok() };
        let last: Option<String> = info
            .get("last-generated-id")
            .and_then(|last| from_redis_value_ref(last).ok());
        let last = last.and_then(|last| last.parse().ok()).unwrap_or_default();
        // An old server does not say how many there were.
        let has_all = number("entries-added").is_some_and(|added| Some(added) == number("length"));
        if has_all {
            return Ok(Some(Found { began: None, last }));
        }
        let first: StreamRangeReply = connection.xrange_count(&key, "-", "+", 1).await?;
        let first = first.ids.into_iter().find_map(|id| id.id.parse().ok());
        Ok(Some(Found {
            began: Some(first.unwrap_or(last)),
            last,
        }))
    }

    async fn page(
        &self,
        connection: &mut MultiplexedConnection,
        after: Offset,
    ) -> Result<Vec<Record>, RedisError> {
        let config = &self.0.config;
        let from = format!("({after}");
        let reply: StreamRangeReply = connection
            .xrange_count(config.log_key(), from, "+", config.read_records)
            .await?;
        Ok(reply.ids.into_iter().filter_map(record).collect())
    }
}

/// A stream that is there.
struct Found {
    /// The first record that it still has, if it had others before.
    began: Option<Offset>,
    last: Offset,
}

/// What is not one of our records is passed over: nobody else is to write here.
fn record(id: StreamId) -> Option<Record> {
    let offset = id.id.parse().ok()?;
    let bytes = id.get("r")?;
    Some(Record { offset, bytes })
}

/// The first process says when the log began, by the clock of Redis: before the
/// first record that this millisecond may bring.
const BEGAN: &str = r"
local now = redis.call('TIME')
redis.call('SET', KEYS[1], string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000) - 1), 'NX')
return redis.call('GET', KEYS[1])
";
