//! Redis, nodes, HAProxy, and the load, for one run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{
    haproxy::Haproxy,
    load::{Load, Plan},
    nodes::Nodes,
    ports::free_ports,
    redis::Redis,
};
use crate::process;

/// Nodes that serve at a time, and as many places for those that take over from them.
const NODES: usize = 3;
const PLACES: usize = 2 * NODES;

/// What a rig is made of.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) executable: &'a Path,
    /// Gets the logs; what was there before goes.
    pub(crate) folder: PathBuf,
    pub(crate) settings: Vec<(String, String)>,
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
}

impl Rig {
    /// Starts everything; returns when every client has joined and the load is on.
    pub(crate) fn start(setup: Setup<'_>) -> Result<Self> {
        let Setup {
            executable,
            folder,
            mut settings,
            alone,
            plan,
        } = setup;
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let folder = fs::canonicalize(folder)?;
        let [redis_port, port, admin_port, nodes @ ..] = free_ports::<{ 3 + PLACES }>()?;
        let redis = if alone {
            None
        } else {
            let redis = Redis::start(redis_port, &folder)?;
            settings.push(("REDIS_URL".to_owned(), redis.url()));
            Some(redis)
        };
        let mut haproxy = Haproxy::start(port, admin_port, &nodes, &folder)?;
        let mut nodes = Nodes::new(executable, &folder, settings, &nodes);
        for index in 0..if alone { 1 } else { NODES } {
            nodes.start(index)?;
        }
        haproxy.wait_until_up(&nodes.running())?;
        let mut load = Load::start(&haproxy.url(), plan, &folder)?;
        load.populate()?;
        load.emit()?;
        Ok(Self {
            load,
            haproxy,
            nodes,
            redis,
        })
    }

    /// The Redis that the nodes share.
    pub(crate) fn redis(&mut self) -> Result<&mut Redis> {
        self.redis.as_mut().context("there is no Redis")
    }
}

/// Fails with what to install when a program is missing.
pub(crate) fn check_programs() -> Result<()> {
    let programs = [
        ("redis-server", "--version", "redis-server"),
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
