//! Sentinel puts a replica of Redis in the place of its master.

use std::{thread, time::SystemTime};

use anyhow::{Context, Result};
use serde_json::json;

use super::{
    inject::{BACK_TIMEOUT, CALM, Findings, move_clients},
    rig::Rig,
};

/// Kills the master under load, lets it come back as a replica, and asks for a failover back to it.
pub(crate) fn fail_over(victim: usize, rig: &mut Rig, findings: &mut Findings) -> Result<()> {
    let killed = rig.sentinels()?.master_port()?;
    // What was not replicated is gone.
    rig.load.emptied()?;
    let forced = rig.sentinels()?.kill_master()?;
    move_clients(rig, victim, findings)?;
    wait_for_nodes(rig)?;
    let lost_forced = lost_by_redis(rig)?;
    rig.sentinels()?.start_again(killed)?;
    thread::sleep(CALM);

    rig.load.emptied()?;
    let asked_for = rig.sentinels()?.fail_over()?;
    // The former master runs on and takes writes, and the nodes have left it.
    move_clients(rig, victim, findings)?;
    let demoted = rig.sentinels()?.wait_for_replica()?;
    rig.load.emptied()?;
    wait_for_nodes(rig)?;
    rig.load.wait_until_back(BACK_TIMEOUT)?;
    thread::sleep(CALM);
    let lost_in_all = lost_by_redis(rig)?;
    findings.notes.push(format!(
        "another master after {:.1} s, and {:.1} s when asked for, when the former one ran on for {:.1} s more; \
         acknowledged emits that Redis lost: {lost_forced}, and then {}",
        forced.as_secs_f64(),
        asked_for.as_secs_f64(),
        demoted.as_secs_f64(),
        lost_in_all - lost_forced
    ));
    Ok(())
}

/// Acknowledged emits so far that the master does not know.
fn lost_by_redis(rig: &mut Rig) -> Result<u64> {
    // By the clock of the load, which is on this machine.
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let at = u64::try_from(at.as_millis())?;
    let keys = rig.sentinels()?.master()?.ids()?;
    let answer = rig
        .load
        .ask(&json!({"command": "remembered", "keys": keys, "at": at}))?;
    answer["forgotten"].as_u64().context("no `forgotten`")
}

fn wait_for_nodes(rig: &Rig) -> Result<()> {
    for node in rig.nodes.running() {
        rig.nodes.wait_for_readiness(node, "ready")?;
    }
    Ok(())
}
