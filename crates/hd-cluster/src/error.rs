use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a record is not in the log, as far as is known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Redis cannot be reached, or did not answer in time. The record may be in
    /// the log all the same: try again under the same id.
    #[error("Redis does not answer{}", because(.0))]
    Unavailable(#[source] Option<RedisError>),
    /// Redis refuses the record, for instance because its memory is full.
    #[error("Redis refuses: {0}")]
    Refused(#[source] RedisError),
}

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Redis cannot be reached.
    #[error("Redis does not answer{}", because(.0))]
    Unavailable(#[source] Option<RedisError>),
    /// What is there is not a log of ours.
    #[error("Redis has something else in the log's place: {0}")]
    NotALog(#[source] RedisError),
}

fn because(error: &Option<RedisError>) -> String {
    error
        .as_ref()
        .map_or_else(String::new, |error| format!(": {error}"))
}

/// Whether the server has no shards, or knows nothing of such commands.
pub(crate) fn is_without_shard(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
        || error.to_string().contains("unknown command")
}

/// Whether its memory is full.
pub(crate) fn is_full(error: &RedisError) -> bool {
    error.code() == Some("OOM")
}

/// Whether the server, though it is the one to write to, refuses for a time: its memory or its
/// disk is full, too few replicas are there, or another script is running.
pub(crate) fn is_of_a_time(error: &RedisError) -> bool {
    is_full(error) || matches!(error.code(), Some("NOREPLICAS" | "MISCONF" | "BUSY"))
}

/// Whether another connection may do what this one could not: it broke, or its
/// server is no longer, or not yet, the one to write to.
pub(crate) fn is_of_connection(error: &RedisError) -> bool {
    if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
        return true;
    }
    // What waits for records is told so when its server becomes a replica.
    if error.code() == Some("UNBLOCKED") {
        return true;
    }
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
        )
    )
}
