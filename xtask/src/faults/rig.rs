//! Redis, nodes, HAProxy, and the load, for one run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{
    haproxy::{Balancing, Checks, Haproxy},
    load::{Load, Plan},
    mixed,
    nodes::Nodes,
    redis::Redis,
    row::{POOR_CLIENTS, Row},
    sentinel::{self, Sentinels},
    storm,
};
use crate::{ports::free_ports, process};

/// Nodes that serve at a time, and as many places for those that take over from them.
const NODES: usize = 3;
pub(crate) const PLACES: usize = 2 * NODES;

/// What a rig is made of.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) row: Row,
    pub(crate) executable: &'a Path,
    /// Another version, of which some of the first nodes are.
    pub(crate) other: Option<&'a Path>,
    /// Gets the logs; what was there before goes.
    pub(crate) folder: PathBuf,
    /// One node without Redis.
    pub(crate) alone: bool,
    pub(crate) plan: Plan,
}

/// All of it, running. It ends with its handle.
#[derive(Debug)]
pub(crate) struct Rig {
    // In this order they end: nobody writes about the end of another.
    pub(crate) load: Load,
    pub(crate) haproxy: Haproxy,
    pub(crate) nodes: Nodes,
    redis: Option<Redis>,
    sentinels: Option<Sentinels>,
    /// What the nodes listen on, those that are not running too.
    pub(crate) places: [u16; PLACES],
    /// For what a row starts besides.
    pub(crate) spare_ports: Vec<u16>,
    pub(crate) folder: PathBuf,
}

impl Rig {
    /// Starts everything; returns when every client has joined and the load is on.
    pub(crate) fn start(setup: Setup<'_>) -> Result<Self> {
        let Setup {
            row,
            executable,
            other,
            folder,
            alone,
            plan,
        } = setup;
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let folder = fs::canonicalize(folder)?;
        // All at once: what is free now may be given twice.
        let ports = free_ports::<{ 2 + PLACES + sentinel::PORTS + storm::PORTS }>()?;
        let ([port, admin_port], ports) = ports.split_first_chunk().context("too few ports")?;
        let (places, ports) = ports.split_first_chunk().context("too few ports")?;
        let (redis_ports, spare_ports) = ports.split_first_chunk().context("too few ports")?;
        let (mut redis, mut sentinels) = (None, None);
        let redis_urls = if alone {
            Vec::new()
        } else if row == Row::Failover {
            let all = sentinels.insert(Sentinels::start(*redis_ports, &folder)?);
            vec![all.url(); PLACES]
        } else {
            let one = redis.insert(Redis::start(
                "redis",
                redis_ports[0],
                plan.dimensions.persistence,
                &folder,
            )?);
            (0..PLACES).map(|node| one.url(node)).collect()
        };
        let poor = if row == Row::PoorNetwork {
            POOR_CLIENTS
        } else {
            0
        };
        let poor: Vec<String> = (0..poor).map(poor_address).collect();
        let checks = if row == Row::Storm {
            Checks::Patient
        } else {
            Checks::Quick
        };
        let mut haproxy = Haproxy::start(
            "haproxy",
            *port,
            *admin_port,
            places,
            &poor,
            Balancing {
                checks,
                sessions: plan.dimensions.sessions(plan.seed),
            },
            &folder,
        )?;
        let mut nodes = Nodes::new(executable, &folder, row.settings(), redis_urls, places);
        let count = if alone {
            1
        } else if row == Row::Mixed {
            mixed::NODES
        } else {
            NODES
        };
        for index in 0..count {
            match other {
                // Two of one version and one of the other, by the seed of which.
                Some(other) if (index < 2) == (plan.seed % 2 == 1) => {
                    nodes.start_version(index, other)?;
                }
                _ => nodes.start(index)?,
            }
        }
        haproxy.wait_until_up(&nodes.running())?;
        let poor: Vec<String> = poor
            .iter()
            .map(|address| format!("http://{address}:{port}"))
            .collect();
        let redis_url = redis
            .as_ref()
            .map(|one| format!("redis://127.0.0.1:{}", one.port()));
        let mut load = Load::start(&haproxy.url(), &poor, redis_url.as_deref(), plan, &folder)?;
        load.populate()?;
        load.emit()?;
        Ok(Self {
            load,
            haproxy,
            nodes,
            redis,
            sentinels,
            places: *places,
            spare_ports: spare_ports.to_vec(),
            folder,
        })
    }

    /// The Redis that the nodes share.
    pub(crate) fn redis(&mut self) -> Result<&mut Redis> {
        self.redis.as_mut().context("there is no Redis")
    }

    /// Those that have a Redis fail over.
    pub(crate) fn sentinels(&mut self) -> Result<&mut Sentinels> {
        self.sentinels.as_mut().context("there is no Sentinel")
    }
}

/// By this address a client of a poor network comes.
pub(crate) fn poor_address(client: usize) -> String {
    format!("127.0.2.{}", client + 1)
}

/// Fails with what to install when a program is missing.
pub(crate) fn check_programs() -> Result<()> {
    let programs = [
        ("redis-server", "--version", "redis-server"),
        ("redis-cli", "--version", "redis-tools"),
        ("haproxy", "-v", "haproxy"),
        ("setpriv", "--version", "util-linux"),
        ("kill", "--version", "procps"),
        ("node", "--version", "nodejs"),
    ];
    for (program, argument, package) in programs {
        if !process::succeeds(Command::new(program).arg(argument)) {
            bail!("`{program}` is not in PATH; on Debian: apt-get install {package}");
        }
    }
    Ok(())
}
