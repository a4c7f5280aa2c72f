//! Handshakes, and what a connection costs while nothing happens on it.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::{STUCK, Setup};
use crate::cli::duration;
use crate::generator::Generator;
use crate::mark::Mark;
use crate::proc_stat::{CpuUse, Memory};
use crate::report::{self, Percentiles};

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: Setup,
    /// Hold the clients for this long
    #[arg(long, default_value = "0s", value_parser = duration)]
    hold: Duration,
    /// After that emit one event with a payload of this size to everyone
    #[arg(long)]
    broadcast_bytes: Option<usize>,
    /// Hold the clients until a line comes on standard input, after a line `joined`; then wait for one event from elsewhere at
    /// each
    #[arg(long, conflicts_with_all = ["hold", "broadcast_bytes"])]
    pause: bool,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    clients: usize,
    connects_per_second: f64,
    handshake: Percentiles,
    connecting: CpuUse,
    memory_before: Option<Memory>,
    memory_connected: Option<Memory>,
    holding: Option<CpuUse>,
    memory_held: Option<Memory>,
    memory_after_broadcast: Option<Memory>,
    received: u64,
    left: u64,
}

/// # Errors
///
/// A client that did not get in, or got no event.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let setup = &options.setup;
    let clients = setup.clients;

    let memory_before = setup.memory()?;
    let start = setup.cpu_times()?;
    let (mut generator, took) = setup.connect()?;
    let connecting = start.until(setup.cpu_times()?);
    let memory_connected = setup.memory()?;

    let mut holding = None;
    if !options.hold.is_zero() {
        let start = setup.cpu_times()?;
        let until = generator.clock.now() + options.hold;
        while generator.clock.now() < until {
            generator.turn(Some(STEP))?;
        }
        holding = Some(start.until(setup.cpu_times()?));
    }
    let memory_held = setup.memory()?;

    let mut memory_after_broadcast = None;
    if let Some(bytes) = options.broadcast_bytes {
        generator.connect_emitters(1)?;
        let at = generator.clock.now();
        generator.emit(0, None, Mark { sequence: 0, at }, bytes)?;
        await_event(&mut generator, clients)?;
        memory_after_broadcast = setup.memory()?;
    }
    if options.pause {
        report::print(&"joined")?;
        generator.wait_for_line()?;
        await_event(&mut generator, clients)?;
    }
    report::print(&Report {
        scenario: "connect",
        clients,
        connects_per_second: clients as f64 / took.as_secs_f64(),
        handshake: Percentiles::from(&generator.handshakes.latency),
        connecting,
        memory_before,
        memory_connected,
        holding,
        memory_held,
        memory_after_broadcast,
        received: generator.tally.received,
        left: generator.handshakes.left,
    })
}

/// Waits until every client has an event.
fn await_event(generator: &mut Generator, clients: usize) -> anyhow::Result<()> {
    let start = generator.clock.now();
    while generator.tally.received < clients as u64 {
        generator.turn(Some(STEP))?;
        if generator.clock.now() - start > STUCK {
            bail!(
                "{} of {clients} clients got the event",
                generator.tally.received
            );
        }
    }
    Ok(())
}

const STEP: Duration = Duration::from_millis(50);
