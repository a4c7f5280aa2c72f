//! What single operations of the protocol crates cost.
//!
//! An [`Operation`] is prepared once and then run turn by turn, by criterion
//! (`benches/operations.rs`, for time) or by this crate's program under
//! callgrind (`cargo xtask bench counts`, for instructions).
//!
//! | module | operations |
//! |---|---|
//! | `codecs` | packets and payloads, decoded and encoded |
//! | `rooms` | coming, going, finding an audience, one event for a thousand queues |
//! | `sessions` | the machines of a connection: opening, heartbeat, messages, polls |
//! | `replay` | the log of what was sent: appending, what was missed, ids |
//! | `requests` | an emit's body, a handshake's query and token |

mod codecs;
mod operation;
mod replay;
mod requests;
mod rooms;
mod sessions;

pub use operation::Operation;
