//! Appends records one after the other, so that each has a call of its own: `cargo run --release
//! -p hd-cluster --example append_alone -- URL COUNT`.
//!
//! With Redis under `valgrind --tool=callgrind`, the difference between two counts is what a call
//! for one record costs, in instructions.

use hd_cluster::{ClusterConfig, SharedLog};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, count] = &args[..] else {
        anyhow::bail!("usage: append_alone URL COUNT");
    };
    let log = SharedLog::new(ClusterConfig::new(url.parse()?));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for _ in 0..count.parse()? {
            log.append(None, RECORD).await?;
            // Each has an id with a time of its own, as at moderate rates.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Ok(())
    })
}

const RECORD: &[u8] = &[b'x'; 200];
