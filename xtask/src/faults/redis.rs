//! A Redis of the rig's own.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, ensure};

use super::daemon::{Daemon, Signal};
use super::dimensions::Persistence;
use super::rig::PLACES;
use crate::process;

/// `redis-server`. Without persistence one that is started again is empty.
#[derive(Debug)]
pub(crate) struct Redis {
    name: &'static str,
    port: u16,
    persistence: Persistence,
    folder: PathBuf,
    daemon: Daemon,
}

impl Redis {
    /// Starts it; `name` is that of its log.
    pub(crate) fn start(
        name: &'static str,
        port: u16,
        persistence: Persistence,
        folder: &Path,
    ) -> Result<Self> {
        Ok(Self {
            name,
            port,
            persistence,
            folder: folder.to_owned(),
            daemon: start(name, port, persistence, folder)?,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where a node reaches it, each by an address of its own.
    pub(crate) fn url(&self, node: usize) -> String {
        format!("redis://{}:{}", address_for(node), self.port)
    }

    /// Makes it the replica of another one.
    pub(crate) fn follow(&self, master: u16) -> Result<()> {
        let answer = self.ask(&["REPLICAOF", "127.0.0.1", &master.to_string()])?;
        ensure!(answer.starts_with("OK"), "REPLICAOF: {answer}");
        Ok(())
    }

    /// What it answers, each value on a line.
    pub(crate) fn ask(&self, command: &[&str]) -> Result<String> {
        ask(self.port, command)
    }

    /// The ids of emits that it remembers.
    pub(crate) fn ids(&self) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for bucket in self.ask(&["KEYS", "*:ids:*"])?.lines() {
            ids.extend(self.ask(&["HKEYS", bucket])?.lines().map(str::to_owned));
        }
        Ok(ids)
    }

    /// How many commands it has carried out.
    pub(crate) fn commands(&self) -> Result<u64> {
        let statistics = self.ask(&["INFO", "stats"])?;
        let line = statistics
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        Ok(line.map_or("", str::trim).parse()?)
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.daemon.kill()
    }

    /// Starts it again, with what is on disk, after [`kill`](Self::kill).
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.daemon = start(self.name, self.port, self.persistence, &self.folder)?;
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.daemon.signal(signal)
    }

    /// Cuts every connection but the one that asks.
    pub(crate) fn cut_all_clients(&self) -> Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        for kind in ["normal", "pubsub"] {
            stream.write_all(format!("CLIENT KILL TYPE {kind} SKIPME yes\r\n").as_bytes())?;
            let mut answer = [0; 64];
            let length = stream.read(&mut answer)?;
            let answer = String::from_utf8_lossy(&answer[..length]);
            ensure!(answer.starts_with(':'), "Redis says {answer}");
        }
        Ok(())
    }
}

/// By this address a node reaches its Redis, so that its packets can be told from those of others.
pub(crate) fn address_for(node: usize) -> String {
    format!("127.0.1.{}", node + 1)
}

/// What a Redis or a Sentinel answers, each value on a line.
pub(crate) fn ask(port: u16, command: &[&str]) -> Result<String> {
    let port = port.to_string();
    let mut cli = Command::new("redis-cli");
    process::output(cli.args(["-p", &port, "--raw"]).args(command))
}

fn start(name: &str, port: u16, persistence: Persistence, folder: &Path) -> Result<Daemon> {
    let mut command = Command::new("redis-server");
    let port_argument = port.to_string();
    command.args(["--port", &port_argument, "--bind", "127.0.0.1"]);
    command.args((0..PLACES).map(address_for));
    let append_only = match persistence {
        Persistence::Nothing | Persistence::Snapshot => "no",
        Persistence::AppendOnly => "yes",
    };
    command.args(["--save", "", "--appendonly", append_only]);
    let mut daemon = Daemon::start(name, &command, folder, false)?;
    daemon.wait_until_it_listens(port)?;
    Ok(daemon)
}
