//! Many sockets of one user, and those that never get in.

use std::{
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
    wire::{NAMESPACE, TEXT},
};

const SOCKETS: usize = 6_000;
/// From an address; there are many.
const SOCKETS_PER_ADDRESS: usize = 15;
const OPENED_PER_MS: u64 = 2;
const MAX_CONNECTIONS_PER_USER: u64 = 50;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What a deadline may be late by on a busy machine.
const LATENESS: Duration = Duration::from_secs(3);
const LEGACY_CLIENTS: usize = 50;
const ASK_INTERVAL: Duration = Duration::from_secs(2);

/// Row 6c.
pub(crate) async fn many_sockets(field: Field) -> Result<Findings> {
    const USER: u64 = 1;
    let count = Count::default();
    let emitting = tokio::spawn({
        let field = field.clone();
        async move {
            while !field.is_over() {
                field.rest(Duration::from_millis(20)).await;
                field.emit(USER, 100).await.ok();
            }
        }
    });
    let token = field.tokens.of(USER)?;
    let most_open = tokio::spawn({
        let (field, count) = (field.clone(), count.clone());
        async move {
            sleep(field.left().mul_f64(0.9)).await;
            count.is_open()
        }
    });
    swarm(&field, SOCKETS, &count, |field, number, count| {
        let token = token.clone();
        async move {
            sleep(Duration::from_millis(number as u64 / OPENED_PER_MS)).await;
            let Ok(mut connection) = field.open(number / SOCKETS_PER_ADDRESS).await else {
                return count.refuse();
            };
            let joined = async {
                connection.open_session(&field.forwarded(number)).await?;
                connection.join(&token).await
            };
            if !matches!(timeout(field.left(), joined).await, Ok(Ok(()))) {
                return count.refuse();
            }
            count.accept();
            count.open();
            timeout(field.left(), connection.reader.drain()).await.ok();
            count.close();
        }
    })
    .await;
    emitting.abort();
    let mut findings = count.findings();
    let open = most_open.await?;
    findings.note(format!("sockets joined; {open} were open in the end"));
    findings.at_most("open in the end", open, MAX_CONNECTIONS_PER_USER);
    Ok(findings)
}

/// Row 6d.
pub(crate) async fn legacy(field: Field) -> Result<Findings> {
    let count = Count::default();
    let longest = Arc::new(AtomicU64::new(0));
    let life = longest.clone();
    swarm(&field, LEGACY_CLIENTS, &count, |field, number, count| {
        let life = life.clone();
        async move {
            let Ok(mut connection) = field.open(number).await else {
                return count.refuse();
            };
            if connection
                .open_session(&field.forwarded(number))
                .await
                .is_err()
            {
                return count.refuse();
            }
            count.accept();
            let opened = Instant::now();
            let connect = format!("40{NAMESPACE},");
            while !field.is_over() {
                if connection.send(TEXT, connect.as_bytes()).await.is_err() {
                    break;
                }
                let ended = timeout(ASK_INTERVAL.min(field.left()), connection.reader.drain());
                if ended.await.is_ok() {
                    break;
                }
            }
            life.fetch_max(opened.elapsed().as_millis() as u64, Relaxed);
        }
    })
    .await;
    let mut findings = count.findings();
    let life = match longest.load(Relaxed) {
        // Nobody's ended before the attack did.
        0 => 20_000,
        life => life,
    };
    findings.note("sessions");
    findings.at_most(
        "longest life in ms",
        life,
        (CONNECT_TIMEOUT + LATENESS).as_millis() as u64,
    );
    Ok(findings)
}
