//! A long time in which pages come and go and things break again and again.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::json;

use super::{
    daemon::Signal,
    inject::{BACK_TIMEOUT, Findings},
    rig::Rig,
    version::Version,
};

/// Pages that are closed and opened again, of all in a minute.
const CHURN: f64 = 0.1;
/// From the end of one fault to the next: up to twice this.
const PAUSE: Duration = Duration::from_secs(20);
const STANDSTILL: Duration = Duration::from_secs(3);
/// Before memory is looked at: the log fills, and allocators find their size.
const WARM_UP: Duration = Duration::from_secs(240);
/// Of a node that is never killed. Noise of an allocator over some minutes looks like 10 MB an hour.
const MEMORY_SLOPE_MB_PER_HOUR: f64 = 20.0;
/// Files of all nodes that may be open more in the end: connections of HAProxy and of the publisher come and go.
const FILES_MARGIN: f64 = 60.0;
/// Never killed: what leaks in it shows.
const SPARED: usize = 0;

/// What is broken.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Row 1.
    Kill,
    /// Row 6.
    RedisRestart,
    /// Row 13.
    HalfOpen,
    /// Row 30.
    Pause,
}

/// One look at the nodes when everybody is there.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    memory: u64,
    files: usize,
}

/// Breaks things by the seed until the time is over.
pub(crate) fn soak(
    seed: u32,
    version: Version,
    rig: &mut Rig,
    findings: &mut Findings,
) -> Result<()> {
    let duration = version.soak();
    let started = Instant::now();
    rig.load
        .ask(&json!({"command": "churn", "sharePerMinute": CHURN}))?;
    let mut random = Random(u64::from(seed) << 1 | 1);
    let mut samples = Vec::new();
    let mut faults: BTreeMap<&str, u32> = BTreeMap::new();
    while started.elapsed() < duration {
        thread::sleep(PAUSE.mul_f64(2.0 * random.next()));
        samples.push(sample(started, rig)?);
        let all = [
            Fault::Kill,
            Fault::RedisRestart,
            Fault::HalfOpen,
            Fault::Pause,
        ];
        let fault = all[(random.next() * all.len() as f64) as usize];
        let name = inject(fault, &mut random, rig)?;
        *faults.entry(name).or_default() += 1;
        rig.load.wait_until_back(BACK_TIMEOUT)?;
        rig.nodes.check_alive()?;
    }
    thread::sleep(PAUSE);
    samples.push(sample(started, rig)?);
    judge(&samples, findings);
    findings
        .notes
        .push(format!("{} minutes; {faults:?}", duration.as_secs() / 60));
    Ok(())
}

fn inject(fault: Fault, random: &mut Random, rig: &mut Rig) -> Result<&'static str> {
    let running = rig.nodes.running();
    let any = running[(random.next() * running.len() as f64) as usize];
    Ok(match fault {
        Fault::Kill => {
            let victim = 1 + (random.next() * (running.len() - 1) as f64) as usize;
            rig.nodes.kill(victim)?;
            rig.nodes.start(victim)?;
            debug_assert_ne!(victim, SPARED);
            "killed"
        }
        Fault::RedisRestart => {
            rig.load.emptied()?;
            rig.redis()?.kill()?;
            rig.redis()?.start_again()?;
            "Redis restarted"
        }
        Fault::HalfOpen => {
            rig.load.freeze()?;
            // Until it is noticed; `wait_until_back` is for what is away.
            thread::sleep(super::row::PING_INTERVAL + super::row::PING_TIMEOUT);
            "half open"
        }
        Fault::Pause => {
            rig.nodes.signal(any, Signal::Stop)?;
            thread::sleep(STANDSTILL);
            rig.nodes.signal(any, Signal::Continue)?;
            "paused"
        }
    })
}

fn sample(started: Instant, rig: &Rig) -> Result<Sample> {
    let memory = rig.nodes.memory()?;
    let spared = memory.iter().find(|(node, _)| *node == SPARED);
    Ok(Sample {
        at: started.elapsed(),
        memory: spared.map_or(0, |(_, bytes)| *bytes),
        files: rig.nodes.open_files()?,
    })
}

fn judge(samples: &[Sample], findings: &mut Findings) {
    let warm: Vec<Sample> = samples
        .iter()
        .copied()
        .filter(|sample| sample.at > WARM_UP)
        .collect();
    let (Some(first), Some(last)) = (warm.first(), warm.last()) else {
        findings
            .broken
            .push("too short to say anything of memory".to_owned());
        return;
    };
    let hours = |sample: &Sample| sample.at.as_secs_f64() / 3600.0;
    let memory = slope(warm.iter().map(|s| (hours(s), s.memory as f64 / 1e6)));
    let files = slope(warm.iter().map(|s| (hours(s), s.files as f64)));
    let files_more = files * (hours(last) - hours(first));
    findings.notes.push(format!(
        "memory of the node that was never killed {:.1} MB after {:.0} minutes and {:.1} MB at the end, {memory:+.1} MB an hour; \
         open files of all {} and {}, {files:+.0} an hour",
        first.memory as f64 / 1e6,
        first.at.as_secs_f64() / 60.0,
        last.memory as f64 / 1e6,
        first.files,
        last.files,
    ));
    if memory > MEMORY_SLOPE_MB_PER_HOUR {
        findings
            .broken
            .push(format!("memory grows by {memory:.1} MB an hour"));
    }
    if files_more > FILES_MARGIN {
        findings
            .broken
            .push(format!("open files grow by {files:.0} an hour"));
    }
}

/// Of the line that fits best (least squares).
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = points.clone().count() as f64;
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / count;
    let x = mean(&mut points.clone().map(|point| point.0));
    let y = mean(&mut points.clone().map(|point| point.1));
    let both: f64 = points
        .clone()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    let square: f64 = points.map(|point| (point.0 - x).powi(2)).sum();
    if square > 0.0 { both / square } else { 0.0 }
}

/// xorshift64: the same numbers for the same seed.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// At least 0, and less than 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(memory_per_hour: f64, files_per_hour: f64, is_broken: bool) {
        let samples: Vec<Sample> = (0..60)
            .map(|minute| {
                let hours = f64::from(minute) / 60.0;
                Sample {
                    at: Duration::from_secs(60 * minute as u64),
                    // Some noise, and a beginning that is not looked at.
                    memory: ((50.0 + memory_per_hour * hours + f64::from(minute % 3)) * 1e6) as u64,
                    files: (700.0 + files_per_hour * hours) as usize,
                }
            })
            .collect();
        let mut findings = Findings::default();
        judge(&samples, &mut findings);
        assert_eq!(!findings.broken.is_empty(), is_broken, "{findings:?}");
    }

    #[test]
    fn what_grows_is_found() {
        check(0.0, 0.0, false);
        check(10.0, 10.0, false);
        check(40.0, 0.0, true);
        check(0.0, 200.0, true);
    }
}
