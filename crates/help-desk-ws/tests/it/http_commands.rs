//! `help-desk-ws emit` and `help-desk-ws health`, against a peer that plays a script.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use crate::program::{GOOD_TOKEN, Program};

/// Takes one request and gives one answer.
struct Peer {
    port: u16,
    request: JoinHandle<Request>,
}

struct Request {
    head: String,
    body: String,
}

impl Peer {
    fn answering(status: &'static str, body: &'static str) -> Self {
        Self::new(move |stream| {
            let request = Request::read(stream);
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .unwrap();
            request
        })
    }

    fn new(play: impl FnOnce(&mut TcpStream) -> Request + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            port: listener.local_addr().unwrap().port(),
            request: thread::spawn(move || play(&mut listener.accept().unwrap().0)),
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn request(self) -> Request {
        self.request.join().unwrap()
    }
}

impl Request {
    fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let head_len = loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
            if bytes.ends_with(b"\r\n\r\n") {
                break bytes.len();
            }
        };
        let head = String::from_utf8(bytes).unwrap().to_lowercase();
        assert_eq!(head.len(), head_len);
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        Self {
            head,
            body: String::from_utf8(body).unwrap(),
        }
    }
}

/// A port on which nobody listens: one that the system gave to anybody might be
/// another test's a moment later.
const NOBODY: u16 = 1;

fn emit(peer: &Peer, args: &[&str]) -> Program {
    let url = peer.url();
    let base = ["emit", "--url", &url, "--user=42", "--event=ticket_closed"];
    Program::new(&[&base[..], args].concat())
}

