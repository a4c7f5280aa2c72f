//! The page about clusters in docs/performance.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};

use super::{
    Sample,
    contender::{Contender, Peer},
    measure::{Load, Measured},
};
use crate::bench::figure::{median, number, ratio};

/// What stands above the tables.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) machine: String,
    pub(crate) versions: Vec<(String, String)>,
    pub(crate) repetitions: usize,
    pub(crate) seconds: u32,
}

/// A column: its title, and where its value is.
type Column = (&'static str, fn(&Measured) -> f64);

const REDIS_CPU: Column = ("Redis CPU, s per 100,000 emits", |run| {
    run.redis_cpu_per_100k
});
const ACKNOWLEDGED_P50: Column = ("acknowledged p50, ms", |run| run.acknowledged_p50);
const COLUMNS: [Column; 10] = [
    ("emits a second", |run| run.emits_per_second),
    REDIS_CPU,
    ("Redis commands an emit", |run| run.redis_commands_per_emit),
    ("bytes out of Redis an emit", |run| {
        run.redis_bytes_out_per_emit
    }),
    ("bytes into Redis an emit", |run| {
        run.redis_bytes_in_per_emit
    }),
    ("CPU of all instances, s per 100,000 emits", |run| {
        run.instances_cpu_per_100k
    }),
    ("busiest instance, % of a core", |run| {
        run.busiest_instance * 100.0
    }),
    ACKNOWLEDGED_P50,
    ("acknowledged p99, ms", |run| run.acknowledged_p99),
    ("delivered p99, ms", |run| run.delivered_p99),
];
/// At most this many times the streams adapter's.
const REDIS_CPU_GOAL: f64 = 1.2;
/// Emits a second at which the goal for latency is stated, and the goal in milliseconds.
const LATENCY_RATE: u32 = 1000;
const LATENCY_GOAL_MS: f64 = 0.63;

pub(crate) fn name(sample: &Sample) -> String {
    let Load { instances, rate } = sample.load;
    format!("{:26} {instances} × {rate:5}/s", sample.contender)
}

/// One run, on one line.
pub(crate) fn line(sample: &Sample, run: &Measured) -> String {
    let commands: Vec<String> = run
        .commands
        .iter()
        .take(SHOWN_COMMANDS)
        .map(|(name, calls)| format!("{name} {calls:.2}"))
        .collect();
    format!(
        "{}  {:7.0}/s  Redis {:6.2} s/100k  {:5.2} commands  {:6.0} B out  instances {:6.2} s/100k  \
         acknowledged p50 {:.2} p99 {:.2} ms  ({})",
        name(sample),
        run.emits_per_second,
        run.redis_cpu_per_100k,
        run.redis_commands_per_emit,
        run.redis_bytes_out_per_emit,
        run.instances_cpu_per_100k,
        run.acknowledged_p50,
        run.acknowledged_p99,
        commands.join(", ")
    )
}

const SHOWN_COMMANDS: usize = 8;

pub(crate) fn write(page: &str, path: &Path) -> Result<()> {
    fs::write(path, page).with_context(|| path.display().to_string())?;
    println!("wrote {}", path.display());
    Ok(())
}

/// The page.
pub(crate) fn markdown(samples: &[Sample], header: &Header) -> String {
    let mut page = String::from(
        "# A cluster: what an emit costs\n\n\
         Written by `cargo xtask bench cluster`. Instances share one Redis without persistence; 1,000 WebSocket clients are \
         spread over them, and emits of 200 bytes to one user each, from 64 connections that are spread as well, so that \
         an emit and its client are often at different instances. No process is pinned to a core. An emit of help-desk-ws is \
         acknowledged once Redis has it; Socket.IO (Node.js) does not wait for Redis, and its classic and sharded adapters keep \
         nothing.\n\n",
    );
    let mut line = |text: String| {
        page.push_str(&text);
        page.push('\n');
    };
    line(format!("- machine: {}", header.machine));
    for (name, version) in &header.versions {
        line(format!("- {name}: {version}"));
    }
    line(format!(
        "- {} repetitions of {} s; each figure is the median\n",
        header.repetitions, header.seconds
    ));
    line("## Goals\n".to_owned());
    line("| figure | goal | reached | |\n|---|---|---|---|".to_owned());
    for sample in samples.iter().filter(|sample| sample.is_ours) {
        goals(samples, sample).into_iter().for_each(&mut line);
    }
    let mut load = None;
    for sample in samples {
        if load != Some(sample.load) {
            load = Some(sample.load);
            let Load { instances, rate } = sample.load;
            let plural = if instances == 1 { "" } else { "s" };
            line(format!(
                "\n## {instances} instance{plural}, {rate} emits a second\n"
            ));
            let titles: Vec<&str> = COLUMNS.iter().map(|(title, _)| *title).collect();
            line(format!("| | {} |", titles.join(" | ")));
            line(format!("|---|{}", "--:|".repeat(COLUMNS.len())));
        }
        line(row(sample));
    }
    line("\n## Commands\n".to_owned());
    line("Calls an emit by `INFO commandstats`, those of scripts included, in the first repetition.\n".to_owned());
    line("| | instances | emits a second | calls an emit |\n|---|--:|--:|---|".to_owned());
    for sample in samples {
        if let Some(run) = sample.runs.iter().flatten().next() {
            let calls: Vec<String> = run
                .commands
                .iter()
                .filter(|(_, calls)| *calls >= SHOWN_CALLS)
                .map(|(name, calls)| format!("{} {calls:.2}", name.replace('|', " ")))
                .collect();
            let Load { instances, rate } = sample.load;
            line(format!(
                "| {} | {instances} | {rate} | {} |",
                sample.contender,
                calls.join(", ")
            ));
        }
    }
    page
}

/// Calls an emit below which a command is not shown.
const SHOWN_CALLS: f64 = 0.01;

fn row(sample: &Sample) -> String {
    let mut row = format!("| {} |", sample.contender);
    for (_, value) in COLUMNS {
        let value = median(values(sample, value).into_iter().map(|(_, value)| value));
        let value = value.map_or_else(|| "-".to_owned(), number);
        // Infallible: it is written to a string.
        let _infallible = write!(row, " {value} |");
    }
    for failure in sample.runs.iter().filter_map(|run| run.as_ref().err()) {
        let _infallible = write!(row, " not measured: {failure}");
    }
    row
}

fn goals(samples: &[Sample], ours: &Sample) -> Vec<String> {
    let Load { instances, rate } = ours.load;
    let of = |title: &str| {
        samples
            .iter()
            .find(|sample| sample.load == ours.load && sample.contender == title)
    };
    let reach = |figure: &str, goal: String, reached: Option<f64>, most: f64| {
        let verdict = match reached {
            Some(value) if value <= most => "reached",
            Some(_) => "**missed**",
            None => "not measured",
        };
        let reached = reached.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        format!(
            "| {}, {instances} × {rate}/s: {figure} | {goal} | {reached} | {verdict} |",
            ours.contender
        )
    };
    let compare =
        |column: Column, other: &Sample| ratio(&values(ours, column.1), &values(other, column.1));
    let mut rows = Vec::new();
    let streams = Contender::Peer(Peer::Streams).title();
    if let Some(streams) = of(&streams) {
        let goal = format!("≤ {REDIS_CPU_GOAL} × {}", streams.contender);
        let reached = compare(REDIS_CPU, streams);
        rows.push(reach("Redis CPU", goal, reached, REDIS_CPU_GOAL));
    }
    if rate == LATENCY_RATE {
        let p50 = median(
            values(ours, ACKNOWLEDGED_P50.1)
                .into_iter()
                .map(|(_, p50)| p50),
        );
        let goal = format!("≤ {LATENCY_GOAL_MS} ms");
        rows.push(reach("acknowledged p50", goal, p50, LATENCY_GOAL_MS));
        let before = samples
            .iter()
            .find(|sample| sample.load == ours.load && sample.is_ours);
        if let Some(before) = before.filter(|before| before.contender != ours.contender) {
            let goal = format!("≤ 1 × {}", before.contender);
            let reached = compare(ACKNOWLEDGED_P50, before);
            rows.push(reach("acknowledged p50", goal, reached, 1.0));
        }
    }
    rows
}

/// The values of a column, with their repetitions.
fn values(sample: &Sample, value: fn(&Measured) -> f64) -> Vec<(usize, f64)> {
    let runs = sample.runs.iter().enumerate();
    runs.filter_map(|(repetition, run)| Some((repetition, value(run.as_ref().ok()?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(redis_cpu: f64, p50: f64) -> Measured {
        Measured {
            emits_per_second: 1000.0,
            redis_cpu_per_100k: redis_cpu,
            redis_commands_per_emit: 2.0,
            redis_bytes_out_per_emit: 400.0,
            redis_bytes_in_per_emit: 400.0,
            instances_cpu_per_100k: 20.0,
            busiest_instance: 0.2,
            acknowledged_p50: p50,
            acknowledged_p99: 2.0,
            delivered_p99: 2.0,
            commands: vec![("xadd".to_owned(), 1.0)],
        }
    }

    fn sample(contender: &str, is_ours: bool, runs: Vec<Result<Measured, String>>) -> Sample {
        let load = Load {
            instances: 2,
            rate: LATENCY_RATE,
        };
        Sample {
            contender: contender.to_owned(),
            is_ours,
            load,
            runs,
        }
    }

    #[test]
    fn goals_are_ratios_to_the_streams_adapter_and_to_the_state_before_in_the_same_repetition() {
        let samples = [
            sample("before", true, vec![Ok(run(7.0, 0.5)), Ok(run(9.0, 0.7))]),
            sample("now", true, vec![Ok(run(4.0, 0.4)), Err("no".to_owned())]),
            sample(
                "Socket.IO, streams adapter",
                false,
                vec![Ok(run(4.0, 0.3)), Ok(run(4.5, 0.3))],
            ),
        ];
        assert_eq!(
            goals(&samples, &samples[0]),
            [
                "| before, 2 × 1000/s: Redis CPU | ≤ 1.2 × Socket.IO, streams adapter | 1.88 | **missed** |",
                "| before, 2 × 1000/s: acknowledged p50 | ≤ 0.63 ms | 0.60 | reached |",
            ]
        );
        assert_eq!(
            goals(&samples, &samples[1]),
            [
                "| now, 2 × 1000/s: Redis CPU | ≤ 1.2 × Socket.IO, streams adapter | 1.00 | reached |",
                "| now, 2 × 1000/s: acknowledged p50 | ≤ 0.63 ms | 0.40 | reached |",
                "| now, 2 × 1000/s: acknowledged p50 | ≤ 1 × before | 0.80 | reached |",
            ]
        );
    }
}
