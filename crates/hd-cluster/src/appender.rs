//! Group commit: records that come while others are being appended are appended
//! together, by one call of the script. One call is under way at a time.
//!
//! ```text
//!              push            ┌── nothing waits ──┐
//!     Idle ──────────► Calling ┘   (back to Idle)  │
//!                       ▲   │                      │
//!                       │   └─ two or more wait ─► Delaying ── GROUP_DELAY ──┐
//!                       └───────────────────────────────────────────────────┘
//! ```
//!
//! A group has a number. Redis remembers the number and the answer of the last
//! group of each instance: a retry gets that answer, and a group that was given
//! up is refused when it arrives late, from whatever connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use hd_replay::{LogId, Offset};
use redis::{RedisError, ScriptInvocation};
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use crate::error::is_full;
use crate::scripts::Scripts;
use crate::shared_log::{leap, malformed, millis};
use crate::{AppendError, Appended, ClusterConfig, SharedLog};

/// What waits to be appended.
#[derive(Debug)]
pub(crate) struct Appender {
    /// The field of the tail that has this instance's last group.
    instance: String,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Of the records that wait.
    bytes: usize,
    /// Whether a task appends them.
    is_driven: bool,
    /// Counts the groups that were taken.
    groups: u64,
    clock: Clock,
    /// Why the group under way is not appended yet.
    last_error: Option<RedisError>,
}

#[derive(Debug)]
struct Waiting {
    id: Option<String>,
    record: Vec<u8>,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
}

#[derive(Debug)]
struct Group {
    number: u64,
    records: Vec<Waiting>,
}

/// What the script says that the time is, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
struct Clock(Option<(u64, Instant)>);

/// Lets another task take over if this one ends before its time.
struct Driving<'a> {
    appender: &'a Appender,
    is_over: bool,
}

