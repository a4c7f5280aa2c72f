//! A server that is started for a while and stopped with its handle.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::ports::free_ports;

/// How long a server may take to listen; a debug build on a busy machine needs a part of a second.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_INTERVAL: Duration = Duration::from_millis(2);
/// What is shown of a log, in bytes from its end.
const LOG_TAIL: usize = 4096;

/// Where a server's standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// To its log, as its errors do.
    Logged,
    /// To a pipe that nobody reads for as long as the server runs.
    Unread,
}

/// A running server; dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts `executable` with its port in `PORT`, and returns once it accepts connections.
    ///
    /// It sees only the settings given here, none of the developer's: neither the environment nor a `.env`,
    /// since it runs in `folder`, which also gets its log.
    pub(crate) fn start(
        name: &str,
        executable: &Path,
        settings: &[(&str, &str)],
        folder: &Path,
    ) -> Result<Self> {
        let server = Self::start_command(name, Command::new(executable), settings, folder)?;
        println!(
            "{name} listens on {} (log: {})",
            server.url(),
            server.log.display()
        );
        Ok(server)
    }

    /// As [`start`](Self::start), for a program that is started by another one, or with arguments.
    pub(crate) fn start_command(
        name: &str,
        command: Command,
        settings: &[(&str, &str)],
        folder: &Path,
    ) -> Result<Self> {
        Self::start_with_output(name, command, settings, folder, Output::Logged)
    }

    /// As [`start_command`](Self::start_command), with its standard output where it is wanted.
    pub(crate) fn start_with_output(
        name: &str,
        mut command: Command,
        settings: &[(&str, &str)],
        folder: &Path,
        output: Output,
    ) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let stdout = match output {
            Output::Logged => Stdio::from(file.try_clone()?),
            // The handle of the child keeps the other end open.
            Output::Unread => Stdio::piped(),
        };
        let [port] = free_ports()?;
        let child = command
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(settings.iter().copied())
            .env("PORT", port.to_string())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut server = Self {
            name: name.to_owned(),
            child,
            port,
            log,
        };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    /// Where to reach it, by address.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The process; what `taskset` starts has its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where to reach it.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The end of what it printed, for a failure's report.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned()
    }

    /// Fails when the server ended by itself.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "{} ended by itself: {status}; its last words:\n{}",
                self.name,
                self.log_tail()
            );
        }
        Ok(())
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect_timeout(&address, CONNECT_INTERVAL).is_err() {
            self.check_alive()?;
            if Instant::now() > deadline {
                bail!(
                    "{} does not listen on {address}; its last words:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            thread::sleep(CONNECT_INTERVAL);
        }
        // Someone else could have taken the port in between.
        self.check_alive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
