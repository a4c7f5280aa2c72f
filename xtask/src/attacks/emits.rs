//! A caller that emits more than it may.

use std::{
    io,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::{sleep, timeout};

use super::{
    field::{Field, Findings},
    service::OTHER_EMIT_TOKEN,
    swarm::{Count, swarm},
    wire::{header, post},
};

/// Of what there is too much.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Excess {
    Requests,
    Bytes,
    Recipients,
    Concurrent,
}

impl Excess {
    /// The reason of a refusal, as metrics name it.
    const fn code(self) -> &'static str {
        match self {
            Self::Requests => "max_emits_per_second",
            Self::Bytes => "max_emit_bytes_per_second",
            Self::Recipients => "max_recipients_per_second",
            Self::Concurrent => "max_concurrent_emits",
        }
    }

    /// What one emit counts towards the limit.
    const fn cost(self) -> u64 {
        match self {
            Self::Requests => 1,
            Self::Bytes => PAYLOAD_BYTES as u64,
            Self::Recipients | Self::Concurrent => 0,
        }
    }

    /// The limit as the row sets it, a second.
    const fn per_second(self) -> u64 {
        match self {
            Self::Requests => 500,
            Self::Bytes => 1 << 20,
            Self::Recipients | Self::Concurrent => 0,
        }
    }

    const fn body(self) -> (&'static str, usize) {
        match self {
            Self::Requests | Self::Concurrent => ("emit", 16),
            Self::Bytes => ("emit", PAYLOAD_BYTES),
            Self::Recipients => ("broadcast", 16),
        }
    }
}

const PAYLOAD_BYTES: usize = 64_000;
const CALLERS: usize = 8;
/// `MAX_CONCURRENT_EMITS` of the row is 16.
const HELD: usize = 32;
const AT_ONCE: usize = 50;
const REOPEN_DELAY: Duration = Duration::from_millis(100);
/// What a token bucket may hold at the beginning, in seconds of its rate.
const BURST_SECONDS: u64 = 10;

/// Rows `emits…`.
pub(crate) async fn flood(field: Field, excess: Excess) -> Result<Findings> {
    let started = Instant::now();
    let (count, pauses) = (Count::default(), Count::default());
    let paused = pauses.clone();
    let holders = match excess {
        Excess::Concurrent => HELD,
        Excess::Requests | Excess::Bytes | Excess::Recipients => 0,
    };
    swarm(&field, holders + CALLERS, &count, |field, number, count| {
        let pauses = paused.clone();
        async move {
            while !field.is_over() {
                let caller = async {
                    if number < holders {
                        hold(&field, number).await
                    } else {
                        emit(&field, number, excess, &count, &pauses).await
                    }
                };
                let _ended: Result<io::Result<()>, _> = timeout(field.left(), caller).await;
                field.rest(REOPEN_DELAY).await;
            }
        }
    })
    .await;
    let mut findings = count.findings();
    findings.note(format!(
        "emits; {} answers were 429 with Retry-After",
        pauses.accepted()
    ));
    let limited = format!("emits_limited_total{{reason=\"{}\"}}", excess.code());
    let limited = field.metric(&limited).await?;
    findings.demand(
        limited > 0.0,
        format!("refused for {}: {limited}", excess.code()),
    );
    findings.demand(
        pauses.accepted() == findings.refused,
        "each refusal is 429 with Retry-After",
    );
    if excess.cost() > 0 {
        let seconds = started.elapsed().as_secs() + 1 + BURST_SECONDS;
        findings.at_most(
            "emits",
            findings.accepted,
            excess.per_second() * seconds / excess.cost() + CALLERS as u64,
        );
    }
    Ok(findings)
}

/// Begins a request and does not end it: it is one of those at the same time.
async fn hold(field: &Field, number: usize) -> io::Result<()> {
    let mut connection = field.open(number).await?;
    let request = post("/notifications/emit", &other_caller(), "{ }");
    connection
        .write(&request.as_bytes()[..request.len() - 1])
        .await?;
    sleep(field.left()).await;
    Ok(())
}

async fn emit(
    field: &Field,
    number: usize,
    excess: Excess,
    count: &Count,
    pauses: &Count,
) -> io::Result<()> {
    let (route, bytes) = excess.body();
    let text = "x".repeat(bytes);
    let target = match route {
        "emit" => format!(r#""userId":{number},"#),
        _ => String::new(),
    };
    // Good clients take no notice of an event that is not theirs.
    let body = format!(r#"{{{target}"event":"attack","payload":"{text}"}}"#);
    let request = post(&format!("/notifications/{route}"), &other_caller(), &body);
    let mut connection = field.open(number).await?;
    // Large ones are not held up by what the attacker itself has not read.
    let at_once = if bytes > 1_000 { 1 } else { AT_ONCE };
    let batch = request.repeat(at_once);
    loop {
        connection.write(batch.as_bytes()).await?;
        for _ in 0..at_once {
            let response = connection.reader.response().await?;
            match response.status {
                201 => count.accept(),
                _ => count.refuse(),
            }
            if response.status == 429 && header(&response.head, "retry-after").is_some() {
                pauses.accept();
            }
        }
    }
}

fn other_caller() -> String {
    format!("Authorization: Bearer {OTHER_EMIT_TOKEN}\r\n")
}
