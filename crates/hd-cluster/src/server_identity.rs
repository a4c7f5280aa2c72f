//! Which Redis this is, and whether it is the one that the log was written to.
//!
//! A Redis that is started again has what its file had, which may be less than it acknowledged. An
//! instance that has read the log sees whether its end is missing. One that starts without memory
//! cannot: it looks whether the server is still the one that instances wrote down beside the log.

use hd_replay::Offset;
use redis::InfoDict;

/// A run of a Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerIdentity {
    /// Another one after each start.
    run_id: String,
    /// Names the data and its history; replicas have that of their master.
    replid: String,
    /// What it had before the server became a master.
    former_replid: String,
    /// When the server started, by its clock, or a little later.
    started_millis: u64,
}

/// The server that the log was last known to be complete at: what is written beside the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownServer {
    run_id: String,
    replid: String,
    /// When that was written.
    millis: u64,
}

/// Whether a log may have lost its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// The server has had it in memory all the time.
    Unbroken,
    /// The server is a replica that has become the master: it had the log in memory, up to what a
    /// failover may lose.
    Promoted,
    /// It has come from a file.
    Unknown,
}

impl ServerIdentity {
    /// By `INFO`. `None` where the server does not say it.
    pub(crate) fn parse(info: &InfoDict, now_millis: u64) -> Option<Self> {
        let text = |name| info.get::<String>(name).filter(|text| is_word(text));
        let uptime: u64 = info.get("uptime_in_seconds")?;
        Some(Self {
            run_id: text("run_id")?,
            replid: text("master_replid")?,
            former_replid: text("master_replid2").unwrap_or_default(),
            started_millis: now_millis.saturating_sub(uptime.saturating_mul(1000)),
        })
    }

    /// Whether this server has had the log in memory since an instance vouched for it. `end` is
    /// the log's last entry.
    ///
    /// A replica that was promoted and a master that read its file have the former replication id
    /// in common. Only the former was there when the log, or what is written beside it, was last
    /// written to.
    pub(crate) fn continuity(&self, known: &KnownServer, end: Offset) -> Continuity {
        if self.run_id == known.run_id {
            return Continuity::Unbroken;
        }
        let is_same_history = [&self.replid, &self.former_replid].contains(&&known.replid);
        let last_write = end.millis().max(known.millis);
        if is_same_history && self.started_millis < last_write {
            Continuity::Promoted
        } else {
            Continuity::Unknown
        }
    }

    pub(crate) fn known_at(&self, now_millis: u64) -> KnownServer {
        KnownServer {
            run_id: self.run_id.clone(),
            replid: self.replid.clone(),
            millis: now_millis,
        }
    }
}

impl KnownServer {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let known = Self {
            run_id: words.next()?.to_owned(),
            replid: words.next()?.to_owned(),
            millis: words.next()?.parse().ok()?,
        };
        Some(known)
    }

    pub(crate) fn to_text(&self) -> String {
        format!("{} {} {}", self.run_id, self.replid, self.millis)
    }

    /// Whether it is this run of this server, with this history.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.run_id == other.run_id && self.replid == other.replid
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(run_id: &str, replid: &str, former: &str, started_millis: u64) -> ServerIdentity {
        ServerIdentity {
            run_id: run_id.to_owned(),
            replid: replid.to_owned(),
            former_replid: former.to_owned(),
            started_millis,
        }
    }

    #[test]
    fn a_log_is_unbroken_only_where_the_server_had_it_in_memory() {
        use Continuity::{Promoted, Unbroken, Unknown};
        let known = identity("a", "x", "0", 1000).known_at(5000);
        let end = Offset::new(7000, 3);
        for (server, continuity) in [
            // The same, though it was promoted meanwhile.
            (identity("a", "y", "x", 1000), Unbroken),
            // A replica, before and after its promotion.
            (identity("b", "x", "0", 2000), Promoted),
            (identity("b", "y", "x", 2000), Promoted),
            // One that began after the last write: it has read a file, maybe that of a master.
            (identity("b", "y", "x", 7000), Unknown),
            (identity("b", "x", "0", 9000), Unknown),
            // One with another history.
            (identity("b", "y", "z", 2000), Unknown),
        ] {
            assert_eq!(server.continuity(&known, end), continuity, "{server:?}");
        }
        // What is written beside the log is a write as well.
        let replica = identity("b", "y", "x", 4000);
        assert_eq!(replica.continuity(&known, Offset::new(3000, 0)), Promoted);
    }

    #[test]
    fn what_is_written_beside_the_log_is_read() {
        let known = identity("a", "x", "0", 1000).known_at(5000);
        assert_eq!(KnownServer::parse(&known.to_text()), Some(known));
        for text in ["", "a", "a x", "a x y", "a x -1"] {
            assert_eq!(KnownServer::parse(text), None, "{text}");
        }
    }
}
