//! The program of `xtask/faults`: clients, back end and checker.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    ops::RangeInclusive,
    path::Path,
    process::{ChildStdin, ChildStdout, Command},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    daemon::Daemon,
    dimensions::Dimensions,
    nodes::{EMIT_TOKEN, JWT_SECRET},
};

/// Where the program is.
pub(crate) const PROJECT: &str = "xtask/faults";
/// What the second checker judges, in the folder of a run.
pub(crate) const HISTORY: &str = "history.jsonl";

/// The running program.
#[derive(Debug)]
pub(crate) struct Load {
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    clients: u64,
    daemon: Daemon,
}

/// How much, and from which seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    /// Emits a second.
    pub(crate) rate: u32,
    pub(crate) seed: u32,
    /// Life of the clients' tokens, when it is not longer than any run.
    pub(crate) token_life: Option<Duration>,
    /// The adapter of a server of Node that stands beside the nodes.
    pub(crate) node_adapter: Option<&'static str>,
    pub(crate) dimensions: Dimensions,
}

/// What became of the messages and of the clients. `ledger.mjs` says how it is judged.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) acknowledged: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) misdelivered: u64,
    pub(crate) excused: u64,
    pub(crate) forgotten: u64,
    pub(crate) appended_twice: u64,
    pub(crate) closed_pages: u64,
    pub(crate) disconnects: u64,
    pub(crate) recovered: u64,
    pub(crate) told: u64,
    pub(crate) gave_up: u64,
    pub(crate) server_disconnects: u64,
    pub(crate) refused: u64,
    pub(crate) still_away: u64,
    pub(crate) gap_ms: Option<Spread>,
    pub(crate) back_ms: f64,
    pub(crate) noticed_ms: f64,
    pub(crate) closes_per_second: u64,
    pub(crate) ack_ms: Option<Spread>,
    pub(crate) delay_ms: Option<Spread>,
    pub(crate) write_gap_ms: f64,
    pub(crate) expiry_ms: Option<Spread>,
    pub(crate) earliest_expiry_ms: f64,
    pub(crate) repeated: u64,
    pub(crate) abandoned: u64,
    pub(crate) rejected: u64,
    pub(crate) in_doubt: u64,
    pub(crate) statuses: BTreeMap<String, u64>,
}

impl Report {
    /// What there is no column for, as far as it happened.
    pub(crate) fn notes(&self) -> Vec<String> {
        let counts = [
            (self.excused, "messages not sent to clients that were told"),
            (self.repeated, "emits repeated"),
            (self.abandoned, "emits given up after 30 s"),
            (
                self.appended_twice,
                "messages received twice that Redis had lost before they were sent again",
            ),
            (self.in_doubt, "emits without an id and without a 201"),
            (self.closed_pages, "pages closed and opened again"),
        ];
        let mut notes: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !self.statuses.is_empty() {
            // 0 is no answer.
            notes.push(format!("answers {}", json!(self.statuses)));
        }
        if self.disconnects > 0 {
            notes.push(format!(
                "{} disconnects, {} in the worst second",
                self.disconnects, self.closes_per_second
            ));
        }
        notes.extend(
            self.delay_ms
                .map(|delay| format!("p99 of clients that stayed {:.0} ms", delay.p99)),
        );
        notes
    }
}

