//! One event to everyone, again and again, with a number of them under way.

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::{Deliveries, STUCK, Setup};
use crate::generator::Generator;
use crate::mark::Mark;
use crate::report;

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: Setup,
    /// Events that are measured; a tenth as many come before
    #[arg(long, default_value_t = 100)]
    events: usize,
    /// Events under way at a time: the next one is emitted when every client has the first of them
    #[arg(long, default_value_t = 1)]
    window: usize,
    /// Size of an event's payload
    #[arg(long, default_value_t = 200)]
    payload_bytes: usize,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    clients: usize,
    window: usize,
    events: usize,
    #[serde(flatten)]
    deliveries: Deliveries,
}

/// # Errors
///
/// A client that did not get in, or an event that did not get to all.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let setup = &options.setup;
    let (mut generator, _) = setup.connect()?;
    let clients = setup.clients;
    generator.connect_emitters(options.window)?;

    let warm_up = options.events / 10 + options.window;
    let total = warm_up + options.events;
    let mut run = Run {
        emitted: 0,
        complete: 0,
        total,
    };
    generator.tally.deliveries = vec![0; total];
    run.until(&mut generator, warm_up, options)?;

    // What is still under way from before is part of what is measured, as what
    // is under way at the end is not.
    let deliveries = std::mem::take(&mut generator.tally.deliveries);
    generator.tally.clear()?;
    generator.tally.deliveries = deliveries;
    let since = setup.begin(&generator)?;
    run.until(&mut generator, total, options)?;

    // Requests that are under way at once may be served in any order, so a
    // client's events are counted and not put in order.
    let count = |surplus: fn(u32, u32) -> u32| -> u64 {
        let of = |seen: &u32| u64::from(surplus(*seen, clients as u32));
        generator.tally.deliveries.iter().map(of).sum()
    };
    let (lost, repeated) = (
        count(|seen, clients| clients.saturating_sub(seen)),
        count(u32::saturating_sub),
    );
    report::print(&Report {
        scenario: "fanout",
        clients,
        window: options.window,
        events: options.events,
        deliveries: setup.deliveries(&generator, &since, lost, repeated)?,
    })
}

/// Progress of a run.
struct Run {
    emitted: usize,
    /// Events that every client has.
    complete: usize,
    total: usize,
}

impl Run {
    /// Goes on until this many events are complete.
    fn until(
        &mut self,
        generator: &mut Generator,
        events: usize,
        options: &Options,
    ) -> anyhow::Result<()> {
        let clients = options.setup.clients as u32;
        let mut progressed_at = generator.clock.now();
        while self.complete < events {
            while self.emitted < self.total && self.emitted < self.complete + options.window {
                let Some(emitter) = generator.free_emitter() else {
                    break;
                };
                let mark = Mark {
                    sequence: self.emitted as u64,
                    at: generator.clock.now(),
                };
                generator.emit(emitter, None, mark, options.payload_bytes)?;
                self.emitted += 1;
            }
            generator.turn(Some(STUCK))?;
            let before = self.complete;
            let deliveries = &generator.tally.deliveries;
            while deliveries
                .get(self.complete)
                .is_some_and(|count| *count >= clients)
            {
                self.complete += 1;
            }
            let now = generator.clock.now();
            if self.complete > before {
                progressed_at = now;
            } else if now - progressed_at > STUCK {
                let seen = generator.tally.deliveries[self.complete];
                bail!("event {} got to {seen} of {clients} clients", self.complete);
            }
            if generator.tally.refused > 0 || generator.handshakes.left > 0 {
                bail!("the server refused an event or closed a connection");
            }
        }
        Ok(())
    }
}
