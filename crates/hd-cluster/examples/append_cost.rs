//! What the log costs Redis: `cargo run --release -p hd-cluster --example append_cost -- URL
//! INSTANCES RATE SECONDS`.
//!
//! Each instance appends its share of the rate, records of 200 bytes at even intervals, and
//! follows the log. Printed are the CPU time of Redis for each 100,000 records, its commands for
//! each record, and how long an acknowledgement takes.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hd_cluster::{ClusterConfig, SharedLog};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, instances, rate, seconds] = &args[..] else {
        anyhow::bail!("usage: append_cost URL INSTANCES RATE SECONDS");
    };
    let (instances, rate): (usize, u32) = (instances.parse()?, rate.parse()?);
    let seconds: u32 = seconds.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let client = redis::Client::open(&**url)?;
    let mut observing = client.get_connection()?;
    let logs: Vec<SharedLog> = (0..instances)
        .map(|_| Ok(SharedLog::new(ClusterConfig::new(url.parse()?))))
        .collect::<anyhow::Result<_>>()?;
    for log in &logs {
        let end = runtime.block_on(log.load(|_| std::future::ready(())))?.end;
        let log = log.clone();
        runtime.spawn(async move { log.follow(end, |_| std::future::ready(())).await });
        runtime.block_on(logs[0].append(None, RECORD))?;
    }
    let (done, latencies) = mpsc::channel();
    redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut observing)?;
    let before = cpu(&mut observing)?;
    let started = Instant::now();
    let count = rate * seconds;
    for number in 0..count {
        let due = started + Duration::from_secs(1) * number / rate;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let log = logs[number as usize % instances].clone();
        let done = done.clone();
        runtime.spawn(async move {
            let began = Instant::now();
            let appended = log.append(None, RECORD).await;
            // They are all waited for.
            let _received = done.send(appended.is_ok().then(|| began.elapsed()));
        });
    }
    drop(done);
    let latencies: Vec<Option<Duration>> = latencies.iter().collect();
    let elapsed = started.elapsed();
    let cpu = cpu(&mut observing)? - before;
    let calls = calls(&mut observing)?;
    let mut answered: Vec<Duration> = latencies.iter().flatten().copied().collect();
    answered.sort_unstable();
    let at = |part: usize| answered.get(answered.len() * part / 100).copied();
    let each = |calls: u64| calls as f64 / f64::from(count);
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{instances} instances, {:.0} a second: {:.2} s of CPU for each 100,000; {:.2} commands each; \
         p50 {:.2?}, p99 {:.2?}; {} failed",
        f64::from(count) / elapsed.as_secs_f64(),
        cpu * 100_000.0 / f64::from(count),
        each(calls.values().sum()),
        at(50).unwrap_or_default(),
        at(99).unwrap_or_default(),
        latencies.len() - answered.len(),
    )?;
    let calls: Vec<String> = calls
        .iter()
        .map(|(name, calls)| format!("{name} {:.2}", each(*calls)))
        .collect();
    writeln!(out, "    {}", calls.join(", "))?;
    Ok(())
}

/// Seconds.
fn cpu(connection: &mut redis::Connection) -> anyhow::Result<f64> {
    let info: redis::InfoDict = redis::cmd("INFO").arg("cpu").query(connection)?;
    let of = |key| info.get::<f64>(key).context("INFO cpu");
    Ok(of("used_cpu_user")? + of("used_cpu_sys")?)
}

fn calls(connection: &mut redis::Connection) -> anyhow::Result<BTreeMap<String, u64>> {
    let info: String = redis::cmd("INFO").arg("commandstats").query(connection)?;
    let calls = info.lines().filter_map(|line| {
        let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let (calls, _) = stats.split_once(',')?;
        Some((name.to_owned(), calls.parse().ok()?))
    });
    Ok(calls.collect())
}

const RECORD: &[u8] = &[b'x'; 200];
