//! Strangers who open sessions and do nothing with them.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{
    io::AsyncWriteExt as _,
    time::{sleep, timeout},
};

use super::{
    clients::public_source,
    field::{Field, Findings},
    swarm::{Count, swarm},
    wire::{CLOSE, Connection, NAMESPACE, TEXT, get, upgrade},
};

/// Pipelined polling handshakes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flood {
    pub(crate) connections: usize,
    pub(crate) addresses: usize,
    /// Whether it says in `X-Forwarded-For` that it is a good client.
    pub(crate) is_forged: bool,
    /// Whether the limits of an address hold for it.
    pub(crate) is_limited: bool,
}

/// WebSockets that join nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silence {
    pub(crate) connections: usize,
    pub(crate) addresses: usize,
    /// How many may be open at a time.
    pub(crate) max_open: usize,
}

/// Requests that are written at once.
const PIPELINED: usize = 32;
/// The pause before an attacker whose connection was closed opens another one.
const REOPEN_DELAY: Duration = Duration::from_millis(50);
/// `MAX_HANDSHAKES_PER_ADDRESS`, a second.
const HANDSHAKES_PER_SECOND: u64 = 20;
/// `MAX_CONNECTIONS_PER_ADDRESS`: so many a second in the places of the address's own strangers.
const SPARE_HANDSHAKES_PER_SECOND: u64 = 200;
/// What a token bucket may hold at the beginning, in seconds of its rate.
const BURST_SECONDS: u64 = 10;
const AUTH_FAILURES_PER_SECOND: u64 = 5;
/// Connections that have no session, since they are just being refused.
const BEING_REFUSED: u64 = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What a deadline may be late by on a busy machine.
const LATENESS: Duration = Duration::from_secs(3);

/// Row 1.
pub(crate) async fn flood(field: Field, flood: Flood) -> Result<Findings> {
    let started = Instant::now();
    let count = Count::default();
    swarm(
        &field,
        flood.connections,
        &count,
        move |field, number, count| async move {
            while !field.is_over() {
                // It is refused, or cut: then it tries again.
                pipeline(&field, number, flood, &count).await.ok();
                field.rest(REOPEN_DELAY).await;
            }
        },
    )
    .await;
    let mut findings = count.findings();
    findings.note("sessions");
    if flood.addresses == 1 && flood.is_limited {
        let seconds = started.elapsed().as_secs() + 1;
        findings.at_most(
            "sessions",
            findings.accepted,
            HANDSHAKES_PER_SECOND * (seconds + BURST_SECONDS)
                + SPARE_HANDSHAKES_PER_SECOND * (seconds + 1),
        );
    }
    Ok(findings)
}

async fn pipeline(field: &Field, number: usize, flood: Flood, count: &Count) -> io::Result<()> {
    let Connection {
        mut reader,
        mut writer,
    } = field.open(number % flood.addresses).await?;
    let headers = |turn: usize| {
        // Good clients' addresses, before what the proxy adds, or in its place.
        let forged = match flood.is_forged {
            true => format!("X-Forwarded-For: {}\r\n", public_source(turn + number)),
            false => String::new(),
        };
        forged + &field.forwarded(number % flood.addresses)
    };
    let requests: String = (0..PIPELINED)
        .map(|turn| get("/socket.io/?EIO=4&transport=polling", &headers(turn)))
        .collect();
    let writing = async move {
        loop {
            if let Err(error) = writer.write_all(requests.as_bytes()).await {
                return error;
            }
        }
    };
    let reading = async {
        loop {
            match reader.response().await {
                Ok(response) if response.status == 200 => count.accept(),
                Ok(_) => count.refuse(),
                Err(error) => return error,
            }
        }
    };
    let both = async {
        tokio::pin!(writing, reading);
        tokio::select! {
            error = &mut reading => error,
            // What was answered before it was cut counts.
            _ = &mut writing => timeout(REOPEN_DELAY, reading)
                .await
                .unwrap_or_else(|_| io::ErrorKind::TimedOut.into()),
        }
    };
    match timeout(field.left(), both).await {
        Ok(error) => Err(error),
        Err(_) => Ok(()),
    }
}

/// Rows `silent` and `one-address`.
pub(crate) async fn silent(field: Field, silence: Silence) -> Result<Findings> {
    let count = Count::default();
    let longest = Arc::new(AtomicU64::new(0));
    let life = longest.clone();
    let seen = field.most_open(field.left() / 2);
    swarm(
        &field,
        silence.connections,
        &count,
        move |field, number, count| {
            let life = life.clone();
            async move {
                sleep(Duration::from_millis(number as u64)).await;
                while !field.is_over() {
                    let number = number % silence.addresses;
                    if let Ok(mut connection) = field.open(number).await
                        && connection
                            .open_session(&field.forwarded(number))
                            .await
                            .is_ok()
                    {
                        count.accept();
                        let opened = Instant::now();
                        timeout(field.left(), connection.reader.drain()).await.ok();
                        life.fetch_max(opened.elapsed().as_millis() as u64, Relaxed);
                    } else {
                        count.refuse();
                    }
                    field.rest(REOPEN_DELAY * 10).await;
                }
            }
        },
    )
    .await;
    let mut findings = count.findings();
    let most = seen.await?;
    findings.note("sessions");
    findings.at_most(
        "open at a time",
        most as u64,
        silence.max_open as u64 + BEING_REFUSED,
    );
    findings.at_most(
        "longest life in ms",
        longest.load(Relaxed),
        (CONNECT_TIMEOUT + LATENESS).as_millis() as u64,
    );
    Ok(findings)
}

