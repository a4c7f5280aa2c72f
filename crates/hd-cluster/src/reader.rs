//! Reading the log: what is there when an instance starts, and then what is appended.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use hd_replay::{Acknowledged, Chain, ChainStep, LogId, Offset, Place, Trimmed};
use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadOptions;
use redis::{AsyncCommands as _, ErrorKind, RedisError, Value, from_redis_value_ref};

use crate::connection::{backoff, connect};
use crate::entry::{self, Entry, Plausible};
use crate::error::{is_full, is_of_a_time, is_of_connection};
use crate::sentinels::{Tenure, another_is_named};
use crate::shared_log::leap;
use crate::steps::{Missing, Steps};
use crate::{OpenError, Rejection, SharedLog};

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub offset: Offset,
    /// What was appended.
    pub bytes: Vec<u8>,
}

/// What is known of the log once it has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Of what is after it, everything was given.
    pub began: Place,
    /// Where it ends.
    pub end: Place,
}

/// Entries of the log that were read together.
#[derive(Debug)]
struct Page {
    entries: Vec<Entry>,
    /// Whether there were no more. An instance would never be at the end otherwise where others
    /// append all the time.
    is_last: bool,
}

/// What comes of following.
#[derive(Clone, Debug)]
pub enum Followed {
    /// The next records, in order, without a gap.
    Records(Vec<Record>),
    /// Something is missing: it was trimmed before it could be read, or Redis
    /// has lost it, and with it, maybe, what only others have read; or it is there
    /// and does not count. Of what is after this place everything will come; what was
    /// trimmed before it is known for each room, or not.
    Gap(Place, Trimmed),
    /// An entry that does not count. If it has a place in the log, a gap follows.
    Rejected(Offset, Rejection),
    /// Redis does not answer, for this reason; what is appended meanwhile comes
    /// later.
    CutOff(Arc<RedisError>),
    /// Redis answers again.
    Back,
    /// Sentinel has named another master, where the log goes on.
    Moved,
    /// The log ended there when it was read last: all that it has was given.
    End(Place),
}

impl SharedLog {
    /// Reads what is in the log page by page, and begins one where there is
    /// none. Returns where it begins and ends.
    ///
    /// The first that `take` is given is a [`Followed::Gap`]: where the log
    /// begins. When this fails, what was taken is to be dropped.
    ///
    /// An instance that starts has no memory of what Redis acknowledged. Where
    /// Redis is not known to have it all, because it has been started again and no
    /// instance that lives has looked, another log begins.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn load<F>(&self, mut take: impl FnMut(Followed) -> F) -> Result<Loaded, OpenError>
    where
        F: Future<Output = ()>,
    {
        let unavailable = |error| OpenError::Unavailable(Some(error));
        let config = &self.0.config;
        let connecting = connect(config, config.command_timeout);
        let (mut connection, _) = connecting.await.map_err(unavailable)?;
        let loading = Box::pin(self.load_from(&mut connection, &mut take));
        let error = match loading.await {
            Ok(loaded) => return Ok(loaded),
            Err(error) => error,
        };
        if is_full(&error) {
            // Another log has to begin.
            Box::pin(self.relieve()).await;
        }
        if is_of_connection(&error) || is_of_a_time(&error) {
            Err(OpenError::Unavailable(Some(error)))
        } else {
            Err(OpenError::NotALog(error))
        }
    }

