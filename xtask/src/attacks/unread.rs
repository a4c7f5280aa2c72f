//! Attackers who ask and do not read.

use std::{
    io,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::{sleep, timeout};

use super::{
    field::{Field, Findings},
    swarm::{Count, swarm},
    wire::{NAMESPACE, get, post, sid},
};

const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
const REQUESTS_AT_ONCE: usize = 200;
const UNREAD: usize = 300;

/// Row 5.
pub(crate) async fn health(field: Field) -> Result<Findings> {
    let count = Count::default();
    // Just before they leave.
    let seen = field.most_open(field.left().saturating_sub(Duration::from_secs(1)));
    swarm(&field, UNREAD, &count, |field, number, count| async move {
        ask_and_wait(&field, number, &count).await.ok();
    })
    .await;
    let mut findings = count.findings();
    let open = seen.await?;
    findings.note(format!(
        "connections were filled; {open} of {UNREAD} were open in the end"
    ));
    findings.at_most("open in the end", open as u64, 0);
    Ok(findings)
}

/// Writes until no more goes, and holds the connection.
async fn ask_and_wait(field: &Field, number: usize, count: &Count) -> io::Result<()> {
    let mut connection = field.open_deaf(number).await?;
    let requests = get("/health", "").repeat(REQUESTS_AT_ONCE);
    while let Ok(written) = timeout(WRITE_TIMEOUT, connection.write(requests.as_bytes())).await {
        written?;
    }
    count.accept();
    sleep(field.left()).await;
    Ok(())
}

/// Row `5-files`.
pub(crate) async fn out_of_files(field: Field) -> Result<Findings> {
    let count = Count::default();
    let asking = tokio::spawn(longest_silence(field.clone()));
    swarm(&field, UNREAD, &count, |field, number, count| async move {
        ask_and_wait(&field, number, &count).await.ok();
    })
    .await;
    let mut findings = count.findings();
    let silence = asking.await?;
    findings.note("connections were filled");
    findings.at_most(
        "longest time in ms without an answer from /health",
        silence.as_millis() as u64,
        15_000,
    );
    Ok(findings)
}

/// The longest time in which nobody who asked for `/health` got it.
async fn longest_silence(field: Field) -> Duration {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    while !field.is_over() {
        // Each on a connection of its own, which may wait to be accepted.
        if field
            .ask(&get("/health", "Connection: close\r\n"))
            .await
            .is_ok()
        {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        field.rest(Duration::from_millis(250)).await;
    }
    longest.max(last.elapsed())
}

/// Row 6.
pub(crate) async fn polls(field: Field) -> Result<Findings> {
    const USER: u64 = 1;
    let count = Count::default();
    let seen = field.most_unread(field.left() / 2);
    let emitting = tokio::spawn({
        let field = field.clone();
        async move {
            while !field.is_over() {
                field.rest(Duration::from_millis(500)).await;
                // Whatever comes of it: it is the attacker's own.
                field.emit(USER, 200_000).await.ok();
            }
        }
    });
    let token = field.tokens.of(USER)?;
    swarm(&field, 1_000, &count, |field, number, count| {
        let token = token.clone();
        async move {
            sleep(Duration::from_millis(10 * number as u64)).await;
            match timeout(field.left(), open_poll(&field, number, &token)).await {
                Ok(Ok(connection)) => {
                    count.accept();
                    sleep(field.left()).await;
                    drop(connection);
                }
                _ => count.refuse(),
            }
        }
    })
    .await;
    emitting.abort();
    let mut findings = count.findings();
    let open = seen.await?;
    findings.note(format!(
        "polls; at most {open} connections with an answer that waits"
    ));
    findings.at_most("answers that wait", open as u64, 165);
    Ok(findings)
}

/// A session that has joined, and a poll whose answer is not read.
async fn open_poll(field: &Field, number: usize, token: &str) -> io::Result<impl Send> {
    let source = number / 4;
    let mut polls = field.open_deaf(source).await?;
    let handshake = get(
        "/socket.io/?EIO=4&transport=polling",
        &field.forwarded(number),
    );
    let sid = sid(&polls.ask(handshake.as_bytes()).await?)?;
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    let mut posts = field.open(source).await?;
    let connect = post(
        &path,
        "",
        &format!(r#"40{NAMESPACE},{{"token":"{token}"}}"#),
    );
    let joined = posts.ask(connect.as_bytes()).await?;
    if joined.status != 200 {
        return Err(io::Error::other("CONNECT was refused"));
    }
    // The answer to CONNECT, and then what the back end sends.
    polls.ask(get(&path, "").as_bytes()).await?;
    polls.write(get(&path, "").as_bytes()).await?;
    Ok(polls)
}

/// Row `slow-consumers`.
pub(crate) async fn slow_consumers(field: Field) -> Result<Findings> {
    const USERS: usize = 6;
    const SOCKETS: usize = USERS * 45;
    // The kernel takes more than a megabyte before anything waits in the service.
    const EVENTS: usize = 9;
    const EVENT_BYTES: usize = 240_000;
    let count = Count::default();
    let emitting = tokio::spawn({
        let field = field.clone();
        async move {
            // Once they are in.
            field.rest(Duration::from_secs(3)).await;
            for turn in 0..EVENTS * USERS {
                if field.is_over() {
                    break;
                }
                // Whatever comes of it: it is the attacker's own.
                field.emit((turn % USERS) as u64, EVENT_BYTES).await.ok();
            }
        }
    });
    swarm(&field, SOCKETS, &count, |field, number, count| async move {
        sleep(Duration::from_millis(5 * number as u64)).await;
        let joined = async {
            let mut connection = field.open_deaf(number).await?;
            let token = field
                .tokens
                .of((number % USERS) as u64)
                .map_err(io::Error::other)?;
            connection.open_session(&field.forwarded(number)).await?;
            connection.join(&token).await?;
            io::Result::Ok(connection)
        };
        match timeout(field.left(), joined).await {
            Ok(Ok(connection)) => {
                count.accept();
                sleep(field.left()).await;
                drop(connection);
            }
            _ => count.refuse(),
        }
    })
    .await;
    emitting.abort();
    let mut findings = count.findings();
    let all = field.metrics().await?;
    let closed: f64 = all
        .iter()
        .filter(|(name, _)| name.contains("max_send_queue_total_bytes"))
        .map(|(_, value)| value)
        .sum();
    findings.note(format!(
        "sockets that do not read; {closed} were closed for the sum"
    ));
    findings.demand(closed > 0.0, "those with the most are closed");
    Ok(findings)
}
