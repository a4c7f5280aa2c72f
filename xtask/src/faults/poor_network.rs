//! Some clients have a network that loses packets and carries little.

use std::{thread, time::Duration};

use anyhow::Result;
use serde_json::json;

use super::{
    inject::Findings,
    network,
    rig::{Rig, poor_address},
    row::POOR_CLIENTS,
};

const LOSS_PERCENT: u8 = 5;
const RATE: &str = "1mbit";
const PHASE: Duration = Duration::from_secs(15);
/// Twice what the network carries.
const FLOOD_BYTES_PER_SECOND: u32 = 250_000;
const FLOOD_EVENT_BYTES: u32 = 10_000;
/// How much later the others may have their events, and what is less than a machine's own jitter.
const FACTOR: f64 = 2.0;
const LEAST_GOAL_MS: f64 = 20.0;

/// Measures the delays of those with a good network: with a good one for all, and with a poor one for some, under the
/// same load.
pub(crate) fn spoil(rig: &mut Rig, findings: &mut Findings) -> Result<()> {
    let poor: Vec<String> = (0..POOR_CLIENTS).map(poor_address).collect();
    let flood = json!({
        "command": "flood",
        "ms": PHASE.as_millis() as u64,
        "bytesPerSecond": FLOOD_BYTES_PER_SECOND,
        "eventBytes": FLOOD_EVENT_BYTES,
    });
    rig.load.take_delays()?;
    rig.load.ask(&flood)?;
    let good = rig.load.take_delays()?;
    network::throttle(&poor, RATE)?;
    network::drop_some("127.0.2.0/24", LOSS_PERCENT)?;
    rig.load.ask(&flood)?;
    let spoilt = rig.load.take_delays()?;
    let closed = rig.nodes.metric("slow_consumers_total")?;
    network::drop_nothing()?;
    network::throttle_nothing()?;
    thread::sleep(PHASE);
    findings.cut = rig.load.disconnects()?;
    findings.notes.push(format!(
        "p99 of the others {:.0} ms before, {:.0} ms meanwhile; {POOR_CLIENTS} clients sent twice what their network carries, closed {closed} times",
        good.p99, spoilt.p99
    ));
    let goal = (FACTOR * good.p99).max(LEAST_GOAL_MS);
    if spoilt.p99 > goal {
        findings
            .late
            .push(format!("p99 of the others {:.0} ms", spoilt.p99));
    }
    Ok(())
}
