//! A network of the rig's own, in which packets can be dropped: a namespace of Linux with its own loopback interface.

use std::{env, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context, Result};

use crate::process;

/// Runs this program again, with one argument more, in a network namespace of its own. Returns only when that fails.
pub(crate) fn enter(argument: &str) -> Result<()> {
    let error = Command::new("unshare")
        .args(["--map-root-user", "--net", "--"])
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .arg(argument)
        .exec();
    Err(error).context("`unshare` is not in PATH; on Debian: apt-get install util-linux")
}

/// To be called in a new namespace.
pub(crate) fn begin() -> Result<()> {
    for (program, argument, package) in [("ip", "-V", "iproute2"), ("nft", "-v", "nftables")] {
        if !process::succeeds(Command::new(program).arg(argument)) {
            anyhow::bail!("`{program}` is not in PATH; on Debian: apt-get install {package}");
        }
    }
    run("ip", "link set lo up")
}

/// Drops all packets from and to an address, without a word to either side.
pub(crate) fn drop_all(address: &str) -> Result<()> {
    filter(address, "drop")
}

/// Drops some packets, at random, from and to an address or a network.
pub(crate) fn drop_some(network: &str, percent: u8) -> Result<()> {
    filter(network, &format!("numgen random mod 100 < {percent} drop"))
}

/// Undoes all of these.
pub(crate) fn drop_nothing() -> Result<()> {
    run("nft", "delete table ip faults")
}

fn filter(address: &str, verdict: &str) -> Result<()> {
    run("nft", "add table ip faults")?;
    run(
        "nft",
        "add chain ip faults input { type filter hook input priority 0; }",
    )?;
    for side in ["saddr", "daddr"] {
        run(
            "nft",
            &format!("add rule ip faults input ip {side} {address} {verdict}"),
        )?;
    }
    Ok(())
}

/// Lets no more than so many bits a second through to and from each of these addresses.
pub(crate) fn throttle(addresses: &[String], rate: &str) -> Result<()> {
    // Packets as a real network has them: loss and rate are meant for these.
    run(
        "ip",
        "link set dev lo mtu 1500 gso_max_size 1500 gso_max_segs 1",
    )?;
    run("tc", "qdisc add dev lo root handle 1: htb default 1")?;
    run(
        "tc",
        "class add dev lo parent 1: classid 1:1 htb rate 20gbit quantum 60000",
    )?;
    for (index, address) in addresses.iter().enumerate() {
        let class = 10 + index;
        run(
            "tc",
            &format!("class add dev lo parent 1: classid 1:{class} htb rate {rate} quantum 1600"),
        )?;
        for side in ["src", "dst"] {
            run(
                "tc",
                &format!(
                    "filter add dev lo parent 1: protocol ip u32 match ip {side} {address}/32 flowid 1:{class}"
                ),
            )?;
        }
    }
    Ok(())
}

/// Undoes that.
pub(crate) fn throttle_nothing() -> Result<()> {
    run("tc", "qdisc del dev lo root")
}

fn run(program: &str, arguments: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments.split(' '));
    process::output(&mut command).map(drop)
}
