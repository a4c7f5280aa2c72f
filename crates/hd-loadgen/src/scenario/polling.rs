//! One event to everyone, again and again, where everyone polls.

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::{ClientArgs, STUCK};
use crate::generator::Generator;
use crate::mark::Mark;
use crate::proc_stat::{CpuTimes, CpuUse, Memory};
use crate::report::{self, Percentiles};
use crate::target::TargetArgs;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    clients: ClientArgs,
    /// Events that are measured; a tenth as many come before
    #[arg(long, default_value_t = 100)]
    events: usize,
    /// Size of an event's payload
    #[arg(long, default_value_t = 200)]
    payload_bytes: usize,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    clients: usize,
    connects_per_second: f64,
    handshake: Percentiles,
    deliveries_per_second: f64,
    latency: Percentiles,
    lost: u64,
    repeated: u64,
    cpu: CpuUse,
    server_cpu_seconds_per_million: f64,
    memory: Option<Memory>,
}

/// # Errors
///
/// A client that did not get in, or an event that did not get to all.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut generator = Generator::new(options.target.target()?)?;
    let pid = options.target.server_pid;
    let clients = options.clients.clients;
    let connecting = generator.connect_polling(clients, options.clients.connect_within)?;
    generator.connect_emitters(1)?;

    let warm_up = options.events / 10 + 1;
    emit(&mut generator, 0..warm_up, options)?;
    generator.tally.clear()?;
    let start = CpuTimes::read(pid)?;
    let started = generator.clock.now();
    emit(&mut generator, warm_up..warm_up + options.events, options)?;
    let took = generator.clock.now() - started;
    let cpu = start.until(CpuTimes::read(pid)?);

    let received = generator.tally.received;
    report::print(&Report {
        scenario: "polling",
        clients,
        connects_per_second: clients as f64 / connecting.as_secs_f64(),
        handshake: Percentiles::from(&generator.handshakes.latency),
        deliveries_per_second: received as f64 / took.as_secs_f64(),
        latency: Percentiles::from(&generator.tally.latency),
        lost: ((clients * options.events) as u64).saturating_sub(received),
        repeated: generator.tally.repeats,
        cpu,
        server_cpu_seconds_per_million: cpu.server / received as f64 * 1e6,
        memory: pid.map(Memory::read).transpose()?,
    })
}

/// Emits these events, each when everyone has the one before.
fn emit(
    generator: &mut Generator,
    events: std::ops::Range<usize>,
    options: &Options,
) -> anyhow::Result<()> {
    let mut awaited = generator.tally.received;
    for sequence in events {
        let mark = Mark {
            sequence: sequence as u64,
            at: generator.clock.now(),
        };
        generator.emit(0, None, mark, options.payload_bytes)?;
        awaited += options.clients.clients as u64;
        let start = generator.clock.now();
        while generator.tally.received < awaited || generator.free_emitter().is_none() {
            generator.turn(Some(STUCK))?;
            if generator.clock.now() - start > STUCK {
                bail!("event {sequence} did not get to everyone");
            }
        }
    }
    Ok(())
}
