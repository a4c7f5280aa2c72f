use std::time::Duration;

use crate::trim::no_rooms;
use crate::{RecordKeys, RedisUrl};

/// Where the log is, and its bounds.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Where Redis is.
    pub url: RedisUrl,
    /// What the names of all keys begin with.
    pub prefix: String,
    /// Most records that the stream keeps; while nobody [trims] it, twice as
    /// many. 100,000: an hour of 1,500 events a minute.
    ///
    /// [trims]: crate::SharedLog::keep_trimmed
    pub max_records: u64,
    /// Most bytes that the stream keeps, roughly. 256 MiB: half of the smallest
    /// cache with 0.5 GiB, whose other half ids and presence may need.
    pub max_bytes: u64,
    /// How long the stream keeps a record. 24 hours.
    pub max_age: Duration,
    /// From one look whether something is to be trimmed to the next, half as
    /// long up to one and a half times. 10 s: what comes meanwhile is beyond the
    /// bounds.
    pub trim_interval: Duration,
    /// For which rooms a record is: whose event was trimmed is remembered.
    pub rooms_of: fn(&[u8]) -> Vec<String>,
    /// How long ids are remembered. 24 hours.
    pub id_ttl: Duration,
    /// How long a command may take, with all that is tried again. 2 s.
    pub command_timeout: Duration,
    /// How long a read waits for records. 500 ms: a client that may have proof of a
    /// loss waits for two seconds, and it takes two reads to know. A connection that
    /// died silently is noticed after this and the command's time.
    pub read_wait: Duration,
    /// Most records of one read. 512.
    pub read_records: usize,
    /// Most bytes of one read, and one record more. 256 KiB: what an instance that
    /// starts has in memory besides what it keeps.
    pub read_bytes: usize,
    /// How often Redis is asked for its time. 10 s: clocks drift by less than a
    /// millisecond meanwhile.
    pub clock_interval: Duration,
    /// Which records count. Any, where there are no keys.
    pub records: RecordKeys,
    /// The longest pause between two attempts to connect. 1 s: clients of ours
    /// give up after 13 s.
    pub max_backoff: Duration,
    /// How long each Sentinel is left alone, unless it says that something has
    /// happened. 1 s: what it said while it could not be heard is known after
    /// this, and that it is gone after this and the command's time.
    pub sentinel_interval: Duration,
    /// How long appending waits while Sentinel makes a replica the master: what
    /// the former one accepts then would be lost. 1.5 s: Sentinel looks every
    /// second whether it is done, and who appends waits no longer than the
    /// command's time.
    pub promotion_wait: Duration,
}

impl ClusterConfig {
    /// The defaults.
    #[must_use]
    pub fn new(url: RedisUrl) -> Self {
        Self {
            url,
            prefix: "help-desk-ws".to_owned(),
            max_records: 100_000,
            max_bytes: 256 << 20,
            max_age: Duration::from_secs(24 * 60 * 60),
            trim_interval: Duration::from_secs(10),
            rooms_of: no_rooms,
            id_ttl: Duration::from_secs(24 * 60 * 60),
            command_timeout: Duration::from_secs(2),
            read_wait: Duration::from_millis(500),
            read_records: 512,
            read_bytes: 256 * 1024,
            clock_interval: Duration::from_secs(10),
            records: RecordKeys::default(),
            max_backoff: Duration::from_secs(1),
            sentinel_interval: Duration::from_secs(1),
            promotion_wait: Duration::from_millis(1500),
        }
    }

    /// How many records there may be before appending itself trims, and nobody
    /// remembers what: all instances have failed to.
    pub(crate) fn max_untrimmed(&self) -> u64 {
        self.max_records.saturating_mul(2)
    }

    /// How long an answer is waited for: less than a command may take, so that
    /// it can be given again when the connection has died without a word.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.command_timeout * 3 / 4
    }
}
