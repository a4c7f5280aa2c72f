//! The servers that are compared: how each is built and started.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    metadata, node_modules,
    process::{self, cargo},
    server::Server,
};

/// A server under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// A bare loop: one send(2) for each delivery, and nothing else.
    Limit,
    /// The same, with one send(2) for all that is pending for a socket.
    LimitMerged,
    /// This service.
    HelpDeskWs,
    /// socketioxide on axum.
    Socketioxide,
    /// Socket.IO on Node's http.
    SocketIo,
    /// The service that this one replaces: NestJS.
    Nestjs,
}

/// Executables and folders, ready to run.
#[derive(Debug)]
pub(crate) struct Built {
    target: PathBuf,
    logs: PathBuf,
}

/// The highest rate that can be set.
const NO_LIMIT: &str = "1000000000";
/// Of this service: the generator is one caller, and emits as fast as it is answered.
pub(crate) const UNLIMITED: [(&str, &str); 5] = [
    ("MAX_EMITS_PER_SECOND", NO_LIMIT),
    ("MAX_EMIT_BYTES_PER_SECOND", NO_LIMIT),
    ("MAX_RECIPIENTS_PER_SECOND", NO_LIMIT),
    ("MAX_CONCURRENT_EMITS", "1000000"),
    // It does not connect again.
    ("MAX_REQUESTS_PER_CONNECTION", "1000000000"),
];
pub(crate) const JWT_SECRET: &str = "benchmark-secret-of-at-least-32-bytes-long";
pub(crate) const EMIT_TOKEN: &str = "benchmark-emit-token-of-at-least-32-bytes";
const PEERS: &str = "xtask/bench";

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Limit,
        Self::LimitMerged,
        Self::HelpDeskWs,
        Self::Socketioxide,
        Self::SocketIo,
        Self::Nestjs,
    ];

    /// Its name in tables.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::LimitMerged => "limit, merged",
            Self::HelpDeskWs => "help-desk-ws",
            Self::Socketioxide => "socketioxide",
            Self::SocketIo => "Socket.IO",
            Self::Nestjs => "NestJS",
        }
    }
}

/// Builds what these servers, and the generator, need.
pub(crate) fn build(kinds: &[Kind]) -> Result<Built> {
    let target = metadata::target_directory()?;
    let mut release = cargo();
    release.args(["build", "--release", "--locked", "--package", "hd-loadgen"]);
    if kinds.contains(&Kind::HelpDeskWs) {
        release.args(["--package", "help-desk-ws"]);
    }
    process::run(&mut release)?;
    for kind in kinds {
        match kind {
            Kind::Limit | Kind::LimitMerged | Kind::HelpDeskWs => {}
            Kind::Socketioxide => process::run(
                cargo()
                    .args(["build", "--release", "--locked", "--manifest-path"])
                    .arg(format!("{PEERS}/socketioxide/Cargo.toml"))
                    .env("CARGO_TARGET_DIR", target.join("bench-socketioxide")),
            )?,
            Kind::SocketIo => node_modules::install(format!("{PEERS}/socket.io").as_ref())?,
            Kind::Nestjs => {
                let folder = format!("{PEERS}/nestjs");
                node_modules::install(folder.as_ref())?;
                process::run(
                    Command::new("npm")
                        .args(["run", "build"])
                        .current_dir(folder),
                )?;
            }
        }
    }
    Ok(Built {
        logs: target.join("bench"),
        target,
    })
}

impl Built {
    /// The load generator.
    pub(crate) fn generator(&self) -> PathBuf {
        self.target.join("release/hd-loadgen")
    }

    /// Starts a server on a free port, pinned to these cores.
    pub(crate) fn start(&self, kind: Kind, cores: &str, workers: usize) -> Result<Server> {
        let workers = workers.to_string();
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", cores]);
        let mut settings = vec![
            ("JWT_SECRET", JWT_SECRET),
            ("EMIT_TOKEN", EMIT_TOKEN),
            ("HOST", "127.0.0.1"),
        ];
        match kind {
            Kind::Limit => {
                command.arg(self.generator()).arg("limit");
            }
            Kind::LimitMerged => {
                command.arg(self.generator()).args(["limit", "--merge"]);
            }
            Kind::HelpDeskWs => {
                command.arg(self.target.join("release/help-desk-ws"));
                // No peer writes a line for each client.
                settings.extend([("LOG_LEVEL", "warn"), ("WORKERS", &workers)]);
                settings.extend(UNLIMITED);
            }
            Kind::Socketioxide => {
                command.arg(
                    self.target
                        .join("bench-socketioxide/release/bench-socketioxide"),
                );
                settings.push(("TOKIO_WORKER_THREADS", &workers));
            }
            Kind::SocketIo => {
                command
                    .arg("node")
                    .arg(fs::canonicalize(format!("{PEERS}/socket.io/server.mjs"))?);
                settings.push(("NODE_ENV", "production"));
            }
            Kind::Nestjs => {
                command
                    .arg("node")
                    .arg(fs::canonicalize(format!("{PEERS}/nestjs/dist/main.js"))?);
                settings.push(("NODE_ENV", "production"));
            }
        }
        Server::start_command(kind.title(), command, &settings, &self.logs)
    }

    /// Versions of everything that is compared.
    pub(crate) fn versions(&self) -> Result<Vec<(&'static str, String)>> {
        let lock = |folder: &str, package: &str| -> Result<String> {
            let path = format!("{PEERS}/{folder}/package-lock.json");
            let lock: serde_json::Value =
                serde_json::from_str(&fs::read_to_string(&path).with_context(|| path.clone())?)?;
            let version = &lock["packages"][format!("node_modules/{package}")]["version"];
            Ok(version.as_str().unwrap_or("unknown").to_owned())
        };
        let socketioxide: toml::Value = toml::from_str(&fs::read_to_string(format!(
            "{PEERS}/socketioxide/Cargo.lock"
        ))?)?;
        let crates = socketioxide["package"].as_array().into_iter().flatten();
        let version_of = |name: &str| {
            crates
                .clone()
                .find(|package| package["name"].as_str() == Some(name))
                .and_then(|package| package["version"].as_str())
                .unwrap_or("unknown")
                .to_owned()
        };
        Ok(vec![
            (
                "help-desk-ws",
                process::output(Command::new("git").args(["describe", "--always", "--dirty"]))?
                    .trim()
                    .to_owned(),
            ),
            (
                "rustc",
                process::output(Command::new("rustc").arg("--version"))?
                    .trim()
                    .to_owned(),
            ),
            (
                "socketioxide",
                format!(
                    "{} on axum {}",
                    version_of("socketioxide"),
                    version_of("axum")
                ),
            ),
            ("socket.io", lock("socket.io", "socket.io")?),
            ("NestJS", lock("nestjs", "@nestjs/core")?),
            (
                "Node.js",
                process::output(Command::new("node").arg("--version"))?
                    .trim()
                    .to_owned(),
            ),
        ])
    }
}
