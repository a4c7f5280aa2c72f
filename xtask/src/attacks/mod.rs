//! `cargo xtask attacks`: the release build is attacked while good clients connect, receive and leave beside it.
//!
//! Each row is a program that does what a stranger, or a user, may do to cost others something. For each the
//! service is started anew with the settings of production, watched without the attack, with it and after it, and
//! judged by what its good clients notice and by what it costs.

mod back_end;
mod clients;
mod field;
mod ledger;
mod measure;
mod outcome;
mod random;
mod report;
mod row;
mod run;
mod service;
mod swarm;
mod wire;

mod bodies;
mod crowd;
mod doors;
mod emits;
mod floods;
mod half_received;
mod handshakes;
mod logs;
mod office;
mod slow_heads;
mod unread;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use self::{
    outcome::Outcome,
    report::Line,
    row::{ALL, Row},
    run::Times,
};
use crate::{bench, executables::Executables, metadata, process, steps::seconds};

/// What to attack with.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Names of rows in docs/security.md; all when left out.
    #[arg(value_parser = parse_row)]
    rows: Vec<&'static Row>,
    /// For continuous integration: some rows, and shorter ones. Times that are missed do not fail it. Implies --dry.
    #[arg(long)]
    short: bool,
    /// How often a row runs that misses nothing but times, which a busy machine may be the reason for.
    #[arg(long, default_value_t = 2, value_name = "N")]
    tries: u32,
    /// Attack this program, and build none.
    #[arg(long, value_name = "PATH")]
    executable: Option<PathBuf>,
    /// Print the rows and what they do, and run none.
    #[arg(long)]
    list: bool,
    /// Print the table and leave docs/security.md alone.
    #[arg(long)]
    dry: bool,
}

/// The short version, as continuous integration runs it.
pub(crate) fn run_short() -> Result<()> {
    run(&Args {
        short: true,
        tries: 2,
        ..Args::default()
    })
}

/// Runs the rows, prints or writes the table, and fails when a goal was missed.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for row in ALL {
            println!(
                "{:<22} {}\n{:22} must be: {}",
                row.name, row.title, "", row.must
            );
        }
        return Ok(());
    }
    let executable = match &args.executable {
        Some(path) => fs::canonicalize(path).with_context(|| path.display().to_string())?,
        None => Executables::build(&["--release", "--locked", "--package", "help-desk-ws"])?
            .path("help-desk-ws")?
            .to_owned(),
    };
    for program in ["taskset", "prlimit", "renice", "ss"] {
        if !process::succeeds(Command::new(program).arg("--version")) {
            bail!("there is no {program} in PATH (it is in util-linux or iproute2)");
        }
    }
    let machine = bench::machine()?;
    stay_on_own_core()?;
    let rows: Vec<&Row> = match &args.rows[..] {
        [] => ALL
            .iter()
            .copied()
            .filter(|row| !args.short || row.is_short)
            .collect(),
        rows => rows.to_vec(),
    };
    let times = if args.short { &SHORT } else { &NORMAL };
    let made = made(args.executable.is_some())?;
    println!("{machine}; {made}");

    let started = Instant::now();
    let mut done = Vec::new();
    for row in rows {
        let outcome = attack(row, &executable, times, args.tries.max(1));
        done.push((row, outcome.map_err(|error| format!("{error:#}"))));
    }
    let lines: Vec<Line<'_>> = done
        .iter()
        .map(|(row, outcome)| Line {
            row,
            outcome: outcome.as_ref().map_err(String::as_str),
            made: &made,
        })
        .collect();
    println!(
        "\n{}\nin {}",
        report::table(&lines),
        seconds(started.elapsed())
    );
    if !(args.dry || args.short) {
        report::write(&lines, &machine, Path::new(PAGE))?;
    }
    let failed: Vec<&str> = done
        .iter()
        .filter(|(_, outcome)| match outcome {
            // Times are for a quiet machine, and no test.
            Ok(outcome) if args.short && outcome.missed_only_timing() => {
                println!("times that were missed do not fail a short run");
                false
            }
            Ok(outcome) => outcome.missed().next().is_some(),
            Err(_) => true,
        })
        .map(|(row, _)| row.name)
        .collect();
    if !failed.is_empty() {
        bail!("goals were missed: {}", failed.join(", "));
    }
    Ok(())
}

const PAGE: &str = "docs/security.md";
const NORMAL: Times = Times {
    warmup: Duration::from_secs(3),
    baseline: Duration::from_secs(8),
    attack: Duration::from_secs(15),
    after: Duration::from_secs(60),
};
const SHORT: Times = Times {
    warmup: Duration::from_secs(2),
    baseline: Duration::from_secs(3),
    attack: Duration::from_secs(5),
    after: Duration::from_secs(30),
};
/// Where the rig runs; the service has the other core.
const OWN_CORE: &str = "1";

/// Runs a row, and again when nothing but times were missed.
fn attack(row: &Row, executable: &Path, times: &Times, tries: u32) -> Result<Outcome> {
    let folder = metadata::target_directory()?.join("attacks").join(row.name);
    for left in (0..tries).rev() {
        println!("\n{}: {}", row.name, row.title);
        let started = Instant::now();
        let outcome = run::run(row, executable, times, &folder)
            .inspect_err(|error| println!("{}: NOT RUN: {error:#}", row.name))?;
        outcome.print();
        println!(
            "{}: {} ({})",
            row.name,
            outcome.verdict(),
            seconds(started.elapsed())
        );
        if left == 0 || !outcome.missed_only_timing() {
            return Ok(outcome);
        }
    }
    bail!("a row runs at least once")
}

/// The service has a core of its own where there are two: it is not the attacker's work that is measured.
fn stay_on_own_core() -> Result<()> {
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("one core is too few: the service and the attackers need one each");
    }
    let mut taskset = Command::new("taskset");
    taskset.args([
        "--cpu-list",
        "--pid",
        OWN_CORE,
        &std::process::id().to_string(),
    ]);
    process::output(&mut taskset).map(drop)
}

/// When a row was run, and with which version of the service.
fn made(is_given: bool) -> Result<String> {
    let date = process::output(Command::new("date").args(["-u", "+%F"]))?;
    if is_given {
        return Ok(format!("{}, --executable", date.trim()));
    }
    let version = process::output(Command::new("git").args([
        "log",
        "-1",
        "--format=%h",
        "--",
        "crates",
        "Cargo.lock",
    ]))?;
    Ok(format!("{}, {}", date.trim(), version.trim()))
}

fn parse_row(text: &str) -> Result<&'static Row> {
    let row = ALL.iter().copied().find(|row| row.name == text);
    row.with_context(|| {
        let names: Vec<&str> = ALL.iter().map(|row| row.name).collect();
        format!("there is no row {text}; there are {}", names.join(", "))
    })
}
