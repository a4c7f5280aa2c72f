//! Requests that are refused, each of which has something to say in the log.

use std::{io, time::Duration};

use anyhow::Result;
use tokio::{io::AsyncWriteExt as _, time::timeout};

use super::{
    field::{Field, Findings},
    swarm::{Count, swarm},
    wire::{Connection, get, post},
};

const PIPELINED: usize = 32;
const REOPEN_DELAY: Duration = Duration::from_millis(50);

/// Rows 4 and 6e.
pub(crate) async fn refused_requests(field: Field) -> Result<Findings> {
    let before = field.metric("emits_total{result=\"refused\"").await;
    let (emits, handshakes) = (Count::default(), Count::default());
    let handshaking = handshakes.clone();
    swarm(&field, 2, &emits, |field, number, emits| {
        let handshakes = handshaking.clone();
        async move {
            let emit = post(
                "/notifications/emit",
                "Authorization: Bearer a-bad-token\r\n",
                r#"{"userId":1,"event":"new_notification","payload":{}}"#,
            );
            let handshake = get(
                "/socket.io/?EIO=4&transport=polling",
                "Origin: https://evil.example\r\n",
            );
            let (request, count) = match number {
                0 => (emit, emits),
                _ => (handshake, handshakes),
            };
            let requests = request.repeat(PIPELINED);
            while !field.is_over() {
                // It is cut: then it opens another one.
                timeout(field.left(), flood(&field, number, &requests, &count))
                    .await
                    .ok();
                field.rest(REOPEN_DELAY).await;
            }
        }
    })
    .await;
    let mut findings = Findings {
        accepted: emits.accepted() + handshakes.accepted(),
        refused: emits.refused() + handshakes.refused(),
        ..Findings::default()
    };
    findings.note(format!("{} emits were refused", emits.refused()));
    findings.at_most("requests that were served", findings.accepted, 0);
    match (before, field.metric("emits_total{result=\"refused\"").await) {
        (Ok(before), Ok(after)) => {
            let counted = (after - before) as u64;
            findings.demand(
                counted >= emits.refused(),
                format!(
                    "refused emits in the metrics: {counted} of {}",
                    emits.refused()
                ),
            );
        }
        (Err(error), _) | (_, Err(error)) => {
            findings.demand(false, format!("no metrics: {error:#}"));
        }
    }
    Ok(findings)
}

async fn flood(field: &Field, number: usize, requests: &str, count: &Count) -> io::Result<()> {
    let Connection {
        mut reader,
        mut writer,
    } = field.open(number).await?;
    loop {
        // All is written and then all is read: no answer is missed in the count.
        writer.write_all(requests.as_bytes()).await?;
        for _ in 0..PIPELINED {
            match reader.response().await?.status {
                200..=299 => count.accept(),
                _ => count.refuse(),
            }
        }
    }
}
