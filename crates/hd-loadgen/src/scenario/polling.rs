//! One event to everyone, again and again, where everyone polls.

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::{Deliveries, STUCK, Setup};
use crate::generator::Generator;
use crate::mark::Mark;
use crate::proc_stat::Memory;
use crate::report::{self, Percentiles};

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: Setup,
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
    #[serde(flatten)]
    deliveries: Deliveries,
    memory: Option<Memory>,
}

/// # Errors
///
/// A client that did not get in, or an event that did not get to all.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let setup = &options.setup;
    let mut generator = setup.generator()?;
    let clients = setup.clients;
    let connecting = generator.connect_polling(clients, setup.connect_within)?;
    generator.connect_emitters(1)?;

    let warm_up = options.events / 10 + 1;
    emit(&mut generator, 0..warm_up, options)?;
    generator.tally.clear()?;
    let since = setup.begin(&generator)?;
    emit(&mut generator, warm_up..warm_up + options.events, options)?;

    let lost = ((clients * options.events) as u64).saturating_sub(generator.tally.received);
    let repeated = generator.tally.repeats;
    report::print(&Report {
        scenario: "polling",
        clients,
        connects_per_second: clients as f64 / connecting.as_secs_f64(),
        handshake: Percentiles::from(&generator.handshakes.latency),
        deliveries: setup.deliveries(&generator, &since, lost, repeated)?,
        memory: setup.memory()?,
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
        awaited += options.setup.clients as u64;
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
