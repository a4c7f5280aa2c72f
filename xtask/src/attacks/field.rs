//! What an attack is given, and what it gives back.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use tokio::{task::JoinHandle, time::sleep};

use super::{
    measure,
    service::{EMIT_TOKEN, METRICS_TOKEN, Tokens},
    wire::{Connection, get, post},
};

/// How the service under attack is started, and who is beside the attack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Environment {
    /// Good clients.
    pub(crate) clients: usize,
    /// Whether these come and go, or stay.
    pub(crate) is_churning: bool,
    /// Whether the back end emits.
    pub(crate) has_back_end: bool,
    /// Whether the service has nothing but what the documented `docker run` gives it.
    pub(crate) is_bare: bool,
    /// Whether its standard output is a pipe that nobody reads.
    pub(crate) is_log_unread: bool,
    /// Its limit of open files.
    pub(crate) open_files: Option<u32>,
}

impl Environment {
    pub(crate) const USUAL: Self = Self {
        clients: 200,
        is_churning: true,
        has_back_end: true,
        is_bare: false,
        is_log_unread: false,
        open_files: None,
    };
}

/// The service, seen by an attacker.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) address: SocketAddr,
    /// Its process.
    pub(crate) pid: u32,
    /// Connections of good clients, the back end and the operator, give or take a few.
    pub(crate) good_connections: usize,
    /// When the attack ends.
    pub(crate) until: Instant,
    pub(crate) tokens: Arc<Tokens>,
    /// Whether every request says who it is from in `X-Forwarded-For`.
    pub(crate) is_proxied: bool,
}

/// What an attack came to.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// How much of it the service took: sessions, answers, sockets.
    pub(crate) accepted: u64,
    /// How much it refused.
    pub(crate) refused: u64,
    pub(crate) notes: Vec<String>,
    pub(crate) goals: Vec<Goal>,
}

/// One thing that must hold.
#[derive(Debug, Clone)]
pub(crate) struct Goal {
    pub(crate) text: String,
    pub(crate) is_met: bool,
    /// Whether a busy machine alone could miss it.
    pub(crate) is_timing: bool,
}

/// Attackers come from 127.1.0.1 on; nobody else does.
const FIRST_ATTACKER: u32 = 0x7f01_0001;
/// Behind a proxy, from 51.0.0.1 on.
const FIRST_PUBLIC_ATTACKER: u32 = 0x3300_0001;
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

impl Field {
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Sleeps, at most until the attack is over.
    pub(crate) async fn rest(&self, time: Duration) {
        sleep(time.min(self.left())).await;
    }

    /// The address of an attacker by its number.
    pub(crate) fn source(&self, number: usize) -> Ipv4Addr {
        Ipv4Addr::from(FIRST_ATTACKER + number as u32)
    }

    /// What a proxy says of the attacker of this number; empty where there is none.
    pub(crate) fn forwarded(&self, number: usize) -> String {
        match self.is_proxied {
            true => format!("X-Forwarded-For: {}\r\n", self.public_source(number)),
            false => String::new(),
        }
    }

    /// The address that the attacker of this number has in the internet.
    pub(crate) fn public_source(&self, number: usize) -> Ipv4Addr {
        Ipv4Addr::from(FIRST_PUBLIC_ATTACKER + number as u32)
    }

    /// Connects as the attacker of this number, to end with a reset.
    pub(crate) async fn open(&self, number: usize) -> io::Result<Connection> {
        let connection = Connection::open(self.address, Some(self.source(number))).await?;
        connection.reset_at_end();
        Ok(connection)
    }

    /// As [`open`](Self::open), with a receive buffer that is full at once.
    pub(crate) async fn open_deaf(&self, number: usize) -> io::Result<Connection> {
        let source = Some(self.source(number));
        let connection = Connection::open_with(self.address, source, Some(DEAF_BYTES)).await?;
        connection.reset_at_end();
        Ok(connection)
    }

