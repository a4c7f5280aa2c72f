//! `cargo xtask fuzz`: the fuzz targets of every crate, each for a while.
//!
//! A crate's targets are in its folder `fuzz`, beside seeds that are committed. What a run finds besides is kept in
//! `target/fuzz/corpus`. Two targets run at a time, on as many processors.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    metadata,
    process::{output, run as run_command, succeeds},
};

/// What to run, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Targets, or crates, to run; all when left out.
    names: Vec<String>,
    /// How long to run each target.
    #[arg(long, default_value_t = CI_SECONDS)]
    seconds: u64,
    /// The longest input, in bytes.
    #[arg(long, default_value_t = 4096)]
    max_len: usize,
    /// Targets that run at the same time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// One program that is fuzzed.
#[derive(Debug, Clone)]
struct Target {
    name: String,
    /// The folder `fuzz` of its crate.
    folder: PathBuf,
    crate_name: String,
}

/// What a run of a target gave.
#[derive(Debug)]
struct Outcome {
    target: Target,
    executions: u64,
    seeds: u64,
    has_failed: bool,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    bin: Vec<Bin>,
}

#[derive(Debug, Deserialize)]
struct Bin {
    name: String,
}

const CI_SECONDS: u64 = 20;
/// A fuzzer reports an input on which a target takes longer, in seconds.
const INPUT_TIMEOUT: &str = "10";
const RSS_LIMIT_MIB: &str = "1024";

/// Builds and runs the targets, and fails when one found an input that fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !is_possible() {
        bail!("fuzzing needs a nightly toolchain of Rust and cargo-fuzz: cargo install cargo-fuzz");
    }
    let is_meant = |target: &Target| {
        args.names.is_empty()
            || args.names.contains(&target.name)
            || args.names.contains(&target.crate_name)
    };
    let targets: Vec<Target> = all_targets()?.into_iter().filter(is_meant).collect();
    if targets.is_empty() {
        bail!("there is no such fuzz target");
    }
    let directory = metadata::target_directory()?.join("fuzz");
    for folder in folders(&targets) {
        // No sanitizer: the crates forbid unsafe code, and run several times faster without one.
        run_command(
            nightly()
                .args(["fuzz", "build", "--sanitizer", "none"])
                .env("CARGO_TARGET_DIR", &directory)
                .current_dir(folder.parent().context("the folder of a crate")?),
        )?;
    }
    let programs = directory.join(host()?).join("release");
    let queue = Mutex::new(targets);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(target) = next else { break };
                    let outcome = fuzz(target, &programs, &directory, args);
                    outcomes
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(outcome);
                }
            });
        }
    });
    let outcomes: Vec<Outcome> = outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_iter()
        .collect::<Result<_>>()?;
    report(outcomes)
}

/// As [`run`], in CI: says so where no fuzzer can be built.
pub(crate) fn run_if_possible() -> Result<()> {
    if !is_possible() {
        println!("NOT RUN, since there is no nightly Rust with cargo-fuzz: the fuzz targets");
        return Ok(());
    }
    run(&Args {
        names: Vec::new(),
        seconds: CI_SECONDS,
        max_len: 4096,
        jobs: 2,
    })
}

fn is_possible() -> bool {
    succeeds(nightly().args(["fuzz", "--version"]))
}

/// The nightly cargo, whatever toolchain runs this program.
fn nightly() -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .arg("+nightly")
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN");
    cargo
}

fn host() -> Result<String> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(ToOwned::to_owned).context("rustc names its host")
}

fn all_targets() -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir("crates")? {
        let entry = entry?;
        let folder = entry.path().join("fuzz");
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else {
            continue;
        };
        let manifest: Manifest = toml::from_str(&manifest)?;
        for bin in manifest.bin {
            targets.push(Target {
                name: bin.name,
                folder: folder.clone(),
                crate_name: entry.file_name().to_string_lossy().into_owned(),
            });
        }
    }
    // The last is taken first.
    targets.sort_by(|a, b| (&b.crate_name, &b.name).cmp(&(&a.crate_name, &a.name)));
    Ok(targets)
}

fn folders(targets: &[Target]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = targets.iter().map(|target| target.folder.clone()).collect();
    folders.sort();
    folders.dedup();
    folders
}

fn fuzz(target: Target, programs: &Path, directory: &Path, args: &Args) -> Result<Outcome> {
    let root = env::current_dir()?;
    let corpus = directory.join("corpus").join(&target.name);
    let artifacts = directory.join("artifacts").join(&target.name);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let seeds = root.join(&target.folder).join("seeds").join(&target.name);
    let log = directory.join(format!("{}.log", target.name));
    let file = fs::File::create(&log)?;
    let status = Command::new(programs.join(&target.name))
        .arg(&corpus)
        .args(seeds.is_dir().then_some(&seeds))
        .arg(format!("-max_total_time={}", args.seconds))
        .arg(format!("-max_len={}", args.max_len))
        .arg(format!("-timeout={INPUT_TIMEOUT}"))
        .arg(format!("-rss_limit_mb={RSS_LIMIT_MIB}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start the fuzz target {}", target.name))?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let stat = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|number| number.trim().parse().ok())
            .unwrap_or(0)
    };
    let outcome = Outcome {
        executions: stat("stat::number_of_executed_units:"),
        seeds: if seeds.is_dir() {
            fs::read_dir(&seeds)?.count() as u64
        } else {
            0
        },
        has_failed: !status.success(),
        target,
    };
    if outcome.has_failed {
        let tail: Vec<&str> = text.lines().rev().take(30).collect();
        for line in tail.iter().rev() {
            println!("{line}");
        }
    }
    Ok(outcome)
}

fn report(mut outcomes: Vec<Outcome>) -> Result<()> {
    outcomes.sort_by(|a, b| {
        (&a.target.crate_name, &a.target.name).cmp(&(&b.target.crate_name, &b.target.name))
    });
    println!(
        "\n{:<24} {:<16} {:>6} {:>14}",
        "crate", "target", "seeds", "executions"
    );
    for outcome in &outcomes {
        println!(
            "{:<24} {:<16} {:>6} {:>14}{}",
            outcome.target.crate_name,
            outcome.target.name,
            outcome.seeds,
            outcome.executions,
            if outcome.has_failed { "  FAILED" } else { "" }
        );
    }
    let executions: u64 = outcomes.iter().map(|outcome| outcome.executions).sum();
    println!("{executions} executions of {} targets", outcomes.len());
    if outcomes.iter().any(|outcome| outcome.executions == 0) {
        bail!("a target ran nothing");
    }
    if outcomes.iter().any(|outcome| outcome.has_failed) {
        bail!("a target failed: the input is in target/fuzz/artifacts");
    }
    Ok(())
}
