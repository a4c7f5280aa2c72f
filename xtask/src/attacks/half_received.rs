//! Messages, bodies and heads that do not come to their end.

use std::{
    io,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::{sleep, timeout};

use super::{
    field::{Field, Findings},
    measure,
    swarm::{Count, swarm},
    wire::{BINARY, CONTINUATION, Connection, TEXT, frame_head, get, sid},
};

/// Who hoards.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hoard {
    /// Without a token: 64 KiB each.
    Strangers { connections: usize },
    /// Each with a token of its own: a bound for all.
    Users { connections: usize },
}

/// How much an attacker tries to have kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greed {
    /// All that `MAX_PAYLOAD` announces.
    All,
    /// As much as is allowed before joining: nothing that a limit of 16 KiB would end.
    Allowed,
}

const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
const REOPEN_DELAY: Duration = Duration::from_millis(200);
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Below `MAX_MESSAGE_BYTES`.
const USERS_MESSAGE_BYTES: usize = 65_000;
const MAX_BYTES_PER_STRANGER: u64 = 64 << 10;
const MAX_PARTIAL_INPUT_BYTES: u64 = 64 << 20;
/// What a session and its buffers may cost beside what it has sent.
const MAX_SESSION_BYTES: u64 = 16 << 10;

/// Rows 2, 3 and `partial-input`.
pub(crate) async fn hoard(field: Field, hoard: Hoard) -> Result<Findings> {
    let before = measure::rss(field.pid)?;
    let watched = most_memory(field.clone());
    let count = Count::default();
    let size = match hoard {
        Hoard::Strangers { connections } | Hoard::Users { connections } => connections,
    };
    swarm(
        &field,
        size,
        &count,
        move |field, number, count| async move {
            // A few at a time.
            sleep(Duration::from_millis(2 * number as u64)).await;
            let mut greed = Greed::All;
            while !field.is_over() {
                let sent = match hoard {
                    Hoard::Users { .. } => user(&field, number).await,
                    Hoard::Strangers { .. } => match number % 5 {
                        0 => body(&field, number, greed).await,
                        1 => head(&field, number).await,
                        _ => message(&field, number, greed).await,
                    },
                };
                match sent {
                    Ok(mut connection) => {
                        count.accept();
                        count.open();
                        timeout(field.left(), connection.reader.drain()).await.ok();
                        if !field.is_over() {
                            count.close();
                        }
                    }
                    Err(_) => count.refuse(),
                }
                greed = Greed::Allowed;
                field.rest(REOPEN_DELAY).await;
            }
        },
    )
    .await;
    let mut findings = count.findings();
    let grown = watched.await?.saturating_sub(before);
    findings.note(format!(
        "times all was sent; {} of {size} were open in the end; RSS grew by {} KiB",
        count.is_open(),
        grown >> 10
    ));
    match hoard {
        Hoard::Strangers { .. } => findings.at_most(
            "KiB for a connection",
            (grown / size as u64) >> 10,
            MAX_BYTES_PER_STRANGER >> 10,
        ),
        Hoard::Users { .. } => findings.at_most(
            "MiB for all",
            grown >> 20,
            (MAX_PARTIAL_INPUT_BYTES + size as u64 * MAX_SESSION_BYTES) >> 20,
        ),
    }
    Ok(findings)
}

/// A binary event for a namespace that was not joined, most of its attachments, fragments of a message, and part
/// of a frame.
async fn message(field: &Field, number: usize, greed: Greed) -> io::Result<Connection> {
    let (attachments, bytes, fragment) = match greed {
        Greed::All => (9, 110_000, 499_000),
        Greed::Allowed => (9, 1_500, 8_000),
    };
    let mut connection = field.open(number).await?;
    timeout(
        WRITE_TIMEOUT,
        connection.open_session(&field.forwarded(number)),
    )
    .await??;
    let placeholders: Vec<String> = (0..=attachments)
        .map(|number| format!(r#"{{"_placeholder":true,"num":{number}}}"#))
        .collect();
    let event = format!(
        r#"45{}-/never-joined,["e",{}]"#,
        attachments + 1,
        placeholders.join(",")
    );
    let mut sent = frame_head(0x80 | TEXT, event.len());
    sent.extend_from_slice(event.as_bytes());
    for _ in 0..attachments {
        sent.extend(frame_head(0x80 | BINARY, bytes));
        sent.resize(sent.len() + bytes, 7);
    }
    sent.extend(frame_head(BINARY, fragment));
    sent.resize(sent.len() + fragment, 7);
    sent.extend(frame_head(0x80 | CONTINUATION, fragment));
    sent.resize(sent.len() + fragment - 1, 7);
    timeout(WRITE_TIMEOUT, connection.write(&sent)).await??;
    Ok(connection)
}

/// A polling session and a body that lacks its last byte.
async fn body(field: &Field, number: usize, greed: Greed) -> io::Result<Connection> {
    let length = match greed {
        Greed::All => 999_999,
        Greed::Allowed => 16_000,
    };
    let mut connection = field.open(number).await?;
    let handshake = get(
        "/socket.io/?EIO=4&transport=polling",
        &field.forwarded(number),
    );
    let sid = sid(&timeout(WRITE_TIMEOUT, connection.ask(handshake.as_bytes())).await??)?;
    let head = format!(
        "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: help\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut sent = head.into_bytes();
    sent.resize(sent.len() + length - 1, b'4');
    timeout(WRITE_TIMEOUT, connection.write(&sent)).await??;
    Ok(connection)
}

/// A head of 15 KiB that does not end.
async fn head(field: &Field, number: usize) -> io::Result<Connection> {
    let mut connection = field.open(number).await?;
    let head = format!(
        "GET /health HTTP/1.1\r\nHost: help\r\nX: {}",
        "x".repeat(15_000)
    );
    timeout(WRITE_TIMEOUT, connection.write(head.as_bytes())).await??;
    Ok(connection)
}

/// A user's message that lacks its last byte.
async fn user(field: &Field, number: usize) -> io::Result<Connection> {
    let mut connection = field.open(number).await?;
    let token = field.tokens.of(number as u64).map_err(io::Error::other)?;
    timeout(WRITE_TIMEOUT, async {
        connection.open_session(&field.forwarded(number)).await?;
        connection.join(&token).await
    })
    .await??;
    let mut sent = frame_head(0x80 | TEXT, USERS_MESSAGE_BYTES);
    sent.resize(sent.len() + USERS_MESSAGE_BYTES - 1, b'4');
    timeout(WRITE_TIMEOUT, connection.write(&sent)).await??;
    Ok(connection)
}

/// The most resident memory in the attack.
fn most_memory(field: Field) -> tokio::task::JoinHandle<u64> {
    tokio::spawn(async move {
        let mut most = 0;
        // Still a moment after, while nothing has been given back.
        while Instant::now() < field.until {
            most = most.max(measure::rss(field.pid).unwrap_or(0));
            sleep(LOOK_INTERVAL).await;
        }
        most
    })
}
