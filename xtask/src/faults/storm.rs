//! Two of three nodes are killed, and 18,000 clients come back.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{ChildStdout, Command},
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{
    daemon::Daemon,
    haproxy::{Balancing, Checks, Haproxy, Sessions},
    inject::{BACK_TIMEOUT, Builds, CALM, Findings},
    nodes::{EMIT_TOKEN, JWT_SECRET},
    rig::Rig,
};

/// As many as have their clients in the mass; a process may have 20,000 files open, and HAProxy needs two for each.
const GENERATORS: usize = 3;
/// Each has a HAProxy of its own, with an admin socket.
pub(crate) const PORTS: usize = 2 * GENERATORS;
/// With the checker's own clients 27,000 on three nodes.
const CLIENTS_EACH: usize = 8800;
/// For the mass to come in, beside whatever else runs.
const AT_ONCE: &str = "64";

/// Clients of the load generator, which reconnect as those of the front end do.
#[derive(Debug)]
struct Mass {
    haproxy: Haproxy,
    answers: BufReader<ChildStdout>,
    /// Closing it ends them.
    commands: Option<std::process::ChildStdin>,
    daemon: Daemon,
}

#[derive(Debug, Deserialize)]
struct MassReport {
    clients: u64,
    cut: u64,
    gave_up: u64,
    away: u64,
    refused: u64,
    last_back_at: u64,
    back_in_second: BTreeMap<u64, u64>,
}

/// Connects the mass, kills two nodes, starts them again within two seconds, and waits until everybody is back.
pub(crate) fn storm(
    seed: u32,
    builds: &Builds,
    rig: &mut Rig,
    findings: &mut Findings,
) -> Result<()> {
    let executable = builds.loadgen.as_deref().context("no hd-loadgen")?;
    let ports = rig.spare_ports.clone();
    let mut masses = Vec::new();
    for (index, ports) in ports.chunks_exact(2).enumerate() {
        masses.push(Mass::start(
            index,
            [ports[0], ports[1]],
            seed,
            executable,
            rig,
        )?);
    }
    for mass in &mut masses {
        mass.read_line()?;
    }
    thread::sleep(CALM);

    let commands_before = rig.redis()?.commands()?;
    let killed = [seed as usize % 3, (seed as usize + 1) % 3];
    rig.load.mark()?;
    let marked = unix_ms()?;
    for node in killed {
        rig.nodes.kill(node)?;
    }
    // Some seeds have the third take all that it may first.
    thread::sleep(Duration::from_secs(u64::from(seed % 3)));
    for node in killed {
        rig.nodes.start(node)?;
    }
    rig.load.wait_until_back(BACK_TIMEOUT)?;
    // Each of the mass is back, or has given up: 20 s at most.
    let spent = Duration::from_millis(unix_ms()?.saturating_sub(marked));
    thread::sleep(Duration::from_secs(20).saturating_sub(spent));

    let commands = rig.redis()?.commands()? - commands_before;
    let turned_away = rig.nodes.metric("turned_away_total")?;
    let peak_memory = rig.nodes.peak_memory()?;
    let reports: Result<Vec<MassReport>> = masses.into_iter().map(Mass::finish).collect();
    let reports = reports?;
    let sum = |field: fn(&MassReport) -> u64| reports.iter().map(field).sum::<u64>();
    let mut seconds: BTreeMap<u64, u64> = BTreeMap::new();
    for (second, back) in reports.iter().flat_map(|report| &report.back_in_second) {
        *seconds.entry(*second).or_default() += back;
    }
    let last = reports.iter().map(|report| report.last_back_at).max();
    let back = Duration::from_millis(last.unwrap_or(0).saturating_sub(marked));
    let elapsed = Duration::from_millis(unix_ms()?.saturating_sub(marked))
        .as_secs()
        .max(1);
    findings.notes.push(format!(
        "{} of {} other clients cut, the last back after {:.1} s; {} handshakes in the busiest second; \
         {} answered with 503 at MAX_CONNECTIONS, {} by HAProxy or a node in all; most memory of a node {} MB; \
         {} commands a second to Redis; {} gave up",
        sum(|report| report.cut),
        sum(|report| report.clients),
        back.as_secs_f64(),
        seconds.values().max().unwrap_or(&0),
        turned_away,
        sum(|report| report.refused),
        peak_memory / 1_000_000,
        commands / elapsed,
        sum(|report| report.gave_up),
    ));
    for (count, what) in [
        (sum(|report| report.gave_up), "gave up"),
        (sum(|report| report.away), "are not back"),
    ] {
        if count > 0 {
            findings
                .broken
                .push(format!("{count} other clients {what}"));
        }
    }
    findings.others_back = back;
    Ok(())
}

impl Mass {
    fn start(
        index: usize,
        ports: [u16; 2],
        seed: u32,
        executable: &Path,
        rig: &Rig,
    ) -> Result<Self> {
        let [port, admin_port] = ports;
        let mut haproxy = Haproxy::start(
            &format!("haproxy-{index}"),
            port,
            admin_port,
            &rig.places,
            &[],
            Balancing {
                checks: Checks::Patient,
                sessions: Sessions::Unknown,
            },
            &rig.folder,
        )?;
        haproxy.wait_until_up(&rig.nodes.running())?;
        let mut command = Command::new(executable);
        command
            .arg("reconnect")
            .args(["--address", &format!("127.0.0.1:{}", haproxy.port())])
            .args(["--clients", &CLIENTS_EACH.to_string()])
            .args(["--at-once", AT_ONCE])
            .args(["--first-user", &(100_000 * (index + 1)).to_string()])
            .args(["--first-source", &(10 * (index + 1)).to_string()])
            .args(["--seed", &(seed as usize * GENERATORS + index).to_string()])
            .env("JWT_SECRET", JWT_SECRET)
            .env("EMIT_TOKEN", EMIT_TOKEN);
        let mut daemon = Daemon::start(&format!("mass-{index}"), &command, &rig.folder, true)?;
        let (commands, answers) = daemon.take_pipes().context("the mass has no pipes")?;
        Ok(Self {
            haproxy,
            answers: BufReader::new(answers),
            commands: Some(commands),
            daemon,
        })
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        anyhow::ensure!(
            !line.is_empty(),
            "the mass ended:\n{}",
            self.daemon.log_tail()
        );
        Ok(line)
    }

    fn finish(mut self) -> Result<MassReport> {
        drop(self.commands.take());
        let line = self.read_line()?;
        let report = serde_json::from_str(&line).with_context(|| line.clone())?;
        drop(self.haproxy);
        Ok(report)
    }
}

fn unix_ms() -> Result<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(u64::try_from(now.as_millis())?)
}
