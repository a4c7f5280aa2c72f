//! `cargo xtask conformance`: real clients against the built servers.
//!
//! The suites are npm projects under the crate that they test. Each has a `run.mjs`, which installs what it
//! needs (npm packages, and a Python virtual environment made by `PYTHON` or `python3`), takes the servers'
//! addresses from the environment and exits with 0 when every suite passed.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::{executables::Executables, metadata, process, server::Server, steps::seconds};

/// What to run.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The crate whose suites to run; all when left out.
    crate_name: Option<Project>,
    /// Passed on to the project's `run.mjs`: names of suites; all when left out.
    #[arg(last = true)]
    suites: Vec<String>,
}

/// A crate with conformance suites in `tests/conformance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Project {
    /// The Socket.IO and Engine.IO server library, by its echo examples.
    HdWsServer,
    /// The service.
    HelpDeskWs,
}

/// Settings of the Engine.IO server whose heartbeat is tested: the suites know them. What a client has to do in
/// time, it has time for on a busy machine.
const HEARTBEAT: [(&str, &str); 2] = [("PING_INTERVAL", "300"), ("PING_TIMEOUT", "2000")];
/// Those of the Socket.IO server.
const ECHO: [(&str, &str); 3] = [
    ("PING_INTERVAL", "300"),
    ("PING_TIMEOUT", "2000"),
    ("CONNECT_TIMEOUT", "3000"),
];
/// Known to the service and to its suites, which sign tokens with it.
const JWT_SECRET: &str = "conformance-secret-of-at-least-32-bytes";
const EMIT_TOKEN: &str = "conformance-emit-token";

/// Runs the suites of one project or all, and fails at the end when one did.
pub(crate) fn run(args: &Args) -> Result<()> {
    // The features of `cargo test --workspace`, so that nothing is compiled twice.
    let executables = Executables::build(&["--workspace", "--bins", "--examples"])?;
    let logs = metadata::target_directory()?.join("conformance");
    let mut failed = Vec::new();
    let projects = args.crate_name.map_or_else(
        || Project::value_variants().to_vec(),
        |project| vec![project],
    );
    for project in &projects {
        let started = Instant::now();
        println!("\n--- conformance of {}", project.name());
        match project.run(&executables, &logs, &args.suites) {
            Ok(()) => println!("ok {} ({})", project.name(), seconds(started.elapsed())),
            Err(error) => {
                println!(
                    "not ok {} ({}): {error:#}",
                    project.name(),
                    seconds(started.elapsed())
                );
                failed.push(project.name());
            }
        }
    }
    println!(
        "\n# projects {}\n# pass {}\n# fail {}",
        projects.len(),
        projects.len() - failed.len(),
        failed.len()
    );
    if !failed.is_empty() {
        bail!("conformance of {} failed", failed.join(" and "));
    }
    Ok(())
}

impl Project {
    fn name(self) -> &'static str {
        match self {
            Self::HdWsServer => "hd-ws-server",
            Self::HelpDeskWs => "help-desk-ws",
        }
    }

    fn run(self, executables: &Executables, logs: &Path, suites: &[String]) -> Result<()> {
        let folder = Path::new("crates")
            .join(self.name())
            .join("tests/conformance");
        let mut runner = Command::new("node");
        runner.arg("run.mjs").args(suites).current_dir(&folder);
        let servers = match self {
            Self::HdWsServer => {
                let echo = Server::start("echo", executables.path("echo")?, &ECHO, logs)?;
                let settings = [&ECHO[..], &[("ALLOW_EIO3", "true")]].concat();
                let eio3 = Server::start("echo-eio3", executables.path("echo")?, &settings, logs)?;
                let settings = [&ECHO[..], &[("PARSER", "msgpack")]].concat();
                let msgpack = Server::start("msgpack", executables.path("echo")?, &settings, logs)?;
                let executable = executables.path("engine_echo")?;
                let engine_echo = Server::start("engine_echo", executable, &[], logs)?;
                let beating = Server::start("heartbeat", executable, &HEARTBEAT, logs)?;
                runner
                    .env("SERVER_URL", echo.url())
                    .env("EIO3_URL", eio3.url())
                    .env("ENGINE_URL", engine_echo.url())
                    .env("HEARTBEAT_URL", beating.url())
                    .env("MSGPACK_URL", msgpack.url());
                vec![echo, eio3, engine_echo, beating, msgpack]
            }
            Self::HelpDeskWs => {
                let settings = [("JWT_SECRET", JWT_SECRET), ("EMIT_TOKEN", EMIT_TOKEN)];
                let executable = executables.path("help-desk-ws")?;
                let service = Server::start("help-desk-ws", executable, &settings, logs)?;
                runner
                    .env("WS_URL", service.url())
                    .env("WS_BIN", executable)
                    .envs(settings);
                vec![service]
            }
        };
        let outcome = process::run(&mut runner);
        for mut server in servers {
            server.check_alive()?;
            if outcome.is_err() {
                println!("{}", server.log_tail());
            }
        }
        outcome
    }
}