    /// Asks one thing on a connection of its own, as the operator does.
    pub(crate) async fn ask(&self, request: &str) -> Result<super::wire::Response> {
        let ask = async {
            let mut connection = Connection::open(self.address, Some(OPERATOR)).await?;
            connection.ask(request.as_bytes()).await
        };
        let answer = tokio::time::timeout(ASK_TIMEOUT, ask).await;
        Ok(answer.context("no answer within 5 s")??)
    }

    /// Every metric, by its name and labels, without the prefix.
    pub(crate) async fn metrics(&self) -> Result<BTreeMap<String, f64>> {
        let authorization = format!("Authorization: Bearer {METRICS_TOKEN}\r\n");
        let response = self.ask(&get("/metrics", &authorization)).await?;
        let text = String::from_utf8_lossy(&response.body).into_owned();
        Ok(text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                let name = name.strip_prefix("helpdesk_ws_").unwrap_or(name);
                Some((name.to_owned(), value.parse().ok()?))
            })
            .collect())
    }

    /// The sum of the metrics whose names begin so.
    pub(crate) async fn metric(&self, prefix: &str) -> Result<f64> {
        let all = self.metrics().await?;
        Ok(all
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(_, value)| value)
            .sum())
    }

    /// Emits to a user as the back end does; the status.
    pub(crate) async fn emit(&self, user: u64, bytes: usize) -> Result<u16> {
        let text = "x".repeat(bytes);
        let body = format!(r#"{{"userId":{user},"event":"ticket_updated","payload":"{text}"}}"#);
        let response = self
            .ask(&post("/notifications/emit", &bearer(), &body))
            .await;
        Ok(response?.status)
    }

    /// Attackers' connections that the service has open, as `ss` tells the most of them from here to the end of
    /// the attack, and looks now and then.
    pub(crate) fn most_open(&self, from: Duration) -> JoinHandle<usize> {
        self.most(from, measure::connections, self.good_connections)
    }

    /// Likewise, connections with something that their clients do not read.
    pub(crate) fn most_unread(&self, from: Duration) -> JoinHandle<usize> {
        self.most(from, measure::unread, 0)
    }

    fn most(
        &self,
        from: Duration,
        count: fn(u16) -> Result<usize>,
        good: usize,
    ) -> JoinHandle<usize> {
        let field = self.clone();
        tokio::spawn(async move {
            sleep(from).await;
            let mut most = 0;
            while !field.is_over() {
                let all = count(field.address.port()).unwrap_or(0);
                most = most.max(all.saturating_sub(good));
                // It takes a moment, in which attackers wait too.
                field.rest(Duration::from_secs(2)).await;
            }
            most
        })
    }
}

/// The smallest receive buffer that the kernel gives.
const DEAF_BYTES: u32 = 2304;
/// Who asks for metrics.
const OPERATOR: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 9);

/// The header of a caller that may emit.
pub(crate) fn bearer() -> String {
    format!("Authorization: Bearer {EMIT_TOKEN}\r\n")
}

impl Findings {
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Demands something that a busy machine cannot be the reason for.
    pub(crate) fn demand(&mut self, is_met: bool, text: impl Into<String>) {
        self.goals.push(Goal {
            text: text.into(),
            is_met,
            is_timing: false,
        });
    }

    /// Demands a time, which a busy machine can miss.
    pub(crate) fn within(&mut self, what: &str, time: Duration, most: Duration) {
        self.goals.push(Goal {
            text: format!(
                "{what}: {} ms, at most {}",
                time.as_millis(),
                most.as_millis()
            ),
            is_met: time <= most,
            is_timing: true,
        });
    }

    /// Demands that a figure is at most so much.
    pub(crate) fn at_most(&mut self, what: &str, value: u64, most: u64) {
        self.demand(value <= most, format!("{what}: {value}, at most {most}"));
    }
}