#[test]
fn emit_sends_what_the_back_end_sends_and_prints_the_answer() {
    let peer = Peer::answering("201 Created", r#"{"success":true,"deliveredLocally":2}"#);
    let run = emit(&peer, &["--payload", r#"{"ticketId": 7, "n": 1.50}"#])
        .env("EMIT_TOKEN", GOOD_TOKEN)
        .run();
    run.check_code(0);
    assert_eq!(run.stdout, "{\"success\":true,\"deliveredLocally\":2}\n");
    assert_eq!(run.stderr, "");
    let port = peer.port;
    let request = peer.request();
    assert!(
        request
            .head
            .starts_with("post /notifications/emit http/1.1\r\n")
    );
    for header in [
        format!("host: 127.0.0.1:{port}"),
        "content-type: application/json".to_owned(),
        format!("authorization: bearer {GOOD_TOKEN}"),
    ] {
        assert!(request.head.lines().any(|line| line == header), "{header}");
    }
    // The payload is passed on as it was typed.
    assert_eq!(
        request.body,
        r#"{"userId":42,"event":"ticket_closed","payload":{"ticketId": 7, "n": 1.50}}"#
    );
}

#[test]
fn emit_names_recipients_of_every_kind() {
    let body_of = |args: &[&str]| {
        let peer = Peer::answering("201 Created", "{}");
        let url = peer.url();
        let base = ["emit", "--url", &url, "--event=x", "--payload=1"];
        Program::new(&[&base[..], args].concat())
            .run()
            .check_code(0);
        peer.request().body
    };
    assert_eq!(
        body_of(&["--role=2"]),
        r#"{"role":[2],"event":"x","payload":1}"#
    );
    assert_eq!(
        body_of(&[
            "--user=1",
            "--user=2",
            "--role=3",
            "--department=4",
            "--region=5",
            "--position=6",
            "--position=7",
        ]),
        r#"{"userIds":[1,2],"role":[3],"department":[4],"region":[5],"position":[6,7],"event":"x","payload":1}"#
    );
    assert_eq!(
        body_of(&["--broadcast"]),
        r#"{"broadcast":true,"event":"x","payload":1}"#
    );
    // An audience that was forgotten is not everybody.
    Program::new(&["emit", "--event=x", "--payload=1"])
        .run()
        .check_code(64)
        .check_stderr("--broadcast");
}

#[test]
fn emit_takes_its_payload_from_stdin_or_a_file() {
    let expected = r#"{"userId":42,"event":"ticket_closed","payload":["ñ"]}"#;

    let peer = Peer::answering("201 Created", "{}");
    emit(&peer, &["--payload=-"])
        .stdin("[\"ñ\"]\n")
        .run()
        .check_code(0);
    let request = peer.request();
    assert_eq!(request.body, expected);
    assert!(!request.head.contains("authorization"));

    let peer = Peer::answering("201 Created", "{}");
    emit(&peer, &["--payload=@payload.json"])
        .file("payload.json", "\n[\"ñ\"] ")
        .run()
        .check_code(0);
    assert_eq!(peer.request().body, expected);
}

#[test]
fn emit_goes_to_the_port_of_the_settings_without_a_url() {
    let peer = Peer::answering("201 Created", "{}");
    Program::new(&["emit", "--user=1", "--event=x", "--payload=1"])
        .file(".env", format!("PORT={}", peer.port))
        .run()
        .check_code(0);
    assert_eq!(
        peer.request().body,
        r#"{"userId":1,"event":"x","payload":1}"#
    );
}

#[test]
fn emit_keeps_the_path_of_a_mounted_service() {
    let peer = Peer::answering("201 Created", "{}");
    let url = format!("{}/ws/", peer.url());
    Program::new(&[
        "emit",
        "--url",
        &url,
        "--user=1",
        "--event=x",
        "--payload=1",
    ])
    .run()
    .check_code(0);
    assert!(
        peer.request()
            .head
            .starts_with("post /ws/notifications/emit ")
    );
}

#[test]
fn emit_fails_when_it_is_refused() {
    const BODY: &str = r#"{"error":{"code":"unauthorized","message":"no"}}"#;
    let peer = Peer::answering("401 Unauthorized", BODY);
    let run = emit(&peer, &["--payload=1"]).run();
    run.check_code(1)
        .check_stderr("set EMIT_TOKEN to the server's");
    assert_eq!(run.stdout, format!("{BODY}\n"));

    let peer = Peer::answering("401 Unauthorized", BODY);
    emit(&peer, &["--payload=1"])
        .env("EMIT_TOKEN", GOOD_TOKEN)
        .run()
        .check_code(1)
        .check_stderr("refuses: 401 Unauthorized");
}

#[test]
fn emit_checks_what_it_is_given() {
    let emit = |event: &str, payload: &str| {
        Program::new(&["emit", "--user=1", "--event", event, "--payload", payload]).run()
    };
    emit("disconnect", "1").check_code(64);
    emit("", "1").check_code(64);
    emit("x", "{oops")
        .check_code(64)
        .check_stderr("the payload is not JSON");
    emit("x", "")
        .check_code(64)
        .check_stderr("the payload is not JSON");
    emit("x", "@missing.json")
        .check_code(64)
        .check_stderr("cannot read the payload from missing.json");
    Program::new(&[
        "emit",
        "--url=https://a.example",
        "--user=1",
        "--event=x",
        "--payload=1",
    ])
    .run()
    .check_code(64)
    .check_stderr("does not speak TLS");
}

#[test]
fn emit_tells_a_missing_server_from_a_refusal() {
    let url = format!("http://127.0.0.1:{NOBODY}");
    Program::new(&[
        "emit",
        "--url",
        &url,
        "--user=1",
        "--event=x",
        "--payload=1",
    ])
    .run()
    .check_code(69)
    .check_stderr("cannot connect to http://127.0.0.1:");

    let peer = Peer::new(Request::read);
    emit(&peer, &["--payload=1"])
        .run()
        .check_code(69)
        .check_stderr("no usable answer");

    // Bound and never accepted: the kernel takes the connection, and nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let args = ["--user=1", "--event=x", "--payload=1", "--timeout=50ms"];
    Program::new(&[&["emit", "--url", &url], &args[..]].concat())
        .run()
        .check_code(69)
        .check_stderr("does not answer in time");
}

#[test]
fn emit_stops_reading_an_endless_answer() {
    let peer = Peer::new(|stream| {
        let request = Request::read(stream);
        stream.write_all(b"HTTP/1.1 201 Created\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 64 * 1024]).is_ok() {}
        request
    });
    emit(&peer, &["--payload=1"])
        .run()
        .check_code(69)
        .check_stderr("no usable answer");
    peer.request();
}

const HEALTHY: &str = r#"{"status":"ok","service":"help-desk-ws"}"#;

#[test]
fn health_is_good_when_the_server_says_so() {
    let peer = Peer::answering("200 OK", HEALTHY);
    let port = peer.port.to_string();
    let run = Program::new(&["health"]).env("PORT", &port).run();
    run.check_code(0);
    assert_eq!(run.stdout, format!("{HEALTHY}\n"));
    assert!(peer.request().head.starts_with("get /health http/1.1\r\n"));
}

#[test]
fn health_needs_no_setting_but_the_address() {
    let peer = Peer::answering("200 OK", HEALTHY);
    let port = peer.port.to_string();
    Program::new(&["health", "--port", &port])
        .env("NODE_ENV", "production")
        .env("CORS_ORIGIN", "nonsense")
        .env("PORT", "1")
        .run()
        .check_code(0);
    peer.request();
}

#[test]
fn health_is_bad_otherwise() {
    let health = |port: u16| {
        let port = port.to_string();
        Program::new(&["health", "--timeout=50ms", "--port", &port]).run()
    };
    health(NOBODY).check_code(1).check_stderr("cannot connect");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    health(listener.local_addr().unwrap().port())
        .check_code(1)
        .check_stderr("does not answer in time");

    let peer = Peer::answering("503 Service Unavailable", "{}");
    Program::new(&["health", "--port", &peer.port.to_string()])
        .run()
        .check_code(1)
        .check_stderr("answers 503 Service Unavailable");

    let peer = Peer::new(|stream| {
        let request = Request::read(stream);
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
        request
    });
    Program::new(&["health", "--port", &peer.port.to_string()])
        .run()
        .check_code(1)
        .check_stderr("no usable answer");
    Program::new(&["health", "--port=x"]).run().check_code(64);
}
