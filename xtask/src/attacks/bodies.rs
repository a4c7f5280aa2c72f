//! Bodies that are announced to be larger than anything that is taken.

use std::{io, time::Duration};

use anyhow::Result;
use tokio::time::{Instant, sleep, timeout};

use super::{
    field::{Field, Findings, bearer},
    swarm::{Count, swarm},
    wire::{CLOSE, NAMESPACE, TEXT, get, sid},
};

/// In which the answer must be there, and then the end of the connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
const TRICKLE_INTERVAL: Duration = Duration::from_millis(20);
const ATTACKERS: usize = 30;

/// What came of a body.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Refused with this status, and closed.
    Closed(u16),
    /// Answered, and left open.
    Open(u16),
    None,
}

/// Row 7.
pub(crate) async fn declared_length(field: Field) -> Result<Findings> {
    let count = Count::default();
    swarm(
        &field,
        ATTACKERS,
        &count,
        |field, number, count| async move {
            while !field.is_over() {
                match one(&field, number).await {
                    Ok(Answer::Closed(413)) => count.refuse(),
                    // A caller without a token need not be told more than that.
                    Ok(Answer::Closed(401)) if number % 3 == 1 => count.refuse(),
                    Ok(Answer::Closed(_) | Answer::Open(_) | Answer::None) => {
                        if !field.is_over() {
                            count.accept();
                        }
                    }
                    // It could not even ask.
                    Err(_) => {}
                }
                field.rest(Duration::from_millis(200)).await;
            }
        },
    )
    .await;
    let mut findings = count.findings();
    findings.note("bodies were taken, or refused late, or without closing");
    findings.at_most("bodies", findings.accepted, 0);
    findings.demand(findings.refused > 0, "bodies are refused");
    Ok(findings)
}

async fn one(field: &Field, number: usize) -> io::Result<Answer> {
    let mut connection = field.open(number).await?;
    let (path, mut headers) = match number % 3 {
        0 => ("/notifications/emit".to_owned(), bearer()),
        1 => ("/notifications/emit".to_owned(), String::new()),
        _ => {
            let handshake = get(
                "/socket.io/?EIO=4&transport=polling",
                &field.forwarded(number),
            );
            let sid = sid(&connection.ask(handshake.as_bytes()).await?)?;
            (
                format!("/socket.io/?EIO=4&transport=polling&sid={sid}"),
                String::new(),
            )
        }
    };
    headers.push_str(&field.forwarded(number));
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: help\r\n{headers}Content-Length: 10000000000\r\n\r\n"
    );
    connection.write(head.as_bytes()).await?;
    let (reader, writer) = (&mut connection.reader, &mut connection.writer);
    let trickle = async {
        let started = Instant::now();
        while started.elapsed() < ANSWER_TIMEOUT + CLOSE_TIMEOUT {
            if tokio::io::AsyncWriteExt::write_all(writer, b"x")
                .await
                .is_err()
            {
                break;
            }
            sleep(TRICKLE_INTERVAL).await;
        }
        // Whether the answer has come is up to the other side.
        std::future::pending::<()>().await;
    };
    let answer = async {
        let Ok(Ok(response)) = timeout(ANSWER_TIMEOUT, reader.response()).await else {
            return Answer::None;
        };
        match timeout(CLOSE_TIMEOUT, reader.drain()).await {
            Ok(()) => Answer::Closed(response.status),
            Err(_) => Answer::Open(response.status),
        }
    };
    tokio::select! {
        answer = answer => Ok(answer),
        () = trickle => Ok(Answer::None),
    }
}

/// Row `message-bytes`.
pub(crate) async fn message_bytes(field: Field) -> Result<Findings> {
    const BEFORE_JOINING: usize = 17_000;
    const AFTER_JOINING: usize = 66_000;
    const ALLOWED: usize = 60_000;
    let count = Count::default();
    let allowed = Count::default();
    let taken = allowed.clone();
    swarm(&field, ATTACKERS, &count, |field, number, count| {
        let taken = taken.clone();
        async move {
            while !field.is_over() {
                let (joins, bytes) = match number % 3 {
                    0 => (false, BEFORE_JOINING),
                    1 => (true, AFTER_JOINING),
                    _ => (true, ALLOWED),
                };
                let status = close_status(&field, number, joins, bytes).await;
                match (bytes, status) {
                    (ALLOWED, Ok(None)) => taken.accept(),
                    (ALLOWED, _) => taken.refuse(),
                    (_, Ok(Some(MESSAGE_TOO_BIG))) => count.refuse(),
                    (_, Ok(_)) if !field.is_over() => count.accept(),
                    (_, _) => {}
                }
                // Within what a client may send in a second.
                field.rest(Duration::from_secs(2)).await;
            }
        }
    })
    .await;
    let mut findings = count.findings();
    findings.note(format!(
        "messages were not closed for with 1009; of those that are allowed {} were read and {} were not",
        allowed.accepted(),
        allowed.refused()
    ));
    findings.at_most("messages over the limit", findings.accepted, 0);
    findings.demand(findings.refused > 0, "messages over the limit are refused");
    findings.demand(
        allowed.accepted() > 0 && allowed.refused() == 0,
        "messages below the limit are read",
    );
    Ok(findings)
}

/// Status of RFC 6455, 7.4.1.
const MESSAGE_TOO_BIG: u16 = 1009;

/// What the WebSocket is closed with for one message, or that it is not.
async fn close_status(
    field: &Field,
    number: usize,
    joins: bool,
    bytes: usize,
) -> io::Result<Option<u16>> {
    let mut connection = field.open(number).await?;
    connection.open_session(&field.forwarded(number)).await?;
    if joins {
        let token = field.tokens.of(number as u64).map_err(io::Error::other)?;
        connection.join(&token).await?;
    }
    let event = format!(r#"42{NAMESPACE},["anything","{}"]"#, "x".repeat(bytes));
    connection.send(TEXT, event.as_bytes()).await?;
    let answer = async {
        loop {
            let frame = connection.reader.frame().await?;
            if frame.opcode == CLOSE {
                return io::Result::Ok(match frame.payload[..] {
                    [high, low, ..] => Some(u16::from_be_bytes([high, low])),
                    _ => Some(0),
                });
            }
        }
    };
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(status) => status,
        Err(_) => Ok(None),
    }
}
