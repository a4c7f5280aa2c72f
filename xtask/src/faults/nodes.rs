//! The nodes of the service.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::daemon::{Daemon, POLL_INTERVAL, Signal};
use crate::process;

pub(crate) const JWT_SECRET: &str = "faults-secret-of-at-least-32-bytes-long";
pub(crate) const EMIT_TOKEN: &str = "faults-emit-token-of-at-least-32-bytes";

/// Every place that a node may have, of which some are taken. A place is a port that HAProxy looks at.
#[derive(Debug)]
pub(crate) struct Nodes {
    executable: PathBuf,
    folder: PathBuf,
    settings: Vec<(String, String)>,
    /// By the place of a node.
    redis_urls: Vec<String>,
    places: Vec<(u16, Option<Daemon>)>,
}

impl Nodes {
    /// Nobody runs yet.
    pub(crate) fn new(
        executable: &Path,
        folder: &Path,
        settings: Vec<(String, String)>,
        redis_urls: Vec<String>,
        ports: &[u16],
    ) -> Self {
        Self {
            executable: executable.to_owned(),
            folder: folder.to_owned(),
            settings,
            redis_urls,
            places: ports.iter().map(|port| (*port, None)).collect(),
        }
    }

    /// Starts a node; returns once it accepts connections.
    pub(crate) fn start(&mut self, index: usize) -> Result<()> {
        let executable = self.executable.clone();
        self.start_version(index, &executable)
    }

    /// Starts a node of another version.
    pub(crate) fn start_version(&mut self, index: usize, executable: &Path) -> Result<()> {
        let mut command = Command::new(executable);
        command.arg("serve");
        self.start_command(index, command)
    }

    /// Starts a node whose clock is ahead.
    pub(crate) fn start_ahead(&mut self, index: usize, ahead: Duration) -> Result<()> {
        // Its program would stay between us and the node, and end alone when it is killed: only its library is wanted.
        let mut asked = Command::new("faketime");
        let library = process::output(asked.args(["-f", "+0s", "printenv", "LD_PRELOAD"]))?;
        let mut command = Command::new(&self.executable);
        command
            .arg("serve")
            .env("LD_PRELOAD", library.trim())
            .env("FAKETIME", format!("+{}s", ahead.as_secs()));
        self.start_command(index, command)
    }

    fn start_command(&mut self, index: usize, mut command: Command) -> Result<()> {
        let (port, place) = &mut self.places[index];
        command
            .env("HOST", "127.0.0.1")
            .env("PORT", port.to_string())
            .env("JWT_SECRET", JWT_SECRET)
            .env("EMIT_TOKEN", EMIT_TOKEN)
            .envs(self.redis_urls.get(index).map(|url| ("REDIS_URL", url)))
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        let mut node = Daemon::start(&format!("node-{index}"), &command, &self.folder, false)?;
        node.wait_until_it_listens(*port)?;
        *place = Some(node);
        Ok(())
    }

    /// The places of those that run.
    pub(crate) fn running(&self) -> Vec<usize> {
        let taken = self.places.iter().enumerate();
        taken
            .filter(|(_, (_, node))| node.is_some())
            .map(|(index, _)| index)
            .collect()
    }

    /// Where those that run can be reached, each.
    pub(crate) fn urls(&self) -> Vec<String> {
        let taken = self.places.iter().filter(|(_, node)| node.is_some());
        taken
            .map(|(port, _)| format!("http://127.0.0.1:{port}"))
            .collect()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, index: usize) -> Result<()> {
        let mut node = self.places[index].1.take().context("no such node")?;
        node.kill()
    }

    pub(crate) fn signal(&self, index: usize, signal: Signal) -> Result<()> {
        self.get(index)?.signal(signal)
    }

    /// SIGTERM. Returns how it ended, and after how long; it is killed when it does not.
    pub(crate) fn terminate(
        &mut self,
        index: usize,
        timeout: Duration,
    ) -> Result<(Option<ExitStatus>, Duration)> {
        let mut node = self.places[index].1.take().context("no such node")?;
        let started = Instant::now();
        node.signal(Signal::Terminate)?;
        let status = node.wait_for_end(timeout)?;
        Ok((status, started.elapsed()))
    }