impl SharedLog {
    pub(crate) async fn append_in_group(
        &self,
        id: Option<&str>,
        record: &[u8],
    ) -> Result<Appended, AppendError> {
        let appender = &self.0.appender;
        let deadline = Instant::now() + self.0.config.command_timeout;
        let (answer, answered) = oneshot::channel();
        let must_drive = appender.push(Waiting {
            id: id.map(str::to_owned),
            record: record.to_vec(),
            answer,
        })?;
        if must_drive {
            let log = self.clone();
            // Others wait for the group as well: it goes on when this call is cancelled.
            tokio::spawn(async move { log.drive().await });
        }
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(AppendError::Unavailable(appender.last_error())),
        }
    }

    /// Appends what waits, until nothing does.
    async fn drive(&self) {
        let appender = &self.0.appender;
        let mut driving = Driving {
            appender,
            is_over: false,
        };
        let mut is_busy = false;
        loop {
            if is_busy {
                tokio::time::sleep(GROUP_DELAY).await;
            }
            let Some(group) = appender.next_group() else {
                driving.is_over = true;
                return;
            };
            let count = group.records.len();
            let result = self.append_group(&group).await;
            group.answer(&result);
            let waiting = appender.queue().waiting.len();
            let is_enough = if is_busy {
                count >= MIN_BUSY_RECORDS
            } else {
                waiting >= MIN_BUSY_WAITING
            };
            is_busy = is_enough && waiting < MAX_GROUP_RECORDS;
        }
    }

    async fn append_group(&self, group: &Group) -> Result<Vec<Appended>, AppendError> {
        let appender = &self.0.appender;
        let appending = async {
            loop {
                let fresh = self.fresh_log_id();
                let call = appender.call(&self.0.scripts, &self.0.config, group, fresh);
                let failed = |error| appender.queue().last_error = Some(error);
                let answer: String = match self.try_invoke(&call, failed).await {
                    Ok(answer) => answer,
                    Err(AppendError::Refused(error)) if is_full(&error) && self.relieve().await => {
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let Some(now) = answer.strip_prefix('~') else {
                    return self.group_answer(group, &answer).ok_or_else(malformed);
                };
                let now = now.parse().map_err(|_| malformed())?;
                appender.queue().clock = Clock(Some((now, Instant::now())));
            }
        };
        // Its callers may give up before. If that ended it, those who have waited longest would end
        // each attempt to connect, and each wait for a connection that is dead, while others come.
        let limit = self.0.config.command_timeout;
        let result = tokio::time::timeout(limit, Box::pin(appending)).await;
        match result {
            Ok(result) => {
                appender.queue().last_error = None;
                result
            }
            Err(_) => Err(AppendError::Unavailable(appender.last_error())),
        }
    }

    fn group_answer(&self, group: &Group, answer: &str) -> Option<Vec<Appended>> {
        let mut words = answer.split(' ');
        let log = LogId(words.next()?.parse().ok()?);
        let appended: Option<Vec<Appended>> = words
            .map(|word| {
                let (is_new, offset) = match word.strip_prefix('+') {
                    Some(offset) => (true, offset),
                    None => (false, word.strip_prefix('=')?),
                };
                let offset: Offset = offset.parse().ok()?;
                Some(self.appended(is_new, offset, log))
            })
            .collect();
        appended.filter(|appended| appended.len() == group.records.len())
    }
}

impl Appender {
    /// `instance` is a random number: no other instance has it.
    pub(crate) fn new(instance: u64) -> Self {
        Self {
            instance: format!("instance:{instance:016x}"),
            queue: Mutex::default(),
        }
    }

    /// Returns whether a task has to be started that appends it.
    fn push(&self, waiting: Waiting) -> Result<bool, AppendError> {
        let mut queue = self.queue();
        let bytes = queue.bytes + waiting.record.len();
        if queue.waiting.len() >= MAX_WAITING_RECORDS || bytes > MAX_WAITING_BYTES {
            return Err(AppendError::Unavailable(queue.last_error.clone()));
        }
        queue.bytes = bytes;
        queue.waiting.push_back(waiting);
        Ok(!std::mem::replace(&mut queue.is_driven, true))
    }

    /// What waits, as much as one call may have; `None` when nothing does: the
    /// next one that is pushed needs another task.
    fn next_group(&self) -> Option<Group> {
        let mut queue = self.queue();
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < MAX_GROUP_RECORDS && bytes < MAX_GROUP_BYTES {
            let Some(waiting) = queue.waiting.pop_front() else {
                break;
            };
            queue.bytes -= waiting.record.len();
            // Nobody waits for the others any more.
            if !waiting.answer.is_closed() {
                bytes += waiting.record.len();
                records.push(waiting);
            }
        }
        if records.is_empty() {
            queue.is_driven = false;
            return None;
        }
        queue.groups += 1;
        let number = queue.groups;
        Some(Group { number, records })
    }

    fn call<'a>(
        &self,
        scripts: &'a Scripts,
        config: &ClusterConfig,
        group: &Group,
        fresh: u64,
    ) -> ScriptInvocation<'a> {
        let mut call = scripts.append.prepare_invoke();
        call.key(config.log_key())
            .key(config.log_id_key())
            .key(config.tail_key());
        let mut leap = leap().to_string();
        if group.records.iter().any(|record| record.id.is_some()) {
            let size = millis(config.bucket_size());
            let bucket = self.queue().clock.now() / size;
            leap = format!("{leap} {bucket} {size}");
            call.key(config.ids_key(bucket))
                .key(config.ids_key(bucket.saturating_sub(1)));
        }
        for id in group.records.iter().filter_map(|record| record.id.as_ref()) {
            call.key(config.older_id_key(id));
        }
        call.arg(fresh)
            .arg(leap)
            .arg(&self.instance)
            .arg(group.number)
            .arg(config.max_untrimmed());
        for Waiting { id, record, .. } in &group.records {
            call.arg(id.as_deref().unwrap_or_default())
                .arg(record)
                .arg(config.records.sign(record));
        }
        call
    }

    fn last_error(&self) -> Option<RedisError> {
        self.queue().last_error.clone()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    fn answer(self, result: &Result<Vec<Appended>, AppendError>) {
        for (place, waiting) in self.records.into_iter().enumerate() {
            let answer = match result {
                Ok(appended) => Ok(appended[place]),
                Err(error) => Err(error.clone()),
            };
            // Its caller may have gone.
            let _unheard = waiting.answer.send(answer);
        }
    }
}

impl Clock {
    fn now(self) -> u64 {
        match self.0 {
            Some((now, at)) => now.saturating_add(millis(at.elapsed())),
            // Redis says it if this is wrong.
            None => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, millis),
        }
    }
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut queue = self.appender.queue();
        queue.is_driven = false;
        queue.bytes = 0;
        // Their callers find that nobody answers.
        queue.waiting.clear();
    }
}

/// Redis does nothing else for a millisecond.
const MAX_GROUP_RECORDS: usize = 128;
/// Reached by a group, and passed by one record at most.
const MAX_GROUP_BYTES: usize = 1 << 20;
/// What comes in two seconds, the default of `command_timeout`, at the most that
/// one Redis takes.
const MAX_WAITING_RECORDS: usize = 32_768;
/// Of the records that wait.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// While there is much to append, from an answer to the next call. The least that
/// tokio's timer knows.
const GROUP_DELAY: Duration = Duration::from_millis(1);
/// So many that came during one call are too many for the next one to begin at
/// once.
const MIN_BUSY_WAITING: usize = 2;
/// With fewer than these in a group, waiting for more is not worth it.
const MIN_BUSY_RECORDS: usize = 3;
