//! The machine that the figures are from.

use std::fs;

use anyhow::{Result, bail};

/// Fails where the server and the generator cannot have a core each.
pub(crate) fn check_cores() -> Result<()> {
    let cores = std::thread::available_parallelism()?;
    if cores.get() < 2 {
        bail!("one core is too few: the server and the generator need one each");
    }
    Ok(())
}

/// Processor, cores, memory and kernel, on one line.
pub(crate) fn describe() -> Result<String> {
    let field = |text: &str, name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|value| value.trim_start_matches([' ', '\t', ':']).to_owned())
            .unwrap_or_else(|| "unknown".to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib: u64 = field(&memory, "MemTotal")
        .split(' ')
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{}, {} cores, {} GiB, Linux {}",
        field(&cpu, "model name"),
        std::thread::available_parallelism()?,
        kib.div_ceil(1024 * 1024),
        kernel.trim()
    ))
}
