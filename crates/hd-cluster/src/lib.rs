//! A log that several processes share, in Redis 7 or Valkey.
//!
//! One stream is the order and the log. [`SharedLog::append`] adds a record by
//! a script: a record whose id has come before is not added again, whichever
//! process it came to, and the answer has the record's [`Offset`], which is the
//! stream's id. Each process reads the stream from where it stands
//! ([`SharedLog::load`], then [`SharedLog::follow`]) and keeps what it needs
//! itself: who comes back to any of them is sent what it missed without a
//! command to Redis, and a process that was cut off reads on where it stood.
//!
//! Records are bytes; what is in them is the caller's.
//!
//! | module | what |
//! |---|---|
//! | `config` | names of keys, bounds |
//! | `redis_url` | where Redis is: a server, what Sentinels name, or who has our slot in a cluster |
//! | `sentinels` | listening to Sentinels, and for how long a master is one |
//! | `configuration` | who is the master, by what they say; no I/O, no clock |
//! | `connection` | connections, made again when they break |
//! | `shared_log` | the log, and appending what is observed |
//! | `appender` | appending in groups, once for each id |
//! | `reader` | filling up, and following |
//! | `entry` | entries of the stream, and which of them are ours; no I/O, no clock |
//! | `records` | which records count, by their codes; no I/O |
//! | `clock` | the time of Redis, as far as it is known |
//! | `server_identity` | whether Redis is the one that the log was written to; no I/O |
//! | `vouching` | writing down which Redis has the whole log, and beginning another log where none has |
//! | `eviction` | whether Redis may drop what it has |
//! | `presence` | what each process says of its users, besides the log |
//! | `pubsub` | channels, for those who speak by them |
//! | `slots` | which server of a Redis Cluster has a channel |
//! | `roster` | which users it has to write; no I/O, no clock |
//! | `steps` | what follows from the entries of a page; no I/O |
//! | `trim` | the bounds of the log, and whose events are beyond them |
//! | `trimmed` | what is remembered of what was beyond them |
//! | `scripts` | what Redis does in one step |

mod address;
mod appender;
mod clock;
mod config;
mod configuration;
mod connection;
mod entry;
mod error;
mod eviction;
mod presence;
mod pubsub;
mod reader;
mod records;
mod redis_url;
mod roster;
mod scripts;
mod sentinels;
mod server_identity;
mod shared_log;
mod slots;
mod steps;
mod trim;
mod trimmed;
mod vouching;

pub use config::ClusterConfig;
pub use error::{AppendError, OpenError};
pub use presence::{Node, Presence, PresenceConfig, PresenceError, Said, Standing};
pub use pubsub::{Heard, PubSub, Publish, Topic};
pub use reader::{Followed, Loaded, Record};
pub use records::{RECORD_CODE_BYTES, RecordKeys, RecordMac, Rejection, UnsignedRecords};
pub use redis_url::{InvalidUrl, RedisUrl};
pub use roster::{Due, Roster, RosterConfig, Write, Written};
pub use shared_log::{Appended, Observer, SharedLog, Source, Status};

#[doc(no_inline)]
pub use hd_replay::{LogId, Offset, Place, Trimmed};
