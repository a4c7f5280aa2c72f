//! `docs/security.md` names tests that there are.

use std::path::Path;

#[test]
fn every_test_that_the_page_names_is_there() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = crates.join("../docs/security.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let tests = row.rsplit(" | ").next().unwrap_or_default();
        let names = tests.split('`').filter_map(|text| text.split_once("::"));
        for (topic, name) in names {
            let (package, topic) = topic.split_once('/').unwrap();
            let file = crates.join(format!("{package}/tests/it/{topic}.rs"));
            let source = std::fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert!(
                source.contains(&format!("fn {name}(")),
                "{package} has no {topic}::{name}"
            );
            named += 1;
        }
    }
    assert!(named > 60, "{named}");
}
