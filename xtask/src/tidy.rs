//! `cargo xtask tidy`: rules of this repository that no compiler knows.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::CommandFactory;

use crate::{
    Cli, links,
    metadata::{Metadata, Package},
    process,
};

/// Checks every rule and fails with all offences.
pub(crate) fn run() -> Result<()> {
    let metadata = Metadata::read()?;
    let mut offences: Vec<String> = metadata
        .members()
        .flat_map(|package| layering(&metadata, package))
        .collect();
    for package in metadata.members() {
        offences.extend(member(package)?);
    }
    for path in files()? {
        // What is not text has no lines to check.
        if let Ok(text) = fs::read_to_string(&path) {
            offences.extend(file(&path, &text));
        }
    }
    if !offences.is_empty() {
        bail!("{} offences:\n  {}", offences.len(), offences.join("\n  "));
    }
    Ok(())
}

/// Crates and what must not be linked into them, directly or not.
const LAYERS: [(&[&str], &[&str]); 3] = [
    // No runtime, no sockets, no clock: usable by any other service, and testable without waiting.
    (
        &[
            "engineio-proto",
            "socketio-proto",
            "socketio-adapter-proto",
            "hd-auth",
            "hd-events",
            "hd-replay",
            "hd-rooms",
        ],
        &["tokio", "hyper", "mio", "socket2", "tracing"],
    ),
    // A server for anyone's namespaces: it knows nothing of help desks, their tokens or their events.
    (&["hd-ws-server"], &["hd-auth", "hd-events", "jsonwebtoken"]),
    // A log, whoever reads it.
    (
        &["hd-cluster"],
        &["hd-ws-server", "hd-auth", "hd-events", "hyper"],
    ),
];

fn layering(metadata: &Metadata, package: &Package) -> Vec<String> {
    let linked = metadata.linked_into(package);
    let layers = LAYERS
        .iter()
        .filter(|(crates, _)| crates.contains(&package.name.as_str()));
    let forbidden = layers
        .flat_map(|(_, forbidden)| *forbidden)
        .filter(|name| linked.contains(*name));
    forbidden
        .map(|name| format!("{} must not depend on {name}", package.name))
        .collect()
}

/// A crate's folder has its name, and its manifest takes the lints of the workspace.
fn member(package: &Package) -> Result<Vec<String>> {
    let mut offences = Vec::new();
    let folder = package.manifest_path.parent().and_then(Path::file_name);
    if folder.is_none_or(|folder| folder != package.name.as_str()) {
        offences.push(format!("{} is in a folder of another name", package.name));
    }
    let manifest: toml::Table = fs::read_to_string(&package.manifest_path)?.parse()?;
    let lints = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    if lints.and_then(toml::Value::as_bool) != Some(true) {
        offences.push(format!(
            "{} does not take the lints of the workspace",
            package.name
        ));
    }
    Ok(offences)
}

/// What git tracks, and what it would if it were added now.
fn files() -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let names = process::output(&mut git).context("tidy needs git and a checkout")?;
    Ok(names
        .split_terminator('\0')
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .collect())
}

fn file(path: &Path, text: &str) -> Vec<String> {
    let mut offences = machine_paths(text);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => {
            if path.ends_with("src/lib.rs") {
                offences.extend(beyond_a_table_of_contents(text));
            }
            let lines = text.lines().count();
            if lines > MAX_LINES {
                println!(
                    "warning: {} has {lines} lines; split it by concept",
                    path.display()
                );
            }
        }
        Some("md") => {
            offences.extend(unknown_commands(text));
            offences.extend(links::dead(path, text));
        }
        _ => {}
    }
    offences
        .into_iter()
        .map(|offence| format!("{}: {offence}", path.display()))
        .collect()
}

const MAX_LINES: usize = 600;

/// Absolute paths that exist on the machine of whoever wrote the file.
fn machine_paths(text: &str) -> Vec<String> {
    // In two halves, or this file would offend.
    let roots = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/tmp/ta", "rget"),
    ];
    let mut offences = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for root in roots {
            // Not within a longer path or an address, as in the address of a page.
            let starts_a_path = |(at, _)| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~}*".contains(c))
            };
            if line.match_indices(root).any(starts_a_path) {
                offences.push(format!("line {number} names {root}, a path of one machine"));
            }
        }
    }
    offences
}

/// A lib.rs is documentation, `mod` and `use`.
fn beyond_a_table_of_contents(text: &str) -> Option<String> {
    let mut inside = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(end) = inside {
            if line.ends_with(end) {
                inside = None;
            }
            continue;
        }
        let item = line
            .strip_prefix("pub(crate) ")
            .or_else(|| line.strip_prefix("pub "))
            .unwrap_or(line);
        let (allowed, end) = if line.starts_with("#[") || line.starts_with("#![") {
            (true, "]")
        } else if item.starts_with("use ") || item.starts_with("mod ") {
            (!item.ends_with('{') || item.starts_with("use "), ";")
        } else {
            (line.is_empty() || line.starts_with("//"), line)
        };
        if !allowed {
            return Some(format!(
                "line {number} is neither documentation nor `mod` nor `use`"
            ));
        }
        inside = (!line.ends_with(end)).then_some(end);
    }
    None
}

/// Commands of this program that a page shows and that do not exist.
fn unknown_commands(text: &str) -> Vec<String> {
    let known = Cli::command();
    let shown = text.split("cargo xtask ").skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .unwrap_or(rest.len());
        &rest[..end]
    });
    let unknown = shown.filter(|name| {
        !name.is_empty() && !name.starts_with('-') && known.find_subcommand(name).is_none()
    });
    unknown
        .map(|name| format!("shows `cargo xtask {name}`, which does not exist"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_one_machine_is_an_offence() {
        let path = concat!("/wo", "rk/main");
        assert_eq!(machine_paths(&format!("one\nsee {path}\n")).len(), 1);
        assert_eq!(machine_paths(&format!("`{path}`")).len(), 1);
        assert_eq!(
            machine_paths(&format!("https://example.com{path}")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_lib_rs_is_a_table_of_contents() {
        let contents = "//! Docs.\n\n#![doc(\n    html_root_url = \"\"\n)]\nmod a;\n// Why.\npub mod b;\n\
                        pub use a::{\n    A,\n    B,\n};\n#[cfg(test)]\nmod tests;\npub(crate) use b::C;\n";
        assert_eq!(beyond_a_table_of_contents(contents), None);
        for code in [
            "pub fn f() {}",
            "mod tests {",
            "const N: usize = 1;",
            "impl A {}",
        ] {
            let offence = beyond_a_table_of_contents(&format!("mod a;\n{code}\n")).unwrap();
            assert!(offence.starts_with("line 2 "), "{code}: {offence}");
        }
    }

    #[test]
    fn a_page_shows_only_commands_that_exist() {
        assert_eq!(
            unknown_commands("Run `cargo xtask test`, `cargo xtask --help` or cargo xtask ci."),
            Vec::<String>::new()
        );
        assert_eq!(
            unknown_commands("Run `cargo xtask fly`."),
            ["shows `cargo xtask fly`, which does not exist"]
        );
    }
}
