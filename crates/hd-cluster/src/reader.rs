use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::Ordering;

use hd_replay::{Acknowledged, Chain, ChainStep, Link, LogId, Offset, Place};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamRangeReply, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands as _, ErrorKind, RedisError, Value, from_redis_value_ref};

use crate::connection::{backoff, connect};
use crate::error::is_of_connection;
use crate::sentinels::{Tenure, another_is_named};
use crate::shared_log::{fresh_log_id, leap};
use crate::{OpenError, SharedLog};

/// An entry of the stream.
struct Entry {
    offset: Offset,
    /// `None` from a version that did not write it.
    link: Option<Link>,
    /// `None` where a log begins.
    record: Option<Vec<u8>>,
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub offset: Offset,
    /// What was appended.
    pub bytes: Vec<u8>,
}

/// The log as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Of what is after it, everything is there.
    pub began: Place,
    /// What is there after that, in order.
    pub records: Vec<Record>,
    /// Where it ends.
    pub end: Place,
    /// What was trimmed before it began: the latest offset of each room.
    pub trimmed: Vec<(String, Offset)>,
    /// Up to here it is not known for which rooms that was.
    pub trimmed_unknown: Offset,
}

/// What comes of following.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The next records, in order, without a gap.
    Records(Vec<Record>),
    /// Something is missing: it was trimmed before it could be read, or Redis
    /// has lost it, and with it, maybe, what only others have read. Of what is
    /// after this place everything will come.
    Gap(Place),
    /// Redis does not answer; what is appended meanwhile comes later.
    CutOff,
    /// Redis answers again.
    Back,
    /// Sentinel has named another master, where the log goes on.
    Moved,
}

