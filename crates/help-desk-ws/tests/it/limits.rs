//! What users and callers may do, and what they are answered beyond.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command};
use std::time::Duration;

use crate::program::{GOOD_SECRET, GOOD_TOKEN, Program};

struct Server {
    process: Child,
    lines: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(settings: &[(&str, &str)]) -> Self {
        let mut program = settings.iter().fold(
            Program::new(&["serve", "--host", "127.0.0.1", "--port", "0"])
                .env("JWT_SECRET", GOOD_SECRET)
                .env("EMIT_TOKEN", GOOD_TOKEN)
                .env("METRICS_TOKEN", GOOD_TOKEN),
            |program, (name, value)| program.env(name, value),
        );
        let mut process = program.start();
        let lines = BufReader::new(process.stdout.take().unwrap());
        let address = String::new();
        let mut server = Self {
            process,
            lines,
            address,
        };
        let line = server.line_with("Listening on http://");
        let address = line.split("http://").nth(1).unwrap();
        server.address = address.split_whitespace().next().unwrap().to_owned();
        server
    }

    fn line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "no line with {text:?}");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Stops it, and reads what it has still to say.
    fn log_to_its_end(&mut self) -> String {
        let pid = self.process.id().to_string();
        let stopped = Command::new("kill").arg(pid).status();
        assert!(stopped.unwrap().success());
        let mut log = String::new();
        self.lines.read_to_string(&mut log).unwrap();
        log
    }

    fn request(&self, method: &str, target: &str, token: &str, body: &str) -> String {
        let mut stream = connect(&self.address);
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn emit(&self, token: &str) -> String {
        let body = r#"{"userId":1,"event":"x","payload":{}}"#;
        self.request("POST", "/emit", token, body)
    }

    fn metric(&self, name: &str) -> String {
        let page = self.request("GET", "/metrics", GOOD_TOKEN, "");
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}"))
            .trim()
            .to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// A WebSocket.
struct Client(TcpStream);

impl Client {
    fn open(server: &Server, target: &str) -> Self {
        let mut stream = connect(&server.address);
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(char::from(byte[0]));
        }
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self(stream)
    }

    /// By Socket.IO, in the namespace.
    fn join(server: &Server, token: &str) -> Self {
        let mut client = Self::open(server, "/socket.io/?EIO=4&transport=websocket");
        assert!(client.text().starts_with("0{"));
        client.send(&format!(r#"40/notifications,{{"token":"{token}"}}"#));
        assert!(client.text().starts_with("40/notifications,{"));
        client
    }

    fn send(&mut self, text: &str) {
        let len = u16::try_from(text.len()).unwrap();
        let mut frame = vec![0x81, 0xfe];
        frame.extend(len.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.0.write_all(&frame).unwrap();
    }

    fn next(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let len = if head[1] == 126 {
            let mut len = [0; 2];
            self.0.read_exact(&mut len).unwrap();
            usize::from(u16::from_be_bytes(len))
        } else {
            usize::from(head[1])
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).unwrap();
        (head[0], payload)
    }

    fn text(&mut self) -> String {
        let (first, payload) = self.next();
        assert_eq!(first, 0x81, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    fn close_code(&mut self) -> u16 {
        loop {
            let (first, payload) = self.next();
            if first == 0x88 {
                return u16::from_be_bytes(*payload.first_chunk().unwrap());
            }
        }
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    let patience = Duration::from_secs(60);
    stream.set_read_timeout(Some(patience)).unwrap();
    stream
}

fn token_for(user: &str) -> String {
    let run = Program::new(&["token", "--user", user])
        .env("JWT_SECRET", GOOD_SECRET)
        .run();
    run.check_code(0);
    run.stdout.trim().to_owned()
}

#[test]
fn a_user_has_so_many_connections_at_most_whatever_they_speak() {
    let mut server = Server::start(&[("MAX_CONNECTIONS_PER_USER", "2")]);
    let token = token_for("7");
    let mut oldest = Client::open(&server, &format!("/notifications?token={token}"));
    let mut second = Client::join(&server, &token);
    let _third = Client::join(&server, &token);
    assert_eq!(oldest.close_code(), 1008);
    let line = server.line_with("Client closed");
    assert!(
        line.contains("MAX_CONNECTIONS_PER_USER") && line.contains("user_id=7"),
        "{line}"
    );
    assert!(line.contains("reason=max_connections_per_user"), "{line}");
    let _fourth = Client::open(&server, &format!("/notifications?token={token}"));
    assert_eq!(second.close_code(), 1008);
    // Four in a row; then one in five seconds.
    let mut loops = Client::open(&server, &format!("/notifications?token={token}"));
    assert_eq!(loops.close_code(), 1008);
    let line = server.line_with("its user connects more often");
    assert!(line.contains("reason=max_connects_per_user"), "{line}");
    let _other = Client::join(&server, &token_for("8"));
    assert_eq!(server.metric("helpdesk_ws_user_evictions_total"), "2");
    let refused = r#"helpdesk_ws_requests_rejected_total{reason="max_connects_per_user"}"#;
    assert_eq!(server.metric(refused), "1");
}

#[test]
fn a_client_refreshes_its_token_six_times_in_a_row() {
    let server = Server::start(&[]);
    let token = token_for("7");
    let mut client = Client::join(&server, &token);
    let mut refresh = |token: &str| {
        client.send(&format!(r#"42/notifications,1["auth:refresh","{token}"]"#));
        client.text()
    };
    for _ in 0..6 {
        let answer = refresh(&token);
        assert!(answer.contains(r#""ok":true"#), "{answer}");
    }
    // What it is does not matter any more: it is not looked at.
    for token in [token.as_str(), "a.b.c"] {
        let answer = refresh(token);
        assert_eq!(
            answer,
            r#"43/notifications,1[{"code":"rate_limited","ok":false}]"#
        );
    }
    // Another client of the user has its own.
    let mut other = Client::join(&server, &token);
    other.send(&format!(r#"42/notifications,1["auth:refresh","{token}"]"#));
    assert!(other.text().contains(r#""ok":true"#));
}

#[test]
fn all_clients_of_a_user_share_their_refreshes() {
    let server = Server::start(&[("MAX_CONNECTIONS_PER_USER", "4")]);
    let token = token_for("7");
    let refresh = |client: &mut Client| {
        client.send(&format!(r#"42/notifications,1["auth:refresh","{token}"]"#));
        client.text().contains(r#""ok":true"#)
    };
    let mut first = Client::join(&server, &token);
    let mut second = Client::join(&server, &token);
    let ok = (0..6).filter(|_| refresh(&mut first)).count();
    assert_eq!(ok, 6);
    // Eight in a row for the user, and one more in each 2.5 s since.
    assert!(refresh(&mut second) && refresh(&mut second));
    let refused = (0..4).filter(|_| !refresh(&mut second)).count();
    assert!(refused >= 1);
}

#[test]
fn a_caller_that_emits_too_much_is_told_to_come_back_later() {
    let mut server = Server::start(&[("MAX_EMITS_PER_SECOND", "1")]);
    let mut taken = 0;
    let last = loop {
        let answer = server.emit(GOOD_TOKEN);
        if !answer.contains(" 201 ") {
            break answer;
        }
        taken += 1;
        assert!(taken < 1000, "it is never told");
    };
    assert!(taken >= 5, "{taken}");
    assert!(last.starts_with("HTTP/1.1 429 "), "{last}");
    assert!(last.contains("\r\nretry-after: "), "{last}");
    assert!(last.contains(r#""code":"rate_limited""#), "{last}");
    let line = server.line_with("Emit refused");
    assert!(line.contains("reason=max_emits_per_second"), "{line}");
    let refused = r#"helpdesk_ws_emits_limited_total{reason="max_emits_per_second"}"#;
    assert_ne!(server.metric(refused), "0");

    // Each item of a batch counts, and each recipient.
    let server = Server::start(&[("MAX_RECIPIENTS_PER_SECOND", "1")]);
    let token = token_for("1");
    let mut clients: Vec<_> = (0..3).map(|_| Client::join(&server, &token)).collect();
    let item = r#"{"broadcast":true,"event":"x","payload":{}}"#;
    let everyone = server.request("POST", "/notifications/broadcast", GOOD_TOKEN, item);
    assert!(everyone.contains(" 201 "), "{everyone}");
    let user = server.emit(GOOD_TOKEN);
    assert!(user.contains(" 201 "), "{user}");
    let user = server.emit(GOOD_TOKEN);
    assert!(user.contains(" 429 "), "{user}");
    for client in &mut clients {
        for _ in 0..2 {
            assert!(client.text().starts_with(r#"42/notifications,["x""#));
        }
    }
}

#[test]
fn wrong_tokens_without_end_do_not_keep_out_the_right_one() {
    let server = Server::start(&[]);
    let mut limited = 0;
    for _ in 0..200 {
        let answer = server.emit("wrong");
        if answer.contains(" 429 ") {
            limited += 1;
            assert!(answer.contains("\r\nretry-after: "), "{answer}");
        } else {
            assert!(answer.contains(" 401 "), "{answer}");
        }
    }
    assert!(limited > 0);
    let answer = server.emit(GOOD_TOKEN);
    assert!(answer.contains(" 201 "), "{answer}");
}

/// Ten in a row are told what is wrong with their token, and logged, and one a second.
#[test]
fn refused_tokens_of_a_neighbour_keep_nobody_out() {
    let mut server = Server::start(&[
        ("MAX_AUTH_FAILURES_PER_ADDRESS", "1"),
        ("LOG_LINES_PER_SECOND", "1000"),
        ("SHUTDOWN_TIMEOUT", "1s"),
    ]);
    let mut answered: u32 = 0;
    for _ in 0..60 {
        let mut client = Client::open(&server, "/socket.io/?EIO=4&transport=websocket");
        assert!(client.text().starts_with("0{"));
        client.send(r#"40/notifications,{"token":"a.bad.token"}"#);
        answered += u32::from(client.next().0 == 0x81);
    }
    assert!((10..60).contains(&answered), "{answered} were answered");
    let token = token_for("7");
    let _colleague = Client::join(&server, &token);
    let _plain = Client::open(&server, &format!("/notifications?token={token}"));
    let answer = server.request("GET", "/metrics", GOOD_TOKEN, "");
    let rejected = r#"helpdesk_ws_requests_rejected_total{reason="auth_failures_per_address"} "#;
    let count = format!("{rejected}{}\n", 60 - answered);
    assert!(answer.contains(&count), "no {count:?} in {answer}");
    // All are counted, and those that got an answer are logged.
    let failures = r#"helpdesk_ws_authentication_failures_total{reason="token_malformed"}"#;
    assert_eq!(server.metric(failures), "60");
    let log = server.log_to_its_end();
    let logged = log.matches("Authentication failed").count();
    assert!(logged >= 10 && logged <= answered as usize, "{log}");
}

/// Not even where everything is logged.
#[test]
fn no_log_line_has_a_token_in_it() {
    let settings = [("LOG_LEVEL", "trace"), ("SHUTDOWN_TIMEOUT", "1s")];
    let mut server = Server::start(&settings);
    let good = token_for("7");
    let bad = format!("{good}.bad");
    drop(Client::open(
        &server,
        &format!("/notifications?token={good}"),
    ));
    let mut client = Client::join(&server, &good);
    client.send(&format!(r#"42/notifications,1["auth:refresh","{bad}"]"#));
    assert!(client.text().contains(r#""ok":false"#));
    let mut refused = Client::open(
        &server,
        &format!("/socket.io/?EIO=4&transport=websocket&token={bad}"),
    );
    assert!(refused.text().starts_with("0{"));
    refused.send("40/notifications,");
    assert!(refused.text().starts_with("44/notifications,"));
    let answer = server.request("GET", &format!("/socket.io/?EIO=9&token={bad}"), &bad, "");
    assert!(answer.contains(" 400 "), "{answer}");
    server.emit(&bad);
    let log = server.log_to_its_end();
    assert!(log.contains("Authentication failed"), "{log}");
    let signature = good.rsplit('.').next().unwrap();
    for secret in [signature, GOOD_TOKEN, GOOD_SECRET] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
