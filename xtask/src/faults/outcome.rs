//! One run, and the worst of several.

use super::{
    expiry,
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

/// The service closes 250 ms after it has told the client, which is when its token expires; clocks are read to the
/// second by tokens.
const TOO_EARLY_MS: f64 = 50.0;
/// A front end gives up after 13 s at the earliest.
pub(crate) const GAP_GOAL_MS: f64 = 13_000.0;

impl Outcome {
    /// Holds a run against the goals.
    pub(crate) fn judge(row: Row, seed: u32, mut report: Report, findings: Findings) -> Self {
        let Findings {
            mut notes,
            mut broken,
            cut,
            to_be_refused,
            others_back,
            mut late,
        } = findings;
        report.back_ms = report.back_ms.max(others_back.as_secs_f64() * 1e3);
        notes.extend(report.notes());
        let forbidden = [
            (report.lost, "lost"),
            (
                report.forgotten,
                "lost without a word since Redis had lost them",
            ),
            (report.duplicated, "duplicated"),
            (report.reordered, "reordered"),
            (report.misdelivered, "received by pages of other users"),
            (report.gave_up, "clients gave up"),
            (report.server_disconnects, "clients sent away by DISCONNECT"),
            (
                report.refused.abs_diff(to_be_refused),
                "clients too many or too few refused",
            ),
            (report.still_away, "clients not back"),
            (report.rejected, "emits refused with 4xx"),
        ];
        broken.extend(
            forbidden
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}")),
        );
        if row == Row::Mixed && report.told > 0 {
            // Clients of Node's server are told too when they lose their connection, and nobody touches it.
            broken.push(format!("{} clients told", report.told));
        }
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
        if row == Row::TokenExpiry {
            let latest = largest(report.expiry_ms);
            notes.push(format!(
                "closed {:.2} to {:.2} s after the token expired",
                report.earliest_expiry_ms / 1e3,
                latest / 1e3
            ));
            within("closed after expiry", latest, expiry::GOAL_MS);
            if report.earliest_expiry_ms < -TOO_EARLY_MS {
                broken.push("closed before its token expired".to_owned());
            }
            if report.expiry_ms.is_none() {
                broken.push("no token expired".to_owned());
            }
        }
        if matches!(row, Row::Failover | Row::Partition) {
            notes.push(format!(
                "{:.1} s without an acknowledged emit at most",
                report.write_gap_ms / 1e3
            ));
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
        Row::RedisPause
            | Row::Partition
            | Row::Flapping
            | Row::SameId
            | Row::DyingPublisher
            | Row::RedisFull
            | Row::LargeStreamStart
            | Row::LateBytes
            | Row::RedisRestartAof
    )
}

/// From the fault until every client is back.
pub(crate) fn back_goal_ms(row: Row) -> Option<f64> {
    if row == Row::Kill {
        Some(5000.0)
    } else if row == Row::BalancerCut {
        Some(3000.0)
    } else if row == Row::Storm {
        Some(GAP_GOAL_MS)
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is said of a run in which everything went well but these fields.
    fn check(row: Row, fields: Value, verdict: &str) {
        let findings = Findings {
            cut: 3,
            ..Findings::default()
        };
        assert_eq!(
            Outcome::judge(row, 1, report(fields), findings).verdict(),
            verdict
        );
    }

    fn report(fields: Value) -> Report {
        let mut report = json!({
            "acknowledged": 10, "received": 10, "lost": 0, "duplicated": 0, "reordered": 0, "misdelivered": 0, "excused": 0,
            "disconnects": 3, "recovered": 3, "told": 0, "gaveUp": 0, "serverDisconnects": 0, "refused": 0,
            "stillAway": 0, "gapMs": {"p50": 1.0, "p99": 1.0, "max": 1.0}, "backMs": 1.0, "noticedMs": 1.0,
            "closesPerSecond": 3, "ackMs": null, "delayMs": null, "repeated": 0, "abandoned": 0, "rejected": 0, "inDoubt": 0,
            "statuses": {}, "forgotten": 0, "appendedTwice": 0, "closedPages": 0, "writeGapMs": 1.0,
            "expiryMs": {"p50": 1.0, "p99": 1.0, "max": 1.0}, "earliestExpiryMs": 0.0,
        });
        for (name, value) in fields.as_object().unwrap() {
            report[name] = value.clone();
        }
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn what_must_not_be_fails() {
        check(Row::Kill, json!({}), "passed");
        for (field, verdict) in [
            ("lost", "FAILED: 1 lost"),
            ("duplicated", "FAILED: 1 duplicated"),
            ("reordered", "FAILED: 1 reordered"),
            ("misdelivered", "FAILED: 1 received by pages of other users"),
            ("gaveUp", "FAILED: 1 clients gave up"),
            (
                "serverDisconnects",
                "FAILED: 1 clients sent away by DISCONNECT",
            ),
            ("refused", "FAILED: 1 clients too many or too few refused"),
            ("stillAway", "FAILED: 1 clients not back"),
            ("rejected", "FAILED: 1 emits refused with 4xx"),
        ] {
            check(Row::Kill, json!({field: 1}), verdict);
        }
        check(
            Row::Kill,
            json!({"received": 0}),
            "FAILED: nothing was delivered",
        );
    }

    #[test]
    fn a_fault_behind_the_nodes_costs_no_connection_but_those_that_were_cut() {
        check(Row::RedisPause, json!({}), "passed");
        check(
            Row::RedisPause,
            json!({"disconnects": 5}),
            "FAILED: 2 connections were lost that nobody cut",
        );
    }

    #[test]
    fn beside_a_server_of_node_nobody_may_be_told() {
        check(Row::Mixed, json!({}), "passed");
        check(Row::Mixed, json!({"told": 1}), "FAILED: 1 clients told");
        check(Row::Mixed, json!({"lost": 1}), "FAILED: 1 lost");
    }

    #[test]
    fn who_is_to_be_refused_must_be() {
        let findings = Findings {
            to_be_refused: 2,
            ..Findings::default()
        };
        let check = |refused: u64, verdict: &str| {
            let report = report(json!({"refused": refused}));
            let outcome = Outcome::judge(Row::TokenExpiry, 1, report, findings.clone());
            assert_eq!(outcome.verdict(), verdict);
        };
        check(2, "passed");
        check(3, "FAILED: 1 clients too many or too few refused");
    }

    #[test]
    fn a_connection_ends_soon_after_its_token_and_not_before() {
        let check = |fields: Value, verdict: &str| check(Row::TokenExpiry, fields, verdict);
        check(json!({"earliestExpiryMs": -20.0}), "passed");
        check(
            json!({"earliestExpiryMs": -300.0}),
            "FAILED: closed before its token expired",
        );
        check(
            json!({"expiryMs": {"p50": 1.0, "p99": 1.0, "max": 4000.0}}),
            "late: closed after expiry 4.0 s",
        );
        check(json!({"expiryMs": null}), "FAILED: no token expired");
    }

    #[test]
    fn a_missed_time_is_late_and_does_not_fail() {
        check(
            Row::Kill,
            json!({"backMs": 5100.0}),
            "late: all back after 5.1 s",
        );
        check(
            Row::RollingUpdate,
            json!({"gapMs": {"p50": 1.0, "p99": 1.0, "max": 14000.0}}),
            "late: gap 14.0 s",
        );
    }
}
