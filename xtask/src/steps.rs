//! Named steps with their durations.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Runs steps one after the other and remembers how long each took.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs one step; its failure names the step.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("\n==> {name}");
        let started = Instant::now();
        let outcome = step();
        let took = started.elapsed();
        outcome.with_context(|| format!("step `{name}` failed after {}", seconds(took)))?;
        println!("==> {name}: ok in {}", seconds(took));
        self.done.push((name.to_owned(), took));
        Ok(())
    }

    /// Prints every step that ran, and the sum.
    pub(crate) fn print_summary(&self) {
        println!();
        for (name, took) in &self.done {
            println!("{:>10}  {name}", seconds(*took));
        }
        println!(
            "{:>10}  all {} steps passed",
            seconds(self.done.iter().map(|(_, took)| took).sum()),
            self.done.len()
        );
    }
}

/// A duration as people read it.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
