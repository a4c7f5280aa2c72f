//! An instance whose clock is wrong.

use std::{process::Command, thread, time::Duration};

use anyhow::{Result, ensure};

use super::{
    inject::{CALM, Findings, move_clients},
    rig::Rig,
};
use crate::process;

/// Longer than the events live.
const AHEAD: Duration = Duration::from_secs(120);

/// Starts an instance whose clock is ahead, moves pages to it, and from it to the others.
pub(crate) fn start_ahead(victim: usize, rig: &mut Rig, findings: &mut Findings) -> Result<()> {
    ensure!(
        process::succeeds(Command::new("faketime").arg("--version")),
        "`faketime` is not in PATH; on Debian: apt-get install faketime"
    );
    let new = rig.nodes.running().into_iter().max().unwrap_or(0) + 1;
    rig.nodes.start_ahead(new, AHEAD)?;
    rig.haproxy.wait_until_up(&rig.nodes.running())?;
    move_clients(rig, victim, findings)?;
    thread::sleep(CALM);
    move_clients(rig, new, findings)?;
    thread::sleep(CALM);
    move_clients(rig, victim, findings)?;
    findings
        .notes
        .push(format!("the clock of one was {} s ahead", AHEAD.as_secs()));
    Ok(())
}
