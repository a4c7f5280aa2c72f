//! Help-desk WebSocket service: real-time notifications for browsers.

use std::process::ExitCode;

mod admin_api;
mod cli;
mod cluster;
mod drain;
mod expiry;
mod gateway;
mod http_api;
mod loopback;
mod node_peers;
mod open_files;
mod presence;
mod serve;
mod settings;
mod telemetry;

fn main() -> ExitCode {
    match cli::parse().and_then(cli::run) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
