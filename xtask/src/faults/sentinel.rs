//! Redis with a replica, and three Sentinels that watch over both.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    daemon::{Daemon, POLL_INTERVAL},
    dimensions::Persistence,
    redis::{Redis, ask},
};

/// How many Sentinels there are; two of them decide.
const SENTINELS: usize = 3;
/// The ports that all need.
pub(crate) const PORTS: usize = 2 + SENTINELS;

/// The processes, without persistence.
#[derive(Debug)]
pub(crate) struct Sentinels {
    // Sentinels end first, or they would do their work in the end.
    watchers: Vec<Daemon>,
    ports: Vec<u16>,
    servers: [Redis; 2],
}

const MASTER: &str = "faults";
/// After how long without an answer a master counts as gone. Sentinel's default is 30 s, which no client waits for.
const DOWN_AFTER: Duration = Duration::from_secs(1);
/// A failover takes 2 s, and a server that has come back is looked after every 10 s.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

impl Sentinels {
    /// Returns once a failover could be made.
    pub(crate) fn start(ports: [u16; PORTS], folder: &Path) -> Result<Self> {
        let [master, replica, watchers @ ..] = ports;
        let servers = [
            Redis::start("redis", master, Persistence::Nothing, folder)?,
            Redis::start("redis-replica", replica, Persistence::Nothing, folder)?,
        ];
        servers[1].follow(master)?;
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        while !servers[1]
            .ask(&["INFO", "replication"])?
            .contains("master_link_status:up")
        {
            wait(deadline, "the replica does not follow its master")?;
        }
        let mut sentinels = Self {
            watchers: Vec::new(),
            ports: watchers.to_vec(),
            servers,
        };
        for (index, port) in watchers.into_iter().enumerate() {
            let watcher = start_watcher(index, port, master, folder)?;
            sentinels.watchers.push(watcher);
        }
        let deadline = Instant::now() + CHANGE_TIMEOUT;
        while !sentinels.is_ready()? {
            wait(deadline, "the Sentinels do not find each other")?;
        }
        Ok(sentinels)
    }

    /// What nodes are told.
    pub(crate) fn url(&self) -> String {
        let watchers: Vec<String> = self
            .ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        format!("redis+sentinel://{}/{MASTER}", watchers.join(","))
    }

    /// The server that Sentinel names as the master.
    pub(crate) fn master(&self) -> Result<&Redis> {
        let port = self.master_port()?;
        self.servers
            .iter()
            .find(|server| server.port() == port)
            .with_context(|| format!("the master is on port {port}"))
    }

    /// SIGKILL for the master. Returns once another one is in its place, and after how long.
    pub(crate) fn kill_master(&mut self) -> Result<Duration> {
        let port = self.master_port()?;
        let killed = self.servers.iter_mut().find(|server| server.port() == port);
        killed.context("no such server")?.kill()?;
        self.wait_for_other_than(port)
    }

    /// Starts again who was killed; returns once it is a replica.
    pub(crate) fn start_again(&mut self, killed: u16) -> Result<Duration> {
        let server = self
            .servers
            .iter_mut()
            .find(|server| server.port() == killed);
        server.context("no such server")?.start_again()?;
        self.wait_for_replica()
    }

    /// Returns once the other server is a replica of the master, and after how long. Until then it takes writes that
    /// it will throw away: Sentinel gives a master that was replaced 8 s to find out by itself.
    pub(crate) fn wait_for_replica(&self) -> Result<Duration> {
        let started = Instant::now();
        loop {
            let replica = self
                .servers
                .iter()
                .find(|server| self.master_port().is_ok_and(|port| server.port() != port));
            // Sentinel closes its connections when it demotes it, this one too.
            let replication = replica
                .context("there is one server")?
                .ask(&["INFO", "replication"]);
            let follows = replication.is_ok_and(|replication| {
                replication.contains("role:slave") && replication.contains("master_link_status:up")
            });
            if follows && self.is_ready()? {
                return Ok(started.elapsed());
            }
            wait(started + CHANGE_TIMEOUT, "the other server is no replica")?;
        }
    }

    /// Asks for a failover: both servers run on. Returns once the other one is the master, and after how long.
    pub(crate) fn fail_over(&self) -> Result<Duration> {
        let port = self.master_port()?;
        let answer = ask(self.ports[0], &["SENTINEL", "FAILOVER", MASTER])?;
        if answer.trim() != "OK" {
            bail!("SENTINEL FAILOVER: {answer}");
        }
        self.wait_for_other_than(port)
    }

    pub(crate) fn master_port(&self) -> Result<u16> {
        let address = ask(
            self.ports[0],
            &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER],
        )?;
        let port = address.lines().nth(1).context("there is no master")?;
        Ok(port.trim().parse()?)
    }

    fn wait_for_other_than(&self, port: u16) -> Result<Duration> {
        let started = Instant::now();
        while self.master_port()? == port {
            wait(started + CHANGE_TIMEOUT, "there is no failover")?;
        }
        Ok(started.elapsed())
    }

    /// Whether all know each other, and a replica that follows.
    fn is_ready(&self) -> Result<bool> {
        for port in &self.ports {
            let master = ask(*port, &["SENTINEL", "MASTER", MASTER])?;
            let lines: Vec<&str> = master.lines().collect();
            let has = |name: &str, value: &str| lines.windows(2).any(|pair| pair == [name, value]);
            let others = (SENTINELS - 1).to_string();
            let replicas = ask(*port, &["SENTINEL", "REPLICAS", MASTER])?;
            if !(has("num-other-sentinels", &others)
                && has("num-slaves", "1")
                && replicas.lines().any(|line| line == "ok"))
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn start_watcher(index: usize, port: u16, master: u16, folder: &Path) -> Result<Daemon> {
    let name = format!("sentinel-{index}");
    let configuration = folder.join(format!("{name}.conf"));
    fs::write(
        &configuration,
        format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {MASTER} 127.0.0.1 {master} 2\n\
             sentinel down-after-milliseconds {MASTER} {}\nsentinel failover-timeout {MASTER} 5000\n",
            DOWN_AFTER.as_millis()
        ),
    )?;
    let mut command = Command::new("redis-server");
    command.arg(&configuration).arg("--sentinel");
    let mut daemon = Daemon::start(&name, &command, folder, false)?;
    daemon.wait_until_it_listens(port)?;
    Ok(daemon)
}

fn wait(deadline: Instant, what: &str) -> Result<()> {
    if Instant::now() > deadline {
        bail!("{what}");
    }
    thread::sleep(POLL_INTERVAL);
    Ok(())
}
