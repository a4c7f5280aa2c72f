//! `cargo xtask faults`: what breaks is broken, and what clients notice is counted.
//!
//! A rig of Redis, three nodes, HAProxy and unmodified socket.io clients, all on the loopback interface, is put up
//! for each run; a fault is injected under load; and the checker in `xtask/faults` counts what was lost, came
//! twice or in another order, among the messages that were acknowledged.

mod bursts;
mod clock;
pub(crate) mod daemon;
mod dimensions;
mod expiry;
mod failover;
mod haproxy;
mod inject;
mod load;
mod mixed;
mod network;
mod nodes;
mod outcome;
mod partition;
mod persistence;
mod polling;
mod poor_network;
mod redis;
mod report;
mod rig;
mod row;
mod second_opinion;
mod sentinel;
mod skew;
mod soak;
mod storm;
mod version;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use self::{
    inject::Builds,
    load::{HISTORY, Plan},
    outcome::Outcome,
    report::Line,
    rig::{Rig, Setup},
    row::Row,
    version::Version,
};
use crate::{bench, executables::Executables, metadata, node_modules, process, steps::seconds};

/// What to break.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Names or numbers of rows in docs/reliability.md; all when left out but 5, 9, 11, 33, 34, 35 and 41.
    #[arg(value_parser = parse_row)]
    rows: Vec<Row>,
    /// For continuous integration: the debug build, rows 1, 2, 3, 6, 12, 36, 37, 40, 42 and 49 once. Implies --dry.
    #[arg(long)]
    short: bool,
    /// With 6,000 clients, and with pauses of 30 s.
    #[arg(long, conflicts_with = "short")]
    full: bool,
    /// A help-desk-ws to break, instead of what this work tree builds. Implies --dry.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// How often each row runs; 5, or 1 with --short.
    #[arg(long, value_name = "N")]
    runs: Option<u32>,
    /// Seed of the first run; each run has the next one.
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Clients; 600, or 6,000 with --full.
    #[arg(long, value_name = "N")]
    clients: Option<usize>,
    /// Emits a second; 100, or 500 with --full.
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// One node without Redis, for the rows that it can stand. Implies --dry.
    #[arg(long, conflicts_with = "short")]
    alone: bool,
    /// The commit whose nodes run beside those of this one in row 33.
    #[arg(long, value_name = "REF", default_value = FIRST_COMMIT)]
    other: String,
    /// In a network namespace that was made for this.
    #[arg(long, hide = true)]
    own_network: bool,
    /// Print the table and leave docs/reliability.md alone.
    #[arg(long)]
    dry: bool,
}

/// The short version, as continuous integration runs it.
pub(crate) fn run_short() -> Result<()> {
    run(&Args {
        short: true,
        seed: 1,
        other: FIRST_COMMIT.to_owned(),
        ..Args::default()
    })
}

/// Runs the rows, prints or writes the table, and fails when something was broken that must not be.
pub(crate) fn run(args: &Args) -> Result<()> {
    let version = args.version();
    rig::check_programs()?;
    check_the_checker()?;
    let profile: &[&str] = match version {
        // Continuous integration has built it already.
        Version::Short => &["--workspace", "--bins", "--examples"],
        Version::Normal | Version::Full => &["--release", "--locked", "--package", "help-desk-ws"],
    };
    let rows = args.rows()?;
    let service = match &args.binary {
        Some(binary) => fs::canonicalize(binary)
            .with_context(|| format!("no binary at {}", binary.display()))?,
        None => Executables::build(profile)?
            .path("help-desk-ws")?
            .to_owned(),
    };
    let mut builds = Builds {
        service,
        ..Builds::default()
    };
    if rows.contains(&Row::Storm) {
        let executables =
            Executables::build(&["--release", "--locked", "--package", "hd-loadgen"])?;
        builds.loadgen = Some(executables.path("hd-loadgen")?.to_owned());
    }
    if rows.contains(&Row::VersionSkew) {
        builds.other = Some(skew::build(&args.other)?);
    }
    // All is built: that may want the network that there is.
    if args.own_network {
        network::begin()?;
    } else if rows.iter().any(|row| row.wants_own_network()) {
        network::enter("--own-network")?;
    }
    let made = args.made()?;
    let machine = machine()?;
    println!("{machine}; {made}");

    let mut done = Vec::new();
    let mut is_mutated = false;
    for row in rows {
        let mut outcomes = Vec::new();
        let mut failures = Vec::new();
        for run in 0..args.runs.unwrap_or_else(|| version.runs()) {
            let seed = args.seed + run;
            match one_run(row, seed, args, &builds) {
                Ok(outcome) => {
                    if outcome.broken.is_empty() && !is_mutated {
                        is_mutated = true;
                        let history = folder_of(row, seed)?.join(HISTORY);
                        if let Err(error) = second_opinion::mutate(&history) {
                            println!("{error:#}");
                            failures.push(format!("seed {seed}: {error:#}"));
                        }
                    }
                    outcomes.push(outcome);
                }
                Err(error) => {
                    println!(
                        "row {} {} seed {seed}: NOT RUN: {error:#}",
                        row.number(),
                        row.name()
                    );
                    failures.push(format!("seed {seed}: {error:#}"));
                }
            }
        }
        done.push((row, outcomes, failures));
    }
    let lines: Vec<Line<'_>> = done
        .iter()
        .map(|(row, outcomes, failures)| Line {
            row: *row,
            outcomes,
            failures,
            made: &made,
        })
        .collect();
    println!("\n{}", report::table(&lines));
    if !(args.dry || args.short || args.alone || args.binary.is_some()) {
        report::write(&lines, &machine, Path::new(PAGE))?;
    }
    let broken: Vec<String> = done
        .iter()
        .filter(|(_, outcomes, failures)| {
            !failures.is_empty() || outcomes.iter().any(|outcome| !outcome.broken.is_empty())
        })
        .map(|(row, ..)| format!("{} ({})", row.number(), row.name()))
        .collect();
    if !broken.is_empty() {
        bail!(
            "failed: row {}; logs and reports are in {}",
            broken.join(", row "),
            logs()?.display()
        );
    }
    Ok(())
}