impl SharedLog {
    /// Reads what is in the log, and begins one where there is none.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open(&self) -> Result<Snapshot, OpenError> {
        let unavailable = |error| OpenError::Unavailable(Some(error));
        let config = &self.0.config;
        let connecting = connect(config, config.command_timeout);
        let (mut connection, _) = connecting.await.map_err(unavailable)?;
        self.read_all(&mut connection).await.map_err(|error| {
            if is_of_connection(&error) {
                OpenError::Unavailable(Some(error))
            } else {
                OpenError::NotALog(error)
            }
        })
    }

    async fn read_all(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Snapshot, RedisError> {
        self.begin(connection).await?;
        let mut read: Option<(Snapshot, Chain)> = None;
        let mut after = None;
        loop {
            let page = self.page(connection, after).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(last.offset);
            for entry in page {
                let step = read.as_mut().map(|(_, chain)| {
                    let acknowledged = &mut Acknowledged::default();
                    chain.handle_entry(entry.offset, entry.link, acknowledged)
                });
                match (&mut read, step) {
                    (Some((snapshot, _)), Some(ChainStep::Next)) => {
                        snapshot.records.extend(entry.into_record());
                    }
                    // Whatever was before is not followed by this one.
                    _ => read = Some(entry.begin()),
                }
            }
        }
        let (snapshot, chain) = read.ok_or((ErrorKind::Io, "the log has gone"))?;
        // What is trimmed meanwhile is in both.
        let (trimmed, trimmed_unknown) = self.trimmed(connection, snapshot.began.offset).await?;
        Ok(Snapshot {
            end: chain.place(),
            trimmed,
            trimmed_unknown,
            ..snapshot
        })
    }

    /// Follows the log from a place on, for ever. Records are read only when
    /// `take` has done with the ones before.
    ///
    /// # Cancel safety
    ///
    /// Records that are being taken are lost to this call; follow again from
    /// the last one that was taken.
    pub async fn follow<F>(&self, from: Place, mut take: impl FnMut(Followed) -> F)
    where
        F: Future<Output = ()>,
    {
        let config = &self.0.config;
        let mut chain = Chain::at(from);
        // Attempts since it was cut off.
        let mut attempts: Option<u32> = None;
        loop {
            let error = match connect(config, config.read_wait + config.command_timeout).await {
                Ok((connection, mut tenure)) => {
                    let following = self.follow_on(
                        connection,
                        &mut tenure,
                        &mut chain,
                        &mut attempts,
                        &mut take,
                    );
                    let Err(error) = following.await;
                    self.0.is_followed.store(false, Ordering::Relaxed);
                    if tenure.has_ended() && attempts.is_none() {
                        take(Followed::Moved).await;
                        continue;
                    }
                    error
                }
                Err(error) => error,
            };
            tracing::debug!(%error, "the log cannot be read; trying again");
            if attempts.is_none() {
                take(Followed::CutOff).await;
            }
            let attempt = attempts.map_or(0, |attempt| attempt.saturating_add(1));
            attempts = Some(attempt);
            tokio::time::sleep(backoff(attempt, config.max_backoff)).await;
        }
    }

    /// Follows until the connection breaks, or is not to the master.
    async fn follow_on<F>(
        &self,
        mut connection: MultiplexedConnection,
        tenure: &mut Tenure,
        chain: &mut Chain,
        attempts: &mut Option<u32>,
        take: &mut impl FnMut(Followed) -> F,
    ) -> Result<std::convert::Infallible, RedisError>
    where
        F: Future<Output = ()>,
    {
        let config = &self.0.config;
        self.begin(&mut connection).await?;
        // Before the end is asked for: what is acknowledged meanwhile is after it.
        let acknowledged = self.acknowledged().latest(chain.place().log);
        let end = self.end(&mut connection).await?;
        // The end of another master's log says nothing of what is acknowledged.
        check(tenure)?;
        chain.handle_end(end, acknowledged);
        self.set_followed(chain, chain.place().offset == end);
        let wait = usize::try_from(config.read_wait.as_millis()).unwrap_or(usize::MAX);
        let options = StreamReadOptions::default()
            .block(wait)
            .count(config.read_records);
        let key = [config.log_key()];
        loop {
            if let Some(log) = chain.forked() {
                check(tenure)?;
                chain.handle_fork(self.fork(&mut connection, log).await?);
            }
            let acknowledged = self.acknowledged().latest(chain.place().log);
            let after = [chain.place().offset.to_string()];
            let reading = connection.xread_options(&key, &after, &options);
            let reply: Option<StreamReadReply> = tokio::select! {
                biased;
                () = tenure.ended() => return Err(another_is_named()),
                reply = reading => reply?,
            };
            if attempts.take().is_some() {
                take(Followed::Back).await;
            }
            let streams = reply.into_iter().flat_map(|reply| reply.keys);
            let entries: Vec<Entry> = streams
                .flat_map(|stream| stream.ids)
                .filter_map(entry)
                .collect();
            if entries.is_empty() && acknowledged > Some(chain.place().offset) {
                let what = "another Redis has the log's end";
                return Err(RedisError::from((ErrorKind::Io, what)));
            }
            let is_at_end = entries.len() < config.read_records;
            let is_idle = entries.is_empty();
            for followed in self.steps(chain, entries) {
                take(followed).await;
            }
            self.set_followed(chain, is_at_end);
            if is_at_end && !is_idle {
                self.delay_reading(chain.place()).await;
            }
        }
    }

    fn set_followed(&self, chain: &Chain, is_at_end: bool) {
        let is_followed = is_at_end && chain.forked().is_none();
        self.0.is_followed.store(is_followed, Ordering::Relaxed);
    }

    /// What entries are to who follows.
    fn steps(&self, chain: &mut Chain, entries: Vec<Entry>) -> Vec<Followed> {
        let mut steps = Vec::new();
        let mut records = Vec::new();
        for entry in entries {
            match chain.handle_entry(entry.offset, entry.link, &mut self.acknowledged()) {
                ChainStep::Next => records.extend(entry.into_record()),
                ChainStep::Passed | ChainStep::Lost => {}
                ChainStep::Began(place) => {
                    // They were all there, up to where the gap is.
                    if !records.is_empty() {
                        steps.push(Followed::Records(std::mem::take(&mut records)));
                    }
                    steps.push(Followed::Gap(place));
                    records.extend(entry.into_record());
                }
            }
        }
        if !records.is_empty() {
            steps.push(Followed::Records(records));
        }
        steps
    }

    /// Begins a log where there is none.
    async fn begin(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let Self(inner) = self;
        let mut begin = inner.scripts.begin.prepare_invoke();
        begin
            .key(inner.config.log_key())
            .key(inner.config.log_id_key())
            .key(inner.config.tail_key())
            .arg(fresh_log_id());
        begin.invoke_async(connection).await
    }

    /// Begins another log instead of one that has lost something, once for all
    /// processes that notice. Returns the one that is appended to then.
    async fn fork(
        &self,
        connection: &mut MultiplexedConnection,
        log: LogId,
    ) -> Result<LogId, RedisError> {
        let Self(inner) = self;
        let mut fork = inner.scripts.fork.prepare_invoke();
        fork.key(inner.config.log_key())
            .key(inner.config.log_id_key())
            .key(inner.config.tail_key())
            .arg(fresh_log_id().max(log.0.saturating_add(1)))
            .arg(leap())
            .arg(log.0);
        Ok(LogId(fork.invoke_async(connection).await?))
    }

    /// The last offset of the stream.
    async fn end(&self, connection: &mut MultiplexedConnection) -> Result<Offset, RedisError> {
        let info: HashMap<String, Value> = redis::cmd("XINFO")
            .arg("STREAM")
            .arg(self.0.config.log_key())
            .query_async(connection)
            .await?;
        let end: Option<String> = info
            .get("last-generated-id")
            .and_then(|end| from_redis_value_ref(end).ok());
        let end = end.and_then(|end| end.parse().ok());
        end.ok_or_else(|| RedisError::from((ErrorKind::UnexpectedReturnType, "no last id")))
    }

    async fn page(
        &self,
        connection: &mut MultiplexedConnection,
        after: Option<Offset>,
    ) -> Result<Vec<Entry>, RedisError> {
        let config = &self.0.config;
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let reply: StreamRangeReply = connection
            .xrange_count(config.log_key(), from, "+", config.read_records)
            .await?;
        Ok(reply.ids.into_iter().filter_map(entry).collect())
    }
}

