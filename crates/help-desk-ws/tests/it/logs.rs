//! The log of the program, while strangers flood it and while nobody reads it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command};

use crate::program::{GOOD_SECRET, GOOD_TOKEN, Program, Run};

struct Server {
    process: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(settings: &[(&str, &str)]) -> Self {
        let program = settings.iter().fold(
            Program::new(&["serve", "--host", "127.0.0.1", "--port", "0"])
                .env("JWT_SECRET", GOOD_SECRET)
                .env("EMIT_TOKEN", GOOD_TOKEN)
                .env("MAX_EMITS_PER_SECOND", "1000000"),
            |program, (name, value)| program.env(name, value),
        );
        let mut program = program;
        let mut process = program.start();
        let mut server = Self {
            stdout: BufReader::new(process.stdout.take().unwrap()),
            process,
            address: String::new(),
        };
        let line = server.line_with("Listening on http://");
        let (_, rest) = line.split_once("http://").unwrap();
        server.address = rest.split([' ', '"', '\n']).next().unwrap().to_owned();
        server
    }

    /// The next line that has this in it.
    fn line_with(&mut self, text: &str) -> String {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "no {text:?}");
        }
        line
    }

    /// Emits nothing, so often, and reads the answers: each is logged. With a token, since calls
    /// without one are limited long before.
    fn refused_emits(&self, count: usize) {
        // On a few connections, pipelined: it is the log that is to be busy.
        for start in (0..count).step_by(BATCH) {
            let requests = BATCH.min(count - start);
            let head = format!(
                "POST /emit HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\
                 authorization: Bearer {GOOD_TOKEN}\r\n"
            );
            let request = format!("{head}\r\n");
            let last = format!("{head}connection: close\r\n\r\n");
            let answers = self.ask(&[&*request.repeat(requests - 1), &*last].concat());
            assert_eq!(answers.matches("HTTP/1.1 400 ").count(), requests);
        }
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        ))
    }

    fn ask(&self, requests: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let requests = requests.to_owned();
        let writing = std::thread::spawn(move || writer.write_all(requests.as_bytes()).unwrap());
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        writing.join().unwrap();
        answers
    }

    fn metric(&self, name: &str) -> usize {
        let page = self.get("/metrics");
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap().parse().unwrap()
    }

    fn terminate(&self) {
        let id = self.process.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(killed.success());
    }

    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where the test got to its end.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// The number in a line, before these words.
