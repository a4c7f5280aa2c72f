//! What a run came to, judged.

use std::time::Duration;

use super::{
    field::Goal,
    ledger::{Phase, Spread},
    measure::MIB,
    row::Row,
    run::{MEMORY_TOLERANCE, Measured},
};

/// A run and its goals.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) goals: Vec<Goal>,
    pub(crate) connect: [Spread; 2],
    pub(crate) delivery: [Spread; 2],
    pub(crate) emitted: usize,
    pub(crate) lost: usize,
    pub(crate) measured: Measured,
}

/// p99 of good clients: twice what it is without the attack, or this.
const TOLERABLE: Duration = Duration::from_secs(1);
const MAX_RSS: u64 = 128 * MIB;

impl Outcome {
    pub(crate) fn judge(row: &Row, measured: Measured) -> Self {
        let ledger = &measured.ledger;
        let connect = [Phase::Baseline, Phase::Attack].map(|phase| ledger.connect_times(phase));
        let delivery = [Phase::Baseline, Phase::Attack].map(|phase| ledger.delivery_times(phase));
        let (lost, duplicated) = (ledger.lost(), ledger.duplicated());
        let mut goals = Vec::new();
        let mut goal = |is_met: bool, is_timing: bool, text: String| {
            goals.push(Goal {
                text,
                is_met,
                is_timing,
            });
        };
        if row.environment.has_back_end {
            goal(lost == 0, false, format!("events lost: {lost}"));
            goal(
                duplicated == 0,
                false,
                format!("events twice: {duplicated}"),
            );
            let refused = ledger.emits_refused;
            goal(
                refused == 0,
                false,
                format!("the back end's emits refused: {refused}"),
            );
            let most = row
                .max_delivery
                .unwrap_or(TOLERABLE)
                .max(delivery[0].p99 * 2);
            goal(
                delivery[1].p99 <= most && delivery[1].count > 0,
                true,
                format!(
                    "delivery p99: {} ms, at most {} ms",
                    ms(delivery[1].p99),
                    ms(most)
                ),
            );
        }
        if row.environment.is_churning {
            let most = TOLERABLE.max(connect[0].p99 * 2);
            goal(
                connect[1].p99 <= most && connect[1].count > 0,
                true,
                format!(
                    "connect p99: {} ms, at most {} ms",
                    ms(connect[1].p99),
                    ms(most)
                ),
            );
        }
        let harmed = (ledger.cut, ledger.failed, measured.missing as u64);
        goal(
            harmed == (0, 0, 0),
            false,
            format!(
                "good clients cut: {}, refused: {}, out in the end: {}",
                harmed.0, harmed.1, harmed.2
            ),
        );
        goal(
            measured.rss_peak <= MAX_RSS,
            false,
            format!(
                "RSS: {} MiB, at most {} MiB",
                measured.rss_peak / MIB,
                MAX_RSS / MIB
            ),
        );
        goal(
            measured.back_after.is_some(),
            true,
            format!(
                "RSS after: {} MiB, at most {} MiB",
                measured.rss_after / MIB,
                (measured.rss_before + MEMORY_TOLERANCE) / MIB
            ),
        );
        if let Some(most) = row.max_kernel {
            goal(
                measured.kernel_peak <= measured.kernel_before + most,
                false,
                format!(
                    "kernel memory: {} MiB, at most {} MiB",
                    measured.kernel_peak / MIB,
                    (measured.kernel_before + most) / MIB
                ),
            );
        }
        if let Some(more) = row.max_lines {
            let most = measured.lines_baseline + more;
            goal(
                measured.lines_attack <= most,
                false,
                format!(
                    "log lines a second: {:.0}, at most {most:.0}",
                    measured.lines_attack
                ),
            );
        }
        goals.extend(measured.findings.goals.iter().cloned());
        Self {
            goals,
            connect,
            delivery,
            emitted: ledger.emitted(Phase::Attack),
            lost,
            measured,
        }
    }

    /// Goals that were missed.
    pub(crate) fn missed(&self) -> impl Iterator<Item = &Goal> {
        self.goals.iter().filter(|goal| !goal.is_met)
    }

    /// Whether a busy machine may be all that was wrong.
    pub(crate) fn missed_only_timing(&self) -> bool {
        self.missed().next().is_some() && self.missed().all(|goal| goal.is_timing)
    }

    pub(crate) fn verdict(&self) -> String {
        let missed: Vec<&str> = self.missed().map(|goal| goal.text.as_str()).collect();
        if missed.is_empty() {
            "passed".to_owned()
        } else {
            format!("MISSED {}", missed.join("; "))
        }
    }

    /// Everything, for whoever watches.
    pub(crate) fn print(&self) {
        let measured = &self.measured;
        let times = |name: &str, [without, with]: [Spread; 2]| {
            println!(
                "  {name}: p50 / p99 / max {} without the attack ({}), {} with it ({})",
                shown(without),
                without.count,
                shown(with),
                with.count
            );
        };
        times("connect", self.connect);
        times("delivery", self.delivery);
        println!(
            "  events: {} accepted in the attack, {} lost; emits refused {}; good clients cut {}, refused {}, out {}",
            self.emitted,
            self.lost,
            measured.ledger.emits_refused,
            measured.ledger.cut,
            measured.ledger.failed,
            measured.missing
        );
        println!(
            "  RSS: {} MiB before, {} peak, {} after ({}); kernel: {} MiB before, {} peak; CPU: {:.0} % before, {:.0} % in the attack",
            measured.rss_before / MIB,
            measured.rss_peak / MIB,
            measured.rss_after / MIB,
            measured.back_after.map_or_else(
                || "not back".to_owned(),
                |time| format!("back in {:.1} s", time.as_secs_f64())
            ),
            measured.kernel_before / MIB,
            measured.kernel_peak / MIB,
            measured.cpu_baseline * 100.0,
            measured.cpu_attack * 100.0
        );
        println!(
            "  log: {:.0} lines a second before, {:.0} in the attack ({:.1} MB a second)",
            measured.lines_baseline,
            measured.lines_attack,
            measured.bytes_attack / 1e6
        );
        println!(
            "  attack: {} accepted, {} refused; {}",
            measured.findings.accepted,
            measured.findings.refused,
            measured.findings.notes.join("; ")
        );
        for (why, count) in measured.ledger.failures.iter().take(MAX_SHOWN_FAILURES) {
            println!("  {count} × {why}");
        }
        for goal in &self.goals {
            let mark = if goal.is_met { "ok" } else { "MISSED" };
            println!("  {mark:>6}  {}", goal.text);
        }
    }
}

const MAX_SHOWN_FAILURES: usize = 12;

fn shown(spread: Spread) -> String {
    format!(
        "{} / {} / {} ms",
        ms(spread.p50),
        ms(spread.p99),
        ms(spread.max)
    )
}

/// Milliseconds, with as many digits as mean something.
pub(crate) fn ms(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 10.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}
