//! Developer commands: `cargo xtask --help` lists them.
//!
//! One module per command. Every command runs at the repository's root, wherever it was called from.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks on its standard streams"
)]

mod attacks;
mod autobahn;
mod bench;
mod ci;
mod conformance;
mod deps;
mod dev;
mod executables;
mod faults;
mod fuzz;
mod image;
mod links;
mod metadata;
mod node_modules;
mod ports;
mod process;
mod server;
mod steps;
mod test;
mod tidy;

use std::{env, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::steps::Steps;

/// Developer commands of help-desk-ws.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every test: `cargo test --workspace`, then the conformance suites.
    ///
    /// Needs Node.js 20 with npm, Python 3.11 with venv, redis-server 7, nginx and Chromium; without one of the last
    /// three what needs it is left out. What the tests need of npm and PyPI is installed into the work tree on the first
    /// run, and again when a lock file changes.
    Test,
    /// Run what continuous integration runs, stopping at the first failure.
    ///
    /// The steps: formatting, tidy, clippy with warnings as errors, documentation with warnings as errors,
    /// dependencies, instruction counts (they need valgrind), everything that `cargo xtask test` runs,
    /// `cargo xtask faults --short` (which needs redis-server and HAProxy), and `cargo xtask attacks --short`.
    /// Each is printed with its duration.
    Ci,
    /// Run real socket.io clients against the built servers.
    ///
    /// Builds the binary and the examples of hd-ws-server, starts them on free ports of this machine, runs the
    /// Node.js and Python suites against them and stops them. The servers' logs are in `target/conformance`.
    #[command(after_help = "Examples:\n  \
        cargo xtask conformance\n  \
        cargo xtask conformance hd-ws-server\n  \
        cargo xtask conformance hd-ws-server -- raw transcripts")]
    Conformance(conformance::Args),
    /// Run the Autobahn test suite against the WebSocket side of hd-ws-server.
    ///
    /// All 517 cases against the example `websocket_echo`, compared with the expected results. Needs CPython 2.7,
    /// which the suite is written in: `PYTHON2` may name it. The reports are in `target/autobahn/reports`.
    Autobahn(autobahn::Args),
    /// Fuzz the parsers and the state machines.
    ///
    /// Needs a nightly toolchain and cargo-fuzz. Each target of `crates/*/fuzz` runs for `--seconds`; an input that
    /// fails is kept in `target/fuzz/artifacts`.
    #[command(after_help = "Examples:\n  \
        cargo xtask fuzz\n  \
        cargo xtask fuzz engineio-proto decoder --seconds 600")]
    Fuzz(fuzz::Args),
    /// Measure the service beside its peers and beside the limit of this machine.
    ///
    /// Builds everything in release mode, gives the server one core and the load generator another, lets the
    /// servers take turns, and writes tables and charts into `docs/performance`.
    #[command(after_help = "Examples:\n  \
        cargo xtask bench --quick\n  \
        cargo xtask bench --only fanout,unicast --servers limit,help-desk-ws --dry\n  \
        cargo xtask bench capacity --connections 200000\n  \
        cargo xtask bench cluster --binary before=old/help-desk-ws --binary now=target/release/help-desk-ws\n  \
        cargo xtask bench counts")]
    Bench(bench::Args),
    /// Break nodes, Redis, and the network under load, and count what clients notice.
    ///
    /// Needs redis-server, HAProxy, Node.js and Python 3.11. Starts three nodes behind HAProxy and a Redis, on free ports of
    /// this machine, with hundreds of socket.io clients; fails when an acknowledged message is lost, comes twice or
    /// in another order. What each row does is in docs/reliability.md, whose table is written.
    #[command(after_help = "Examples:\n  \
        cargo xtask faults --short\n  \
        cargo xtask faults kill rolling-update --runs 2 --dry\n  \
        cargo xtask faults --full")]
    Faults(faults::Args),
    /// Attack the release build, and measure what good clients notice.
    ///
    /// Each row is a program that does what strangers or users may do to cost others something, while 200 clients
    /// connect, receive and leave beside it; fails when an event is lost, clients wait, or memory grows. What each
    /// row does, and what must be, is in docs/security.md, whose table is written.
    #[command(after_help = "Examples:\n  \
        cargo xtask attacks --list\n  \
        cargo xtask attacks 1 6c --dry\n  \
        cargo xtask attacks --short")]
    Attacks(attacks::Args),
    /// Check licences, banned crates and sources of every dependency against deny.toml.
    ///
    /// Uses cargo-deny when it is installed, which also knows security advisories and yanked releases.
    /// Otherwise checks the rest by itself, in a second, and says what it left out.
    Deps,
    /// Check the rules of this repository that no compiler knows.
    ///
    /// Which crate may depend on what, what a lib.rs holds, that no file names a path of one machine, that the
    /// commands which the documentation shows exist, and that its links lead to files and headings that are
    /// there. Warns of files over 600 lines.
    Tidy,
    /// Rebuild and restart the service whenever a source file changes.
    ///
    /// A build that fails leaves the running service alone. Ctrl-C stops both. The service reads its settings
    /// from the environment and from `.env`, as always.
    #[command(after_help = "Examples:\n  \
        cargo xtask dev\n  \
        PORT=4000 cargo xtask dev\n  \
        cargo xtask dev -- serve --help")]
    Dev(dev::Args),
    /// Build the container image and print its size.
    ///
    /// Uses the first of docker, podman and buildah that works here.
    Image(image::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let root = root();
    env::set_current_dir(&root).with_context(|| format!("cannot enter {}", root.display()))?;
    match command {
        Command::Test => {
            let mut steps = Steps::default();
            test::run(&mut steps)?;
            steps.print_summary();
            Ok(())
        }
        Command::Ci => ci::run(),
        Command::Conformance(args) => conformance::run(&args),
        Command::Autobahn(args) => autobahn::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Attacks(args) => attacks::run(&args),
        Command::Deps => deps::run(),
        Command::Tidy => tidy::run(),
        Command::Dev(args) => dev::run(&args),
        Command::Image(args) => image::run(&args),
    }
}

/// The repository's root: the parent of this package. Cargo names the package at run time; a binary that is
/// started without cargo falls back to where it was built.
fn root() -> PathBuf {
    let built_in = env!("CARGO_MANIFEST_DIR");
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| built_in.into());
    PathBuf::from(package).join("..")
}
