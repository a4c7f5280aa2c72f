//! Tokens expire while their clients are connected.

use std::{thread, time::Duration};

use anyhow::Result;

use super::{inject::Findings, rig::Rig, row::TOKEN_LIFE};

/// What is left to come back in, before the tokens that clients have fetched anew expire in their turn.
const AFTER: Duration = Duration::from_secs(8);
/// The service closes a connection when its token expires; this is for a machine that is busy.
pub(crate) const GOAL_MS: f64 = 3000.0;

/// Waits until each client's token has expired. Half of the clients come back with a fresh one.
pub(crate) fn expire(rig: &Rig, findings: &mut Findings) -> Result<()> {
    let clients = rig.load.clients();
    thread::sleep(TOKEN_LIFE + AFTER);
    let stale = clients / 2 + clients % 2;
    findings.to_be_refused = stale;
    // Each client that comes back with its old token is refused once, and by then gives up.
    let attempts = rig
        .nodes
        .metric("authentication_failures_total{reason=\"token_expired\"}")?;
    findings.notes.push(format!(
        "{stale} came back with the expired token, {attempts} times in all"
    ));
    if attempts != stale {
        findings.broken.push(format!(
            "{stale} clients were refused {attempts} times in all"
        ));
    }
    Ok(())
}
