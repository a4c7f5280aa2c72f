//! One run, and the worst of several.

use super::{
    inject::Findings,
    load::{Report, Spread},
    row::{PING_INTERVAL, PING_TIMEOUT, Row},
};

/// One run of one row.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) seed: u32,
    pub(crate) report: Report,
    pub(crate) notes: Vec<String>,
    /// What must not be, whatever the machine.
    pub(crate) broken: Vec<String>,
    /// Times beyond their goals; a machine that is too slow does this too.
    pub(crate) late: Vec<String>,
}

/// A front end gives up after 13 s at the earliest.
pub(crate) const GAP_GOAL_MS: f64 = 13_000.0;

impl Outcome {
    /// Holds a run against the goals.
    pub(crate) fn judge(row: Row, seed: u32, report: Report, findings: Findings) -> Self {
        let Findings {
            mut notes,
            mut broken,
            cut,
        } = findings;
        notes.extend(report.notes());
        let mut late = Vec::new();
        let forbidden = [
            (report.lost, "lost"),
            (report.duplicated, "duplicated"),
            (report.reordered, "reordered"),
            (report.gave_up, "clients gave up"),
            (report.server_disconnects, "clients sent away by DISCONNECT"),
            (report.refused, "clients refused"),
            (report.still_away, "clients not back"),
            (report.rejected, "emits refused with 4xx"),
        ];
        broken.extend(
            forbidden
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}")),
        );
        if report.acknowledged == 0 || report.received == 0 {
            broken.push("nothing was delivered".to_owned());
        }
        if is_unnoticed(row) && report.disconnects > cut {
            broken.push(format!(
                "{} connections were lost that nobody cut",
                report.disconnects - cut
            ));
        }
        let mut within = |what: &str, reached_ms: f64, goal_ms: f64| {
            if reached_ms > goal_ms {
                late.push(format!("{what} {:.1} s", reached_ms / 1e3));
            }
        };
        within("gap", largest(report.gap_ms), GAP_GOAL_MS);
        if let Some(goal_ms) = back_goal_ms(row) {
            within("all back after", report.back_ms, goal_ms);
        }
        if row == Row::HalfOpen {
            within("noticed after", report.noticed_ms, noticed_goal_ms());
        }
        Self {
            seed,
            report,
            notes,
            broken,
            late,
        }
    }

    pub(crate) fn verdict(&self) -> String {
        match (self.broken.is_empty(), self.late.is_empty()) {
            (true, true) => "passed".to_owned(),
            (true, false) => format!("late: {}", self.late.join(", ")),
            (false, _) => format!(
                "FAILED: {}",
                [&self.broken[..], &self.late].concat().join(", ")
            ),
        }
    }
}

/// Faults behind the nodes, of which clients must notice nothing.
fn is_unnoticed(row: Row) -> bool {
    matches!(
        row,
        Row::RedisRestart | Row::RedisPause | Row::Flapping | Row::SameId | Row::DyingPublisher
    )
}

/// From the fault until every client is back.
pub(crate) fn back_goal_ms(row: Row) -> Option<f64> {
    if row == Row::Kill {
        Some(5000.0)
    } else if row == Row::BalancerCut {
        Some(3000.0)
    } else {
        None
    }
}

/// Until the last client has noticed that its connection is dead; a second for the machine.
pub(crate) fn noticed_goal_ms() -> f64 {
    (PING_INTERVAL + PING_TIMEOUT).as_secs_f64() * 1e3 + 1000.0
}

pub(crate) fn largest(spread: Option<Spread>) -> f64 {
    spread.map_or(0.0, |spread| spread.max)
}

/// Of several runs of a row, each figure at its worst.
#[derive(Debug)]
pub(crate) struct Worst<'a>(pub(crate) &'a [Outcome]);

impl Worst<'_> {
    pub(crate) fn count(&self, field: impl Fn(&Report) -> u64) -> u64 {
        self.0
            .iter()
            .map(|outcome| field(&outcome.report))
            .max()
            .unwrap_or(0)
    }

    pub(crate) fn ms(&self, field: impl Fn(&Report) -> f64) -> f64 {
        self.0
            .iter()
            .map(|outcome| field(&outcome.report))
            .fold(0.0, f64::max)
    }

    pub(crate) fn spread(&self, field: impl Fn(&Report) -> Option<Spread>) -> Option<Spread> {
        let spreads = self.0.iter().filter_map(|outcome| field(&outcome.report));
        spreads.reduce(|one, other| Spread {
            p50: one.p50.max(other.p50),
            p99: one.p99.max(other.p99),
            max: one.max.max(other.max),
        })
    }
}
