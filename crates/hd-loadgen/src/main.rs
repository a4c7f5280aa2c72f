//! Load for Engine.IO v4 / Socket.IO v5 servers, and the bare server that shows
//! how fast this machine could be.
//!
//! Each scenario connects its clients, does its work in one thread over epoll,
//! and ends in one line of JSON on standard output. What it measures it
//! measures from outside: at its own sockets, and of the server's process in
//! `/proc`.

mod cli;
mod client;
mod emitter;
mod generator;
mod http_connection;
mod limit;
mod mark;
mod polling_client;
mod proc_stat;
mod report;
mod scenario;
mod socket;
mod target;
mod websocket_frame;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write as _;
            // Nowhere is left to tell of a standard error that is closed.
            let _unheard = writeln!(std::io::stderr(), "hd-loadgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}
