//! Tests of socketio-proto through its public surface.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "clippy takes helpers of tests for other code"
)]

mod acks;
mod arbitrary_input;
mod attachments;
mod costs;
mod encoding;
mod msgpack_packets;
mod msgpack_round_trip;
mod names;
mod namespaces;
mod parser;
mod replies;
mod revision_4;
mod round_trip;
mod support;
mod timeouts;
