//! Events to one user at a time, over HTTP: as many as the server takes, or as
//! many as are wanted.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::{Deliveries, STUCK, Setup};
use crate::cli::duration;
use crate::generator::Generator;
use crate::mark::Mark;
use crate::report::{self, Percentiles};

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: Setup,
    /// Connections that emit, each one request at a time
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// Emit this many a second, whether answers come or not, instead of as many as are answered
    #[arg(long)]
    rate: Option<u32>,
    /// How long to measure; a fifth as long comes before
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Size of an event's payload
    #[arg(long, default_value_t = 200)]
    payload_bytes: usize,
    /// Wait for a line on standard input before measuring, after a line `ready`
    #[arg(long)]
    pause: bool,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    clients: usize,
    concurrency: usize,
    rate: Option<u32>,
    emitted: u64,
    /// From a request to its 201.
    acknowledged: Percentiles,
    #[serde(flatten)]
    deliveries: Deliveries,
}

/// # Errors
///
/// A client that did not get in, or an event that was refused.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let setup = &options.setup;
    let (mut generator, _) = setup.connect()?;
    let clients = setup.clients;
    generator.connect_emitters(options.concurrency)?;

    let mut run = Run {
        sequences: vec![0; clients],
        emitted: 0,
        began: generator.clock.now(),
    };
    run.emit_for(&mut generator, options.duration / 5, options)?;
    run.settle(&mut generator)?;

    if options.pause {
        report::print(&"ready")?;
        generator.wait_for_line()?;
    }
    generator.tally.clear()?;
    run.emitted = 0;
    let since = setup.begin(&generator)?;
    run.began = since.began;
    run.emit_for(&mut generator, options.duration, options)?;
    run.settle(&mut generator)?;

    let lost = run.emitted.saturating_sub(generator.tally.received);
    let repeated = generator.tally.repeats;
    report::print(&Report {
        scenario: "unicast",
        clients,
        concurrency: options.concurrency,
        rate: options.rate,
        emitted: run.emitted,
        acknowledged: Percentiles::from(&generator.tally.acknowledged),
        deliveries: setup.deliveries(&generator, &since, lost, repeated)?,
    })
}

/// Progress of a run.
struct Run {
    /// The sequence number that comes next, for each client.
    sequences: Vec<u64>,
    emitted: u64,
    began: Duration,
}

impl Run {
    fn emit_for(
        &mut self,
        generator: &mut Generator,
        how_long: Duration,
        options: &Options,
    ) -> anyhow::Result<()> {
        let end = self.began + how_long;
        let mut now = generator.clock.now();
        while now < end {
            // With a rate an event counts from when it was due, however late it
            // leaves: a server that stalls is not spared the events of the meantime.
            while let Some(due) = self.due(options.rate, now) {
                let Some(emitter) = generator.free_emitter() else {
                    break;
                };
                let client = usize::try_from(self.emitted)? % self.sequences.len();
                let mark = Mark {
                    sequence: self.sequences[client],
                    at: due,
                };
                generator.emit(emitter, Some(client), mark, options.payload_bytes)?;
                self.sequences[client] += 1;
                self.emitted += 1;
                now = generator.clock.now();
            }
            let wait = match options.rate {
                // Waits in epoll are whole milliseconds.
                Some(_) => Duration::from_millis(1),
                None => STUCK,
            };
            generator.turn(Some(wait))?;
            if generator.tally.refused > 0 || generator.handshakes.left > 0 {
                bail!("the server refused an event or closed a connection");
            }
            now = generator.clock.now();
        }
        Ok(())
    }

    /// When the next event is due, if it is by now.
    fn due(&self, rate: Option<u32>, now: Duration) -> Option<Duration> {
        let Some(rate) = rate else {
            return Some(now);
        };
        let due = self.began + Duration::from_secs_f64(self.emitted as f64 / f64::from(rate));
        (due <= now).then_some(due)
    }

    /// Waits for what is under way.
    fn settle(&self, generator: &mut Generator) -> anyhow::Result<()> {
        let start = generator.clock.now();
        while generator.tally.received < self.emitted || generator.tally.accepted < self.emitted {
            generator.turn(Some(STUCK))?;
            if generator.clock.now() - start > STUCK {
                bail!(
                    "{} of {} events arrived",
                    generator.tally.received,
                    self.emitted
                );
            }
        }
        Ok(())
    }
}
