//! The guides name what there is.

use crate::program::{GOOD_SECRET, Program};

const OPERATOR: &str = include_str!("../../../../docs/operator.md");
const GUIA: &str = include_str!("../../../../docs/es/guia.md");
const BACK_END: &str = include_str!("../../../../docs/back-end.md");
const FRONT_END: &str = include_str!("../../../../docs/front-end.md");
const TASK_DEFINITION: &str = include_str!("../../../../docs/deploy/ecs-task-definition.json");

/// Settings whose default is known only at start.
const IN_WORDS: [&str; 4] = [
    "WORKERS",
    "MAX_CONNECTIONS",
    "MAX_UNJOINED_CONNECTIONS",
    "MAX_SOCKETS",
];

#[test]
fn the_guides_have_every_setting_with_its_default() {
    let run = Program::new(&["serve", "--check"]).run();
    for name in run.settings() {
        let (default, source) = run.setting(name);
        for (guide, text) in [("operator.md", OPERATOR), ("guia.md", GUIA)] {
            let row = text
                .lines()
                .find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("{guide} has no row for {name}"));
            let column = row.split(" | ").nth(1).unwrap_or_default();
            // Known only at start, or made up for the run: told in words.
            let is_in_words =
                IN_WORDS.contains(&name) || source == "generated" || default == "not set";
            assert!(
                is_in_words || column == format!("`{default}`"),
                "{guide} says {column} of {name}, which is {default}"
            );
        }
    }
}

#[test]
fn the_guides_have_no_setting_that_is_not_there() {
    let run = Program::new(&["serve", "--check"]).run();
    let known = run.settings();
    for text in [OPERATOR, GUIA] {
        let rows = text.lines().filter_map(|line| {
            let (name, _) = line.strip_prefix("| `")?.split_once("` |")?;
            let is_setting = name.len() > 3
                && name.contains(|c: char| c.is_ascii_uppercase())
                && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            is_setting.then_some(name)
        });
        for name in rows {
            assert!(known.contains(&name), "{name}");
        }
    }
}

#[test]
fn the_service_starts_with_the_settings_of_the_task_definition() {
    let definition: serde_json::Value = serde_json::from_str(TASK_DEFINITION).unwrap();
    let container = &definition["containerDefinitions"][0];
    let mut program = Program::new(&["serve", "--check"]);
    for setting in container["environment"].as_array().unwrap() {
        let (name, value) = (&setting["name"], &setting["value"]);
        program = program.env(name.as_str().unwrap(), value.as_str().unwrap());
    }
    for secret in container["secrets"].as_array().unwrap() {
        program = program.env(secret["name"].as_str().unwrap(), GOOD_SECRET);
    }
    let run = program.run();
    run.check_code(0);
    assert_eq!(run.stderr, "", "no warnings");
}

#[test]
fn the_front_end_guide_has_every_reason_for_a_refused_token() {
    for error in hd_auth::VerifyError::ALL {
        let code = error.reason();
        let is_explained = FRONT_END
            .lines()
            .any(|line| line.starts_with('|') && line.contains(&format!("`{code}`")));
        assert!(is_explained, "{code}");
    }
}

#[test]
fn the_back_end_guides_have_every_reason_for_a_refused_command() {
    for code in hd_events::EmitError::CODES {
        for (guide, text) in [("back-end.md", BACK_END), ("guia.md", GUIA)] {
            let is_explained = text
                .lines()
                .any(|line| line.starts_with("| 4") && line.contains(&format!("`{code}`")));
            assert!(is_explained, "{guide} has no row for {code}");
        }
    }
}
