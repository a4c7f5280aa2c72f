//! Much at once: for pages that are away, for one user, and for an instance that starts.

use std::{thread, time::Duration};

use anyhow::Result;

use super::{
    inject::{BACK_TIMEOUT, CALM, Findings, move_clients},
    rig::Rig,
};

/// Below `REPLAY_MAX_EVENTS` and `REPLAY_MAX_BYTES` with what else comes meanwhile, and near both.
const REPLAYED_EVENTS: usize = 150;
const REPLAYED_EVENT_BYTES: usize = 1024;
const REPLAYING_USERS: u64 = 30;
/// More than the stream holds.
const BURST_EVENTS: usize = 120_000;
const BURST_EVENT_BYTES: usize = 20;
const STREAM_EVENTS: usize = 1000;
const STREAM_USERS: u64 = 100;
const STREAM_EVENT_BYTES: usize = 500;
/// Of an instance that reads such a stream when it starts: what it may keep, and what is on its way meanwhile.
const START_PEAK_BYTES: u64 = 160_000_000;

/// Cuts every page, and emits to some of them until they return.
pub(crate) fn replay_much(rig: &mut Rig, findings: &mut Findings) -> Result<()> {
    let running = rig.nodes.running();
    let urls = rig.nodes.urls();
    let before = rig.load.disconnects()?;
    rig.load.suspend(1..=REPLAYING_USERS)?;
    for node in &running {
        rig.haproxy.cut(*node)?;
    }
    rig.load.burst(
        1..=REPLAYING_USERS,
        REPLAYED_EVENTS,
        REPLAYED_EVENT_BYTES,
        &urls,
    )?;
    for node in &running {
        rig.haproxy.enable(*node)?;
    }
    rig.load.wait_until_back(BACK_TIMEOUT)?;
    findings.cut += rig.load.disconnects()? - before;
    findings.notes.push(format!(
        "{REPLAYED_EVENTS} events of {REPLAYED_EVENT_BYTES} bytes to each of {REPLAYING_USERS} pages while they were away"
    ));
    Ok(())
}

/// One user gets more than the stream holds; then pages to which little was sent move to an instance that has just started.
pub(crate) fn keep_quiet(rig: &mut Rig, findings: &mut Findings) -> Result<()> {
    let urls = rig.nodes.urls();
    // Of a user without a page, so that only the stream has to hold it.
    let noisy = rig.load.clients() + 2;
    rig.load
        .burst(noisy..=noisy, BURST_EVENTS, BURST_EVENT_BYTES, &urls)?;
    let old = rig.nodes.running()[0];
    let new = rig.nodes.running().into_iter().max().unwrap_or(0) + 1;
    rig.nodes.start(new)?;
    rig.haproxy.wait_until_up(&rig.nodes.running())?;
    move_clients(rig, old, findings)?;
    thread::sleep(CALM);
    findings
        .notes
        .push(format!("{BURST_EVENTS} events to one user before"));
    Ok(())
}

/// An instance starts when the stream holds as much as it may.
pub(crate) fn start_with_a_large_stream(rig: &mut Rig, findings: &mut Findings) -> Result<()> {
    let urls = rig.nodes.urls();
    let first = rig.load.clients() + 2;
    rig.load.burst(
        first..=first + STREAM_USERS - 1,
        STREAM_EVENTS,
        STREAM_EVENT_BYTES,
        &urls,
    )?;
    let new = rig.nodes.running().into_iter().max().unwrap_or(0) + 1;
    rig.nodes.start(new)?;
    rig.haproxy.wait_until_up(&rig.nodes.running())?;
    thread::sleep(Duration::from_secs(1));
    let peak = rig.nodes.peak_memory_of(new)?;
    findings.notes.push(format!(
        "an instance that started with {} events in the stream had {} MB at most",
        STREAM_USERS * STREAM_EVENTS as u64,
        peak / 1_000_000
    ));
    if peak > START_PEAK_BYTES {
        findings.broken.push(format!(
            "it took {} MB to start, and {} MB are allowed",
            peak / 1_000_000,
            START_PEAK_BYTES / 1_000_000
        ));
    }
    Ok(())
}
