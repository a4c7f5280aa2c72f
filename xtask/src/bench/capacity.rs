//! `cargo xtask bench capacity`: how many connections this machine holds.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    machine,
    servers::{self, Built, EMIT_TOKEN, JWT_SECRET, Kind},
};
use crate::{server::Server, steps::seconds};

/// How many.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Connections in all.
    #[arg(long, default_value_t = 1_000_000)]
    connections: usize,
    /// Connections of one server process; each takes a file, and so does its client in the generator.
    #[arg(long, default_value_t = 18_200)]
    per_process: usize,
}

/// A server and the generator that holds its clients.
struct Pair {
    server: Server,
    generator: Child,
    words: BufReader<ChildStdout>,
    go: ChildStdin,
    clients: usize,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let built = servers::build(&[Kind::HelpDeskWs])?;
    let started = Instant::now();
    let free_before = available_kib()?;
    let mut pairs: Vec<Pair> = Vec::new();
    let mut joined = 0;
    while joined < args.connections {
        // Two at a time, one for each core.
        let first = pairs.len();
        for number in first..first + 2 {
            let open: usize = pairs.iter().map(|pair| pair.clients).sum();
            let clients = args.per_process.min(args.connections - open);
            if clients > 0 {
                pairs.push(Pair::start(&built, number, clients)?);
            }
        }
        for pair in &mut pairs[first..] {
            pair.await_joined()?;
            joined += pair.clients;
        }
        println!(
            "{joined} connections in {} pairs of processes after {}, {} MiB of memory left",
            pairs.len(),
            seconds(started.elapsed()),
            available_kib()? / 1024
        );
    }
    let taken = free_before.saturating_sub(available_kib()?);
    let mut server_rss = 0;
    for pair in &pairs {
        server_rss += rss_kib(pair.server.pid())?;
    }

    let broadcast = Instant::now();
    for pair in &mut pairs {
        pair.go.write_all(b"go\n")?;
        pair.broadcast()?;
    }
    let mut received = 0;
    let mut left = 0;
    for pair in &mut pairs {
        let report = pair.report()?;
        received += report["received"].as_u64().unwrap_or(0);
        left += report["left"].as_u64().unwrap_or(0);
    }
    println!(
        "\nmachine: {}\nconnections: {joined} in {} server processes, {left} of them lost\n\
         one broadcast to all: {received} deliveries in {}\n\
         memory of the servers: {:.2} KiB for each connection\n\
         memory of the machine, servers, generators and kernel: {:.2} KiB for each connection",
        machine::describe()?,
        pairs.len(),
        seconds(broadcast.elapsed()),
        server_rss as f64 / joined as f64,
        taken as f64 / joined as f64,
    );
    if received != joined as u64 || left > 0 {
        bail!("{received} of {joined} connections got the broadcast, and {left} were lost");
    }
    Ok(())
}

impl Pair {
    fn start(built: &Built, number: usize, clients: usize) -> Result<Self> {
        let server = built.start(Kind::HelpDeskWs, "0-1", 1)?;
        let mut generator = Command::new(built.generator())
            .args(["connect", "--pause"])
            .args(["--clients", &clients.to_string()])
            .args(["--first-user", &(number * 100_000 + 1).to_string()])
            .args(["--first-source", &(number % 250 + 1).to_string()])
            .args(["--address", &server.address().to_string()])
            .env("JWT_SECRET", JWT_SECRET)
            .env("EMIT_TOKEN", EMIT_TOKEN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the generator")?;
        let (Some(go), Some(words)) = (generator.stdin.take(), generator.stdout.take()) else {
            bail!("the generator has no pipes");
        };
        Ok(Self {
            server,
            generator,
            words: BufReader::new(words),
            go,
            clients,
        })
    }

    fn await_joined(&mut self) -> Result<()> {
        let mut line = String::new();
        self.words.read_line(&mut line)?;
        if line.trim() != "\"joined\"" {
            bail!(
                "{} clients did not get in; the generator says why above",
                self.clients
            );
        }
        Ok(())
    }

    /// Emits one event to everyone on this server.
    fn broadcast(&self) -> Result<()> {
        let mut stream = TcpStream::connect(self.server.address())?;
        let body = format!(
            r#"{{"event":"new_notification","payload":{{"mark":"{:032x}","mensaje":"to all"}}}}"#,
            0
        );
        write!(
            stream,
            "POST /notifications/broadcast HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer \
             {EMIT_TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.server.address(),
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 201") {
            bail!("a broadcast was answered with {:?}", answer.lines().next());
        }
        Ok(())
    }

    fn report(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.words.read_line(&mut line)?;
        serde_json::from_str(&line).context("a generator ended without a report; it says why above")
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // Both fail only for a process that is gone already.
        self.generator.kill().ok();
        self.generator.wait().ok();
    }
}

/// Memory that new processes could have.
fn available_kib() -> Result<u64> {
    kib(&fs::read_to_string("/proc/meminfo")?, "MemAvailable:")
}

fn rss_kib(pid: u32) -> Result<u64> {
    kib(
        &fs::read_to_string(format!("/proc/{pid}/status"))?,
        "VmRSS:",
    )
}

fn kib(text: &str, name: &str) -> Result<u64> {
    text.lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .with_context(|| format!("no {name} in /proc"))
}
