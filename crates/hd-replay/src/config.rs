use std::time::Duration;

/// Bounds of a [`Log`](crate::Log).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Most events kept for a room. 256: what a person who was away for a day
    /// may have been sent, several times over.
    pub max_events: usize,
    /// Most bytes kept for a room, counting events as they were given. 256 KiB.
    pub max_bytes: usize,
    /// Most bytes kept in all. 128 MiB, an eighth of the memory of a small
    /// container. When it is full the oldest events go, whosever they are.
    pub max_total_bytes: usize,
    /// Most bytes of one portion of a replay. 512 KiB: it goes into the queue of
    /// a client, which has to have room for what comes after it.
    pub max_replay_bytes: usize,
    /// Most rooms of which the latest removed event is remembered. 65,536, some
    /// 3 MB.
    pub max_trimmed_rooms: usize,
    /// How long an event is kept. 24 hours.
    pub ttl: Duration,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            max_events: 256,
            max_bytes: 256 * 1024,
            max_total_bytes: 128 * 1024 * 1024,
            max_replay_bytes: 512 * 1024,
            max_trimmed_rooms: 65_536,
            ttl: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl LogConfig {
    pub(crate) fn ttl_millis(&self) -> u64 {
        millis(self.ttl)
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
