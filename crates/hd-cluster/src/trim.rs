//! Bounds of the stream: age, entries and bytes. What is trimmed is remembered for
//! each room, so that an instance that starts later knows whose events are
//! missing.
//!
//! Appending does not trim, for a full Redis refuses to append: each instance
//! looks every [`trim_interval`](ClusterConfig::trim_interval) whether there is
//! something to trim, and once more when Redis is full.

use std::collections::HashMap;
use std::time::Duration;

use hd_replay::Offset;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};
use tokio::time::Instant;

use crate::entry::{self, Content, Entry};
use crate::shared_log::{Inner, millis, random};
use crate::{ClusterConfig, SharedLog};

/// What the stream may have.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    records: u64,
    bytes: u64,
    age: Duration,
    /// The last entry of the log, where that has to stay: without it the log would
    /// not be found after what strangers have appended.
    last: Option<Offset>,
}

/// What the stream has, roughly.
#[derive(Clone, Copy, Debug)]
struct Extent {
    records: u64,
    /// How many records the tail says that there are.
    counted: u64,
    bytes: u64,
    now: u64,
    /// The last entry of the log.
    last: Option<Offset>,
}

/// What of a page is to be trimmed.
#[derive(Debug, Default)]
struct Due {
    bytes: u64,
    /// The latest offset of each room.
    rooms: HashMap<String, Offset>,
    /// What the first entry that is part of the log follows.
    before: Option<Offset>,
    /// The last entry that is part of the log.
    last: Option<Offset>,
    /// Up to here there were entries of which nobody knows for which rooms they were.
    unknown: Option<Offset>,
    /// The first entry that stays.
    kept: Option<Offset>,
}

/// How often room was made in a full Redis.
#[derive(Debug, Default)]
pub(crate) struct Reliefs {
    since: Option<Instant>,
    count: u32,
    /// Records that were trimmed so, of which nobody was told.
    unsaid: u64,
}

impl SharedLog {
    /// Keeps the stream within its bounds, for ever. `relieved` is given how many
    /// records, the oldest ones, were trimmed to append others to a full Redis.
    ///
    /// # Cancel safety
    ///
    /// What is due is trimmed when it is called again, or by another instance.
    pub async fn keep_trimmed(&self, mut relieved: impl FnMut(u64)) {
        let trimming = async {
            let config = &self.0.config;
            loop {
                // Instances that were started together do not trim together.
                let part = 0.5 + f64::from(u16::try_from(random() >> 48).unwrap_or(0)) / 65_536.0;
                tokio::time::sleep(config.trim_interval.mul_f64(part)).await;
                if let Err(error) = self.trim().await {
                    tracing::debug!(%error, "the log cannot be trimmed; trying again later");
                }
            }
        };
        let relieving = async {
            loop {
                self.0.relieved.notified().await;
                let records = std::mem::take(&mut self.reliefs().unsaid);
                relieved(records);
            }
        };
        tokio::join!(Box::pin(trimming), relieving);
    }

    /// Trims what is beyond the bounds of the stream. Returns how many records it
    /// has trimmed.
    ///
    /// # Errors
    ///
    /// Redis does not answer, or refuses.
    ///
    /// # Cancel safety
    ///
    /// Each page is trimmed and remembered in one step, or not at all.
    pub async fn trim(&self) -> Result<u64, RedisError> {
        let config = &self.0.config;
        let bounds = |extent: Extent| Bounds {
            records: config.max_records,
            bytes: config.max_bytes,
            age: config.max_age,
            last: extent.last,
        };
        self.trim_to(bounds).await
    }

    /// Makes room in a Redis that is full, at the cost of the oldest records.
    /// Returns whether there is some.
    pub(crate) async fn relieve(&self) -> bool {
        if !self.may_relieve() {
            return false;
        }
        let eighth_off = |extent: Extent| Bounds {
            records: extent.records - extent.records.div_ceil(8),
            bytes: u64::MAX,
            age: Duration::MAX,
            // What strangers have filled has to go, whatever that costs.
            last: None,
        };
        let trimmed = Box::pin(self.trim_to(eighth_off)).await;
        match trimmed {
            Ok(records) => {
                if records > 0 {
                    self.reliefs().unsaid += records;
                    self.0.relieved.notify_one();
                }
                records > 0
            }
            Err(error) => {
                tracing::debug!(%error, "the log cannot be trimmed");
                false
            }
        }
    }

