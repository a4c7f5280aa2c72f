//! Nodes of two versions on one Redis.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context, Result, bail};

use super::inject::{Builds, CALM, Findings, move_clients, replace};
use super::rig::Rig;
use crate::{
    metadata,
    process::{self, cargo},
};

/// Lets clients move between nodes of both versions, and then puts nodes of one version in the place of all others:
/// an update for odd seeds, and the way back for even ones.
pub(crate) fn mix(
    seed: u32,
    builds: &Builds,
    rig: &mut Rig,
    findings: &mut Findings,
) -> Result<()> {
    let running = rig.nodes.running();
    // What an older version says of an empty Redis at its start is not looked at.
    let errors_before = rig.nodes.logged_errors()?;
    for node in running.clone() {
        move_clients(rig, node, findings)?;
    }
    let is_update = seed % 2 == 1;
    let to = if is_update {
        &builds.service
    } else {
        builds.other.as_ref().context("no other version")?
    };
    // The first two are of the version that goes.
    for old in running.into_iter().take(2) {
        replace(rig, old, Some(to), findings)?;
    }
    thread::sleep(CALM);
    let mut errors = rig.nodes.logged_errors()?;
    errors.retain(|error| !errors_before.contains(error));
    findings.notes.clear();
    findings.notes.push(format!(
        "{}; {} errors in the logs",
        if is_update {
            "from the other version to this one"
        } else {
            "from this version to the other one"
        },
        errors.len()
    ));
    if let Some(error) = errors.first() {
        findings.broken.push(format!("a node logged {error}"));
    }
    Ok(())
}

/// Builds the service as it was at a commit.
pub(crate) fn build(commit: &str) -> Result<PathBuf> {
    let folder = metadata::target_directory()?.join("faults-versions");
    let source = folder.join(commit);
    if !source.join("Cargo.toml").exists() {
        unpack(commit, &source)?;
    }
    let target = folder.join("target");
    let mut build = cargo();
    build
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "help-desk-ws",
        ])
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", &target);
    process::run(&mut build)?;
    // The next commit is built in the same place.
    let executable = source.join("help-desk-ws");
    fs::copy(target.join("release/help-desk-ws"), &executable)?;
    Ok(executable)
}

fn unpack(commit: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let archive = folder.join("source.tar");
    let mut git = Command::new("git");
    git.args(["archive", "--output"]).arg(&archive).arg(commit);
    if process::run(&mut git).is_err() {
        bail!("git has no commit {commit}: name another version by --other");
    }
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(&archive).arg("-C").arg(folder);
    process::run(&mut tar)
}
