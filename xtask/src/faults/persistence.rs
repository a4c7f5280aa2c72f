//! A Redis that keeps something on disk, and one that is full.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    daemon::POLL_INTERVAL,
    inject::{CALM, Findings},
    rig::{PLACES, Rig},
    row::Row,
};

/// How long Redis is away, or all is.
const AWAY: Duration = Duration::from_secs(2);
/// Memory that Redis still gets when it is to be full.
const ROOM_BYTES: u64 = 2_000_000;
const FILLING_USERS: u64 = 40;
const FILLING_EVENTS: usize = 100;
const FILLING_EVENT_BYTES: usize = 2000;
/// How long emits may fail once Redis is full.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(20);
/// Emits that have to be acknowledged in the second that is looked at.
const ACKNOWLEDGED_AGAIN: u64 = 20;

/// Kills Redis and starts it with what is on disk. Nobody else is touched.
pub(crate) fn restart(row: Row, rig: &mut Rig) -> Result<()> {
    if row == Row::RedisRestartRdb {
        take_snapshot(rig)?;
        thread::sleep(CALM);
        rig.load.emptied()?;
    }
    rig.redis()?.kill()?;
    thread::sleep(AWAY);
    rig.redis()?.start_again()
}

/// Kills everything of the service, and lets it start with a Redis that knows only the first part of what was accepted.
pub(crate) fn kill_all(rig: &mut Rig, findings: &mut Findings) -> Result<()> {
    take_snapshot(rig)?;
    thread::sleep(CALM);
    rig.load.emptied()?;
    rig.redis()?.kill()?;
    let running = rig.nodes.running();
    for node in &running {
        rig.nodes.kill(*node)?;
    }
    thread::sleep(AWAY);
    rig.redis()?.start_again()?;
    for node in running {
        rig.nodes.start((node + PLACES / 2) % PLACES)?;
    }
    rig.haproxy.wait_until_up(&rig.nodes.running())?;
    findings
        .notes
        .push("all instances and Redis were killed, and others took over".to_owned());
    Ok(())
}

/// Fills Redis, which evicts nothing. Emits have to work again without anybody's help.
pub(crate) fn fill(rig: &mut Rig, findings: &mut Findings) -> Result<()> {
    let used = rig.redis()?.ask(&["INFO", "memory"])?;
    let used: u64 = used
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"))
        .context("no used_memory")?
        .trim()
        .parse()?;
    let most = (used + ROOM_BYTES).to_string();
    for (name, value) in [("maxmemory-policy", "noeviction"), ("maxmemory", &most)] {
        let answer = rig.redis()?.ask(&["CONFIG", "SET", name, value])?;
        ensure!(answer.starts_with("OK"), "CONFIG SET {name}: {answer}");
    }
    let urls = rig.nodes.urls();
    rig.load.burst(
        1..=FILLING_USERS,
        FILLING_EVENTS,
        FILLING_EVENT_BYTES,
        &urls,
    )?;
    let filled = Instant::now();
    loop {
        let before = rig.load.acknowledged()?;
        thread::sleep(Duration::from_secs(1));
        if rig.load.acknowledged()? - before >= ACKNOWLEDGED_AGAIN {
            break;
        }
        if filled.elapsed() > RECOVERY_TIMEOUT {
            findings.broken.push(format!(
                "no emits are acknowledged {} s after Redis was full",
                RECOVERY_TIMEOUT.as_secs()
            ));
            // What the row has found is enough: the rest is to end.
            rig.redis()?.ask(&["CONFIG", "SET", "maxmemory", "0"])?;
            break;
        }
        thread::sleep(POLL_INTERVAL);
    }
    findings.notes.push(format!(
        "{} MB to a Redis with room for {} MB; emits work {:.1} s after",
        FILLING_USERS * (FILLING_EVENTS * FILLING_EVENT_BYTES) as u64 / 1_000_000,
        ROOM_BYTES / 1_000_000,
        filled.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn take_snapshot(rig: &mut Rig) -> Result<()> {
    let answer = rig.redis()?.ask(&["SAVE"])?;
    ensure!(answer.starts_with("OK"), "SAVE: {answer}");
    Ok(())
}
