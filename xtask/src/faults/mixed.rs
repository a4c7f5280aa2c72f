//! One server of Node and two nodes of ours, on one Redis.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::json;

use super::{
    inject::{BACK_TIMEOUT, CALM, Findings, replace, terminate},
    rig::Rig,
};

/// Nodes of ours; the third server is Node's.
pub(crate) const NODES: usize = 2;
/// Load without a fault.
const LIVE: Duration = Duration::from_secs(5);

/// What the load says of Node's world.
#[derive(Debug, Deserialize)]
struct NodePeers {
    /// Clients of Node's server.
    clients: u64,
    /// By who has published besides the back end.
    published: BTreeMap<String, u64>,
}

/// The adapter of Node's server.
pub(crate) fn adapter(seed: u32) -> &'static str {
    if seed % 2 == 1 { "classic" } else { "sharded" }
}

/// Lets all three publish, ends one node of ours, and has a new one take the place of the other. Nobody touches Node's server.
pub(crate) fn stand_beside(
    seed: u32,
    victim: usize,
    rig: &mut Rig,
    findings: &mut Findings,
) -> Result<()> {
    thread::sleep(LIVE);
    terminate(rig, victim, findings)?;
    rig.load.wait_until_back(BACK_TIMEOUT)?;
    thread::sleep(CALM);
    for old in rig.nodes.running() {
        replace(rig, old, None, findings)?;
    }
    rig.load.wait_until_back(BACK_TIMEOUT)?;
    let peers = rig.load.ask(&json!({"command": "nodePeers"}))?;
    let NodePeers { clients, published } = serde_json::from_value(peers)?;
    ensure!(
        clients > 0 && published.values().all(|count| *count > 0),
        "Node's world is silent: {clients} clients, {published:?}"
    );
    findings.notes.push(format!(
        "{clients} clients at Node's server with its {} adapter; published by others than ours {}",
        adapter(seed),
        json!(published)
    ));
    // What a node could not keep, or not publish, is in its log.
    if let Some(error) = rig.nodes.logged_errors()?.first() {
        findings.broken.push(format!("a node logged {error}"));
    }
    Ok(())
}
