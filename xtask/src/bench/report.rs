//! The tables and charts in docs/performance.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};

use super::{
    chart,
    figure::{Figure, Goal, Samples, median, number, ratio},
    plan::Scenario,
    servers::Kind,
};

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Results<'a> {
    pub(crate) scenarios: &'a [Scenario],
    pub(crate) samples: &'a BTreeMap<(&'a str, Kind), Samples>,
    pub(crate) repetitions: usize,
    pub(crate) quick: bool,
    pub(crate) machine: String,
    pub(crate) versions: Vec<(&'static str, String)>,
}

impl Results<'_> {
    fn values(&self, scenario: &Scenario, kind: Kind, figure: &Figure) -> Vec<(usize, f64)> {
        self.samples
            .get(&(scenario.name, kind))
            .map(|samples| samples.values(figure))
            .unwrap_or_default()
    }
}

/// Writes the tables to `folder`/results.md and a chart for each scenario's first figure beside it.
pub(crate) fn write(results: &Results<'_>, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let page = folder.join("results.md");
    fs::write(&page, markdown(results)).with_context(|| page.display().to_string())?;
    for scenario in results.scenarios {
        let figure = &scenario.figures[0];
        let bars: Vec<chart::Bar> = scenario
            .servers
            .iter()
            .filter_map(|kind| {
                let values = results.values(scenario, *kind, figure);
                let value = median(values.iter().map(|(_, value)| *value))?;
                Some(chart::Bar {
                    label: kind.title(),
                    value,
                    is_ours: *kind == Kind::HelpDeskWs,
                })
            })
            .collect();
        let title = format!(
            "{}: {}, {}",
            scenario.title,
            figure.title,
            figure.quantity.unit()
        );
        fs::write(
            folder.join(format!("{}.svg", scenario.name)),
            chart::svg(&title, &bars),
        )?;
    }
    println!("wrote {}", page.display());
    Ok(())
}

/// The page.
pub(crate) fn markdown(results: &Results<'_>) -> String {
    let mut page = String::from(
        "# Results\n\nWritten by `cargo xtask bench`; [the method](README.md) says how to read it.\n\n",
    );
    let mut line = |text: String| {
        page.push_str(&text);
        page.push('\n');
    };
    line(format!("- machine: {}", results.machine));
    for (name, version) in &results.versions {
        line(format!("- {name}: {version}"));
    }
    line(format!(
        "- {} repetitions{}; server on one core, generator on another\n",
        results.repetitions,
        if results.quick {
            " of the quick version"
        } else {
            ""
        }
    ));
    line("## Goals\n".to_owned());
    line("| figure | goal | reached | |\n|---|---|---|---|".to_owned());
    for scenario in results.scenarios {
        for figure in &scenario.figures {
            for goal in &figure.goals {
                line(goal_row(results, scenario, figure, *goal));
            }
        }
    }
    for scenario in results.scenarios {
        line(format!("\n## {}\n", scenario.title));
        line(format!("`hd-loadgen {}`\n", scenario.arguments.join(" ")));
        line(format!("![{}]({}.svg)\n", scenario.title, scenario.name));
        for figure in &scenario.figures {
            line(table(results, scenario, figure));
        }
        for kind in &scenario.servers {
            let Some(samples) = results.samples.get(&(scenario.name, *kind)) else {
                continue;
            };
            for failure in samples.failures() {
                line(format!("- {}: not measured: {failure}", kind.title()));
            }
            let (dirty, runs) = samples.dirty();
            if dirty > 0 {
                line(format!(
                    "- {}: the machine was not quiet in {dirty} of {runs} runs, though tried again",
                    kind.title()
                ));
            }
        }
    }
    page
}

fn goal_row(results: &Results<'_>, scenario: &Scenario, figure: &Figure, goal: Goal) -> String {
    let ours = results.values(scenario, Kind::HelpDeskWs, figure);
    let reached = match goal.against() {
        Some(kind) => ratio(&ours, &results.values(scenario, kind, figure)),
        None => median(ours.iter().map(|(_, value)| *value)),
    };
    let aim = match goal {
        Goal::AtLeast(times, kind) => format!("≥ {times} × {}", kind.title()),
        Goal::AtMost(times, kind) => format!("≤ {times} × {}", kind.title()),
        Goal::Below(most) => format!("≤ {most} {}", figure.quantity.unit()),
    };
    let verdict = match reached {
        Some(value) if goal.is_reached(value) => "reached",
        Some(_) => "**missed**",
        None => "not measured",
    };
    let reached = reached.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    format!(
        "| {}: {} | {aim} | {reached} | {verdict} |",
        scenario.title, figure.title
    )
}

fn table(results: &Results<'_>, scenario: &Scenario, figure: &Figure) -> String {
    let unit = figure.quantity.unit();
    let mut table = format!(
        "| {}, {unit} | median | lowest | highest | help-desk-ws is |\n|---|---|---|---|---|\n",
        figure.title
    );
    let ours = results.values(scenario, Kind::HelpDeskWs, figure);
    for kind in &scenario.servers {
        let values = results.values(scenario, *kind, figure);
        let (Some(middle), Some(low), Some(high)) = (
            median(values.iter().map(|(_, value)| *value)),
            values.iter().map(|(_, value)| *value).reduce(f64::min),
            values.iter().map(|(_, value)| *value).reduce(f64::max),
        ) else {
            // Nothing was measured; the reason stands below.
            let _infallible = writeln!(table, "| {} | - | - | - | |", kind.title());
            continue;
        };
        let comparison = match ratio(&ours, &values) {
            _ if *kind == Kind::HelpDeskWs => String::new(),
            None => String::new(),
            Some(ratio) => {
                let is_ahead = (ratio >= 1.0) == figure.quantity.more_is_better();
                format!("{ratio:.2} ×{}", if is_ahead { "" } else { ", behind" })
            }
        };
        let _infallible = writeln!(
            table,
            "| {} | {} | {} | {} | {comparison} |",
            kind.title(),
            number(middle),
            number(low),
            number(high)
        );
    }
    table
}
