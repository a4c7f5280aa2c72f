//! Pages that poll, and a proxy that loses answers to their polls.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::json;

use super::{inject::Findings, rig::Rig};

const LOSING: Duration = Duration::from_secs(8);
/// Of the polls, those whose connection is closed instead of an answer, and those that the proxy sends again.
const LOST: f64 = 0.02;
const REPEATED: f64 = 0.2;

/// What the proxy has done.
#[derive(Debug, Deserialize)]
struct Lost {
    polls: u64,
    lost: u64,
    repeated: u64,
}

/// Loses answers for a while.
pub(crate) fn lose_answers(rig: &mut Rig, findings: &mut Findings) -> Result<()> {
    rig.load
        .ask(&json!({"command": "lose", "lost": LOST, "repeated": REPEATED}))?;
    thread::sleep(LOSING);
    let Lost {
        polls,
        lost,
        repeated,
    } = serde_json::from_value(rig.load.ask(&json!({"command": "lost"}))?)?;
    ensure!(
        lost > 0 && repeated > 0,
        "the proxy has lost nothing: {polls} polls, {lost} lost, {repeated} repeated"
    );
    findings.notes.push(format!(
        "of {polls} polls the answers of {lost} were lost with their connection, and {repeated} were sent again after \
         their answer was lost"
    ));
    Ok(())
}