    async fn load_from<F>(
        &self,
        connection: &mut MultiplexedConnection,
        take: &mut impl FnMut(Followed) -> F,
    ) -> Result<Loaded, RedisError>
    where
        F: Future<Output = ()>,
    {
        self.ask_time(connection).await?;
        let log = self.begin(connection).await?;
        self.check_server(connection, log).await?;
        let mut chain: Option<Chain> = None;
        let (mut began, mut after) = (None, None);
        loop {
            let Page { entries, is_last } = self.page(connection, after).await?;
            let Some(last) = entries.last() else {
                break;
            };
            if !self.plausible().is_offset(last.offset) {
                return Err(RedisError::from((ErrorKind::Io, IN_THE_FUTURE)));
            }
            after = Some(last.offset);
            let mut steps = Steps::default();
            for entry in entries {
                match (&mut chain, entry.link()) {
                    (Some(chain), Some(link)) => {
                        let read = chain.place();
                        let step = chain.handle_entry(
                            entry.offset,
                            Some(link),
                            &mut Acknowledged::default(),
                        );
                        match step {
                            // Whatever was before is not followed by this one.
                            ChainStep::Lost | ChainStep::Passed => {
                                let (began, read) = entry::begin(entry.offset, link);
                                *chain = Chain::at(read);
                                steps.handle(entry, ChainStep::Began(began), Missing::Anything);
                            }
                            ChainStep::Next | ChainStep::Began(_) => {
                                steps.handle(entry, step, Missing::before(link, read));
                            }
                        }
                    }
                    (None, Some(link)) => {
                        let (began, read) = entry::begin(entry.offset, link);
                        chain = Some(Chain::at(read));
                        steps.handle(entry, ChainStep::Began(began), Missing::Trimmed);
                    }
                    (_, None) => steps.pass_over(&entry),
                }
            }
            for mut followed in steps.finish() {
                if let Followed::Gap(place, trimmed) = &mut followed {
                    began = Some(*place);
                    self.complete(connection, *place, trimmed).await?;
                }
                take(followed).await;
            }
            if is_last {
                break;
            }
        }
        let (Some(chain), Some(began)) = (chain, began) else {
            return Err(RedisError::from((ErrorKind::Io, "the log has gone")));
        };
        Ok(Loaded {
            began,
            end: chain.place(),
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
            if is_full(&error) {
                // Another log has to begin.
                Box::pin(self.relieve()).await;
            }
            if attempts.is_none() {
                take(Followed::CutOff(Arc::new(error))).await;
            } else {
                tracing::debug!(%error, "Cannot read the log in Redis; retrying");
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
        self.ask_time(&mut connection).await?;
        let mut clock_asked = Instant::now();
        self.begin(&mut connection).await?;
        // Before the end is asked for: what is acknowledged meanwhile is after it.
        let acknowledged = self.acknowledged().latest(chain.place().log);
        let end = self.end(&mut connection).await?;
        // The end of another master's log says nothing of what is acknowledged.
        check(tenure)?;
        chain.handle_end(end, acknowledged);
        self.set_followed(chain, chain.place().offset == end);
        // When Redis was last asked to write down that nothing is missing, if it refused.
        let mut refused: Option<Instant> = None;
        let mut is_vouched_for = false;
        // What was read, and is not part of the log, is not read again.
        let mut passed_over = Offset::default();
        let mut is_at_end = false;
        loop {
            if let Some(log) = chain.forked() {
                check(tenure)?;
                chain.handle_fork(self.fork(&mut connection, log).await?);
            }
            let is_refused = refused.is_some_and(|at| at.elapsed() < config.clock_interval);
            if !is_vouched_for && !is_refused {
                // What this instance has read, and was acknowledged, is there.
                check(tenure)?;
                is_vouched_for = self.vouch(&mut connection).await?;
                refused = Some(Instant::now());
            }
            if clock_asked.elapsed() > config.clock_interval {
                self.ask_time(&mut connection).await?;
                clock_asked = Instant::now();
            }
            let acknowledged = self.acknowledged().latest(chain.place().log);
            let after = chain.place().offset.max(passed_over);
            let reading = self.read(&mut connection, after, is_at_end);
            let Page { entries, is_last } = tokio::select! {
                biased;
                () = tenure.ended() => return Err(another_is_named()),
                page = reading => page?,
            };
            if attempts.take().is_some() {
                take(Followed::Back).await;
            }
            if entries.is_empty() && is_at_end && acknowledged > Some(chain.place().offset) {
                let what = "another Redis has the log's end";
                return Err(RedisError::from((ErrorKind::Io, what)));
            }
            if let Some(last) = entries.last() {
                if !self.plausible().is_offset(last.offset) {
                    // The next attempt begins another log.
                    return Err(RedisError::from((ErrorKind::Io, IN_THE_FUTURE)));
                }
                passed_over = last.offset;
            }
            let is_idle = entries.is_empty();
            let was_at_end = std::mem::replace(&mut is_at_end, is_last);
            for mut followed in self.steps(chain, entries) {
                if let Followed::Gap(place, trimmed) = &mut followed
                    && let Err(error) = self.complete(&mut connection, *place, trimmed).await
                {
                    // The gap would be missed if it were not taken now.
                    tracing::debug!(%error, "Cannot read what was trimmed from the log in Redis");
                    *trimmed = Trimmed::all_up_to(place.offset);
                }
                take(followed).await;
            }
            // A few more than a read takes are no lag.
            self.set_followed(chain, is_at_end || was_at_end);
            if is_at_end && chain.forked().is_none() {
                // The end of another master's log says nothing of what is lost.
                check(tenure)?;
                take(Followed::End(chain.place())).await;
            }
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
        let mut steps = Steps::default();
        for entry in entries {
            match entry.link() {
                Some(link) => {
                    let read = chain.place();
                    let acknowledged = &mut self.acknowledged();
                    let step = chain.handle_entry(entry.offset, Some(link), acknowledged);
                    steps.handle(entry, step, Missing::before(link, read));
                }
                None => steps.pass_over(&entry),
            }
        }
        steps.finish()
    }

    /// Begins a log where there is none.
    pub(crate) async fn begin(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<LogId, RedisError> {
        let Self(inner) = self;
        let mut begin = inner.scripts.begin.prepare_invoke();
        begin
            .key(inner.config.log_key())
            .key(inner.config.log_id_key())
            .key(inner.config.tail_key())
            .arg(self.fresh_log_id());
        Ok(LogId(begin.invoke_async(connection).await?))
    }

    /// Begins another log instead of one that has lost something, once for all
    /// processes that notice. Returns the one that is appended to then.
    pub(crate) async fn fork(
        &self,
        connection: &mut MultiplexedConnection,
        log: LogId,
    ) -> Result<LogId, RedisError> {
        let Self(inner) = self;
        let mut fork = inner.scripts.fork.prepare_invoke();
        fork.key(inner.config.log_key())
            .key(inner.config.log_id_key())
            .key(inner.config.tail_key())
            .arg(self.fresh_log_id().max(log.0.saturating_add(1)))
            .arg(leap())
            .arg(log.0);
        Ok(LogId(fork.invoke_async(connection).await?))
    }

    /// The last offset of the stream.
    pub(crate) async fn end(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Offset, RedisError> {
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

    /// The next entries. At the end of the log they are waited for.
    async fn read(
        &self,
        connection: &mut MultiplexedConnection,
        after: Offset,
        is_at_end: bool,
    ) -> Result<Page, RedisError> {
        if !is_at_end {
            return self.page(connection, Some(after)).await;
        }
        let config = &self.0.config;
        let wait = usize::try_from(config.read_wait.as_millis()).unwrap_or(usize::MAX);
        let options = StreamReadOptions::default()
            .block(wait)
            .count(FIRST_RECORDS);
        let (key, after) = ([config.log_key()], [after.to_string()]);
        let answer: Value = connection.xread_options(&key, &after, &options).await?;
        let stream = entry::entries_of_stream(&answer);
        let entries = entry::entries(stream, &config.records, self.plausible());
        let is_last = entries.len() < FIRST_RECORDS;
        Ok(Page { entries, is_last })
    }

    /// Entries that are there, within the bounds of a page.
    async fn page(
        &self,
        connection: &mut MultiplexedConnection,
        after: Option<Offset>,
    ) -> Result<Page, RedisError> {
        let config = &self.0.config;
        let after = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut page = self.0.scripts.page.prepare_invoke();
        page.key(config.log_key())
            .arg(after)
            .arg(config.read_records)
            .arg(config.read_bytes);
        let answer: Value = page.invoke_async(connection).await?;
        let entries = entry::entries(&answer, &config.records, self.plausible());
        let is_last =
            entries.len() < config.read_records && entry::bytes_of(&answer) < config.read_bytes;
        Ok(Page { entries, is_last })
    }

    /// Asks Redis for its time.
    async fn ask_time(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let asked = Instant::now();
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(connection).await?;
        let millis = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        self.0.clock.handle_time(millis, asked, Instant::now());
        Ok(())
    }

    pub(crate) fn plausible(&self) -> Plausible {
        Plausible::at(self.now_millis())
    }
}

/// Whether the connection is still to the master.
fn check(tenure: &Tenure) -> Result<(), RedisError> {
    if tenure.has_ended() {
        return Err(another_is_named());
    }
    Ok(())
}

const IN_THE_FUTURE: &str = "the log has an entry in the far future";
/// Most records of a read that waits for them. What comes with them is read after them, as pages.
const FIRST_RECORDS: usize = 16;
