//! What a process costs: memory, processor time, and what the kernel holds for its sockets.

use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::process;

/// Watches a process in the background and remembers its largest values.
#[derive(Debug)]
pub(crate) struct Watch {
    peaks: Arc<Peaks>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Peaks {
    rss: AtomicU64,
    kernel: AtomicU64,
    is_over: AtomicBool,
}

/// How often memory is looked at; the kernel's every so many times, since asking for thousands of sockets costs.
const INTERVAL: Duration = Duration::from_millis(100);
const INTERVALS_FOR_KERNEL: u32 = 15;
pub(crate) const MIB: u64 = 1 << 20;

impl Watch {
    pub(crate) fn start(pid: u32, port: u16) -> Self {
        let peaks = Arc::new(Peaks::default());
        let seen = peaks.clone();
        let thread = thread::spawn(move || {
            for turn in 1_u32.. {
                if seen.is_over.load(Relaxed) {
                    break;
                }
                // The process is gone: whoever needs it will say so.
                seen.rss.fetch_max(rss(pid).unwrap_or(0), Relaxed);
                if turn.is_multiple_of(INTERVALS_FOR_KERNEL) {
                    seen.kernel
                        .fetch_max(kernel_bytes(port).unwrap_or(0), Relaxed);
                }
                thread::sleep(INTERVAL);
            }
        });
        Self {
            peaks,
            thread: Some(thread),
        }
    }

    /// The largest so far: resident bytes, and bytes in the kernel.
    pub(crate) fn peaks(&self) -> (u64, u64) {
        (
            self.peaks.rss.load(Relaxed),
            self.peaks.kernel.load(Relaxed),
        )
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.peaks.is_over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that would matter now.
            thread.join().ok();
        }
    }
}

/// Resident bytes of a process.
pub(crate) fn rss(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .context("no VmRSS")?;
    Ok(kib * 1024)
}

/// Processor time of a process so far.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} is gone"))?;
    // The name, in parentheses, may hold anything; utime and stime are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(") ").context("/proc/<pid>/stat")?;
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// What the kernel holds for the server's side of the connections to `port`: all that `skmem` counts as allocated.
pub(crate) fn kernel_bytes(port: u16) -> Result<u64> {
    let mut ss = Command::new("ss");
    ss.args(["-tmnH", "sport", "=", &format!(":{port}")]);
    Ok(allocated(&process::output(&mut ss)?))
}

/// Connections to `port` that the server has open.
pub(crate) fn connections(port: u16) -> Result<usize> {
    Ok(established(port)?.lines().count())
}

/// Those of them with something that was written and is not acknowledged.
pub(crate) fn unread(port: u16) -> Result<usize> {
    let send_queue = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    Ok(established(port)?
        .lines()
        .filter(|line| send_queue(line).is_some_and(|bytes| bytes > 0))
        .count())
}

fn established(port: u16) -> Result<String> {
    let mut ss = Command::new("ss");
    ss.args([
        "-tnH",
        "state",
        "established",
        "sport",
        "=",
        &format!(":{port}"),
    ]);
    process::output(&mut ss)
}

/// The sum of `r`, received and not read, and `w`, written and not acknowledged, of `skmem:(r…,rb…,t…,tb…,f…,w…,…)`.
fn allocated(text: &str) -> u64 {
    text.split("skmem:(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .flat_map(|fields| fields.split(','))
        .filter_map(|field| {
            let (name, number) = field.split_at(field.find(|c: char| c.is_ascii_digit())?);
            matches!(name, "r" | "w").then(|| number.parse::<u64>().ok())?
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sockets_hold_is_summed() {
        let text = "ESTAB 0 0 127.0.0.1:1 127.0.0.1:2\n\t skmem:(r10,rb131072,t5,tb2626560,f0,w7,o0,bl0,d0)\n\
                    ESTAB 0 0 127.0.0.1:1 127.0.0.1:3\n\t skmem:(r1,rb131072,t0,tb2626560,f4096,w2,o0,bl0,d0)\n";
        assert_eq!(allocated(text), 20);
    }
}
