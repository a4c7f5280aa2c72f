//! A deterministic simulation of how notifications are delivered: nodes with
//! copies of one stream, publishers, devices, and a network that fails. What is
//! promised is in `docs/guarantees.md`.
//!
//! ```sh
//! cargo test -p hd-replay --test simulation
//! SEEDS=100000 cargo test -p hd-replay --release --test simulation -- --nocapture
//! SEED=42 cargo test -p hd-replay --test simulation      # one of them again
//! ```

mod device;
mod faults;
mod mutant;
mod mutants;
mod network;
mod node;
mod plan;
mod publisher;
mod random;
mod reading;
mod sending;
mod stream;
mod witness;
mod world;

use std::env;

use self::mutant::Mutant;
use self::plan::Weather;
use self::witness::Violation;
use self::world::{Counts, World};

#[test]
fn each_device_gets_everything_once_and_in_order_or_is_told() {
    let counts = run_seeds(Weather::Rough);
    assert!(counts.recovered > 0 && counts.told > 0, "{counts:?}");
}

#[test]
fn where_no_bound_is_reached_nobody_is_told() {
    let counts = run_seeds(Weather::Gentle);
    assert!(counts.recovered > 0, "{counts:?}");
    assert_eq!(counts.told, 0, "{counts:?}");
}

/// As many worlds as `SEEDS` says, or the one of `SEED`.
fn run_seeds(weather: Weather) -> Counts {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    let mut sum = Counts::default();
    for seed in seeds.clone() {
        match run(seed, weather, None) {
            Ok(counts) => sum.add(counts),
            Err(violation) => fail(seed, weather, &violation),
        }
    }
    report(&format!("{weather:?}, seeds {seeds:?}: {sum}"));
    sum
}

fn run(seed: u64, weather: Weather, mutant: Option<Mutant>) -> Result<Counts, Violation> {
    let mut world = World::new(seed, weather, mutant);
    world.run()?;
    Ok(world.counts)
}

/// Runs a world once more, and shows how it came to an end.
fn fail(seed: u64, weather: Weather, violation: &Violation) -> ! {
    let mut world = World::new(seed, weather, None);
    world.trace = Some(Vec::new());
    let again = world.run();
    let trace = world.trace.unwrap_or_default();
    let from = if number("SEED").is_some() {
        0
    } else {
        trace.len().saturating_sub(40)
    };
    panic!(
        "{}\n{weather:?} seed {seed}: {violation} ({again:?}); all of it:\n\
         SEED={seed} cargo test -p hd-replay --test simulation",
        trace[from..].join("\n")
    );
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().expect("SEED and SEEDS are numbers"))
}

#[expect(clippy::print_stderr, reason = "who runs many seeds wants to know")]
fn report(line: &str) {
    eprintln!("{line}");
}

/// Each of them is a world of some minutes.
const SEEDS: u64 = 2_000;
