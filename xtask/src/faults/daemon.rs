//! A process of the rig.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::process;

/// How often something is looked at that cannot be waited for.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long a process may take to listen; a debug build on a busy machine needs a part of a second.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// What is shown of a log, in bytes from its end.
const LOG_TAIL: usize = 2048;

/// A running process. It is killed with its handle, and by the kernel when this program ends first.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

/// What a process is told by kill(1).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    Terminate,
    Stop,
    Continue,
}

impl Daemon {
    /// Starts a program that sees none of the developer's environment but `PATH`. What it prints goes to
    /// `folder`/`name`.log, its standard output too unless it is `piped`, along with its input.
    pub(crate) fn start(name: &str, command: &Command, folder: &Path, piped: bool) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        // A signal reaches the program itself: setpriv becomes it.
        let mut own = Command::new("setpriv");
        own.args(["--pdeathsig", "KILL"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| value.map(|value| (name, value))),
            )
            .current_dir(folder)
            .stderr(output.try_clone()?);
        if piped {
            own.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            own.stdin(Stdio::null()).stdout(output);
        }
        let child = own
            .spawn()
            .with_context(|| format!("cannot start {name} by setpriv"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Returns once the process accepts connections.
    pub(crate) fn wait_until_it_listens(&mut self, port: u16) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(address).is_err() {
            self.check_alive()?;
            if Instant::now() > deadline {
                bail!(
                    "{} does not listen on {address}:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            thread::sleep(POLL_INTERVAL);
        }
        // Someone else could have taken the port in between.
        self.check_alive()
    }

    pub(crate) fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "{} ended by itself ({status}):\n{}",
                self.name,
                self.log_tail()
            );
        }
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let name = match signal {
            Signal::Terminate => "-TERM",
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        };
        let pid = self.child.id().to_string();
        if !process::succeeds(Command::new("kill").args([name, &pid])) {
            bail!("cannot send {name} to {}", self.name);
        }
        Ok(())
    }

    /// SIGKILL; returns when it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// How the process ended by itself, or `None` when it runs on.
    pub(crate) fn wait_for_end(&mut self, timeout: Duration) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Its input and output, once, when they are `piped`.
    pub(crate) fn take_pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.child.stdin.take()?, self.child.stdout.take()?))
    }

    /// Open files, sockets included.
    pub(crate) fn open_files(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// The most memory that it has had, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    /// The memory that it has now, in bytes.
    pub(crate) fn resident_memory(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.split_whitespace().next())
            .with_context(|| format!("no {field}"))?
            .parse()?;
        Ok(kib * 1024)
    }

    /// The end of what it printed.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already. SIGKILL ends a stopped one too.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
