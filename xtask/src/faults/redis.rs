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

/// `redis-server` without persistence: whoever restarts it has an empty one.
#[derive(Debug)]
pub(crate) struct Redis {
    port: u16,
    folder: PathBuf,
    daemon: Daemon,
}

impl Redis {
    pub(crate) fn start(port: u16, folder: &Path) -> Result<Self> {
        Ok(Self {
            port,
            folder: folder.to_owned(),
            daemon: start(port, folder)?,
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.daemon.kill()
    }

    /// Starts it again, empty, after [`kill`](Self::kill).
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.daemon = start(self.port, &self.folder)?;
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

fn start(port: u16, folder: &Path) -> Result<Daemon> {
    let mut command = Command::new("redis-server");
    let port_argument = port.to_string();
    command.args(["--port", &port_argument, "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no"]);
    let mut daemon = Daemon::start("redis", &command, folder, false)?;
    daemon.wait_until_it_listens(port)?;
    Ok(daemon)
}
