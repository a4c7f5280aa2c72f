//! What `cargo metadata` says about the workspace and its dependencies.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process::{self, cargo};

/// The packages of Cargo.lock and who depends on whom, with every feature on.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

/// One package, ours or not.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// The SPDX expression, if the package has one.
    pub(crate) license: Option<String>,
    /// Where it came from; `None` for a path in this repository.
    pub(crate) source: Option<String>,
    /// What its manifest asks for.
    pub(crate) dependencies: Vec<Requirement>,
    pub(crate) manifest_path: PathBuf,
}

/// A dependency as a manifest states it.
#[derive(Debug, Deserialize)]
pub(crate) struct Requirement {
    pub(crate) name: String,
    pub(crate) req: String,
    pub(crate) source: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Debug, Deserialize)]
struct DependencyKind {
    /// `None` is a normal dependency; `dev` and `build` are named.
    kind: Option<String>,
}

impl Metadata {
    /// Reads the workspace at the current folder, and fails when Cargo.lock is out of date.
    pub(crate) fn read() -> Result<Self> {
        let json = process::output(cargo().args([
            "metadata",
            "--format-version=1",
            "--all-features",
            "--locked",
        ]))?;
        serde_json::from_str(&json).context("cannot read the output of `cargo metadata`")
    }

    /// The packages of this workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The packages from elsewhere.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| !self.workspace_members.contains(&package.id))
    }

    /// The names of all that is linked into `package`: its normal dependencies, and theirs.
    pub(crate) fn linked_into(&self, package: &Package) -> BTreeSet<&str> {
        let names: BTreeMap<_, _> = self
            .packages
            .iter()
            .map(|package| (&package.id, package.name.as_str()))
            .collect();
        let nodes: BTreeMap<_, _> = self
            .resolve
            .nodes
            .iter()
            .map(|node| (&node.id, node))
            .collect();
        let mut seen = BTreeSet::new();
        let mut open = vec![&package.id];
        while let Some(id) = open.pop() {
            let dependencies = nodes.get(id).map_or(&[][..], |node| &node.deps);
            let normal = dependencies
                .iter()
                .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()));
            open.extend(
                normal
                    .map(|dependency| &dependency.pkg)
                    .filter(|id| seen.insert(*id)),
            );
        }
        seen.into_iter()
            .filter_map(|id| names.get(id).copied())
            .collect()
    }
}

/// The folder `target`, wherever it is.
pub(crate) fn target_directory() -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Target {
        target_directory: PathBuf,
    }
    let json = process::output(cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    let target: Target =
        serde_json::from_str(&json).context("cannot read the output of `cargo metadata`")?;
    Ok(target.target_directory)
}
