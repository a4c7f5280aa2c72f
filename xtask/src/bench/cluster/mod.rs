//! `cargo xtask bench cluster`: what an emit costs when several instances share a Redis.
//!
//! One, two and four instances behind one Redis, 1,000 clients that are spread over them, and emits of 200 bytes at two
//! rates. Beside them, in the same run, Socket.IO (Node.js) with each of its Redis adapters. Redis' CPU time, commands and
//! bytes are counted while the emits run; they depend on the machine's load far less than latencies do.

mod contender;
mod counters;
mod measure;
mod report;

use std::{path::Path, time::Instant};

use anyhow::Result;

use self::{
    contender::{Contender, Peer},
    measure::{Load, Measured},
};
use super::{machine, servers};
use crate::{metadata, steps::seconds};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A help-desk-ws to measure, as `name=path` or as a path; repeated, they are measured in the same run, and the first
    /// is the state before. What this work tree builds in release mode when left out.
    #[arg(long, value_name = "[NAME=]PATH")]
    binary: Vec<Contender>,
    /// Numbers of instances.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    instances: Vec<usize>,
    /// Emits a second.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 8500])]
    rates: Vec<u32>,
    /// Adapters of Socket.IO (Node.js) to measure beside it.
    #[arg(long, value_delimiter = ',', default_values_t = Peer::ALL)]
    peers: Vec<Peer>,
    /// Leave Socket.IO (Node.js) out.
    #[arg(long, conflicts_with = "peers")]
    alone: bool,
    /// How long each measurement lasts, in seconds.
    #[arg(long, default_value_t = 6)]
    seconds: u32,
    /// How often each is measured.
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Print the result and leave docs/performance/cluster.md alone.
    #[arg(long)]
    dry: bool,
}

/// All measurements of one contender under one load.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) contender: String,
    pub(crate) is_ours: bool,
    pub(crate) load: Load,
    /// By repetition; what failed is the reason.
    pub(crate) runs: Vec<Result<Measured, String>>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let started = Instant::now();
    let peers = if args.alone { &[][..] } else { &args.peers };
    let contenders = contender::prepare(&args.binary, peers)?;
    let generator = metadata::target_directory()?.join("release/hd-loadgen");
    let logs = metadata::target_directory()?.join("bench-cluster");
    let mut samples: Vec<Sample> = Vec::new();
    for &instances in &args.instances {
        for &rate in &args.rates {
            samples.extend(contenders.iter().map(|contender| Sample {
                contender: contender.title(),
                is_ours: contender.is_ours(),
                load: Load { instances, rate },
                runs: Vec::new(),
            }));
        }
    }
    for repetition in 0..args.repetitions {
        for load in samples.chunks_mut(contenders.len()) {
            // Contenders take turns at being first.
            let first = repetition % contenders.len();
            for index in (0..contenders.len()).map(|step| (first + step) % contenders.len()) {
                let (contender, sample) = (&contenders[index], &mut load[index]);
                let run = measure::measure(contender, sample.load, args.seconds, &generator, &logs);
                match &run {
                    Ok(measured) => println!("{}", report::line(sample, measured)),
                    Err(error) => println!("{}: not measured: {error:#}", report::name(sample)),
                }
                sample.runs.push(run.map_err(|error| format!("{error:#}")));
            }
        }
        println!(
            "--- repetition {} of {} done after {}",
            repetition + 1,
            args.repetitions,
            seconds(started.elapsed())
        );
    }
    let page = report::markdown(
        &samples,
        &report::Header {
            machine: machine::describe()?,
            versions: contender::versions(&contenders)?,
            repetitions: args.repetitions,
            seconds: args.seconds,
        },
    );
    if args.dry {
        print!("{page}");
        return Ok(());
    }
    report::write(&page, Path::new(PAGE))
}

const PAGE: &str = "docs/performance/cluster.md";
