//! Every connection is cut at once, and every client comes back at once.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::ClientArgs;
use crate::generator::Generator;
use crate::proc_stat::{CpuTimes, CpuUse, Memory};
use crate::report::{self, Percentiles};
use crate::target::TargetArgs;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    clients: ClientArgs,
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
    let mut generator = Generator::new(options.target.target()?)?;
    let pid = options.target.server_pid;
    let memory = || pid.map(Memory::read).transpose();
    let ClientArgs {
        clients,
        at_once,
        connect_within,
    } = options.clients;
    generator.connect(clients, at_once, connect_within)?;
    let memory_before = memory()?;

    let start = CpuTimes::read(pid)?;
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
            if generator.clock.now() - cut_at > connect_within {
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
        cpu: start.until(CpuTimes::read(pid)?),
        memory_before,
        memory_after: memory()?,
    })
}

const STEP: Duration = Duration::from_millis(20);
