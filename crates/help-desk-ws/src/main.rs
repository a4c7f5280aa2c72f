//! Help-desk WebSocket service: real-time notifications for browsers.

use std::process::ExitCode;

mod cli;
mod serve;
#[expect(dead_code, reason = "the fields wait for the server")]
mod settings;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the events wait for the server")
)]
mod telemetry;

fn main() -> ExitCode {
    match cli::parse().and_then(cli::run) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
