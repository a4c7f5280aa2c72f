//! Clients come and go at a steady rate.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::Setup;
use crate::cli::duration;
use crate::proc_stat::{CpuUse, Memory};
use crate::report::{self, Percentiles};

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: Setup,
    /// Clients that leave and come back, a second
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// How long
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    clients: usize,
    rate: u32,
    replaced: usize,
    handshake: Percentiles,
    failed: u64,
    cpu: CpuUse,
    server_cpu_seconds_per_million: f64,
    memory_before: Option<Memory>,
    memory_after: Option<Memory>,
}

/// # Errors
///
/// Clients that did not get in.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let setup = &options.setup;
    let (mut generator, _) = setup.connect()?;
    let clients = setup.clients;
    let memory_before = setup.memory()?;
    generator.handshakes.latency.reset();

    let start = setup.cpu_times()?;
    let began = generator.clock.now();
    let mut replaced = 0;
    let total = (options.duration.as_secs_f64() * f64::from(options.rate)) as usize;
    while replaced < total {
        let elapsed = (generator.clock.now() - began).as_secs_f64();
        let due = ((elapsed * f64::from(options.rate)) as usize).min(total);
        while replaced < due {
            let index = replaced % clients;
            if generator.client(index).is_joined() {
                generator.client(index).close();
                generator.begin(index);
            }
            replaced += 1;
        }
        generator.turn(Some(STEP))?;
    }
    let end = generator.clock.now() + setup.connect_within;
    while generator.handshakes.pending > 0 {
        generator.turn(Some(STEP))?;
        if generator.clock.now() > end {
            bail!("{} handshakes do not end", generator.handshakes.pending);
        }
    }
    let cpu = start.until(setup.cpu_times()?);
    report::print(&Report {
        scenario: "churn",
        clients,
        rate: options.rate,
        replaced,
        handshake: Percentiles::from(&generator.handshakes.latency),
        failed: generator.handshakes.failed,
        cpu,
        server_cpu_seconds_per_million: cpu.server / replaced as f64 * 1e6,
        memory_before,
        memory_after: setup.memory()?,
    })
}

const STEP: Duration = Duration::from_millis(1);
