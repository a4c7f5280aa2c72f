//! One run of the load generator against one server.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    plan::Scenario,
    servers::{Built, EMIT_TOKEN, JWT_SECRET, Kind},
};
use crate::process;

/// A run's report, with what only the one who starts the server can see.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) report: Value,
    /// From the start of the server's process until it takes connections.
    pub(crate) start_ms: f64,
    /// Whether something else ran too much, each time that it was tried.
    pub(crate) is_dirty: bool,
}

/// Runs a scenario against a server, again when the machine was not quiet.
pub(crate) fn measure(built: &Built, kind: Kind, scenario: &Scenario) -> Result<Measured> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let started = Instant::now();
        let server = built.start(kind, "0", 1)?;
        let start_ms = started.elapsed().as_secs_f64() * 1e3;
        let mut generator = Command::new("taskset");
        generator
            .args(["--cpu-list", "1"])
            .arg(built.generator())
            .args(&scenario.arguments)
            .args(["--address", &server.address().to_string()])
            .args(["--server-pid", &server.pid().to_string()])
            .env("JWT_SECRET", JWT_SECRET)
            .env("EMIT_TOKEN", EMIT_TOKEN);
        let output = process::output(&mut generator)
            .with_context(|| format!("{} against {}", scenario.name, kind.title()))?;
        drop(server);
        let report: Value = serde_json::from_str(output.trim())?;
        for loss in ["lost", "repeated", "failed"] {
            if report[loss].as_u64().is_some_and(|count| count > 0) {
                bail!(
                    "{} {} of {}: {}",
                    scenario.name,
                    kind.title(),
                    loss,
                    report[loss]
                );
            }
        }
        let is_dirty = ["cpu", "connecting", "holding"]
            .iter()
            .any(|part| report[part]["is_dirty"] == Value::Bool(true));
        println!(
            "{:16} {:14} {}{}",
            scenario.name,
            kind.title(),
            scenario.figures[0].show(&report, start_ms),
            if is_dirty {
                "  (the machine was not quiet)"
            } else {
                ""
            }
        );
        if !is_dirty || attempt == ATTEMPTS {
            return Ok(Measured {
                report,
                start_ms,
                is_dirty,
            });
        }
        thread::sleep(COOL_DOWN);
    }
}

const ATTEMPTS: usize = 3;
/// For whatever disturbed a run to be over.
const COOL_DOWN: Duration = Duration::from_secs(3);
