use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hd_replay::{Acknowledged, LogId, Offset, Place};
use redis::{ErrorKind, FromRedisValue, RedisError, ScriptInvocation};
use tokio::sync::Notify;

use crate::appender::Appender;
use crate::clock::RedisClock;
use crate::connection::{Commands, Leaving, backoff};
use crate::error::is_of_connection;
use crate::scripts::Scripts;
use crate::trim::Reliefs;
use crate::{AppendError, ClusterConfig, Publish};

/// A log in Redis. A clone is the same log.
#[derive(Clone, Debug)]
pub struct SharedLog(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: ClusterConfig,
    pub(crate) commands: Commands,
    pub(crate) scripts: Scripts,
    pub(crate) appender: Appender,
    pub(crate) clock: RedisClock,
    pub(crate) is_followed: AtomicBool,
    acknowledged: Mutex<Acknowledged>,
    /// Something else was acknowledged.
    newly_acknowledged: Notify,
    reliefs: Mutex<Reliefs>,
    /// There are some of which nobody was told.
    pub(crate) relieved: Notify,
}

/// Who observes records at other places.
#[derive(Debug)]
pub struct Observer {
    name: String,
    /// Counts what it reported.
    reports: AtomicU64,
}

/// Where a record was observed.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// How it was published there.
    pub publish: Publish,
    /// The channel.
    pub channel: &'a str,
    /// Since when everything is observed there, by the clock of Redis in
    /// milliseconds since 1970: [`Heard::Message`](crate::Heard::Message) has it.
    pub since: u64,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log.
    New(Offset),
    /// It was there before.
    Repeated(Offset),
}

/// Whether the log reaches this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// What is appended is read.
    Following,
    /// Redis cannot be reached, or its log is being read up to its end.
    CutOff,
}

impl SharedLog {
    /// The log that a configuration names. Nothing is connected yet.
    #[must_use]
    pub fn new(config: ClusterConfig) -> Self {
        Self(Arc::new(Inner {
            config,
            commands: Commands::new(Leaving::WhenReplaced),
            scripts: Scripts::new(),
            appender: Appender::new(random()),
            clock: RedisClock::default(),
            is_followed: AtomicBool::new(false),
            acknowledged: Mutex::default(),
            newly_acknowledged: Notify::new(),
            reliefs: Mutex::default(),
            relieved: Notify::new(),
        }))
    }

