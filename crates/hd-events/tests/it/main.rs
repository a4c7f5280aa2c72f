//! Tests of hd-events through its public surface.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes helpers of tests for other code"
)]

mod commands;
mod event_names;
mod payloads;
mod properties;
