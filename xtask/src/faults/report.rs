//! The table in docs/reliability.md.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

use super::{
    load::Spread,
    outcome::{Outcome, Worst},
    row::Row,
};

/// A row that was run.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) row: Row,
    pub(crate) outcomes: &'a [Outcome],
    /// Runs that the rig itself failed.
    pub(crate) failures: &'a [String],
    /// Clients, rate, date, version.
    pub(crate) made: &'a str,
}

const BEGIN: &str = "<!-- results: begin -->";
const END: &str = "<!-- results: end -->";
const HEAD: &str = "| | fault | lost | duplicated | reordered | told | gap of a client p50 / p99 / max, s | all back after, s | \
     emit acknowledged after p99 / max, s | verdict | what else was seen | run with |\n\
     |---|---|---|---|---|---|---|---|---|---|---|---|\n";

/// The table of these rows.
pub(crate) fn table(lines: &[Line<'_>]) -> String {
    let rows = lines.iter().map(|line| format!("{}\n", line.markdown()));
    HEAD.to_owned() + &rows.collect::<String>()
}

/// Puts these rows into the page; other rows stay as they were, each with the version that it was run against.
pub(crate) fn write(lines: &[Line<'_>], machine: &str, page: &Path) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let text = merged(&text, lines, machine)?;
    fs::write(page, text).with_context(|| page.display().to_string())?;
    println!("wrote {}", page.display());
    Ok(())
}

fn merged(text: &str, lines: &[Line<'_>], machine: &str) -> Result<String> {
    let (before, rest) = text
        .split_once(BEGIN)
        .with_context(|| format!("the page has no {BEGIN}"))?;
    let (old, after) = rest
        .split_once(END)
        .with_context(|| format!("the page has no {END}"))?;
    let number = |line: &str| line.split('|').nth(1)?.trim().parse::<u8>().ok();
    let mut rows: BTreeMap<u8, String> = old
        .lines()
        .filter_map(|line| Some((number(line)?, line.to_owned())))
        .collect();
    rows.extend(
        lines
            .iter()
            .map(|line| (line.row.number(), line.markdown())),
    );
    let rows: String = rows.values().map(|row| format!("{row}\n")).collect();
    Ok(format!(
        "{before}{BEGIN}\n{machine}.\n\n{HEAD}{rows}{END}{after}"
    ))
}

impl Line<'_> {
    fn markdown(&self) -> String {
        let worst = Worst(self.outcomes);
        let failed = self.outcomes.iter().find(|run| !run.broken.is_empty());
        let late = self.outcomes.iter().find(|run| !run.late.is_empty());
        let verdict = match (self.failures.first(), failed.or(late)) {
            (Some(failure), _) => format!("**NOT RUN: {}**", failure.replace(['\n', '|'], " ")),
            (None, Some(run)) => format!("**{}** (seed {})", run.verdict(), run.seed),
            (None, None) => "passed".to_owned(),
        };
        let seeds: Vec<String> = self
            .outcomes
            .iter()
            .map(|run| run.seed.to_string())
            .collect();
        // Of the last run: notes of the same kind need no five lines.
        let seen = self.outcomes.last().map(|run| run.notes.join("; "));
        let back = match worst.count(|report| report.disconnects) {
            0 => "-".to_owned(),
            _ => seconds(worst.ms(|report| report.back_ms)),
        };
        let told = format!(
            "{} of {}",
            worst.count(|report| report.told),
            worst.count(|report| report.told + report.recovered)
        );
        [
            self.row.number().to_string(),
            self.row.title().to_owned(),
            worst.count(|report| report.lost).to_string(),
            worst.count(|report| report.duplicated).to_string(),
            worst.count(|report| report.reordered).to_string(),
            told,
            spread(worst.spread(|report| report.gap_ms), true),
            back,
            spread(worst.spread(|report| report.ack_ms), false),
            verdict,
            seen.unwrap_or_default(),
            format!("seeds {}; {}", seeds.join(" "), self.made),
        ]
        .iter()
        .fold("|".to_owned(), |line, cell| line + " " + cell + " |")
    }
}

fn spread(spread: Option<Spread>, with_median: bool) -> String {
    let Some(Spread { p50, p99, max }) = spread else {
        return "-".to_owned();
    };
    let tail = format!("{} / {}", seconds(p99), seconds(max));
    if with_median {
        format!("{} / {tail}", seconds(p50))
    } else {
        tail
    }
}

fn seconds(ms: f64) -> String {
    if ms < 100.0 {
        format!("{:.3}", ms / 1e3)
    } else {
        format!("{:.1}", ms / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_not_run_stay() {
        let page = format!("# Page\n{BEGIN}\n{HEAD}| 1 | old |\n| 12 | old |\n{END}\nEnd.\n");
        let line = Line {
            row: Row::Kill,
            outcomes: &[],
            failures: &["no | Redis".to_owned()],
            made: "today",
        };
        let page = merged(&page, &[line], "a machine").unwrap();
        assert!(page.contains("**NOT RUN: no   Redis**"), "{page}");
        assert!(!page.contains("| 1 | old |"), "{page}");
        assert!(page.contains("| 12 | old |"), "{page}");
        assert!(page.starts_with("# Page\n") && page.ends_with("\nEnd.\n"));
    }
}
