//! One run of a row: the service alone with its good clients, then with the attack, then without it.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;

use super::{
    back_end,
    clients::Crowd,
    field::{Field, Findings},
    ledger::{Ledger, Phase},
    measure::{self, MIB, Watch},
    outcome::Outcome,
    row::Row,
    service::{Service, Tokens},
};
use crate::process;

/// How long each part lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) warmup: Duration,
    pub(crate) baseline: Duration,
    /// Of a row that does not ask for another time.
    pub(crate) attack: Duration,
    /// How long memory may take to come back.
    pub(crate) after: Duration,
}

/// What was measured in a run.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) findings: Findings,
    pub(crate) ledger: Ledger,
    pub(crate) rss_before: u64,
    pub(crate) rss_peak: u64,
    pub(crate) rss_after: u64,
    /// How long memory took to come back; `None` when it did not.
    pub(crate) back_after: Option<Duration>,
    /// The kernel's, of the service's sockets.
    pub(crate) kernel_before: u64,
    pub(crate) kernel_peak: u64,
    /// Processor time a second.
    pub(crate) cpu_baseline: f64,
    pub(crate) cpu_attack: f64,
    /// Log lines and bytes a second.
    pub(crate) lines_baseline: f64,
    pub(crate) lines_attack: f64,
    pub(crate) bytes_attack: f64,
    /// Good clients that were not in at the end.
    pub(crate) missing: usize,
}

/// Memory is back when it is within this of what it was.
pub(crate) const MEMORY_TOLERANCE: u64 = 32 * MIB;
/// How long good clients may take to get in, and to get all that they missed, once attackers are gone.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);
/// What an attack may take beyond its time.
const ATTACK_GRACE: Duration = Duration::from_secs(40);
/// By how much the number of good clients' connections varies: they come and go.
const SPARE_CONNECTIONS: usize = 30;
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Attackers yield to good clients, with whom they share a core: it is the service that is measured.
const ATTACKERS_NICENESS: &str = "5";

/// Runs `row` once against `executable`.
pub(crate) fn run(row: &Row, executable: &Path, times: &Times, folder: &Path) -> Result<Outcome> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let folder = fs::canonicalize(folder)?;
    let environment = &row.environment;
    let mut service = Service::start(executable, environment, row.settings, &folder)?;
    let port = service.address().port();
    let tokens = Tokens::new()?;
    let crowd = Crowd {
        address: service.address(),
        tokens: tokens.clone(),
        ledger: Arc::new(Mutex::new(Ledger::new(environment.clients))),
        is_proxied: row.is_proxied,
        is_churning: environment.is_churning,
    };
    let good = GoodSide::start(&crowd, environment.clients, environment.has_back_end)?;
    thread::sleep(times.warmup);

    let (rss_before, kernel_before) = (service.rss()?, measure::kernel_bytes(port)?);
    let (baseline, ()) = watched(&mut service, &crowd, Phase::Baseline, |_| {
        thread::sleep(times.baseline);
        Ok(())
    })?;
    let watch = Watch::start(service.pid(), port);
    let length = row.length.unwrap_or(times.attack);
    let field = Field {
        address: service.address(),
        pid: service.pid(),
        good_connections: measure::connections(port)? + SPARE_CONNECTIONS,
        until: Instant::now() + length,
        tokens,
        is_proxied: row.is_proxied,
    };
    let (attack, findings) = watched(&mut service, &crowd, Phase::Attack, |service| {
        let findings = attack(row, field, length);
        service.check_alive()?;
        findings
    })?;
    let (rss_peak, kernel_peak) = watch.peaks();
    drop(watch);

    crowd.ledger().enter(Phase::After);
    let ended = Instant::now();
    let mut settled = None;
    let back_after = loop {
        let waited = ended.elapsed();
        if settled.is_none() && (good.is_settled(&crowd) || waited > SETTLE_TIMEOUT) {
            settled = Some(waited);
        }
        let is_back = service.rss()? <= rss_before + MEMORY_TOLERANCE;
        match settled {
            Some(_) if is_back => break Some(waited),
            Some(_) if waited > times.after => break None,
            Some(_) | None => thread::sleep(LOOK_INTERVAL),
        }
    };
    let rss_after = service.rss()?;
    service.check_alive()?;
    let missing = environment.clients - crowd.ledger().joined();
    drop(good);
    let ledger = std::mem::replace(&mut *crowd.ledger(), Ledger::new(0));
    service.shorten_log()?;
    Ok(Outcome::judge(
        row,
        Measured {
            findings,
            ledger,
            rss_before,
            rss_peak,
            rss_after,
            back_after,
            kernel_before,
            kernel_peak,
            cpu_baseline: baseline.cpu,
            cpu_attack: attack.cpu,
            lines_baseline: baseline.lines,
            lines_attack: attack.lines,
            bytes_attack: attack.bytes,
            missing,
        },
    ))
}

/// What the service did in a phase, a second.
struct Rates {
    cpu: f64,
    lines: f64,
    bytes: f64,
}

fn watched<T>(
    service: &mut Service,
    crowd: &Crowd,
    phase: Phase,
    part: impl FnOnce(&mut Service) -> Result<T>,
) -> Result<(Rates, T)> {
    let (written, cpu) = (service.written()?, measure::cpu_time(service.pid())?);
    let started = Instant::now();
    crowd.ledger().enter(phase);
    let done = part(service)?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = measure::cpu_time(service.pid())?.saturating_sub(cpu);
    let after = service.written()?;
    let rates = Rates {
        cpu: cpu.as_secs_f64() / seconds,
        lines: (after.lines - written.lines) as f64 / seconds,
        bytes: (after.bytes - written.bytes) as f64 / seconds,
    };
    Ok((rates, done))
}

/// Carries the attack out, in a thread of its own.
fn attack(row: &Row, field: Field, length: Duration) -> Result<Findings> {
    let attack = row.attack;
    let attackers = thread::spawn(move || -> Result<Findings> {
        yield_to_others()?;
        let runtime = runtime()?;
        let result = runtime.block_on(async {
            tokio::time::timeout(length + ATTACK_GRACE, attack.run(field)).await
        });
        // What is still connected is cut.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result.context("the attack did not come to its end")?
    });
    match attackers.join() {
        Ok(findings) => findings,
        Err(_) => bail!("the attack panicked"),
    }
}

/// Good clients and the back end, in a thread of their own.
struct GoodSide {
    runtime: Option<Runtime>,
}

impl GoodSide {
    fn start(crowd: &Crowd, clients: usize, has_back_end: bool) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let _inside = runtime.enter();
        crowd.start(clients);
        if has_back_end {
            back_end::start(crowd, clients);
        }
        drop(_inside);
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Whether everybody is in, and has everything.
    fn is_settled(&self, crowd: &Crowd) -> bool {
        let ledger = crowd.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.joined() == ledger.clients() && ledger.lost_for(LOSS_PATIENCE) == 0
    }
}

/// What is younger than this may be on its way.
const LOSS_PATIENCE: Duration = Duration::from_millis(500);

impl Drop for GoodSide {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// Lowers the priority of this thread alone.
fn yield_to_others() -> Result<()> {
    let thread = fs::read_link("/proc/thread-self")?;
    let id = thread.file_name().context("/proc/thread-self")?.to_owned();
    let mut renice = std::process::Command::new("renice");
    renice.args(["-n", ATTACKERS_NICENESS, "-p"]).arg(id);
    process::output(&mut renice).map(drop)
}
