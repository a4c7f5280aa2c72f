//! `cargo xtask bench counts`: how many instructions single operations take.
//!
//! Callgrind counts them. An operation runs twice, with few turns and with many: the difference is what the turns
//! in between took, without the start of the program and the making of what is worked on.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    metadata,
    process::{self, cargo},
};

/// What to do with the counts.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Write the counts down as the new baseline, instead of comparing them with it.
    #[arg(long)]
    record: bool,
}

/// What `BASELINE` holds.
#[derive(Debug, Deserialize)]
struct Baseline {
    valgrind: String,
    rustc: String,
    instructions: BTreeMap<String, u64>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let valgrind = process::output(Command::new("valgrind").arg("--version"))
        .context("valgrind is missing: install Debian's package of that name")?;
    let rustc = process::output(Command::new("rustc").arg("--version"))?;
    let (valgrind, rustc) = (valgrind.trim(), rustc.trim());
    process::run(cargo().args(["build", "--release", "--locked", "--package", "hd-bench"]))?;
    let program = metadata::target_directory()?.join("release/hd-bench");
    let mut counts = BTreeMap::new();
    for operation in process::output(Command::new(&program).arg("list"))?.lines() {
        counts.insert(operation.to_owned(), instructions_of(&program, operation)?);
    }
    if args.record {
        return fs::write(BASELINE, baseline(valgrind, rustc, &counts)?)
            .with_context(|| format!("cannot write {BASELINE}"));
    }
    let text = fs::read_to_string(BASELINE).with_context(|| format!("cannot read {BASELINE}"))?;
    let recorded: Baseline =
        toml::from_str(&text).with_context(|| format!("{BASELINE} is not as it is written"))?;
    let offences = compare(&recorded.instructions, &counts);
    if offences.is_empty() {
        return Ok(());
    }
    bail!(
        "{}\nIf that is meant, record it: cargo xtask bench counts --record\n(recorded with {} and {}, counted with \
         {valgrind} and {rustc})",
        offences.join("\n"),
        recorded.valgrind,
        recorded.rustc
    )
}

/// Instructions that one turn takes.
fn instructions_of(program: &Path, operation: &str) -> Result<u64> {
    let few = collected(program, operation, FEW)?;
    let many = collected(program, operation, FEW + TURNS)?;
    Ok(many.saturating_sub(few) / u64::from(TURNS))
}

fn collected(program: &Path, operation: &str, times: u32) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", operation, "--times", &times.to_string()])
        .output()
        .context("cannot start valgrind")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{operation} failed under valgrind:\n{errors}");
    }
    errors
        .lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
        .with_context(|| format!("valgrind did not say what it counted:\n{errors}"))
}

/// Prints each count beside its baseline. Returns what must not be.
fn compare(recorded: &BTreeMap<String, u64>, counts: &BTreeMap<String, u64>) -> Vec<String> {
    let mut offences = Vec::new();
    println!(
        "{:40} {:>12} {:>12}",
        "instructions of", "recorded", "counted"
    );
    for (operation, &count) in counts {
        let Some(&before) = recorded.get(operation) else {
            offences.push(format!("{operation} has no baseline"));
            continue;
        };
        println!("{operation:40} {before:12} {count:12}");
        if count > before + before * TOLERATED_PERCENT / 100 + TOLERATED {
            offences.push(format!("{operation} took {before}, and takes {count}"));
        }
    }
    let gone = recorded.keys().filter(|name| !counts.contains_key(*name));
    offences.extend(gone.map(|name| format!("{name} has a baseline, and is no operation")));
    offences
}

fn baseline(valgrind: &str, rustc: &str, counts: &BTreeMap<String, u64>) -> Result<String> {
    let mut text = format!(
        "# Instructions that one turn of an operation of hd-bench takes.\n\
         # Written by `cargo xtask bench counts --record`, compared by `cargo xtask bench counts`.\n\n\
         valgrind = \"{valgrind}\"\nrustc = \"{rustc}\"\n\n[instructions]\n"
    );
    for (operation, count) in counts {
        writeln!(text, "\"{operation}\" = {count}")?;
    }
    Ok(text)
}

const BASELINE: &str = "docs/performance/instructions.toml";
/// Turns that warm up: the first ones allocate what later ones use again.
const FEW: u32 = 100;
/// Turns that are counted.
const TURNS: u32 = 1000;
/// What a count may be over its baseline: another libc or another path through it takes a few instructions more.
const TOLERATED_PERCENT: u64 = 5;
const TOLERATED: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        let owned = |&(name, count): &(&str, u64)| (name.to_owned(), count);
        counts.iter().map(owned).collect()
    }

    #[test]
    fn more_than_tolerated_a_stranger_and_a_gap_are_offences() {
        let recorded = counts(&[
            ("gone", 1),
            ("same", 1000),
            ("worse", 1000),
            ("better", 1000),
        ]);
        let counted = counts(&[("new", 1), ("same", 1060), ("worse", 1061), ("better", 1)]);
        assert_eq!(
            compare(&recorded, &counted),
            [
                "new has no baseline",
                "worse took 1000, and takes 1061",
                "gone has a baseline, and is no operation"
            ]
        );
    }

    #[test]
    fn what_is_recorded_can_be_read() {
        let counted = counts(&[("codecs/decode-event", 812)]);
        let text = baseline("valgrind-3.19.0", "rustc 1.95.0", &counted).unwrap();
        let read: Baseline = toml::from_str(&text).unwrap();
        assert_eq!(read.instructions, counted);
        assert_eq!(
            (read.valgrind, read.rustc),
            ("valgrind-3.19.0".to_owned(), "rustc 1.95.0".to_owned())
        );
    }
}
