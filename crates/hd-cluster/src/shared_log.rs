use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hd_replay::Offset;
use redis::{ErrorKind, RedisError, Script};

use crate::connection::Commands;
use crate::error::is_of_connection;
use crate::{AppendError, ClusterConfig};

/// A log in Redis. A clone is the same log.
#[derive(Clone, Debug)]
pub struct SharedLog(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: ClusterConfig,
    pub(crate) commands: Commands,
    pub(crate) is_followed: AtomicBool,
    append: Script,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log.
    New(Offset),
    /// One with its id was there before.
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
            commands: Commands::default(),
            is_followed: AtomicBool::new(false),
            append: Script::new(APPEND),
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

    /// Appends a record, unless one with its id was appended within
    /// [`id_ttl`](ClusterConfig::id_ttl).
    ///
    /// A command whose answer does not come is given again, as long as
    /// [`command_timeout`](ClusterConfig::command_timeout) allows: a record
    /// without an id gets one for that.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    ///
    /// # Cancel safety
    ///
    /// The record may be appended or not.
    pub async fn append(&self, id: Option<&str>, record: &[u8]) -> Result<Appended, AppendError> {
        let mut last = None;
        let trying = self.try_append(id, record, &mut last);
        match tokio::time::timeout(self.0.config.command_timeout, trying).await {
            Ok(result) => result,
            Err(_) => Err(AppendError::Unavailable(last)),
        }
    }

    async fn try_append(
        &self,
        id: Option<&str>,
        record: &[u8],
        last: &mut Option<RedisError>,
    ) -> Result<Appended, AppendError> {
        let Inner {
            config, commands, ..
        } = &*self.0;
        let (id_key, id_ttl) = match id {
            Some(id) => (config.id_key(id), config.id_ttl),
            None => (config.id_key(&random_id()), config.command_timeout * 2),
        };
        let ttl_millis = u64::try_from(id_ttl.as_millis()).unwrap_or(u64::MAX);
        let mut invocation = self.0.append.prepare_invoke();
        invocation
            .key(config.log_key())
            .key(id_key)
            .key(config.began_key())
            .arg(record)
            .arg(config.max_records)
            .arg(ttl_millis);
        let mut attempt = 0;
        loop {
            let error = match commands.get(config).await {
                Ok((mut connection, generation)) => {
                    match invocation.invoke_async(&mut connection).await {
                        Ok((is_new, offset)) => return appended(is_new, offset),
                        Err(error) if is_of_connection(&error) => {
                            commands.discard(generation).await;
                            error
                        }
                        Err(error) => return Err(AppendError::Refused(error)),
                    }
                }
                Err(error) => error,
            };
            *last = Some(error);
            tokio::time::sleep(crate::connection::backoff(attempt, config.max_backoff)).await;
            attempt += 1;
        }
    }
}

fn appended(is_new: bool, offset: String) -> Result<Appended, AppendError> {
    let offset: Offset = offset.parse().map_err(|_| {
        let what = "the answer is no id of a stream";
        AppendError::Refused(RedisError::from((ErrorKind::UnexpectedReturnType, what)))
    })?;
    Ok(if is_new {
        Appended::New(offset)
    } else {
        Appended::Repeated(offset)
    })
}

/// For a record that came without one.
fn random_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("invariant: the operating system gives random bytes");
    format!("auto:{:032x}", u128::from_ne_bytes(bytes))
}

/// Nothing comes in between: a script is one command to Redis.
const APPEND: &str = r"
local first = redis.call('GET', KEYS[2])
if first then
    return {0, first}
end
if redis.call('EXISTS', KEYS[3]) == 0 then
    local now = redis.call('TIME')
    redis.call('SET', KEYS[3], string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000) - 1))
end
local offset = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'r', ARGV[1])
redis.call('SET', KEYS[2], offset, 'PX', ARGV[3])
return {1, offset}
";
