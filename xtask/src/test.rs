//! `cargo xtask test`: every test of the repository.

use std::path::Path;

use anyhow::Result;

use crate::{
    conformance, node_modules,
    process::{cargo, run as run_command},
    steps::Steps,
};

/// Scripts that ask Node's own libraries, run by `cargo test`. The conformance projects install for themselves.
const NODE_PROJECTS: [&str; 1] = ["crates/hd-auth/tests/node"];

/// Installs what the tests need, runs `cargo test` (documentation examples included) and the conformance suites.
pub(crate) fn run(steps: &mut Steps) -> Result<()> {
    for project in NODE_PROJECTS {
        steps.run(&format!("npm ci in {project}"), || {
            node_modules::install(Path::new(project))
        })?;
    }
    steps.run("cargo test", || {
        run_command(cargo().args(["test", "--workspace"]))
    })?;
    steps.run("conformance", || {
        conformance::run(&conformance::Args::default())
    })
}