/// Row `auth-failures`.
pub(crate) async fn auth_failures(field: Field) -> Result<Findings> {
    let started = Instant::now();
    let count = Count::default();
    let connect = format!(r#"40{NAMESPACE},{{"token":"a.bad.token"}}"#);
    swarm(&field, 20, &count, |field, number, count| {
        let connect = connect.clone();
        async move {
            while !field.is_over() {
                if number % 2 == 0 {
                    // Socket.IO: many tries on one connection.
                    timeout(field.left(), bad_connects(&field, &connect, &count))
                        .await
                        .ok();
                } else {
                    // A plain WebSocket: one try each.
                    match plain(&field).await {
                        Some(401) => count.accept(),
                        _ => count.refuse(),
                    }
                }
                field.rest(REOPEN_DELAY).await;
            }
        }
    })
    .await;
    let mut findings = count.findings();
    findings.note("verdicts on bad tokens");
    findings.at_most(
        "verdicts",
        findings.accepted,
        AUTH_FAILURES_PER_SECOND * (started.elapsed().as_secs() + 1 + BURST_SECONDS),
    );
    Ok(findings)
}

/// Row `neighbour`.
pub(crate) async fn neighbour(field: Field) -> Result<Findings> {
    /// 100 bad tokens a second, 20 times what gets an answer.
    const ATTACKERS: usize = 10;
    const PAUSE: Duration = Duration::from_millis(100);
    const COLLEAGUES: usize = 5;
    const FIRST_USER: u64 = 3_000_000;
    const MAX_CONNECT: Duration = Duration::from_secs(1);
    let (count, bad) = (Count::default(), Count::default());
    let longest = Arc::new(AtomicU64::new(0));
    let (slowest, answered) = (longest.clone(), bad.clone());
    let connect = format!(r#"40{NAMESPACE},{{"token":"a.bad.token"}}"#);
    swarm(
        &field,
        ATTACKERS + COLLEAGUES,
        &count,
        move |field, number, count| {
            let (connect, bad, slowest) = (connect.clone(), answered.clone(), slowest.clone());
            async move {
                while !field.is_over() {
                    if number < ATTACKERS {
                        if number % 2 == 0 {
                            let tries = bad_connects(&field, &connect, &bad);
                            timeout(field.left(), tries).await.ok();
                        } else if plain(&field).await == Some(401) {
                            bad.accept();
                        }
                        field.rest(PAUSE).await;
                        continue;
                    }
                    // The attack comes first.
                    field.rest(PAUSE * 2).await;
                    let began = Instant::now();
                    let user = FIRST_USER + number as u64;
                    match timeout(field.left(), colleague(&field, user)).await {
                        Ok(Ok(_leaves)) => count.accept(),
                        Ok(Err(_)) => count.refuse(),
                        Err(_) => return,
                    }
                    slowest.fetch_max(began.elapsed().as_millis() as u64, Relaxed);
                }
            }
        },
    )
    .await;
    let limited = field
        .metric("requests_rejected_total{reason=\"auth_failures_per_address\"}")
        .await?;
    let mut findings = count.findings();
    findings.note(format!(
        "colleagues let in at the first try; of bad tokens {} got an answer and {limited} did not",
        bad.accepted()
    ));
    findings.demand(limited > 0.0, "bad tokens are limited");
    findings.demand(findings.accepted > 0, "colleagues come");
    findings.at_most("colleagues that were refused", findings.refused, 0);
    findings.within(
        "the slowest colleague connects in",
        Duration::from_millis(longest.load(Relaxed)),
        MAX_CONNECT,
    );
    Ok(findings)
}

/// Connects with a good token, at the address of the attackers.
async fn colleague(field: &Field, user: u64) -> Result<Connection> {
    let token = field.tokens.of(user)?;
    let mut connection = field.open(0).await?;
    connection.open_session(&field.forwarded(0)).await?;
    connection.join(&token).await?;
    Ok(connection)
}

async fn bad_connects(field: &Field, connect: &str, count: &Count) {
    let Ok(mut connection) = field.open(0).await else {
        return count.refuse();
    };
    if connection.open_session(&field.forwarded(0)).await.is_err() {
        return count.refuse();
    }
    while connection.send(TEXT, connect.as_bytes()).await.is_ok() {
        match connection.reader.frame().await {
            Ok(frame) if frame.opcode == CLOSE => return,
            Ok(frame) => {
                let text = String::from_utf8_lossy(&frame.payload);
                if text.contains("token") || text.contains("signature") {
                    count.accept();
                } else {
                    count.refuse();
                }
            }
            Err(_) => return,
        }
    }
}

async fn plain(field: &Field) -> Option<u16> {
    let ask = async {
        let mut connection = field.open(0).await?;
        let request = upgrade("/notifications?token=a.bad.token", &field.forwarded(0));
        connection.ask(request.as_bytes()).await
    };
    let answer = timeout(field.left(), ask).await.ok()?.ok()?;
    Some(answer.status)
}
