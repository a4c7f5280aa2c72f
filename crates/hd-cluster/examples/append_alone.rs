//! Appends records one after the other, so that each has a call of its own, or so many together:
//! `cargo run --release -p hd-cluster --example append_alone -- URL COUNT [TOGETHER]`.
//!
//! With Redis under `valgrind --tool=callgrind`, the difference between two counts is what they
//! cost, in instructions.

use std::time::Duration;

use hd_cluster::{ClusterConfig, SharedLog};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (url, count, together): (_, u32, u32) = match &args[..] {
        [url, count] => (url, count.parse()?, 1),
        [url, count, together] => (url, count.parse()?, together.parse()?),
        _ => anyhow::bail!("usage: append_alone URL COUNT [TOGETHER]"),
    };
    let log = SharedLog::new(ClusterConfig::new(url.parse()?));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for _ in 0..count {
            let tasks: Vec<_> = (0..together)
                .map(|_| {
                    let log = log.clone();
                    tokio::spawn(async move { log.append(None, RECORD).await })
                })
                .collect();
            for task in tasks {
                task.await??;
            }
            // The next ids have a time of their own, as at moderate rates.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    })
}

const RECORD: &[u8] = &[b'x'; 200];
