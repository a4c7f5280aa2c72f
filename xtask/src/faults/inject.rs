//! What each row does to the rig.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::json;

use super::{
    bursts, clock,
    daemon::Signal,
    expiry, failover, mixed, partition, persistence, polling, poor_network,
    rig::Rig,
    row::{PING_INTERVAL, PING_TIMEOUT, Row},
    skew, soak, storm,
    version::Version,
};

/// What was built for the rows.
#[derive(Debug, Default)]
pub(crate) struct Builds {
    pub(crate) service: PathBuf,
    /// The service in another version.
    pub(crate) other: Option<PathBuf>,
    pub(crate) loadgen: Option<PathBuf>,
}

/// What was seen besides the checker's report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// For the table.
    pub(crate) notes: Vec<String>,
    /// What must not be.
    pub(crate) broken: Vec<String>,
    /// Connections of clients that the row itself cut.
    pub(crate) cut: u64,
    /// Clients that are to be refused.
    pub(crate) to_be_refused: u64,
    /// From the fault until the last was back of clients that the checker does not know.
    pub(crate) others_back: Duration,
    /// Times beyond their goals.
    pub(crate) late: Vec<String>,
}

/// Load before the first fault, and after the last.
pub(crate) const CALM: Duration = Duration::from_secs(2);
/// In which every client is back or has given up: the front end's five attempts take 20 s at most.
pub(crate) const BACK_TIMEOUT: Duration = Duration::from_secs(30);
/// Default of `SHUTDOWN_TIMEOUT`, and a second to end in.
const END_TIMEOUT: Duration = Duration::from_secs(11);
/// Longer than the pauses of a client that tries again, so that not all are back on one node at once.
pub(crate) const DRAIN_WINDOW: Duration = Duration::from_secs(5);
const FLAP_INTERVAL: Duration = Duration::from_secs(1);
const STANDSTILLS: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(10)];
/// Sockets of clients come and go a little; a leak would grow with each cut.
const OPEN_FILES_MARGIN: usize = 20;
/// Twice what Linux holds of it on the way (`tcp_wmem`, 4 MiB) with the default of `SEND_QUEUE_BYTES`.
const STOPPED_READER_BYTES: usize = 12_000_000;
const STOPPED_READER_EVENT_BYTES: usize = 50_000;
/// `SEND_QUEUE_BYTES` and `REPLAY_MAX_BYTES` are 1.3 MB together; the rest is for what passes through.
const STOPPED_READER_MEMORY: u64 = 6_000_000;
const SAME_ID_EVENTS: usize = 20;
const SAME_ID_TIMES: usize = 100;
const DYING_EVENTS: usize = 100;
/// Longer than an attempt of the back end, and shorter than any heartbeat: what TCP takes to get through after some losses.
const HOLD: Duration = Duration::from_secs(8);

/// Injects the fault, and returns when it is over and the clients are back.
pub(crate) fn inject(
    row: Row,
    version: Version,
    seed: u32,
    builds: &Builds,
    rig: &mut Rig,
) -> Result<Findings> {
    let mut findings = Findings::default();
    let running = rig.nodes.running();
    let victim = running[seed as usize % running.len()];
    thread::sleep(CALM);
    if row != Row::Storm {
        // Which has clients to connect first.
        rig.load.mark()?;
    }
    match row {
        Row::Kill => rig.nodes.kill(victim)?,
        Row::Terminate => terminate(rig, victim, &mut findings)?,
        Row::RollingUpdate => {
            for old in running {
                replace(rig, old, None, &mut findings)?;
            }
        }
        Row::BalancerCut => move_clients(rig, victim, &mut findings)?,
        Row::RedisRestart => {
            rig.redis()?.kill()?;
            move_clients(rig, victim, &mut findings)?;
            rig.redis()?.start_again()?;
        }
        Row::RedisPause => {
            for pause in version.redis_pauses() {
                rig.redis()?.signal(Signal::Stop)?;
                let stopped = Instant::now();
                move_clients(rig, victim, &mut findings)?;
                thread::sleep(pause.saturating_sub(stopped.elapsed()));
                rig.redis()?.signal(Signal::Continue)?;
                thread::sleep(CALM);
            }
        }
        Row::Flapping => flap(version, rig, &mut findings)?,
        Row::StoppedReader => stop_reading(rig, &mut findings)?,
        Row::HalfOpen => {
            rig.load.freeze()?;
            thread::sleep(PING_INTERVAL + PING_TIMEOUT);
        }
        Row::SameId => {
            let urls = rig.nodes.urls();
            let answer = rig.load.ask(&json!({
                "command": "sameId", "urls": urls, "events": SAME_ID_EVENTS, "times": SAME_ID_TIMES,
            }))?;
            findings.notes.push(format!(
                "{SAME_ID_EVENTS} events; answers {}",
                answer["statuses"]
            ));
        }
        Row::Pause => {
            for standstill in STANDSTILLS {
                rig.nodes.signal(victim, Signal::Stop)?;
                let stopped = Instant::now();
                // In the longer one its clients move, and are gone when it wakes.
                if standstill == STANDSTILLS[1] && running.len() > 1 {
                    move_clients(rig, victim, &mut findings)?;
                }
                thread::sleep(standstill.saturating_sub(stopped.elapsed()));
                rig.nodes.signal(victim, Signal::Continue)?;
                thread::sleep(CALM);
            }
        }
        Row::Storm => storm::storm(seed, builds, rig, &mut findings)?,
        Row::Failover => failover::fail_over(victim, rig, &mut findings)?,
        Row::Partition => partition::cut_off(victim, version, rig, &mut findings)?,
        Row::PoorNetwork => poor_network::spoil(rig, &mut findings)?,
        Row::TokenExpiry => expiry::expire(rig, &mut findings)?,
        Row::VersionSkew => skew::mix(seed, builds, rig, &mut findings)?,
        Row::Soak => soak::soak(seed, version, rig, &mut findings)?,
        Row::Mixed => mixed::stand_beside(seed, victim, rig, &mut findings)?,
        Row::PollAnswersLost => polling::lose_answers(rig, &mut findings)?,
        Row::RollingUpdatePolling | Row::RollingUpdateMixed => {
            for old in running {
                replace(rig, old, None, &mut findings)?;
            }
        }
        Row::LargeReplayPolling => bursts::replay_much(rig, &mut findings)?,
        Row::QuietPages => bursts::keep_quiet(rig, &mut findings)?,
        Row::LargeStreamStart => bursts::start_with_a_large_stream(rig, &mut findings)?,
        Row::HostDeath => persistence::kill_all(rig, &mut findings)?,
        Row::RedisFull => persistence::fill(rig, &mut findings)?,
        Row::RedisRestartRdb | Row::RedisRestartAof => persistence::restart(row, rig)?,
        Row::ClockAhead => clock::start_ahead(victim, rig, &mut findings)?,
        Row::LateBytes => {
            let ms = u64::try_from(HOLD.as_millis())?;
            rig.load.ask(&json!({"command": "hold", "ms": ms}))?;
        }
        Row::RoleChange => {
            for node in running {
                move_clients(rig, node, &mut findings)?;
                thread::sleep(CALM);
            }
        }
        Row::EmitsWithoutIds => rig.nodes.kill(victim)?,
        Row::LargeEvents => move_clients(rig, victim, &mut findings)?,
        Row::DyingPublisher => {
            let command = json!({"command": "die", "events": DYING_EVENTS});
            rig.load.ask(&command).map(drop)?;
        }
    }
    rig.load.wait_until_back(BACK_TIMEOUT)?;
    thread::sleep(CALM);
    rig.nodes.check_alive()?;
    Ok(findings)
}

