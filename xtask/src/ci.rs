//! `cargo xtask ci`: the steps of continuous integration, the quick ones first.

use anyhow::Result;

use crate::{
    attacks, autobahn, bench, deps, faults, fuzz,
    process::{cargo, run as run_command},
    steps::Steps,
    test, tidy,
};

/// Runs every step and prints how long each took.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    steps.run("fmt", || {
        run_command(cargo().args(["fmt", "--all", "--check"]))
    })?;
    steps.run("tidy", tidy::run)?;
    steps.run("deps", deps::run)?;
    // `-D warnings` as an argument of clippy: in RUSTFLAGS it would rebuild every dependency.
    steps.run("clippy", || {
        run_command(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    steps.run("doc", || {
        run_command(
            cargo()
                .args(["doc", "--workspace", "--no-deps", "--locked"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    })?;
    steps.run("counts", bench::check_counts)?;
    println!("\nnow what `cargo xtask test` runs");
    test::run(&mut steps)?;
    steps.run("autobahn", autobahn::run_if_possible)?;
    steps.run("fuzz", fuzz::run_if_possible)?;
    steps.run("faults", faults::run_short)?;
    steps.run("attacks", attacks::run_short)?;
    steps.print_summary();
    Ok(())
}
