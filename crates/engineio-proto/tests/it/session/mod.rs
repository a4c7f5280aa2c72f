//! The server's session machine, by topic.

mod bounds;
mod close;
mod heartbeat;
mod polling;
mod repeated_polls;
mod upgrade;
mod websocket;
