//! `cargo xtask bench`: the service beside its peers and beside the limit of this machine.
//!
//! Servers take turns: in each repetition every scenario runs against every server, the server pinned to the
//! first core and the generator to the second. What is compared are ratios within one repetition, since
//! absolute figures drift with the machine.

mod capacity;
mod chart;
mod cluster;
mod counts;
mod figure;
mod machine;
mod plan;
mod report;
mod run;
mod servers;

use std::{collections::BTreeMap, path::Path, time::Instant};

use anyhow::Result;
use clap::Subcommand;

use self::{figure::Samples, plan::Scenario, servers::Kind};
use crate::steps::seconds;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// A shorter version, of about five minutes: fewer repetitions, clients and events.
    #[arg(long)]
    quick: bool,
    /// How often each scenario runs against each server; 5, or 2 with --quick.
    #[arg(long)]
    repetitions: Option<usize>,
    /// Scenarios to run, by the beginning of their names; all when left out.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Servers to run; all when left out.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Kind>,
    /// Print the result and leave docs/performance alone.
    #[arg(long)]
    dry: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open as many authenticated connections as the machine holds, in as many processes as the limit of open
    /// files asks for, and deliver one broadcast to all.
    Capacity(capacity::Args),
    /// Measure several instances behind one Redis beside Socket.IO (Node.js) with its Redis adapters: what an emit costs
    /// Redis and each instance, and when it is acknowledged.
    Cluster(cluster::Args),
    /// Count the instructions of single operations, and compare them with docs/performance/instructions.toml.
    Counts(counts::Args),
}

/// Compares instruction counts with what was recorded.
pub(crate) fn check_counts() -> Result<()> {
    counts::run(&counts::Args::default())
}

/// The machine that figures are from, on one line.
pub(crate) fn machine() -> Result<String> {
    machine::describe()
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.command {
        Some(Command::Capacity(capacity)) => return capacity::run(capacity),
        Some(Command::Cluster(cluster)) => return cluster::run(cluster),
        Some(Command::Counts(counts)) => return counts::run(counts),
        None => {}
    }
    let started = Instant::now();
    let wanted = |kind: Kind| args.servers.is_empty() || args.servers.contains(&kind);
    let scenarios: Vec<Scenario> = plan::scenarios(args.quick)
        .into_iter()
        .filter(|scenario| {
            args.only.is_empty() || args.only.iter().any(|name| scenario.name.starts_with(name))
        })
        .collect();
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| wanted(*kind)).collect();
    let built = servers::build(&kinds)?;
    machine::check_cores()?;

    let repetitions = args.repetitions.unwrap_or(if args.quick { 2 } else { 5 });
    let mut samples: BTreeMap<(&str, Kind), Samples> = BTreeMap::new();
    for repetition in 0..repetitions {
        for scenario in &scenarios {
            let mut turn: Vec<Kind> = scenario
                .servers
                .iter()
                .copied()
                .filter(|kind| wanted(*kind))
                .collect();
            // Whoever is first finds another machine than whoever is last.
            let shift = repetition % turn.len().max(1);
            turn.rotate_left(shift);
            for kind in turn {
                let measured = run::measure(&built, kind, scenario);
                samples
                    .entry((scenario.name, kind))
                    .or_default()
                    .push(repetition, measured);
            }
        }
        println!(
            "--- repetition {} of {repetitions} done after {}",
            repetition + 1,
            seconds(started.elapsed())
        );
    }
    let results = report::Results {
        scenarios: &scenarios,
        samples: &samples,
        repetitions,
        quick: args.quick,
        machine: machine::describe()?,
        versions: built.versions()?,
    };
    if args.dry {
        print!("{}", report::markdown(&results));
        return Ok(());
    }
    report::write(&results, Path::new("docs/performance"))
}
