//! Runs an operation a number of times, so that a profiler can look at it.

use std::io::Write as _;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hd_bench::Operation;

/// Runs single operations of the protocol crates, for profilers
#[derive(Debug, Parser)]
#[command(name = "hd-bench", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the operations' names
    List,
    /// Run one operation
    Run {
        /// Its name
        operation: String,
        /// How often
        #[arg(long, default_value_t = 1000)]
        times: u32,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::List => {
            let mut out = std::io::stdout().lock();
            for operation in Operation::all() {
                writeln!(out, "{}", operation.name())?;
            }
        }
        Command::Run { operation, times } => {
            let operation = Operation::find(&operation)
                .with_context(|| format!("there is no operation {operation}; see hd-bench list"))?;
            let mut turn = operation.prepare();
            for _ in 0..times {
                turn();
            }
        }
    }
    Ok(())
}
