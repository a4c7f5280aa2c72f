//! Replay of events that a client missed while it was away.
//!
//! - [`Broker`] makes every decision about the events of a namespace: offsets,
//!   duplicates, who is due an event, and where a client resumes. [`FanoutQueue`]
//!   and [`FanoutPass`] keep the order of events for many sockets.
//! - [`Log`] keeps the latest events of each room, bounded in count, bytes and
//!   age, under [`Offset`]s of one order: what a client of several rooms missed
//!   comes back in the order in which it was sent.
//! - [`Trimmed`] remembers of each room what the log no longer has.
//! - [`Cursor`] is where a client stands: whose it is, in which log, and from
//!   where on. It travels sealed, as the `pid` of Socket.IO's connection state
//!   recovery, so that nothing is kept for a client that is away.
//! - [`Chain`] tells whether a copy of a log that somebody else keeps is
//!   complete.
//! - [`Seen`] remembers ids of events for a while, so that one that comes again
//!   is taken once.
//!
//! Nothing here has a clock, a lock or a socket. Time is an argument, in
//! milliseconds since 1970: offsets hold it, and outlive a process.
//!
//! ```
//! use hd_replay::{Gap, Log, LogConfig, NewEntry};
//! use hd_rooms::RoomName;
//!
//! let noon = 1_800_000_000_000;
//! let ana = [RoomName::new("user_42")?];
//! let mut log = Log::new(LogConfig::default(), noon);
//! let before = log.last_offset();
//! for event in ["first", "second"] {
//!     let offset = log.next_offset(noon + 5);
//!     log.append(offset, NewEntry::to(&ana, event.len(), event), noon + 5);
//! }
//!
//! let missed = log.missed(&ana, before, noon + 60_000)?;
//! let missed: Vec<&str> = missed.into_iter().map(|(_, event)| *event).collect();
//! assert_eq!(missed, ["first", "second"]);
//!
//! let a_day = 24 * 60 * 60 * 1000;
//! assert_eq!(log.missed(&ana, before, noon + 2 * a_day), Err(Gap::TooOld));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod broker;
mod chain;
mod config;
mod cursor;
mod fanout;
mod log;
mod offset;
mod order;
mod resume;
mod room_log;
mod rules;
mod seen;
mod trimmed;

pub use broker::{Ahead, Arrival, Broker, BrokerConfig, FollowOutcome, PublishOutcome};
pub use chain::{Acknowledged, Chain, ChainStep, Link, Place};
pub use config::LogConfig;
pub use cursor::{Cursor, CursorError, LogId, MAC_BYTES};
pub use fanout::{DUE_NONE, Due, FanoutPass, FanoutQueue, Later, Queued, Start};
pub use log::{Gap, Log, NewEntry, Portion};
pub use offset::{InvalidOffset, Offset};
pub use resume::{
    Events, Reconnect, ResumeOutcome, ResumeRefusal, ResumeRequest, Resumed, Standing,
};
#[doc(hidden)]
pub use rules::Rule;
pub use seen::{Seen, SeenConfig};
pub use trimmed::{EVERYONE_KEY, Trimmed, room_key, room_set_key};
