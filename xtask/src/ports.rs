//! Ports for what is started by and by, or again.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
};

use anyhow::{Result, bail};

/// Thousands of outgoing connections take their ports from 32768 on (Linux): a port from there that is free now
/// may not be later.
const RANGE: std::ops::Range<u16> = 10_240..32_768;

/// Ports that are free now, below those of outgoing connections. All that a rig needs are asked for at once: the next
/// call finds the same ones. Two programs side by side begin at different ones.
pub(crate) fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    let size = u32::from(RANGE.end - RANGE.start);
    let first = process::id().wrapping_mul(97) % size;
    let mut listeners = Vec::with_capacity(COUNT);
    for step in 0..size {
        if listeners.len() == COUNT {
            break;
        }
        let port = RANGE.start + u16::try_from((first + step) % size)?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
            // Held until all are found, or each would be the same.
            listeners.push((port, listener));
        }
    }
    let ports: Vec<u16> = listeners.iter().map(|(port, _)| *port).collect();
    match ports.try_into() {
        Ok(ports) => Ok(ports),
        Err(_) => bail!("no {COUNT} ports are free"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_is_another_one_of_the_range() {
        let ports = free_ports::<8>().unwrap();
        for (index, port) in ports.iter().enumerate() {
            assert!(RANGE.contains(port), "{port}");
            assert!(!ports[..index].contains(port), "{ports:?}");
        }
    }
}