/// The first one whose nodes shared a log in Redis as it is released.
const FIRST_COMMIT: &str = "cd87271";
const PAGE: &str = "docs/reliability.md";

/// What the checker is there to find is found, before it is believed.
fn check_the_checker() -> Result<()> {
    node_modules::install(Path::new(load::PROJECT))?;
    let mut tests = Command::new("node");
    tests.args(["--test", "--test-reporter=dot"]);
    process::run(tests.current_dir(load::PROJECT))?;
    second_opinion::check()
}

fn one_run(row: Row, seed: u32, args: &Args, builds: &Builds) -> Result<Outcome> {
    let started = Instant::now();
    let version = args.version();
    let folder = folder_of(row, seed)?;
    let mut rig = Rig::start(Setup {
        row,
        executable: &builds.service,
        other: builds.other.as_deref().filter(|_| row == Row::VersionSkew),
        folder: folder.clone(),
        alone: args.alone,
        plan: Plan {
            clients: args
                .clients
                .unwrap_or_else(|| version.clients())
                .min(row.dimensions().max_clients),
            rate: args.rate.unwrap_or_else(|| version.rate()),
            seed,
            token_life: (row == Row::TokenExpiry).then_some(row::TOKEN_LIFE),
            node_adapter: (row == Row::Mixed).then(|| mixed::adapter(seed)),
            dimensions: row.dimensions(),
        },
    })?;
    let mut findings = inject::inject(row, version, seed, builds, &mut rig)?;
    let (report, json) = rig.load.report()?;
    drop(rig);
    fs::write(folder.join("report.json"), json.to_string())?;
    findings
        .broken
        .extend(second_opinion::compare(&folder.join(HISTORY), &json)?);
    let outcome = Outcome::judge(row, seed, report, findings);
    println!(
        "row {} {} seed {seed}: {} ({})\n  {}\n  {json}",
        row.number(),
        row.name(),
        outcome.verdict(),
        seconds(started.elapsed()),
        outcome.notes.join("; ")
    );
    Ok(outcome)
}

/// Where one run leaves its logs, its history and its report.
fn folder_of(row: Row, seed: u32) -> Result<PathBuf> {
    Ok(logs()?.join(format!("row-{}-seed-{seed}", row.number())))
}

/// Where each run leaves its logs and its report.
fn logs() -> Result<PathBuf> {
    Ok(metadata::target_directory()?.join("faults"))
}

impl Args {
    fn version(&self) -> Version {
        match (self.short, self.full) {
            (true, _) => Version::Short,
            (false, true) => Version::Full,
            (false, false) => Version::Normal,
        }
    }

    fn rows(&self) -> Result<Vec<Row>> {
        let rows = if !self.rows.is_empty() {
            self.rows.clone()
        } else if self.short {
            Row::SHORT.to_vec()
        } else {
            let all = Row::ALL.into_iter();
            all.filter(|row| !row.is_on_request() && (!self.alone || row.fits_one_node()))
                .collect()
        };
        if let Some(row) = rows.iter().find(|row| self.alone && !row.fits_one_node()) {
            bail!("row {} needs several nodes", row.name());
        }
        Ok(rows)
    }

    /// What a row was run with.
    fn made(&self) -> Result<String> {
        let version = self.version();
        Ok(format!(
            "{} clients, {} emits a second, {}, {}",
            self.clients.unwrap_or_else(|| version.clients()),
            self.rate.unwrap_or_else(|| version.rate()),
            word("date", &["-u", "+%F"], 0)?,
            // The last change to the service, not to the rig.
            word(
                "git",
                &["log", "-1", "--format=%h", "--", "crates", "Cargo.lock"],
                0
            )?,
        ))
    }
}

/// The machine, and what the rig is made of.
fn machine() -> Result<String> {
    Ok(format!(
        "{}; Redis {}, HAProxy {}, Node.js {}",
        bench::machine()?,
        word("redis-server", &["--version"], 2)?.trim_start_matches("v="),
        word("haproxy", &["-v"], 2)?,
        word("node", &["--version"], 0)?.trim_start_matches('v'),
    ))
}

/// One word of what a program prints.
fn word(program: &str, arguments: &[&str], index: usize) -> Result<String> {
    let output = process::output(Command::new(program).args(arguments))?;
    let word = output.split_whitespace().nth(index);
    Ok(word.unwrap_or("unknown").to_owned())
}

fn parse_row(text: &str) -> Result<Row> {
    Row::parse(text).with_context(|| {
        let names = Row::ALL.map(|row| format!("{} ({})", row.name(), row.number()));
        format!("there is no row {text}; there are {}", names.join(", "))
    })
}
