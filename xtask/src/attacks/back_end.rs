//! The back end: it emits to good clients at a steady rate, over a few connections that are kept alive.

use std::{io, net::Ipv4Addr, time::Duration};

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{
    clients::{Crowd, user},
    field::bearer,
    ledger::Phase,
    random::Random,
    wire::{Connection, header, post},
};

const CONNECTIONS: u64 = 4;
/// Emits a second, by all connections together.
const RATE: u64 = 100;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a caller that is told to slow down, or whose connection breaks, asks.
const MAX_TRIES: u32 = 5;
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// The back end's own address.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 1);

/// Starts to emit to `clients` good clients, until the attack is over.
pub(crate) fn start(crowd: &Crowd, clients: usize) {
    for seed in 0..CONNECTIONS {
        tokio::spawn(emit(crowd.clone(), clients, Random::new(seed)));
    }
}

async fn emit(crowd: Crowd, clients: usize, mut random: Random) {
    let mut ticks = interval(Duration::from_secs(CONNECTIONS) / RATE as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = None;
    loop {
        ticks.tick().await;
        // What comes then could not be waited for.
        if crowd.ledger().phase() == Phase::After {
            return;
        }
        let client = random.between(0, clients as u64) as usize;
        let Some(number) = crowd.ledger().emit(client) else {
            continue;
        };
        let body = format!(
            r#"{{"userId":{},"event":"new_notification","payload":{{"mensaje":"Ticket asignado","ticketId":{number},"fecha":"2026-01-31T10:00:00Z"}}}}"#,
            user(client)
        );
        // As docs/back-end.md asks callers to: with an id, so that a broken connection can be tried again.
        let headers = format!("{}Idempotency-Key: event-{number}\r\n", bearer());
        let request = post("/notifications/emit", &headers, &body);
        for left in (0..MAX_TRIES).rev() {
            let asked = timeout(ANSWER_TIMEOUT, ask(&crowd, &mut connection, &request)).await;
            let why = match asked {
                Ok(Ok((201, _))) => {
                    crowd.ledger().accept(number);
                    break;
                }
                Ok(Ok((429, pause))) => {
                    crowd.ledger().refuse("429".to_owned());
                    sleep(pause).await;
                    continue;
                }
                Ok(Ok((status, _))) => status.to_string(),
                Ok(Err(_)) if left > 0 => {
                    sleep(RETRY_DELAY).await;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer within 10 s".to_owned(),
            };
            connection = None;
            crowd.ledger().refuse(why);
            break;
        }
    }
}

/// The status, and the pause that was asked for.
async fn ask(
    crowd: &Crowd,
    kept: &mut Option<Connection>,
    request: &str,
) -> io::Result<(u16, Duration)> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(crowd.address, Some(SOURCE)).await?,
    };
    let response = connection.ask(request.as_bytes()).await?;
    let pause = header(&response.head, "retry-after")
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(1);
    // As an HTTP client that obeys RFC 9112, 9.6.
    if header(&response.head, "connection") != Some("close") {
        *kept = Some(connection);
    }
    Ok((response.status, Duration::from_secs(pause)))
}