/// Of many durations, in milliseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Load {
    /// Starts the program, without clients. As many of these as `poor` has come by those URLs. A server of Node that
    /// stands beside the nodes, and is of the load, has its Redis at `redis_url`.
    pub(crate) fn start(
        url: &str,
        poor: &[String],
        redis_url: Option<&str>,
        plan: Plan,
        folder: &Path,
    ) -> Result<Self> {
        let mut arguments = plan.dimensions.arguments();
        let others = json!({
            "url": url,
            "clients": plan.clients,
            "rate": plan.rate,
            "seed": plan.seed,
            "tokenLifeS": plan.token_life.map(|life| life.as_secs()),
            "poor": poor,
            "history": folder.join(HISTORY),
            "nodePeers": plan.node_adapter.map(|adapter| json!({"adapter": adapter, "redisUrl": redis_url})),
        });
        if let (Some(all), Value::Object(others)) = (arguments.as_object_mut(), others) {
            all.extend(others);
        }
        let mut command = Command::new("node");
        command
            .arg(fs::canonicalize(PROJECT)?.join("main.mjs"))
            .arg(arguments.to_string())
            .env("JWT_SECRET", JWT_SECRET)
            .env("EMIT_TOKEN", EMIT_TOKEN);
        let mut daemon = Daemon::start("load", &command, folder, true)?;
        let (commands, answers) = daemon.take_pipes().context("the load has no pipes")?;
        Ok(Self {
            commands,
            answers: BufReader::new(answers),
            clients: plan.clients as u64,
            daemon,
        })
    }

    /// How many clients there are to be.
    pub(crate) fn clients(&self) -> u64 {
        self.clients
    }

    /// Connects the clients; returns when all have joined.
    pub(crate) fn populate(&mut self) -> Result<()> {
        self.ask(&json!({"command": "populate"})).map(drop)
    }

    /// Begins to emit.
    pub(crate) fn emit(&mut self) -> Result<()> {
        self.ask(&json!({"command": "emit"})).map(drop)
    }

    /// A fault begins now.
    pub(crate) fn mark(&mut self) -> Result<()> {
        self.ask(&json!({"command": "mark"})).map(drop)
    }

    /// Waits until every client that may come back is back.
    pub(crate) fn wait_until_back(&mut self, timeout: Duration) -> Result<()> {
        let timeout = u64::try_from(timeout.as_millis())?;
        self.ask(&json!({"command": "back", "withinMs": timeout}))
            .map(drop)
    }

    /// How often a client lost its connection, so far.
    pub(crate) fn disconnects(&mut self) -> Result<u64> {
        let answer = self.ask(&json!({"command": "disconnects"}))?;
        answer["disconnects"].as_u64().context("no `disconnects`")
    }

    /// Stops what goes through the network that can, without a word.
    pub(crate) fn freeze(&mut self) -> Result<()> {
        self.ask(&json!({"command": "freeze"})).map(drop)
    }

    /// Redis loses now what it has.
    pub(crate) fn emptied(&mut self) -> Result<()> {
        self.ask(&json!({"command": "emptied"})).map(drop)
    }

    /// Delays since they were last asked for, of clients on a good network.
    pub(crate) fn take_delays(&mut self) -> Result<Spread> {
        let answer = self.ask(&json!({"command": "delays"}))?;
        serde_json::from_value(answer["delayMs"].clone()).context("nothing was delivered")
    }

    /// What became of everything, once nothing more is to come.
    pub(crate) fn report(&mut self) -> Result<(Report, Value)> {
        let report = self.ask(&json!({"command": "report"}))?;
        Ok((serde_json::from_value(report.clone())?, report))
    }

    /// How many emits were acknowledged, so far.
    pub(crate) fn acknowledged(&mut self) -> Result<u64> {
        let answer = self.ask(&json!({"command": "acknowledged"}))?;
        answer["acknowledged"].as_u64().context("no `acknowledged`")
    }

    /// Emits nothing more to each of these users but in bursts. Returns when nothing is under way to them.
    pub(crate) fn suspend(&mut self, users: RangeInclusive<u64>) -> Result<()> {
        self.ask(&json!({"command": "suspend", "from": users.start(), "to": users.end()}))
            .map(drop)
    }

    /// Emits so many events of so many bytes to each of these users, to the nodes at `urls`.
    pub(crate) fn burst(
        &mut self,
        users: RangeInclusive<u64>,
        events: usize,
        bytes: usize,
        urls: &[String],
    ) -> Result<()> {
        self.ask(&json!({
            "command": "burst", "from": users.start(), "to": users.end(),
            "events": events, "bytes": bytes, "urls": urls,
        }))
        .map(drop)
    }

    /// Any command, with its answer.
    pub(crate) fn ask(&mut self, command: &Value) -> Result<Value> {
        writeln!(self.commands, "{command}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line)
            .with_context(|| format!("the load ended:\n{}", self.daemon.log_tail()))?;
        if let Some(error) = answer["error"].as_str() {
            bail!("the load failed: {error}");
        }
        Ok(answer)
    }
}
