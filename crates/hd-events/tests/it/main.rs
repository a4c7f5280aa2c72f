//! Tests of hd-events through its public surface.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes helpers of tests for other code"
)]

mod batches;
mod commands;
mod event_names;
mod options;
mod payloads;
mod properties;
mod targets;