impl Entry {
    /// A log of which this is the first entry that is left.
    fn begin(self) -> (Snapshot, Chain) {
        let place = Place {
            log: self.link.map_or(NO_LOG, |link| link.log),
            offset: self.offset,
        };
        let began = self
            .link
            .map_or(place, |link| link.begins_after(self.offset));
        let snapshot = Snapshot {
            began,
            // One without a link may follow any.
            records: self
                .link
                .and_then(|_| self.into_record())
                .into_iter()
                .collect(),
            end: place,
            trimmed: Vec::new(),
            trimmed_unknown: began.offset,
        };
        (snapshot, Chain::at(place))
    }

    fn into_record(self) -> Option<Record> {
        let offset = self.offset;
        self.record.map(|bytes| Record { offset, bytes })
    }
}

fn entry(id: StreamId) -> Option<Entry> {
    let number = |name: &str| id.get::<String>(name)?.parse().ok();
    let before = id.get::<String>("p").and_then(|before| before.parse().ok());
    let record = id.get("r");
    let link = number("l").map(|log| Link {
        log: LogId(log),
        before,
        is_beginning: record.is_none(),
    });
    Some(Entry {
        offset: id.id.parse().ok()?,
        link,
        record,
    })
}

/// Whether the connection is still to the master.
fn check(tenure: &Tenure) -> Result<(), RedisError> {
    if tenure.has_ended() {
        return Err(another_is_named());
    }
    Ok(())
}

/// The log of entries that do not say which.
const NO_LOG: LogId = LogId(0);
