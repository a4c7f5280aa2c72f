//! More packets and requests than anybody needs.

use std::{io, time::Duration};

use anyhow::Result;
use tokio::{io::AsyncWriteExt as _, time::timeout};

use super::{
    field::{Field, Findings},
    swarm::{Count, swarm},
    wire::{CLOSE, Connection, NAMESPACE, TEXT, frame_head, get},
};

const AT_ONCE: usize = 50;
const REOPEN_DELAY: Duration = Duration::from_millis(100);
const USERS: usize = 4;
const STRANGERS: usize = 64;

/// Row 6b.
pub(crate) async fn refreshes(field: Field) -> Result<Findings> {
    let before = field
        .metric("token_refreshes_total{result=\"accepted\"")
        .await?;
    let count = Count::default();
    swarm(
        &field,
        USERS + STRANGERS,
        &count,
        |field, number, count| async move {
            while !field.is_over() {
                let flood = async {
                    if number < USERS {
                        let token = field.tokens.of(number as u64).map_err(io::Error::other)?;
                        let refresh = format!(r#"42{NAMESPACE},["auth:refresh","{token}"]"#);
                        packets(&field, number, Some(&token), &refresh, &count).await
                    } else {
                        packets(&field, number, None, "6", &count).await
                    }
                };
                timeout(field.left(), flood).await.ok();
                count.refuse();
                field.rest(REOPEN_DELAY).await;
            }
        },
    )
    .await;
    let mut findings = count.findings();
    let refreshed = field
        .metric("token_refreshes_total{result=\"accepted\"")
        .await?
        - before;
    findings.note(format!(
        "× {AT_ONCE} packets were written, refused: connections closed; {refreshed} refreshes were accepted"
    ));
    // 6 in a row and one in 10 s, for each connection that a user has had.
    let connections = findings.refused.min(10_000) + USERS as u64;
    findings.at_most("refreshes", refreshed as u64, connections * 9);
    Ok(findings)
}

/// Row `events`.
pub(crate) async fn events(field: Field) -> Result<Findings> {
    let count = Count::default();
    swarm(&field, USERS, &count, |field, number, count| async move {
        while !field.is_over() {
            let flood = async {
                let token = field.tokens.of(number as u64).map_err(io::Error::other)?;
                let event = format!(r#"42{NAMESPACE},["anything",{{"number":1}}]"#);
                packets(&field, number, Some(&token), &event, &count).await
            };
            timeout(field.left(), flood).await.ok();
            count.refuse();
            field.rest(REOPEN_DELAY).await;
        }
    })
    .await;
    let mut findings = count.findings();
    findings.note(format!(
        "× {AT_ONCE} events were written, refused: connections closed"
    ));
    Ok(findings)
}

/// Writes a packet over and over, and reads what comes.
async fn packets(
    field: &Field,
    number: usize,
    token: Option<&str>,
    packet: &str,
    count: &Count,
) -> io::Result<()> {
    let mut connection = field.open(number).await?;
    connection.open_session(&field.forwarded(number)).await?;
    if let Some(token) = token {
        connection.join(token).await?;
    }
    let mut one = frame_head(0x80 | TEXT, packet.len());
    one.extend_from_slice(packet.as_bytes());
    let batch = one.repeat(AT_ONCE);
    let Connection {
        mut reader,
        mut writer,
    } = connection;
    let writing = async {
        loop {
            if let Err(error) = writer.write_all(&batch).await {
                return error;
            }
            count.accept();
            tokio::task::yield_now().await;
        }
    };
    let reading = async {
        loop {
            match reader.frame().await {
                Ok(frame) if frame.opcode == CLOSE => return io::ErrorKind::ConnectionReset.into(),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    };
    tokio::select! {
        error = writing => Err(error),
        error = reading => Err(error),
    }
}

/// Row `requests`.
pub(crate) async fn requests(field: Field) -> Result<Findings> {
    const MAX_REQUESTS_PER_CONNECTION: u64 = 1_000;
    let count = Count::default();
    let mut most = 0;
    while !field.is_over() {
        let mut answers = 0;
        let asking = async {
            let mut connection = field.open(0).await?;
            let batch = get("/health", "").repeat(AT_ONCE);
            loop {
                connection.write(batch.as_bytes()).await?;
                for _ in 0..AT_ONCE {
                    connection.reader.response().await?;
                    answers += 1;
                    count.accept();
                }
            }
        };
        let ended: Result<io::Result<()>, _> = timeout(field.left(), asking).await;
        if ended.is_ok() {
            count.refuse();
        }
        most = most.max(answers);
        field.rest(REOPEN_DELAY).await;
    }
    let mut findings = count.findings();
    findings.note("answers, refused: connections closed");
    findings.at_most("answers on a connection", most, MAX_REQUESTS_PER_CONNECTION);
    Ok(findings)
}
