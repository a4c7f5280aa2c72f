//! Scenarios. Each connects its clients, works, and prints its report.

pub(crate) mod churn;
pub(crate) mod connect;
pub(crate) mod fanout;
pub(crate) mod polling;
pub(crate) mod reconnect;
pub(crate) mod storm;
pub(crate) mod unicast;

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::duration;
use crate::generator::Generator;
use crate::proc_stat::{CpuTimes, CpuUse, Memory};
use crate::report::Percentiles;
use crate::target::TargetArgs;

/// The server and its clients, in every scenario.
#[derive(Args, Debug)]
pub(crate) struct Setup {
    #[command(flatten)]
    target: TargetArgs,
    /// Clients
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// Handshakes under way at a time
    #[arg(long, default_value_t = 64)]
    at_once: usize,
    /// Give up when the clients are not in after this
    #[arg(long, default_value = "120s", value_parser = duration)]
    connect_within: Duration,
}

/// What became of events.
#[derive(Serialize)]
struct Deliveries {
    deliveries_per_second: f64,
    /// From when an event was due to its arrival.
    latency: Percentiles,
    lost: u64,
    repeated: u64,
    cpu: CpuUse,
    server_cpu_seconds_per_million: f64,
}

/// Processor time and the clock, when what is measured began.
struct Measuring {
    cpu: CpuTimes,
    began: Duration,
}

impl Setup {
    fn generator(&self) -> anyhow::Result<Generator> {
        Generator::new(self.target.target()?)
    }

    /// Everyone connected. The second is how long that took.
    fn connect(&self) -> anyhow::Result<(Generator, Duration)> {
        let mut generator = self.generator()?;
        let took = generator.connect(self.clients, self.at_once, self.connect_within)?;
        Ok((generator, took))
    }

    fn memory(&self) -> anyhow::Result<Option<Memory>> {
        self.target.server_pid.map(Memory::read).transpose()
    }

    fn cpu_times(&self) -> anyhow::Result<CpuTimes> {
        CpuTimes::read(self.target.server_pid)
    }

    fn begin(&self, generator: &Generator) -> anyhow::Result<Measuring> {
        Ok(Measuring {
            cpu: self.cpu_times()?,
            began: generator.clock.now(),
        })
    }

    /// What was delivered since; `lost` and `repeated` are the scenario's to
    /// know.
    fn deliveries(
        &self,
        generator: &Generator,
        since: &Measuring,
        lost: u64,
        repeated: u64,
    ) -> anyhow::Result<Deliveries> {
        let took = generator.clock.now() - since.began;
        let cpu = since.cpu.until(self.cpu_times()?);
        let received = generator.tally.received as f64;
        Ok(Deliveries {
            deliveries_per_second: received / took.as_secs_f64(),
            latency: Percentiles::from(&generator.tally.latency),
            lost,
            repeated,
            server_cpu_seconds_per_million: cpu.server / received * 1e6,
            cpu,
        })
    }
}

/// Waiting for a delivery that does not come ends a scenario after this long.
const STUCK: Duration = Duration::from_secs(20);