    fn may_relieve(&self) -> bool {
        let mut reliefs = self.reliefs();
        if reliefs
            .since
            .is_none_or(|since| since.elapsed() >= RELIEF_INTERVAL)
        {
            reliefs.since = Some(Instant::now());
            reliefs.count = 0;
        }
        reliefs.count += 1;
        reliefs.count <= MAX_RELIEFS
    }

    async fn trim_to(&self, bounds: impl FnOnce(Extent) -> Bounds) -> Result<u64, RedisError> {
        let Inner {
            config, commands, ..
        } = &*self.0;
        let lease = commands.get(config).await?;
        let trimming = async |mut connection| self.trim_by(&mut connection, bounds).await;
        commands.run(lease, trimming).await
    }

    async fn trim_by(
        &self,
        connection: &mut MultiplexedConnection,
        bounds: impl FnOnce(Extent) -> Bounds,
    ) -> Result<u64, RedisError> {
        let config = &self.0.config;
        let mut extent = self.extent(connection).await?;
        if extent.counted != extent.records {
            // Something else has trimmed the stream: it is counted again.
            self.begin(connection).await?;
            extent = self.extent(connection).await?;
        }
        let bounds = bounds(extent);
        self.forget_ids(connection, extent.now).await?;
        let mut trimmed = 0;
        // The first entry alone says whether it is too old.
        let mut count = 2;
        loop {
            let page = self.oldest(connection, count).await?;
            let mut left = extent;
            let is_whole = page.len() < count;
            let due = Due::of(&page, is_whole, &bounds, &mut left, config.rooms_of);
            let (Some(first), Some(kept)) = (page.first(), due.kept) else {
                return Ok(trimmed);
            };
            if count < PAGE {
                count = PAGE;
                continue;
            }
            if !self.trim_page(connection, first.offset, kept, &due).await? {
                // Another instance is at it.
                return Ok(trimmed);
            }
            trimmed += extent.records - left.records;
            extent = left;
        }
    }

    async fn oldest(
        &self,
        connection: &mut MultiplexedConnection,
        count: usize,
    ) -> Result<Vec<Entry>, RedisError> {
        let config = &self.0.config;
        let answer: Value = redis::cmd("XRANGE")
            .arg(config.log_key())
            .arg("-")
            .arg("+")
            .arg("COUNT")
            .arg(count)
            .query_async(connection)
            .await?;
        Ok(entry::entries(&answer, &config.records, self.plausible()))
    }

    async fn trim_page(
        &self,
        connection: &mut MultiplexedConnection,
        first: Offset,
        kept: Offset,
        due: &Due,
    ) -> Result<bool, RedisError> {
        let Inner {
            config, scripts, ..
        } = &*self.0;
        let text = |offset: Option<Offset>| offset.map(|offset| offset.to_string());
        let mut trim = scripts.trim.prepare_invoke();
        trim.key(config.log_key())
            .key(config.tail_key())
            .key(config.trimmed_key())
            .arg(first.to_string())
            .arg(text(due.before).unwrap_or_default())
            .arg(kept.to_string())
            .arg(text(due.last).unwrap_or_default())
            .arg(due.bytes)
            .arg(MAX_TRIMMED_ROOMS)
            .arg(text(due.unknown).unwrap_or_default());
        for (room, offset) in &due.rooms {
            trim.arg(room).arg(offset.to_string());
        }
        trim.invoke_async(connection).await
    }

    async fn extent(&self, connection: &mut MultiplexedConnection) -> Result<Extent, RedisError> {
        let config = &self.0.config;
        let mut asking = redis::pipe();
        asking.cmd("XLEN").arg(config.log_key());
        asking.cmd("HGET").arg(config.tail_key()).arg("end");
        asking.cmd("TIME");
        let (records, end, (seconds, micros)): (u64, Option<Vec<u8>>, (u64, u64)) =
            asking.query_async(connection).await?;
        let end = end.as_deref().and_then(tail_end);
        let (last, [counted, bytes]) =
            end.map_or_else(Default::default, |(last, counts)| (Some(last), counts));
        Ok(Extent {
            records,
            counted,
            bytes,
            now: seconds * 1000 + micros / 1000,
            last,
        })
    }