/// A node takes over from another one, as in a rolling update.
pub(crate) fn replace(
    rig: &mut Rig,
    old: usize,
    executable: Option<&Path>,
    findings: &mut Findings,
) -> Result<()> {
    let new = rig.nodes.running().into_iter().max().unwrap_or(0) + 1;
    match executable {
        Some(executable) => rig.nodes.start_version(new, executable)?,
        None => rig.nodes.start(new)?,
    }
    let serving = rig.nodes.running();
    rig.haproxy.wait_until_up(&serving)?;
    let left = rig.nodes.drain(old, DRAIN_WINDOW)?;
    if left > 0 {
        findings
            .broken
            .push(format!("a drain did not end: {left} clients are left"));
    }
    terminate(rig, old, findings)
}

/// Has HAProxy cut the clients of a node, which come back elsewhere; or on the same one if there is no other.
pub(crate) fn move_clients(rig: &mut Rig, node: usize, findings: &mut Findings) -> Result<()> {
    let before = rig.load.disconnects()?;
    rig.haproxy.cut(node)?;
    if rig.nodes.running().len() > 1 {
        rig.load.wait_until_back(BACK_TIMEOUT)?;
    }
    rig.haproxy.enable(node)?;
    findings.cut += rig.load.disconnects()? - before;
    Ok(())
}

/// SIGTERM to a node, which is to end in its time and with 0.
pub(crate) fn terminate(rig: &mut Rig, node: usize, findings: &mut Findings) -> Result<()> {
    let (status, took) = rig.nodes.terminate(node, END_TIMEOUT)?;
    let took = took.as_secs_f64();
    match status {
        Some(status) if status.success() => {
            findings
                .notes
                .push(format!("ended with 0 after {took:.1} s"));
        }
        Some(status) => findings
            .broken
            .push(format!("ended with {status} after {took:.1} s")),
        None => findings
            .broken
            .push(format!("did not end within {took:.1} s")),
    }
    Ok(())
}

fn flap(version: Version, rig: &mut Rig, findings: &mut Findings) -> Result<()> {
    let before = rig.nodes.open_files()?;
    for _ in 0..version.flaps() {
        rig.redis()?.cut_all_clients()?;
        thread::sleep(FLAP_INTERVAL);
    }
    thread::sleep(CALM);
    let after = rig.nodes.open_files()?;
    findings
        .notes
        .push(format!("open files {before} before, {after} after"));
    if after > before + OPEN_FILES_MARGIN {
        findings
            .broken
            .push(format!("open files grew from {before} to {after}"));
    }
    Ok(())
}

fn stop_reading(rig: &mut Rig, findings: &mut Findings) -> Result<()> {
    let before = rig.nodes.peak_memory()?;
    let answer = rig.load.ask(&json!({
        "command": "stopReading",
        "bytes": STOPPED_READER_BYTES,
        "eventBytes": STOPPED_READER_EVENT_BYTES,
    }))?;
    let after = rig.nodes.peak_memory()?;
    let grown = after.saturating_sub(before);
    if grown > STOPPED_READER_MEMORY {
        findings.broken.push(format!(
            "a node took {} kB for a client that reads nothing",
            grown / 1000
        ));
    }
    let is_closed = answer["closed"].as_bool().context("no `closed`")?;
    let buffered = answer["buffered"].as_u64().unwrap_or(0);
    findings.notes.push(format!(
        "{} with {} kB on their way; peak memory of a node grew by {} kB",
        if is_closed { "closed" } else { "not closed" },
        buffered / 1000,
        grown / 1000
    ));
    Ok(())
}
