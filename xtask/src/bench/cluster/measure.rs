//! One run: a Redis, some instances, and the load generator.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    contender::Contender,
    counters::Counters,
    servers::{EMIT_TOKEN, JWT_SECRET},
};
use crate::{faults::daemon::Daemon, ports::free_ports, server::Server};

/// How much is emitted, and to how many instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) instances: usize,
    /// Emits a second.
    pub(crate) rate: u32,
}

/// What a run counted.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) emits_per_second: f64,
    pub(crate) redis_cpu_per_100k: f64,
    pub(crate) redis_commands_per_emit: f64,
    pub(crate) redis_bytes_out_per_emit: f64,
    pub(crate) redis_bytes_in_per_emit: f64,
    /// CPU seconds of all instances together.
    pub(crate) instances_cpu_per_100k: f64,
    /// Of the busiest instance, as a part of one core.
    pub(crate) busiest_instance: f64,
    pub(crate) acknowledged_p50: f64,
    pub(crate) acknowledged_p99: f64,
    pub(crate) delivered_p99: f64,
    /// Calls an emit, the most frequent first.
    pub(crate) commands: Vec<(String, f64)>,
}

const CLIENTS: usize = 1000;
const CONCURRENCY: usize = 64;

/// Runs one contender under one load.
pub(crate) fn measure(
    contender: &Contender,
    load: Load,
    seconds: u32,
    generator: &Path,
    logs: &Path,
) -> Result<Measured> {
    fs::create_dir_all(logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let [port] = free_ports()?;
    let _redis = start_redis(port, logs)?;
    let redis_url = format!("redis://127.0.0.1:{port}");
    let instances: Vec<Server> = (0..load.instances)
        .map(|index| contender.start(index, &redis_url, logs))
        .collect::<Result<_>>()?;
    let pids: Vec<u32> = instances.iter().map(Server::pid).collect();
    let addresses: Vec<SocketAddr> = instances.iter().map(Server::address).collect();

    let mut generator = Generator::start(generator, &addresses, load.rate, seconds)?;
    let ready = generator.line()?;
    if ready != "ready" {
        bail!("the generator says {ready} where it is to be ready");
    }
    let before = Counters::read(port, &pids)?;
    generator.go()?;
    let report = generator.line()?;
    let after = Counters::read(port, &pids)?;
    evaluate(&report, &before, &after)
}

fn evaluate(report: &Value, before: &Counters, after: &Counters) -> Result<Measured> {
    // Emits to one client that overlap, at two instances, have no order: `repeated` counts these too.
    if report["lost"].as_u64() != Some(0) {
        bail!("lost: {}", report["lost"]);
    }
    let number = |value: &Value| value.as_f64().context("the generator's report");
    let emits = number(&report["emitted"])?;
    let (out, inward) = before.redis_bytes_until(after);
    let commands: Vec<(String, f64)> = before
        .commands_until(after)
        .into_iter()
        .map(|(name, calls)| (name, calls as f64 / emits))
        .collect();
    let cpu = before.instance_cpu_seconds_until(after);
    let seconds = before.seconds_until(after);
    Ok(Measured {
        emits_per_second: emits / seconds,
        redis_cpu_per_100k: before.redis_cpu_seconds_until(after) / emits * 1e5,
        redis_commands_per_emit: commands.iter().map(|(_, calls)| calls).sum(),
        redis_bytes_out_per_emit: out as f64 / emits,
        redis_bytes_in_per_emit: inward as f64 / emits,
        instances_cpu_per_100k: cpu.iter().sum::<f64>() / emits * 1e5,
        busiest_instance: cpu.iter().copied().fold(0.0, f64::max) / seconds,
        acknowledged_p50: number(&report["acknowledged"]["p50_ms"])?,
        acknowledged_p99: number(&report["acknowledged"]["p99_ms"])?,
        delivered_p99: number(&report["latency"]["p99_ms"])?,
        commands,
    })
}

/// Without persistence, and on no processor of its own: with four instances there are more processes than cores.
fn start_redis(port: u16, logs: &Path) -> Result<Daemon> {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no"]);
    let mut redis = Daemon::start("redis", &command, logs, false)?;
    redis.wait_until_it_listens(port)?;
    Ok(redis)
}

/// hd-loadgen, which waits for a line between its warm-up and what is measured.
#[derive(Debug)]
struct Generator {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Generator {
    fn start(program: &Path, addresses: &[SocketAddr], rate: u32, seconds: u32) -> Result<Self> {
        let addresses: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
        let mut child = Command::new(program)
            .args(["unicast", "--pause", "--payload-bytes", "200"])
            .args(["--clients", &CLIENTS.to_string()])
            .args(["--concurrency", &CONCURRENCY.to_string()])
            .args(["--rate", &rate.to_string()])
            .args(["--duration", &format!("{seconds}s")])
            .args(["--address", &addresses.join(",")])
            .env("JWT_SECRET", JWT_SECRET)
            .env("EMIT_TOKEN", EMIT_TOKEN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the generator")?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the generator has no pipes");
        };
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
        })
    }

    fn go(&mut self) -> Result<()> {
        self.input.write_all(b"go\n").context("the generator ended")
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        serde_json::from_str(&line)
            .context("the generator ended without a report; it says why above")
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
