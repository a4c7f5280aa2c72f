//! Tests of socketio-adapter-proto through its public surface.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "clippy takes helpers of tests for other code"
)]

mod arbitrary_input;
mod bounds;
mod broadcasts;
mod channels;
mod requests;
mod responses;
mod round_trip;
mod support;
mod values;
