//! `cargo xtask test`: every test of the repository.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{
    conformance, node_modules,
    process::{cargo, run as run_command, succeeds},
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
    let has_redis = succeeds(Command::new("redis-server").arg("--version"));
    steps.run("cargo test", || {
        let mut test = cargo();
        test.args(["test", "--workspace"]);
        if !has_redis {
            test.args(["--exclude", "hd-cluster"]);
        }
        run_command(&mut test)
    })?;
    steps.run("conformance", || {
        conformance::run(&conformance::Args::default())
    })?;
    if !has_redis {
        println!(
            "\nNOT RUN, since there is no redis-server in PATH: the tests of hd-cluster, and of several processes"
        );
    }
    let browsers = ["chromium", "google-chrome"];
    if std::env::var_os("CHROMIUM").is_none()
        && !browsers
            .iter()
            .any(|browser| succeeds(Command::new(browser).arg("--version")))
    {
        println!("\nNOT RUN, since there is no chromium in PATH: the tests of pages in a browser");
    }
    if !succeeds(Command::new("nginx").arg("-v")) {
        println!("\nNOT RUN, since there is no nginx in PATH: the test of pages behind nginx");
    }
    Ok(())
}
