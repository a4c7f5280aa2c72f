//! The second checker: a program of Python that judges what was written down of a run, apart from the first.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;

const FOLDER: &str = "xtask/faults/checker";
/// Counts that both have: the name in the report of the load, and in the verdict of the second checker.
const COMMON: [(&str, &str); 11] = [
    ("acknowledged", "acknowledged"),
    ("received", "received"),
    ("told", "notified"),
    ("recovered", "recovered"),
    ("lost", "lost"),
    ("duplicated", "duplicated"),
    ("reordered", "reordered"),
    ("misdelivered", "misdelivered"),
    ("excused", "excused"),
    ("forgotten", "forgotten"),
    ("appendedTwice", "appended_twice"),
];
/// Breaches that the first checker does not look for.
const OWN: [&str; 4] = ["overtaken", "invented", "unreasoned", "malformed"];

/// Runs its own tests.
pub(crate) fn check() -> Result<()> {
    let mut tests = Command::new("python3");
    process::run(tests.args(["-m", "unittest", "discover", "-q", "-s", FOLDER]))
}

/// Has it judge a history. Returns what only it has found, and where it differs from `report`.
pub(crate) fn compare(history: &Path, report: &Value) -> Result<Vec<String>> {
    let mut command = Command::new("python3");
    command.arg(format!("{FOLDER}/judge.py")).arg(history);
    let verdict: Value = serde_json::from_str(&process::output(&mut command)?)?;
    Ok(breaches(report, &verdict))
}

/// Breaks a good history in every way. Fails when the second checker does not notice one of them.
pub(crate) fn mutate(history: &Path) -> Result<()> {
    let output = Command::new("python3")
        .arg(format!("{FOLDER}/mutate.py"))
        .arg(history)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start python3")?;
    if !output.status.success() {
        bail!(
            "the second checker does not notice a broken history:\n{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(())
}

fn breaches(report: &Value, verdict: &Value) -> Vec<String> {
    let count = |value: &Value, name: &str| value[name].as_u64();
    let own = OWN.iter().filter_map(|name| {
        let count = count(verdict, name).filter(|count| *count > 0)?;
        Some(format!("{count} {name} {}", verdict["examples"][name][0]))
    });
    let different = COMMON.iter().filter_map(|(first, second)| {
        let (ours, theirs) = (count(report, first), count(verdict, second));
        (ours.is_none() || ours != theirs).then(|| {
            let shown = |count: Option<u64>| {
                count.map_or_else(|| "none".to_owned(), |count| count.to_string())
            };
            format!(
                "the checkers disagree: {second} {} and {}",
                shown(ours),
                shown(theirs)
            )
        })
    });
    own.chain(different).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_count_on_which_the_checkers_disagree_is_a_breach() {
        let mut report = json!({});
        let mut verdict = json!({"overtaken": 0, "invented": 0, "unreasoned": 0, "malformed": 0});
        for (first, second) in COMMON {
            report[first] = json!(3);
            verdict[second] = json!(3);
        }
        assert_eq!(breaches(&report, &verdict), Vec::<String>::new());
        verdict["notified"] = json!(4);
        verdict["invented"] = json!(1);
        verdict["examples"] = json!({"invented": ["page 1"]});
        assert_eq!(
            breaches(&report, &verdict),
            [
                "1 invented \"page 1\"",
                "the checkers disagree: notified 3 and 4"
            ]
        );
    }
}
