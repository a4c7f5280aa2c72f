//! Figures that are taken from reports, their medians, and what is aimed at.

use anyhow::Result;
use serde_json::Value;

use super::{run::Measured, servers::Kind};

/// What is read from a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    DeliveriesPerSecond,
    ConnectsPerSecond,
    LatencyP99,
    HandshakeP99,
    BackMs,
    /// All of the server process, by connection.
    RssPerConnection,
    /// The same after one broadcast.
    RssAfterBroadcast,
    /// Of one core, while nothing but heartbeats happens.
    IdleCpu,
    /// Server CPU seconds for a million deliveries.
    CpuPerMillion,
    StartMs,
}

/// One figure of a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) title: &'static str,
    pub(crate) quantity: Quantity,
    pub(crate) goals: Vec<Goal>,
}

/// What this service is to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// At least this many times another server's figure.
    AtLeast(f64, Kind),
    /// At most this many times another server's figure.
    AtMost(f64, Kind),
    /// At most this much.
    Below(f64),
}

/// The runs of one scenario against one server, by repetition.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    runs: Vec<(usize, Result<Measured>)>,
}

impl Quantity {
    /// Its value, in the unit of [`unit`](Self::unit).
    pub(crate) fn value(self, report: &Value, start_ms: f64) -> Option<f64> {
        let clients = || report["clients"].as_f64();
        match self {
            Self::DeliveriesPerSecond => report["deliveries_per_second"].as_f64(),
            Self::ConnectsPerSecond => report["connects_per_second"].as_f64(),
            Self::LatencyP99 => report["latency"]["p99_ms"].as_f64(),
            Self::HandshakeP99 => report["handshake"]["p99_ms"].as_f64(),
            Self::BackMs => report["back_ms"].as_f64(),
            Self::RssPerConnection => {
                Some(report["memory_held"]["rss"].as_f64()? / clients()? / 1024.0)
            }
            Self::RssAfterBroadcast => {
                Some(report["memory_after_broadcast"]["rss"].as_f64()? / clients()? / 1024.0)
            }
            Self::IdleCpu => {
                let holding = &report["holding"];
                Some(holding["server"].as_f64()? / holding["seconds"].as_f64()? * 100.0)
            }
            Self::CpuPerMillion => report["server_cpu_seconds_per_million"].as_f64(),
            Self::StartMs => Some(start_ms),
        }
    }

    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::DeliveriesPerSecond | Self::ConnectsPerSecond => "/s",
            Self::LatencyP99 | Self::HandshakeP99 | Self::BackMs | Self::StartMs => "ms",
            Self::RssPerConnection | Self::RssAfterBroadcast => "KiB",
            Self::IdleCpu => "% of a core",
            Self::CpuPerMillion => "s",
        }
    }

    pub(crate) const fn more_is_better(self) -> bool {
        match self {
            Self::DeliveriesPerSecond | Self::ConnectsPerSecond => true,
            Self::LatencyP99
            | Self::HandshakeP99
            | Self::BackMs
            | Self::StartMs
            | Self::RssPerConnection
            | Self::RssAfterBroadcast
            | Self::IdleCpu
            | Self::CpuPerMillion => false,
        }
    }
}

impl Figure {
    /// A report's value with its unit.
    pub(crate) fn show(&self, report: &Value, start_ms: f64) -> String {
        match self.quantity.value(report, start_ms) {
            Some(value) => format!("{} {}", number(value), self.quantity.unit()),
            None => "-".to_owned(),
        }
    }
}

impl Goal {
    /// Whether the goal is reached by this ratio, or by this value.
    pub(crate) fn is_reached(self, reached: f64) -> bool {
        match self {
            Self::AtLeast(times, _) => reached >= times,
            Self::AtMost(times, _) => reached <= times,
            Self::Below(most) => reached <= most,
        }
    }

    pub(crate) const fn against(self) -> Option<Kind> {
        match self {
            Self::AtLeast(_, kind) | Self::AtMost(_, kind) => Some(kind),
            Self::Below(_) => None,
        }
    }
}

impl Samples {
    pub(crate) fn push(&mut self, repetition: usize, measured: Result<Measured>) {
        if let Err(error) = &measured {
            println!("not measured: {error:#}");
        }
        self.runs.push((repetition, measured));
    }

    /// The values of a figure, with their repetitions.
    pub(crate) fn values(&self, figure: &Figure) -> Vec<(usize, f64)> {
        self.runs
            .iter()
            .filter_map(|(repetition, run)| {
                let run = run.as_ref().ok()?;
                let value = figure.quantity.value(&run.report, run.start_ms)?;
                Some((*repetition, value))
            })
            .collect()
    }

    /// Why runs failed, each reason once.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures: Vec<String> = self
            .runs
            .iter()
            .filter_map(|(_, run)| run.as_ref().err().map(|error| format!("{error:#}")))
            .collect();
        failures.dedup();
        failures
    }

    /// Runs during which the machine was not quiet, and all.
    pub(crate) fn dirty(&self) -> (usize, usize) {
        let runs = self.runs.iter().filter_map(|(_, run)| run.as_ref().ok());
        let dirty = runs.clone().filter(|run| run.is_dirty).count();
        (dirty, runs.count())
    }
}

/// The middle one; the mean of the middle two when there are as many on both sides of it.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// The median of the ratios of two servers within each repetition.
pub(crate) fn ratio(ours: &[(usize, f64)], theirs: &[(usize, f64)]) -> Option<f64> {
    median(ours.iter().filter_map(|(repetition, value)| {
        let (_, other) = theirs.iter().find(|(other, _)| other == repetition)?;
        (*other > 0.0).then(|| value / other)
    }))
}

/// A number with as many digits as matter.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 10_000.0 => format!("{:.0}k", value / 1000.0),
        large if large >= 1000.0 => format!("{:.1}k", value / 1000.0),
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_repetition() {
        let ours = [(0, 10.0), (1, 40.0), (2, 30.0)];
        let theirs = [(0, 5.0), (1, 10.0)];
        assert_eq!(ratio(&ours, &theirs), Some(3.0));
        assert_eq!(ratio(&ours, &[]), None);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([]), None);
    }
}
