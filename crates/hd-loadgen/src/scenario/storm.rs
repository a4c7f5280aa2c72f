//! Every connection is cut at once, and every client comes back at once.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::Setup;
use crate::proc_stat::{CpuUse, Memory};
use crate::report::{self, Percentiles};

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: Setup,
    /// How often
    #[arg(long, default_value_t = 3)]
    times: usize,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    clients: usize,
    /// Until the last client was back, the longest of all times.
    back_ms: f64,
    /// From a client's first packet to its being in.
    handshake: Percentiles,
    /// Handshakes that had to be begun again.
    retried: u64,
    cpu: CpuUse,
    memory_before: Option<Memory>,
    memory_after: Option<Memory>,
}

/// # Errors
///
/// Clients that did not get back.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let setup = &options.setup;
    let (mut generator, _) = setup.connect()?;
    let clients = setup.clients;
    let memory_before = setup.memory()?;

    let start = setup.cpu_times()?;
    let mut longest = Duration::ZERO;
    let failed_before = generator.handshakes.failed;
    generator.handshakes.latency.reset();
    for _ in 0..options.times {
        for index in 0..clients {
            generator.client(index).cut();
        }
        let cut_at = generator.clock.now();
        for index in 0..clients {
            generator.begin(index);
        }
        while generator.joined() < clients {
            generator.turn(Some(STEP))?;
            if generator.handshakes.pending == 0 {
                // Those that failed try again, as clients do.
                for index in 0..clients {
                    if generator.client(index).is_absent() {
                        generator.begin(index);
                    }
                }
            }
            if generator.clock.now() - cut_at > setup.connect_within {
                bail!("{} of {clients} clients are back", generator.joined());
            }
        }
        longest = longest.max(generator.clock.now() - cut_at);
    }
    report::print(&Report {
        scenario: "storm",
        clients,
        back_ms: longest.as_secs_f64() * 1e3,
        handshake: Percentiles::from(&generator.handshakes.latency),
        retried: generator.handshakes.failed - failed_before,
        cpu: start.until(setup.cpu_times()?),
        memory_before,
        memory_after: setup.memory()?,
    })
}

const STEP: Duration = Duration::from_millis(20);