fn number_before(line: &str, words: &str) -> usize {
    let (before, _) = line.split_once(words).unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_flood_of_refused_emits_is_sampled_and_summarized_and_fully_counted() {
    let mut server = Server::start(&[("LOG_LINES_PER_SECOND", "3")]);
    server.refused_emits(2_000);
    assert_eq!(
        server.metric(r#"helpdesk_ws_emits_total{result="refused"}"#),
        2_000
    );
    let suppressed = server.metric("helpdesk_ws_log_lines_suppressed_total");
    // Three in each second that it took.
    assert!((1_000..2_000).contains(&suppressed), "{suppressed}");
    assert_eq!(server.metric("helpdesk_ws_log_lines_dropped_total"), 0);

    // The flood is over, and the rest of it is summarized.
    let (mut written, mut summarized) = (0, 0);
    while written + summarized < 2_000 {
        let line = server.line_with("[NotificationsController] Emit refused");
        if line.contains("suppressed") {
            let words = " more lines were suppressed code=invalid_json elapsed=";
            summarized += number_before(&line, words);
        } else {
            assert!(line.contains(" code=invalid_json "), "{line}");
            written += 1;
        }
    }
    assert_eq!((written, summarized), (2_000 - suppressed, suppressed));
}

#[test]
fn what_was_suppressed_is_told_at_the_end_at_the_latest() {
    let mut server = Server::start(&[("LOG_FORMAT", "json"), ("LOG_LINES_PER_SECOND", "1")]);
    server.refused_emits(100);
    server.terminate();
    let rest = server.rest();
    let lines: Vec<serde_json::Value> = rest
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let emits = lines.iter().filter(|line| line["code"] == "invalid_json");
    let (summaries, whole): (Vec<_>, Vec<_>) =
        emits.partition(|line| line.get("suppressed").is_some());
    let suppressed: u64 = summaries
        .iter()
        .map(|line| line["suppressed"].as_u64().unwrap())
        .sum();
    assert_eq!(whole.len() as u64 + suppressed, 100, "{rest}");
    assert_eq!(summaries[0]["level"], "warn");
    assert_eq!(summaries[0]["context"], "NotificationsController");
    let last = lines.last().unwrap()["message"].to_string();
    assert!(last.contains("Stopped: "), "{rest}");
}

#[test]
fn a_flood_of_rejected_handshakes_is_sampled_by_reason() {
    let origin = ("CORS_ORIGIN", "https://help.example.com");
    let mut server = Server::start(&[origin, ("LOG_LINES_PER_SECOND", "1")]);
    let reject = |transport: &str| {
        let answer = server.ask(&format!(
            "GET /socket.io/?EIO=4&transport={transport} HTTP/1.1\r\nhost: x\r\n\
             origin: https://evil.example\r\nconnection: close\r\n\r\n"
        ));
        assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
    };
    for _ in 0..100 {
        reject("polling");
    }
    // Of another reason: none of the others is in its way.
    reject("pigeon");
    server.terminate();
    let rest = server.rest();
    let whole = "Request rejected: origin https://evil.example is not in CORS_ORIGIN \
                 reason=origin_not_allowed remote_address=127.0.0.1 origin=https://evil.example\n";
    let written = rest.matches(whole).count();
    let words = " more lines were suppressed reason=origin_not_allowed elapsed=";
    let summaries = rest.lines().filter(|line| line.contains(words));
    let suppressed: usize = summaries.map(|line| number_before(line, words)).sum();
    assert!(written >= 1 && suppressed >= 1, "{rest}");
    assert_eq!(written + suppressed, 100, "{rest}");
    assert!(
        rest.contains("the transport is unknown reason=transport_unknown"),
        "{rest}"
    );
}

#[test]
fn nobody_reads_stdout_and_the_service_goes_on() {
    let mut server = Server::start(&[("LOG_LINES_PER_SECOND", "1000000")]);
    // More than a pipe and the queue hold.
    server.refused_emits(12_000);
    assert!(server.get("/health").starts_with("HTTP/1.1 200 "));
    let dropped = server.metric("helpdesk_ws_log_lines_dropped_total");
    assert!(dropped > 0);

    // The reader is back.
    let (mut written, mut told) = (0, 0);
    while written + told < 12_000 {
        let line = server.line_with("[");
        if line.contains("[Log] ") {
            let words = " log lines were dropped: stdout was not read in time\n";
            told += number_before(&line, words);
        } else {
            assert!(line.contains("Emit refused"), "{line}");
            written += 1;
        }
    }
    assert_eq!((written, told), (12_000 - dropped, dropped));
    server.refused_emits(1);
    server.line_with("Emit refused");
    server.terminate();
    server.line_with("Stopped: ");
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
}

#[test]
fn nobody_reads_stdout_and_the_service_still_ends() {
    let mut server = Server::start(&[("LOG_LINES_PER_SECOND", "1000000")]);
    server.refused_emits(1_000);
    server.terminate();
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
}

#[test]
fn what_was_logged_before_a_start_fails_is_written() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let run: Run = Program::new(&["serve", "--host", "127.0.0.1", "--port", &port]).run();
    run.check_code(1).check_stderr("cannot listen on 127.0.0.1");
    assert!(run.stdout.contains("LOG_LINES_PER_SECOND"), "{run:?}");
    assert!(run.stdout.contains("[Settings] JWT_SECRET"), "{run:?}");
}

#[test]
fn all_settings_and_the_hint_are_in_the_log_in_their_order() {
    let program = Program::new(&["serve", "--host", "127.0.0.1", "--port", "0"]);
    let mut program = program
        .env("LOG_LINES_PER_SECOND", "1")
        .env("LOG_FORMAT", "json");
    let mut process = program.start();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("/notifications/emit\n") {
        assert_ne!(stdout.read_line(&mut text).unwrap(), 0, "{text}");
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let settings = Program::new(&["serve", "--check"]).run();
    let logged = text.matches(r#""message":"Setting""#).count();
    assert_eq!(logged, settings.settings().len());
    let position = |part: &str| text.find(part).unwrap();
    let order = [
        position(r#""message":"Setting""#),
        position(r#""message":"CORS_ORIGIN is *"#),
        position("Listening on"),
        position("A token for user 42"),
    ];
    assert!(order.is_sorted(), "{text}");
}

/// Requests on one connection.
const BATCH: usize = 500;
