//! The generator against the bare server of the same program, each scenario once.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_hd-loadgen");

struct Limit {
    process: Child,
    address: String,
}

impl Limit {
    fn start(arguments: &[&str]) -> Self {
        let mut process = Command::new(PROGRAM)
            .arg("limit")
            .args(arguments)
            .env_remove("PORT")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        let address = line
            .trim()
            .strip_prefix("Listening on http://")
            .expect("an address");
        Self {
            address: address.to_owned(),
            process,
        }
    }

    fn run(&self, scenario: &str) -> Output {
        Command::new(PROGRAM)
            .args(scenario.split(' '))
            .args(["--address", &self.address])
            .args(["--server-pid", &self.process.id().to_string()])
            .env("JWT_SECRET", "a secret for tokens that nobody verifies")
            .env("EMIT_TOKEN", "unread")
            .output()
            .expect("the program starts")
    }

    /// Runs a scenario to its report.
    fn report(&self, scenario: &str) -> Value {
        let output = self.run(scenario);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has seen then.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn connect_counts_and_delivers_the_broadcast() {
    let report =
        Limit::start(&[]).report("connect --clients 50 --hold 100ms --broadcast-bytes 8192");
    assert_eq!(report["clients"], 50);
    assert_eq!(report["received"], 50);
    assert!(report["connects_per_second"].as_f64().unwrap() > 0.0);
    assert!(report["memory_after_broadcast"]["rss"].as_u64().unwrap() > 0);
    assert!(report["handshake"]["p50_ms"].as_f64().unwrap() > 0.001);
}

#[test]
fn fanout_delivers_every_event_to_all() {
    for (arguments, window) in [(&[][..], 1), (&["--merge"], 4)] {
        let report = Limit::start(arguments).report(&format!(
            "fanout --clients 40 --events 25 --window {window}"
        ));
        assert_eq!(report["lost"], 0);
        assert_eq!(report["repeated"], 0);
        assert!(report["latency"]["p99_ms"].as_f64().unwrap() > 0.001);
    }
}

#[test]
fn unicast_delivers_each_event_once() {
    for arguments in [
        "unicast --clients 20 --concurrency 4 --duration 200ms",
        "unicast --clients 20 --concurrency 4 --duration 200ms --rate 500",
    ] {
        for server in [&[][..], &["--merge"]] {
            let report = Limit::start(server).report(arguments);
            assert_eq!(report["lost"], 0, "{arguments}");
            assert_eq!(report["repeated"], 0, "{arguments}");
        }
    }
}

#[test]
fn clients_come_back_and_are_replaced() {
    let limit = Limit::start(&[]);
    let storm = limit.report("storm --clients 100 --times 2");
    assert_eq!(storm["clients"], 100);
    let churn = limit.report("churn --clients 20 --rate 200 --duration 500ms");
    assert_eq!(churn["replaced"], 100);
    assert_eq!(churn["failed"], 0);
}

#[test]
fn a_server_that_is_not_there_is_said_so() {
    let mut limit = Limit::start(&[]);
    limit.process.kill().unwrap();
    limit.process.wait().unwrap();
    let output = limit.run("connect --clients 2");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("is gone"), "{error}");
}
