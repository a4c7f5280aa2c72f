//! The table in docs/security.md.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

use super::{
    measure::MIB,
    outcome::{Outcome, ms},
    row::{ALL, Row},
};

const BEGIN: &str = "<!-- attacks: begin -->";
const END: &str = "<!-- attacks: end -->";
const HEAD: &str = "| | attack | must | attacker got | connect p50 / p99, ms | without | delivery p50 / p99, ms | without | lost | \
     RSS before / peak / after, MiB | kernel, MiB | CPU | log lines/s | verdict | run with |\n\
     |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";

/// A row that was run.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) row: &'a Row,
    /// The run that counts, or why there is none.
    pub(crate) outcome: Result<&'a Outcome, &'a str>,
    /// Date and version.
    pub(crate) made: &'a str,
}

/// The table of these rows.
pub(crate) fn table(lines: &[Line<'_>]) -> String {
    let rows = lines.iter().map(|line| format!("{}\n", line.markdown()));
    HEAD.to_owned() + &rows.collect::<String>()
}

/// Puts these rows into the page; other rows stay as they were.
pub(crate) fn write(lines: &[Line<'_>], machine: &str, page: &Path) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    fs::write(page, merged(&text, lines, machine)?).with_context(|| page.display().to_string())?;
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
    let place = |line: &str| {
        let name = line.split('|').nth(1)?.trim();
        ALL.iter().position(|row| row.name == name)
    };
    let fresh = lines.iter().map(Line::markdown);
    let rows: BTreeMap<usize, String> = old
        .lines()
        .map(str::to_owned)
        .chain(fresh)
        .filter_map(|line| Some((place(&line)?, line)))
        .collect();
    let rows: String = rows.values().map(|row| format!("{row}\n")).collect();
    Ok(format!(
        "{before}{BEGIN}\n{machine}.\n\n{HEAD}{rows}{END}{after}"
    ))
}

impl Line<'_> {
    fn markdown(&self) -> String {
        let mut cells = [self.row.name, self.row.title, self.row.must]
            .map(str::to_owned)
            .to_vec();
        match self.outcome {
            Err(why) => {
                cells.extend(["-"; 10].map(str::to_owned));
                cells.push(format!("**NOT RUN: {why}**"));
            }
            Ok(outcome) => {
                let measured = &outcome.measured;
                let [connect, delivery] = [outcome.connect, outcome.delivery].map(|spreads| {
                    spreads.map(|spread| match spread.count {
                        0 => "-".to_owned(),
                        _ => format!("{} / {}", ms(spread.p50), ms(spread.p99)),
                    })
                });
                let [connect_without, connect_with] = connect;
                let [delivery_without, delivery_with] = delivery;
                let notes = [
                    vec![format!(
                        "{} (refused: {})",
                        measured.findings.accepted, measured.findings.refused
                    )],
                    measured.findings.notes.clone(),
                ];
                cells.extend([
                    notes.concat().join("; "),
                    connect_with,
                    connect_without,
                    delivery_with,
                    delivery_without,
                    format!("{} of {}", outcome.lost, outcome.emitted),
                    format!(
                        "{} / {} / {}",
                        measured.rss_before / MIB,
                        measured.rss_peak / MIB,
                        measured.rss_after / MIB
                    ),
                    (measured.kernel_peak / MIB).to_string(),
                    format!("{:.0} %", measured.cpu_attack * 100.0),
                    format!("{:.0}", measured.lines_attack),
                    match outcome.verdict() {
                        verdict if verdict == "passed" => verdict,
                        verdict => format!("**{verdict}**"),
                    },
                ]);
            }
        }
        cells.push(self.made.to_owned());
        cells
            .iter()
            .map(|cell| cell.replace(['\n', '|'], " "))
            .fold("|".to_owned(), |line, cell| line + " " + &cell + " |")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_not_run_stay_and_are_in_order() {
        let (first, second) = (ALL[0], ALL[1]);
        let page = format!(
            "# Page\n{BEGIN}\n{HEAD}| {} | old |\n| {} | old |\n{END}\nEnd.\n",
            second.name, first.name
        );
        let line = Line {
            row: second,
            outcome: Err("no | service"),
            made: "today",
        };
        let page = merged(&page, &[line], "a machine").unwrap();
        let lines: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("| ") && !line.starts_with("| |"))
            .collect();
        assert_eq!(lines.len(), 2, "{page}");
        assert_eq!(lines[0], format!("| {} | old |", first.name));
        assert!(lines[1].contains("**NOT RUN: no   service**"), "{page}");
        assert!(page.starts_with("# Page\n") && page.ends_with("\nEnd.\n"));
    }
}