    /// Whether the log is being followed, and Redis answers.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.0.is_followed.load(Ordering::Relaxed) {
            Status::Following
        } else {
            Status::CutOff
        }
    }

    /// Milliseconds since 1970 by the clock of Redis, which offsets have their time from. Redis is
    /// asked when it is connected to, and every some seconds; before that it is the clock of this
    /// machine.
    #[must_use]
    pub fn now_millis(&self) -> u64 {
        self.0.clock.now_millis(Instant::now())
    }

    /// Appends a record, unless one with its id was appended within
    /// [`id_ttl`](ClusterConfig::id_ttl).
    ///
    /// Records that come while another one is being appended are appended
    /// together. A command that is not answered is retried, as long as
    /// [`command_timeout`](ClusterConfig::command_timeout) allows, and takes
    /// effect once however late it arrives.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    ///
    /// # Cancel safety
    ///
    /// The record may be appended or not.
    pub async fn append(&self, id: Option<&str>, record: &[u8]) -> Result<Appended, AppendError> {
        self.append_in_group(id, record).await
    }

    /// Appends a record that every process observes at some other place, and
    /// appends by this: it is in the log once, whoever is there to append it. Of
    /// records that are the same, byte for byte, each that was observed is one.
    ///
    /// A process calls it for one record after the other, in the order in which
    /// it observes them, and soon: who comes a minute after the others appends
    /// the record again. What was appended before it observed this source is not
    /// counted.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    ///
    /// # Cancel safety
    ///
    /// The record may be appended or not.
    pub async fn append_observed(
        &self,
        observer: &Observer,
        source: Source<'_>,
        record: &[u8],
    ) -> Result<Appended, AppendError> {
        let Inner {
            config, scripts, ..
        } = &*self.0;
        let mut append = scripts.append_observed.prepare_invoke();
        append
            .key(config.log_key())
            .key(config.log_id_key())
            .key(config.tail_key())
            .key(config.observed_key())
            .arg(self.fresh_log_id())
            .arg(leap())
            .arg(record)
            .arg(format!("{}:{}", observer.name, source.since))
            .arg(observer.reports.fetch_add(1, Ordering::Relaxed))
            .arg(source.since)
            .arg(millis(OBSERVATION_TTL))
            .arg(source.to_string())
            .arg(config.max_untrimmed())
            .arg(config.records.sign(record));
        self.invoke(&append).await
    }

    /// Names a log, should one begin: a time, and a random number, so that it is
    /// another one than any before, and later.
    pub(crate) fn fresh_log_id(&self) -> u64 {
        (self.now_millis() << RANDOM_BITS) | (random() >> (u64::BITS - RANDOM_BITS))
    }

    /// What Redis has said to be in the log.
    pub(crate) fn acknowledged(&self) -> MutexGuard<'_, Acknowledged> {
        self.0
            .acknowledged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reliefs(&self) -> MutexGuard<'_, Reliefs> {
        self.0
            .reliefs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits a moment before the next read, so that what other instances append
    /// meanwhile is read together. What this instance has appended is read at
    /// once: the answers to its emits wait for that.
    pub(crate) async fn delay_reading(&self, place: Place) {
        let mut acknowledged = pin!(self.0.newly_acknowledged.notified());
        // Before it is looked, so that nothing goes unnoticed.
        acknowledged.as_mut().enable();
        let latest = self.acknowledged().latest(place.log);
        if latest <= Some(place.offset) {
            // Either will do.
            let _elapsed = tokio::time::timeout(READ_DELAY, acknowledged).await;
        }
    }

    /// Runs an idempotent command, retrying until it is answered.
    async fn invoke(&self, command: &ScriptInvocation<'_>) -> Result<Appended, AppendError> {
        let mut last = None;
        let trying = self.try_invoke(command, |error| last = Some(error));
        let answer = tokio::time::timeout(self.0.config.command_timeout, trying).await;
        let (is_new, offset, log): (bool, String, u64) =
            answer.unwrap_or_else(|_| Err(AppendError::Unavailable(last)))?;
        let offset = offset.parse().map_err(|_| malformed())?;
        Ok(self.appended(is_new, offset, LogId(log)))
    }

    /// Runs an idempotent command, retrying for ever until it is answered.
    pub(crate) async fn try_invoke<T: FromRedisValue>(
        &self,
        command: &ScriptInvocation<'_>,
        mut failed: impl FnMut(RedisError),
    ) -> Result<T, AppendError> {
        let Inner {
            config, commands, ..
        } = &*self.0;
        let mut attempt = 0;
        loop {
            // What is accepted now may be lost.
            config.url.promoted().await;
            let error = match commands.get(config).await {
                Ok(lease) => {
                    let invoking = commands.run(lease, async |mut connection| {
                        command.invoke_async(&mut connection).await
                    });
                    match invoking.await {
                        Ok(answer) => return Ok(answer),
                        Err(error) if is_of_connection(&error) => error,
                        Err(error) => return Err(AppendError::Refused(error)),
                    }
                }
                Err(error) => error,
            };
            failed(error);
            tokio::time::sleep(backoff(attempt, config.max_backoff)).await;
            attempt += 1;
        }
    }

    /// Takes note of what Redis has answered.
    pub(crate) fn appended(&self, is_new: bool, offset: Offset, log: LogId) -> Appended {
        if !is_new {
            return Appended::Repeated(offset);
        }
        self.acknowledged().insert(Place { log, offset });
        self.0.newly_acknowledged.notify_waiters();
        Appended::New(offset)
    }
}

/// Redis has answered what no script of ours answers.
pub(crate) fn malformed() -> AppendError {
    let what = "the answer is not one of a script of ours";
    AppendError::Refused(RedisError::from((ErrorKind::UnexpectedReturnType, what)))
}

impl Default for Observer {
    fn default() -> Self {
        Self {
            name: format!("{:016x}", random()),
            reports: AtomicU64::new(0),
        }
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let publish = match self.publish {
            Publish::Classic => "classic",
            Publish::Sharded => "sharded",
        };
        write!(f, "{publish} {}", self.channel)
    }
}

/// By how much ids leap while the clock of Redis is behind.
pub(crate) fn leap() -> u16 {
    u16::try_from(random() >> 48).expect("sixteen bits")
}

pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("invariant: the operating system gives random bytes");
    u64::from_ne_bytes(bytes)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// From one read that had something to the next. The least that tokio's timer
/// knows.
const READ_DELAY: Duration = Duration::from_millis(1);
/// Of a log's id. What is left of it is good until the year 2527.
const RANDOM_BITS: u32 = 20;
/// How long it is remembered who has observed a record: a process that was
/// stopped for less than that does not append it again.
const OBSERVATION_TTL: Duration = Duration::from_secs(60);
