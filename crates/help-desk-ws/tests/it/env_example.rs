//! `.env.example`.

use crate::program::Program;

const EXAMPLE: &str = include_str!("../../../../.env.example");

#[test]
fn a_copy_of_the_example_works_as_it_stands() {
    let copied = Program::new(&["serve", "--check"])
        .file(".env", EXAMPLE)
        .run();
    let without = Program::new(&["serve", "--check"]).run();
    copied.check_code(0);
    assert_eq!(copied.stdout, without.stdout);
}

#[test]
fn the_example_shows_every_variable_with_its_default() {
    let shown: Vec<(&str, &str)> = EXAMPLE
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .filter(|(name, _)| !name.contains(' '))
        .collect();
    let run = Program::new(&["serve", "--check"]).run();
    let names: Vec<&str> = shown.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, run.settings());

    for (name, value) in shown {
        let (default, source) = run.setting(name);
        match (name, source.as_str()) {
            ("WORKERS" | "MAX_CONNECTIONS" | "MAX_UNJOINED_CONNECTIONS" | "MAX_SOCKETS", _) => {}
            (_, "generated") => assert_eq!(value, ""),
            _ if default == "not set" => assert_eq!(value, ""),
            _ => assert_eq!(value, default, "{name}"),
        }
    }
}

#[test]
fn the_example_works_with_its_lines_uncommented() {
    let uncommented: String = EXAMPLE
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()) && line.contains('='))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(uncommented.contains("PORT=3001\n"));
    let run = Program::new(&["--check"]).file(".env", uncommented).run();
    assert_eq!(run.setting("PORT"), ("3001".into(), ".env".into()));
}
