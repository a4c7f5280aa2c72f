//! No attack: an office whose agents share one address, and lose their connections at once.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    clients::reconnect_delay,
    field::{Field, Findings},
    random::Random,
    swarm::{Count, swarm},
    wire::{Connection, ORIGIN},
};

const AGENTS: usize = 2_000;
/// Users of agents count up from this one.
const FIRST_USER: u64 = 2_000_000;
/// The front end's `reconnectionAttempts`.
const MAX_TRIES: u32 = 5;
/// socket.io-client's `timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Agents come to work within this.
const ARRIVAL: Duration = Duration::from_secs(20);
/// All are in, or this has passed: then they are cut.
const MAX_ARRIVAL: Duration = Duration::from_secs(40);
const MAX_RETURN: Duration = Duration::from_secs(13);

/// Row `office`.
pub(crate) async fn returns(field: Field) -> Result<Findings> {
    let started = Instant::now();
    let count = Count::default();
    let (cut, is_cut) = watch::channel(false);
    let times: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let director = tokio::spawn({
        let count = count.clone();
        async move {
            while count.accepted() < AGENTS as u64 && started.elapsed() < MAX_ARRIVAL {
                sleep(Duration::from_millis(100)).await;
            }
            let (arrived, took) = (count.accepted(), started.elapsed());
            // Nobody listens only when the attack is over.
            cut.send(true).ok();
            (arrived, took)
        }
    });
    swarm(&field, AGENTS, &count, |field, number, count| {
        let (is_cut, times) = (is_cut.clone(), times.clone());
        agent(field, number, count, is_cut, times)
    })
    .await;
    let (arrived, took) = director.await?;
    let times = times.lock().unwrap_or_else(PoisonError::into_inner);
    let last = times.iter().max().copied().unwrap_or_default();
    let mut findings = Findings {
        accepted: times.len() as u64,
        refused: count.refused(),
        ..Findings::default()
    };
    findings.note(format!(
        "of {arrived} agents came back, the last after {:.1} s; they had arrived in {:.1} s; refused: those that gave up",
        last.as_secs_f64(),
        took.as_secs_f64()
    ));
    findings.demand(
        arrived == AGENTS as u64,
        format!("agents that arrived: {arrived} of {AGENTS}"),
    );
    findings.demand(
        times.len() as u64 == arrived,
        format!("agents that came back: {} of {arrived}", times.len()),
    );
    findings.at_most(
        "the last is back after ms",
        last.as_millis() as u64,
        MAX_RETURN.as_millis() as u64,
    );
    Ok(findings)
}

async fn agent(
    field: Field,
    number: usize,
    count: Count,
    mut is_cut: watch::Receiver<bool>,
    times: Arc<Mutex<Vec<Duration>>>,
) {
    let mut random = Random::new(number as u64);
    sleep(ARRIVAL.mul_f64(random.fraction())).await;
    // In the morning they try until they are in.
    let mut connection = loop {
        match timeout(CONNECT_TIMEOUT, connect(&field, number)).await {
            Ok(Ok(connection)) => break connection,
            _ => sleep(reconnect_delay(0, &mut random)).await,
        }
    };
    count.accept();
    loop {
        tokio::select! {
            _ = is_cut.changed() => break,
            frame = connection.reader.frame() => {
                let Ok(frame) = frame else {
                    // Cut before its time: the service did that.
                    return count.refuse();
                };
                if let Some((opcode, payload)) = super::wire::pong(&frame) {
                    connection.send(opcode, payload).await.ok();
                }
            }
        }
    }
    drop(connection);
    let cut = Instant::now();
    for tries in 0..MAX_TRIES {
        sleep(reconnect_delay(tries, &mut random)).await;
        if let Ok(Ok(mut connection)) = timeout(CONNECT_TIMEOUT, connect(&field, number)).await {
            times
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(cut.elapsed());
            connection.reader.drain().await;
            return;
        }
    }
    count.refuse();
}

async fn connect(field: &Field, number: usize) -> io::Result<Connection> {
    let forwarded = field.forwarded(0);
    let mut connection = field.open(0).await?;
    connection
        .open_session(&format!("Origin: {ORIGIN}\r\n{forwarded}"))
        .await?;
    let token = field
        .tokens
        .of(FIRST_USER + number as u64)
        .map_err(io::Error::other)?;
    connection.join(&token).await?;
    Ok(connection)
}
