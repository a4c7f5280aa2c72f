//! The network between one node and Redis drops every packet.

use std::{thread, time::Instant};

use anyhow::Result;

use super::{
    inject::{Findings, move_clients},
    network, redis,
    rig::Rig,
    version::Version,
};

/// Drops what goes between a node and Redis for a while. Meanwhile clients of another node move, to this one too.
pub(crate) fn cut_off(
    victim: usize,
    version: Version,
    rig: &mut Rig,
    findings: &mut Findings,
) -> Result<()> {
    let others: Vec<usize> = rig
        .nodes
        .running()
        .into_iter()
        .filter(|node| *node != victim)
        .collect();
    network::drop_all(&redis::address_for(victim))?;
    let cut = Instant::now();
    let noticed = rig.nodes.wait_for_readiness(victim, "degraded")?;
    move_clients(rig, others[0], findings)?;
    for node in &others {
        let status = rig.nodes.readiness(*node)?;
        if status != "ready" {
            findings
                .broken
                .push(format!("node {node} says that it is {status}"));
        }
    }
    thread::sleep(version.partition().saturating_sub(cut.elapsed()));
    network::drop_nothing()?;
    let caught_up = rig.nodes.wait_for_readiness(victim, "ready")?;
    findings.notes.push(format!(
        "degraded after {:.1} s; caught up {:.1} s after the network was back",
        noticed.as_secs_f64(),
        caught_up.as_secs_f64()
    ));
    Ok(())
}
