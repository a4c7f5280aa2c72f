//! Building the workspace's programs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process::{self, cargo};

/// Built programs, by the name of their target.
#[derive(Debug)]
pub(crate) struct Executables(BTreeMap<String, PathBuf>);

/// One line of cargo's JSON output, as far as it is needed here.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Executables {
    /// Runs `cargo build` with `arguments`; compiler errors are shown.
    pub(crate) fn build(arguments: &[&str]) -> Result<Self> {
        println!("$ cargo build {}", arguments.join(" "));
        let mut build = cargo();
        build
            .arg("build")
            .args(arguments)
            .arg("--message-format=json-render-diagnostics");
        let mut executables = BTreeMap::new();
        for line in process::output(&mut build)?.lines() {
            let message: Message =
                serde_json::from_str(line).context("cannot read the output of `cargo build`")?;
            if let Message {
                executable: Some(path),
                target: Some(target),
            } = message
            {
                executables.insert(target.name, path);
            }
        }
        Ok(Self(executables))
    }

    /// Where a program is.
    pub(crate) fn path(&self, name: &str) -> Result<&Path> {
        self.0
            .get(name)
            .map(PathBuf::as_path)
            .with_context(|| format!("cargo built no program `{name}`"))
    }
}