    /// Removes the ids of the last but one time to live. They would expire, but
    /// Redis would do nothing else while it frees them.
    async fn forget_ids(
        &self,
        connection: &mut MultiplexedConnection,
        now: u64,
    ) -> Result<(), RedisError> {
        let config = &self.0.config;
        let Some(over) = (now / millis(config.bucket_size())).checked_sub(2) else {
            return Ok(());
        };
        let mut forgetting = redis::cmd("UNLINK");
        forgetting.arg(config.ids_key(over));
        forgetting.query_async(connection).await
    }
}

impl Due {
    /// `page` is the beginning of the stream, or the whole of it.
    fn of(
        page: &[Entry],
        is_whole: bool,
        bounds: &Bounds,
        extent: &mut Extent,
        rooms_of: fn(&[u8]) -> Vec<String>,
    ) -> Self {
        let mut due = Self::default();
        // Without its last entry the log would not know where it is.
        let last = page.iter().rposition(|entry| entry.link().is_some());
        let may_go = if is_whole {
            last.unwrap_or(page.len())
        } else {
            page.len()
        };
        // Older versions append without saying which one is the last.
        let stays = last.filter(|at| {
            let offset = page[*at].offset;
            bounds.last.is_some_and(|last| offset >= last)
        });
        let may_go = stays.map_or(may_go, |stays| stays.min(may_go));
        for (entry, next) in page.iter().zip(page.iter().skip(1)).take(may_go) {
            let offset = entry.offset;
            let is_old = extent.now.saturating_sub(offset.millis()) > millis(bounds.age);
            let is_due = is_old || extent.records > bounds.records || extent.bytes > bounds.bytes;
            if !is_due {
                break;
            }
            due.handle(entry, rooms_of);
            let bytes = OVERHEAD + entry.bytes;
            due.bytes += bytes;
            due.kept = Some(next.offset);
            extent.records = extent.records.saturating_sub(1);
            extent.bytes = extent.bytes.saturating_sub(bytes);
        }
        due
    }

    /// Remembers an entry for its rooms.
    fn handle(&mut self, entry: &Entry, rooms_of: fn(&[u8]) -> Vec<String>) {
        // Nobody reads an entry that is not part of the log.
        let Some(link) = entry.link() else {
            return;
        };
        match self.last {
            None => self.before = link.before,
            // Somebody has deleted what was between.
            Some(last) if link.before != Some(last) => {
                self.unknown = self.unknown.max(link.before);
            }
            Some(_) => {}
        }
        let rooms = match &entry.content {
            Content::Record(_, record) => rooms_of(record),
            // It was a gap for all who read it.
            Content::Untrusted(..) => vec![String::new()],
            Content::Beginning(_) | Content::Foreign => Vec::new(),
        };
        for room in rooms {
            self.rooms.insert(room, entry.offset);
        }
        self.last = Some(entry.offset);
    }
}

impl ClusterConfig {
    /// How long ids are written into one hash: they are looked for there for as
    /// long again.
    pub(crate) fn bucket_size(&self) -> Duration {
        self.id_ttl.max(MIN_BUCKET)
    }
}

/// The last entry of the log, and how many entries and bytes there are, as the tail
/// has them.
fn tail_end(end: &[u8]) -> Option<(Offset, [u64; 2])> {
    let mut words = str::from_utf8(end).ok()?.split(' ');
    let last = words.next()?.parse().ok()?;
    let _log = words.next()?;
    let mut next = || words.next()?.parse().ok();
    Some((last, [next()?, next()?]))
}

/// Of a record that nobody knows to be for some rooms only.
pub(crate) fn no_rooms(_record: &[u8]) -> Vec<String> {
    Vec::new()
}

/// Entries that are read and trimmed in one step: Redis is busy with them for
/// less than a millisecond.
const PAGE: usize = 64;
/// Some 10 MB. Beyond, it is remembered for all rooms together.
const MAX_TRIMMED_ROOMS: usize = 100_000;
/// As the script counts it.
const OVERHEAD: u64 = 100;
/// Of so many eighths in this time: a Redis that something else has filled does
/// not cost the whole log at once.
const MAX_RELIEFS: u32 = 4;
const RELIEF_INTERVAL: Duration = Duration::from_secs(10);
/// The script says which one it is if it has changed meanwhile.
const MIN_BUCKET: Duration = Duration::from_millis(100);
