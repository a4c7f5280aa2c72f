//! Tests of the built program: what it makes of its command line and its settings, and what it says.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "clippy takes helpers of tests for other code"
)]

mod closed;
mod env_example;
mod guides;
mod http_commands;
mod limits;
mod listen;
mod logs;
mod program;
mod redaction;
mod serve;
mod server;
mod settings;
mod token;
