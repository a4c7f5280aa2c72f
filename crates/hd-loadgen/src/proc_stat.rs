//! What Linux tells of a process and of the machine, in `/proc`.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;

/// CPU times so far, of the server, of this process and of all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuTimes {
    at: Instant,
    server: Duration,
    own: Duration,
    busy: Duration,
    steal: Duration,
}

/// How busy the processors were over a while.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct CpuUse {
    pub(crate) seconds: f64,
    /// CPU seconds of the server.
    pub(crate) server: f64,
    /// CPU seconds of this generator.
    pub(crate) generator: f64,
    /// CPU seconds of everything else, the kernel's interrupts included.
    pub(crate) foreign: f64,
    /// Seconds that the hypervisor gave to others.
    pub(crate) steal: f64,
    /// Whether that was too much for the figures to be trusted.
    pub(crate) is_dirty: bool,
}

/// What a process and its sockets hold, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) rss: u64,
    /// Of it, what belongs to no file: heap and stacks.
    pub(crate) anonymous: u64,
    /// The kernel's buffers of all TCP sockets of this network namespace.
    pub(crate) tcp_buffers: u64,
}

impl CpuTimes {
    /// # Errors
    ///
    /// `/proc` is missing, or the server is gone.
    pub(crate) fn read(server_pid: Option<u32>) -> anyhow::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let ticks: Vec<u64> = stat
            .lines()
            .next()
            .context("/proc/stat is empty")?
            .split_whitespace()
            .skip(1)
            .map_while(|ticks| ticks.parse().ok())
            .collect();
        // user, nice, system, idle, iowait, irq, softirq, steal
        let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] else {
            anyhow::bail!("/proc/stat has too few columns");
        };
        Ok(Self {
            at: Instant::now(),
            server: match server_pid {
                Some(pid) => process_time(&pid.to_string())?,
                None => Duration::ZERO,
            },
            own: process_time("self")?,
            busy: from_ticks(user + nice + system + irq + softirq),
            steal: from_ticks(steal),
        })
    }

    /// What was used from `self` to `later`.
    pub(crate) fn until(self, later: Self) -> CpuUse {
        let seconds = (later.at - self.at).as_secs_f64();
        let spent = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64();
        let (server, generator) = (spent(self.server, later.server), spent(self.own, later.own));
        let foreign = (spent(self.busy, later.busy) - server - generator).max(0.0);
        let steal = spent(self.steal, later.steal);
        let is_dirty = foreign > MAX_FOREIGN * seconds + TICK || steal > MAX_STEAL * seconds + TICK;
        CpuUse {
            seconds,
            server,
            generator,
            foreign,
            steal,
            is_dirty,
        }
    }
}

impl Memory {
    /// # Errors
    ///
    /// The process is gone.
    pub(crate) fn read(pid: u32) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid} is gone"))?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            Ok(kib.with_context(|| format!("no {name} in the status of process {pid}"))? * 1024)
        };
        let sockstat = fs::read_to_string("/proc/net/sockstat")?;
        let pages: u64 = sockstat
            .lines()
            .find(|line| line.starts_with("TCP:"))
            .and_then(|line| line.split_whitespace().last()?.parse().ok())
            .context("/proc/net/sockstat")?;
        Ok(Self {
            rss: field("VmRSS:")?,
            anonymous: field("RssAnon:")?,
            tcp_buffers: pages * PAGE_BYTES,
        })
    }
}

fn process_time(pid: &str) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} is gone"))?;
    // The name, in parentheses, may hold anything; utime and stime are the
    // 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(") ").context("/proc/<pid>/stat")?;
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(from_ticks(ticks))
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 10)
}

/// Of one processor, over the time measured.
const MAX_FOREIGN: f64 = 0.10;
const MAX_STEAL: f64 = 0.02;
/// The kernel's times count in hundredths of a second on every Linux of ours.
const TICK: f64 = 0.03;
const PAGE_BYTES: u64 = 4096;
