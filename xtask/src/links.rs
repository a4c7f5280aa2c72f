//! Links within the documentation: each must lead to a file that is there, and to a heading in it.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

/// The links of a page that lead nowhere. `path` is where the page is, from the repository's root.
///
/// Addresses of the web are not looked at: a check that needs the network fails without reason.
pub(crate) fn dead(path: &Path, text: &str) -> Vec<String> {
    links(text)
        .filter_map(|(line, target)| {
            let why = why_dead(path, text, target)?;
            Some(format!("line {line} links to {target}: {why}"))
        })
        .collect()
}

fn why_dead(path: &Path, text: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    if target.starts_with('/') {
        return Some("write it relative to this page");
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let other;
    let text = if file.is_empty() {
        text
    } else {
        let file = path.with_file_name(file);
        if !file.exists() {
            return Some("there is no such file");
        }
        if heading.is_empty() || file.extension().is_none_or(|extension| extension != "md") {
            return None;
        }
        other = fs::read_to_string(file).unwrap_or_default();
        &other
    };
    (!anchors(text).contains(heading)).then_some("there is no such heading")
}

/// The targets of `[text](target)` and `[name]: target`, with their line's number.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(number, line)| {
        let definition = line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]: "))
            .map(|(_, target)| target);
        let inline = code_apart(line)
            .filter(|(_, is_code)| !is_code)
            .flat_map(|(part, _)| part.split("](").skip(1));
        inline.chain(definition).filter_map(move |rest| {
            let end = rest.find([')', ' ']).unwrap_or(rest.len());
            (end > 0).then_some((number, &rest[..end]))
        })
    })
}

/// What GitHub calls the headings of a page.
fn anchors(text: &str) -> HashSet<String> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let headings = prose(text).filter_map(|(_, line)| {
        let heading = line.trim_start_matches('#');
        let level = line.len() - heading.len();
        (1..=6).contains(&level).then_some(heading)
    });
    headings
        .filter_map(|heading| heading.strip_prefix(' '))
        .map(|heading| {
            let anchor = anchor(heading.trim());
            let times = seen.entry(anchor.clone()).or_default();
            *times += 1;
            match *times {
                1 => anchor,
                again => format!("{anchor}-{}", again - 1),
            }
        })
        .collect()
}

fn anchor(heading: &str) -> String {
    // Of a link in a heading only its text counts.
    let mut shown = String::new();
    let mut rest = heading;
    while let Some((before, after)) = rest.split_once("](") {
        shown.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    shown.push_str(rest);
    shown
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .flat_map(char::to_lowercase)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// The lines outside of code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence = None;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let line = line.trim_start();
        match fence {
            Some(end) => {
                if line.starts_with(end) {
                    fence = None;
                }
                false
            }
            None => {
                fence = ["```", "~~~"]
                    .into_iter()
                    .find(|fence| line.starts_with(fence));
                fence.is_none()
            }
        }
    })
}

/// The parts of a line between backticks, and those outside.
fn code_apart(line: &str) -> impl Iterator<Item = (&str, bool)> {
    line.split('`')
        .enumerate()
        .map(|(place, part)| (part, place % 2 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As seen from a page in this package's folder, where the tests run.
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(dead(Path::new("page.md"), text), expected, "{text}");
    }

    #[test]
    fn links_to_what_is_there_are_fine() {
        check(
            "[a](Cargo.toml) [b](src/links.rs) and [c](../README.md)",
            &[],
        );
        check(
            "[web](https://example.com/x#y) [mail](mailto:a@example.com)",
            &[],
        );
        check("# One `two`: three\n[here](#one-two-three)", &[]);
        check("# Same\n# Same\n[2](#same-1)", &[]);
        check("## [Linked](Cargo.toml) title\n[1](#linked-title)", &[]);
        check("# Configuración\n[1](#configuración)", &[]);
        check("[name]: Cargo.toml\n", &[]);
        check("[source](src/links.rs#L10)", &[]);
    }

    #[test]
    fn code_has_no_links() {
        check("`[a](nowhere.md)` and\n```md\n[a](nowhere.md)\n```\n", &[]);
        check(
            "~~~\n# Not a heading\n~~~\n[1](#not-a-heading)",
            &["line 4 links to #not-a-heading: there is no such heading"],
        );
    }

    #[test]
    fn dead_links_are_named_with_their_line() {
        check(
            "\n[a](nowhere.md)",
            &["line 2 links to nowhere.md: there is no such file"],
        );
        check(
            "[a](../README.md#no-such-heading)",
            &["line 1 links to ../README.md#no-such-heading: there is no such heading"],
        );
        check(
            "# Other\n[a](#one)",
            &["line 2 links to #one: there is no such heading"],
        );
        check(
            "[a]: nowhere.md",
            &["line 1 links to nowhere.md: there is no such file"],
        );
        check(
            "[a](/README.md)",
            &["line 1 links to /README.md: write it relative to this page"],
        );
        check(
            "[a `code`](nowhere.md \"Title\")",
            &["line 1 links to nowhere.md: there is no such file"],
        );
    }
}
