//! The servers that are compared as clusters: how each is built, and how an instance of it is started.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
};

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::servers::{self, EMIT_TOKEN, JWT_SECRET};
use crate::{
    metadata, node_modules,
    process::{self, cargo},
    server::Server,
};

/// A server, some instances of which share a Redis.
#[derive(Debug, Clone)]
pub(crate) enum Contender {
    /// A binary of help-desk-ws.
    Ours { name: String, path: PathBuf },
    /// Socket.IO (Node.js).
    Peer(Peer),
}

/// The adapter that joins instances of Socket.IO (Node.js).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// `@socket.io/redis-streams-adapter`, with connection state recovery.
    Streams,
    /// `createAdapter` of `@socket.io/redis-adapter`.
    Classic,
    /// `createShardedAdapter` of `@socket.io/redis-adapter`, a channel for each room.
    Sharded,
}

const SOCKET_IO: &str = "xtask/bench/socket.io";

impl Peer {
    pub(crate) const ALL: [Self; 3] = [Self::Streams, Self::Classic, Self::Sharded];

    const fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Classic => "classic",
            Self::Sharded => "sharded",
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Contender {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, path) = text.split_once('=').unwrap_or(("help-desk-ws", text));
        let path = fs::canonicalize(path).with_context(|| format!("no binary at {path}"))?;
        Ok(Self::Ours {
            name: name.to_owned(),
            path,
        })
    }
}

/// Builds what is to be measured, and the generator. Ours come first.
pub(crate) fn prepare(binaries: &[Contender], peers: &[Peer]) -> Result<Vec<Contender>> {
    let mut release = cargo();
    release.args(["build", "--release", "--locked", "--package", "hd-loadgen"]);
    if binaries.is_empty() {
        release.args(["--package", "help-desk-ws"]);
    }
    process::run(&mut release)?;
    if !peers.is_empty() {
        node_modules::install(Path::new(SOCKET_IO))?;
    }
    let mut contenders = binaries.to_vec();
    if contenders.is_empty() {
        contenders.push(Contender::Ours {
            name: "help-desk-ws".to_owned(),
            path: metadata::target_directory()?.join("release/help-desk-ws"),
        });
    }
    contenders.extend(peers.iter().copied().map(Contender::Peer));
    Ok(contenders)
}

impl Contender {
    /// Its name in tables.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Ours { name, .. } => name.clone(),
            Self::Peer(peer) => format!("Socket.IO, {peer} adapter"),
        }
    }

    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Ours { .. })
    }

    /// Starts one instance; returns once it accepts connections.
    pub(crate) fn start(&self, index: usize, redis_url: &str, logs: &Path) -> Result<Server> {
        let mut settings = vec![
            ("JWT_SECRET", JWT_SECRET),
            ("EMIT_TOKEN", EMIT_TOKEN),
            ("HOST", "127.0.0.1"),
            ("REDIS_URL", redis_url),
        ];
        let command = match self {
            Self::Ours { path, .. } => {
                settings.extend(servers::UNLIMITED);
                settings.extend([("LOG_LEVEL", "warn"), ("WORKERS", "1")]);
                Command::new(path)
            }
            Self::Peer(peer) => {
                settings.extend([("NODE_ENV", "production"), ("ADAPTER", peer.name())]);
                let mut command = Command::new("node");
                command.arg(fs::canonicalize(format!("{SOCKET_IO}/server.mjs"))?);
                command
            }
        };
        Server::start_command(&format!("instance-{index}"), command, &settings, logs)
    }
}

/// Versions of everything that is compared.
pub(crate) fn versions(contenders: &[Contender]) -> Result<Vec<(String, String)>> {
    let mut versions = Vec::new();
    for contender in contenders {
        if let Contender::Ours { name, path } = contender {
            let output = process::output(Command::new(path).arg("--version"))?;
            versions.push((name.clone(), output.trim().to_owned()));
        }
    }
    let path = format!("{SOCKET_IO}/package-lock.json");
    let lock: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).with_context(|| path.clone())?)?;
    for package in [
        "socket.io",
        "@socket.io/redis-streams-adapter",
        "@socket.io/redis-adapter",
        "redis",
    ] {
        let version = &lock["packages"][format!("node_modules/{package}")]["version"];
        let version = version.as_str().unwrap_or("unknown").to_owned();
        versions.push((package.to_owned(), version));
    }
    for (program, index) in [("redis-server", 2), ("node", 0)] {
        let output = process::output(Command::new(program).arg("--version"))?;
        let version = output.split_whitespace().nth(index).unwrap_or("unknown");
        versions.push((
            program.to_owned(),
            version.trim_start_matches("v=").to_owned(),
        ));
    }
    Ok(versions)
}