    /// Has a node send its clients away over `window`, and returns when none is left, or long after the window. Says
    /// how many were left then.
    pub(crate) fn drain(&self, index: usize, window: Duration) -> Result<u64> {
        let port = self.places[index].0;
        let begin = format!("/admin/drain?window={}s", window.as_secs());
        let (status, body) = request(port, "POST", &begin)?;
        if status != 202 {
            bail!("POST {begin} was answered with {status}: {body}");
        }
        let deadline = Instant::now() + 2 * window + DRAIN_MARGIN;
        loop {
            let (_, body) = request(port, "GET", "/admin/drain")?;
            let progress: Value = serde_json::from_str(&body)?;
            let clients = progress["clients"].as_u64().context("no `clients`")?;
            if clients == 0 || Instant::now() > deadline {
                return Ok(clients);
            }
            thread::sleep(10 * POLL_INTERVAL);
        }
    }

    /// Open files of all.
    pub(crate) fn open_files(&self) -> Result<usize> {
        self.all().map(Daemon::open_files).sum()
    }

    /// The most memory that one has had, in bytes.
    pub(crate) fn peak_memory_of(&self, index: usize) -> Result<u64> {
        self.get(index)?.peak_memory()
    }

    /// The most memory that one of them has had, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let peaks: Result<Vec<u64>> = self.all().map(Daemon::peak_memory).collect();
        Ok(peaks?.into_iter().max().unwrap_or(0))
    }

    /// Memory of each, in bytes.
    pub(crate) fn memory(&self) -> Result<Vec<(usize, u64)>> {
        let taken = self.places.iter().enumerate();
        taken
            .filter_map(|(index, (_, node))| Some((index, node.as_ref()?)))
            .map(|(index, node)| Ok((index, node.resident_memory()?)))
            .collect()
    }

    /// What a node says of itself at `/readyz`.
    pub(crate) fn readiness(&self, index: usize) -> Result<String> {
        let (_, body) = request(self.places[index].0, "GET", "/readyz")?;
        let body: Value = serde_json::from_str(&body)?;
        Ok(body["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Returns once a node says this of itself at `/readyz`, and after how long.
    pub(crate) fn wait_for_readiness(&self, index: usize, status: &str) -> Result<Duration> {
        let started = Instant::now();
        loop {
            let now = self.readiness(index)?;
            if now == status {
                return Ok(started.elapsed());
            }
            if started.elapsed() > READINESS_TIMEOUT {
                bail!("node {index} says that it is {now}, and not {status}");
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// The sum of a metric over all that run; with its labels, and without the prefix of all.
    pub(crate) fn metric(&self, name: &str) -> Result<u64> {
        let line_start = format!("helpdesk_ws_{name} ");
        let mut sum = 0;
        for index in self.running() {
            let (_, page) = request(self.places[index].0, "GET", "/metrics")?;
            let value = page.lines().find_map(|line| line.strip_prefix(&line_start));
            let value = value.with_context(|| format!("node {index} has no metric {name}"))?;
            sum += value.trim().parse::<u64>()?;
        }
        Ok(sum)
    }

    /// Lines at level ERROR in the logs of all that run or have run.
    pub(crate) fn logged_errors(&self) -> Result<Vec<String>> {
        let mut errors = Vec::new();
        for index in 0..self.places.len() {
            let path = self.folder.join(format!("node-{index}.log"));
            if !path.exists() {
                continue;
            }
            let log = fs::read_to_string(path)?;
            let lines = log.lines().filter(|line| line.contains(" ERROR "));
            errors.extend(lines.map(str::to_owned));
        }
        Ok(errors)
    }

    /// Fails when one ended by itself.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        let taken = self.places.iter_mut();
        taken
            .filter_map(|(_, node)| node.as_mut())
            .try_for_each(Daemon::check_alive)
    }

    fn all(&self) -> impl Iterator<Item = &Daemon> {
        self.places.iter().filter_map(|(_, node)| node.as_ref())
    }

    fn get(&self, index: usize) -> Result<&Daemon> {
        self.places[index].1.as_ref().context("no such node")
    }
}

/// For what a node notices of Redis, and Redis of a network that is back.
const READINESS_TIMEOUT: Duration = Duration::from_secs(30);
/// What a drain may take beyond its window.
const DRAIN_MARGIN: Duration = Duration::from_secs(10);

/// One request to a node; the status and the body of its answer.
fn request(port: u16, method: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status.context("no answer of HTTP")?, body.to_owned()))
}
