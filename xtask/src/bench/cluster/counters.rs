//! What Redis and the kernel have counted so far.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Instant,
};

use anyhow::{Context, Result, bail};

/// Counts at one moment; what counts is the difference of two.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    at: Instant,
    redis_cpu_seconds: f64,
    redis_bytes_out: u64,
    redis_bytes_in: u64,
    /// Calls of each command, those of scripts too.
    commands: BTreeMap<String, u64>,
    /// CPU seconds of each instance.
    instances: Vec<f64>,
}

impl Counters {
    /// Reads them from the Redis on `port`, and of these processes.
    pub(crate) fn read(port: u16, instances: &[u32]) -> Result<Self> {
        let information = info(port)?;
        let fields: BTreeMap<&str, &str> = information
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'))
            .collect();
        let field = |name: &str| {
            let value = fields.get(name);
            value.with_context(|| format!("INFO has no {name}"))
        };
        let cpu = |name: &str| -> Result<f64> { Ok(field(name)?.parse()?) };
        let commands = fields
            .iter()
            .filter_map(|(name, value)| {
                let calls = value.strip_prefix("calls=")?.split(',').next()?;
                Some((name.strip_prefix("cmdstat_")?, calls.parse().ok()?))
            })
            // Our own question.
            .filter(|(name, _)| *name != "info")
            .map(|(name, calls)| (name.to_owned(), calls))
            .collect();
        let instances: Result<Vec<f64>> = instances.iter().map(|pid| cpu_seconds(*pid)).collect();
        Ok(Self {
            at: Instant::now(),
            redis_cpu_seconds: cpu("used_cpu_user")? + cpu("used_cpu_sys")?,
            redis_bytes_out: field("total_net_output_bytes")?.parse()?,
            redis_bytes_in: field("total_net_input_bytes")?.parse()?,
            commands,
            instances: instances?,
        })
    }

    pub(crate) fn seconds_until(&self, later: &Self) -> f64 {
        (later.at - self.at).as_secs_f64()
    }

    pub(crate) fn redis_cpu_seconds_until(&self, later: &Self) -> f64 {
        later.redis_cpu_seconds - self.redis_cpu_seconds
    }

    /// What Redis has sent, and what it has received.
    pub(crate) fn redis_bytes_until(&self, later: &Self) -> (u64, u64) {
        (
            later.redis_bytes_out.saturating_sub(self.redis_bytes_out),
            later.redis_bytes_in.saturating_sub(self.redis_bytes_in),
        )
    }

    /// Calls of each command, the most frequent first.
    pub(crate) fn commands_until(&self, later: &Self) -> Vec<(String, u64)> {
        let mut calls: Vec<(String, u64)> = later
            .commands
            .iter()
            .map(|(name, calls)| {
                let before = self.commands.get(name).copied().unwrap_or(0);
                (name.clone(), calls.saturating_sub(before))
            })
            .filter(|(_, calls)| *calls > 0)
            .collect();
        calls.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
        calls
    }

    pub(crate) fn instance_cpu_seconds_until(&self, later: &Self) -> Vec<f64> {
        let pairs = self.instances.iter().zip(&later.instances);
        pairs.map(|(before, after)| after - before).collect()
    }
}

/// The answer to `INFO everything`.
fn info(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("Redis")?;
    stream.write_all(b"INFO everything\r\n")?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let Some(length) = line.trim_end().strip_prefix('$') else {
        bail!("Redis answers INFO with {line:?}");
    };
    let mut text = String::new();
    let read = stream.take(length.parse()?).read_to_string(&mut text)?;
    if read.to_string() != length {
        bail!("Redis closed the connection");
    }
    Ok(text)
}

/// CPU time of a process and of all its threads.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("process {pid} is gone"))?;
    // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(") ").context(path)?;
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// `USER_HZ` of every Linux of ours.
const TICKS_PER_SECOND: f64 = 100.0;
