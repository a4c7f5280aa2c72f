//! Attackers whose requests never end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::{sleep, timeout};

use super::{
    field::{Field, Findings},
    swarm::{Count, swarm},
    wire::get,
};

const CONNECTIONS: usize = 3_000;
const ADDRESSES: usize = 30;
/// So often comes one byte of a head.
const BYTE_EVERY: Duration = Duration::from_secs(1);
const REOPEN_DELAY: Duration = Duration::from_millis(500);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// What a deadline may be late by on a busy machine.
const LATENESS: Duration = Duration::from_secs(3);

/// Row `slow-heads`.
pub(crate) async fn trickle(field: Field) -> Result<Findings> {
    let count = Count::default();
    let longest = Arc::new(AtomicU64::new(0));
    let life = longest.clone();
    swarm(&field, CONNECTIONS, &count, move |field, number, count| {
        let life = life.clone();
        async move {
            sleep(Duration::from_millis(number as u64)).await;
            while !field.is_over() {
                let opened = Instant::now();
                match timeout(field.left(), head(&field, number)).await {
                    Ok(Ok(())) => count.accept(),
                    Ok(Err(_)) => count.refuse(),
                    Err(_) => {}
                }
                life.fetch_max(opened.elapsed().as_millis() as u64, Relaxed);
                field.rest(REOPEN_DELAY).await;
            }
        }
    })
    .await;
    let mut findings = count.findings();
    findings.note("heads that came to their end, refused: connections closed before that");
    findings.at_most("heads", findings.accepted, 0);
    findings.demand(findings.refused > 0, "connections are closed");
    findings.at_most(
        "longest life in ms",
        longest.load(Relaxed),
        (HEADER_TIMEOUT + LATENESS).as_millis() as u64,
    );
    Ok(findings)
}

/// Writes one head, byte by byte, until the connection is closed.
async fn head(field: &Field, number: usize) -> io::Result<()> {
    let mut connection = field.open(number % ADDRESSES).await?;
    let request = get("/socket.io/?EIO=4&transport=polling", "");
    let (first, rest) = request.as_bytes().split_at(16);
    connection.write(first).await?;
    let (reader, writer) = (&mut connection.reader, &mut connection.writer);
    let writing = async {
        for byte in rest {
            sleep(BYTE_EVERY).await;
            tokio::io::AsyncWriteExt::write_all(writer, &[*byte]).await?;
        }
        Ok(())
    };
    // It is answered with 408, or closed.
    tokio::select! {
        written = writing => written,
        () = reader.drain() => Err(io::ErrorKind::ConnectionReset.into()),
    }
}
