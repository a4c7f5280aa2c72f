//! Clients that come back when they are cut, as the front end's do.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::Setup;
use crate::generator::Generator;
use crate::report::{self, Percentiles};

#[derive(Args, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    setup: Setup,
    /// Seed of the pauses
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    clients: usize,
    /// Clients that lost their connection, some of them more than once.
    cut: u64,
    back: u64,
    gave_up: u64,
    /// Neither.
    away: usize,
    /// From losing a connection to being in again.
    gap: Percentiles,
    /// Attempts that failed, and those of them that were answered with a status.
    failed: u64,
    refused: u64,
    /// When the last one was back, in milliseconds since 1970.
    last_back_at: u64,
    /// Clients that came back, by the second since 1970.
    back_in_second: BTreeMap<u64, u64>,
}

/// socket.io-client with `reconnectionDelay: 1000, reconnectionAttempts: 5`.
#[derive(Clone, Copy, Debug)]
enum Client {
    In,
    /// Between two attempts.
    Waiting {
        since: Duration,
        attempts: u32,
        until: Duration,
    },
    /// An attempt is under way.
    Trying {
        since: Duration,
        attempts: u32,
    },
    GaveUp,
}

/// Prints a line when all are in, and the report when the standard input ends.
///
/// # Errors
///
/// Clients that did not get in at first.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let (mut generator, _) = options.setup.connect()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{{\"in\":{}}}", options.setup.clients)?;
    out.flush()?;
    drop(out);

    let has_ended = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&has_ended);
    std::thread::spawn(move || {
        // An error ends it as well.
        let _end = std::io::stdin().read_to_end(&mut Vec::new());
        ended.store(true, Ordering::Relaxed);
    });
    let mut fleet = Fleet {
        clients: vec![Client::In; options.setup.clients],
        gaps: Histogram::new_with_bounds(1, 120_000_000_000, 3)?,
        random: options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        report: Report {
            scenario: "reconnect",
            clients: options.setup.clients,
            cut: 0,
            back: 0,
            gave_up: 0,
            away: 0,
            gap: Percentiles::from(&Histogram::new(3)?),
            failed: 0,
            refused: 0,
            last_back_at: 0,
            back_in_second: BTreeMap::new(),
        },
    };
    while !has_ended.load(Ordering::Relaxed) {
        generator.turn(Some(STEP))?;
        fleet.look_after(&mut generator)?;
    }
    let mut report = fleet.report;
    report.gap = Percentiles::from(&fleet.gaps);
    report.failed = generator.handshakes.failed;
    report.refused = generator.handshakes.refused;
    let is_away = |client: &&Client| !matches!(client, Client::In | Client::GaveUp);
    report.away = fleet.clients.iter().filter(is_away).count();
    report::print(&report)
}

struct Fleet {
    clients: Vec<Client>,
    gaps: Histogram<u64>,
    random: u64,
    report: Report,
}

impl Fleet {
    fn look_after(&mut self, generator: &mut Generator) -> anyhow::Result<()> {
        let now = generator.clock.now();
        for index in 0..self.clients.len() {
            let client = generator.client(index);
            let (is_in, is_absent) = (client.is_joined(), client.is_absent());
            self.clients[index] = match self.clients[index] {
                Client::In if is_absent => {
                    self.report.cut += 1;
                    self.wait(now, now, 0)
                }
                Client::Waiting {
                    since,
                    attempts,
                    until,
                } if now >= until => {
                    generator.begin(index);
                    Client::Trying { since, attempts }
                }
                Client::Trying { since, .. } if is_in => {
                    self.is_back(now - since)?;
                    Client::In
                }
                Client::Trying { attempts, .. } if is_absent && attempts == ATTEMPTS => {
                    self.report.gave_up += 1;
                    Client::GaveUp
                }
                Client::Trying { since, attempts } if is_absent => self.wait(since, now, attempts),
                same @ (Client::In
                | Client::Waiting { .. }
                | Client::Trying { .. }
                | Client::GaveUp) => same,
            };
        }
        Ok(())
    }

    fn wait(&mut self, since: Duration, now: Duration, attempts: u32) -> Client {
        Client::Waiting {
            since,
            attempts: attempts + 1,
            until: now + self.pause(attempts),
        }
    }

    /// As socket.io-client has it (`contrib/backo2`): one random number is both the deviation and its sign.
    fn pause(&mut self, attempts: u32) -> Duration {
        // xorshift64
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let random = (self.random >> 11) as f64 / (1_u64 << 53) as f64;
        let pause = DELAY_MS * f64::from(1_u32 << attempts);
        let deviation = (random * JITTER * pause).floor();
        let is_less = ((random * 10.0) as u32).is_multiple_of(2);
        let pause = if is_less {
            pause - deviation
        } else {
            pause + deviation
        };
        Duration::from_millis(pause.min(MOST_DELAY_MS) as u64)
    }

    fn is_back(&mut self, gap: Duration) -> anyhow::Result<()> {
        self.report.back += 1;
        self.gaps.saturating_record(gap.as_nanos() as u64);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        self.report.last_back_at = now.as_millis() as u64;
        *self.report.back_in_second.entry(now.as_secs()).or_default() += 1;
        Ok(())
    }
}

const STEP: Duration = Duration::from_millis(5);
/// `reconnectionAttempts` of the front end.
const ATTEMPTS: u32 = 5;
/// `reconnectionDelay`, `reconnectionDelayMax` and `randomizationFactor`.
const DELAY_MS: f64 = 1000.0;
const MOST_DELAY_MS: f64 = 5000.0;
const JITTER: f64 = 0.5;
