//! The main job, by the program alone: a client listens, the back end emits,
//! the notification arrives, and SIGTERM ends the server in order.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command};

use crate::program::{GOOD_SECRET, GOOD_TOKEN, Program};

struct Server {
    process: Child,
    lines: BufReader<std::process::ChildStdout>,
    url: String,
}

impl Server {
    fn start() -> Self {
        Self::start_program(program(SERVE))
    }

    fn start_program(mut program: Program) -> Self {
        let mut process = program.start();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let url = line_with(&mut lines, "Listening on ")
            .split("Listening on ")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next())
            .unwrap()
            .to_owned();
        Self {
            process,
            lines,
            url,
        }
    }

    /// The head of the answer and what came with it of the body.
    fn request(&self, method: &str, target: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        while !answer.ends_with(b"}") {
            let count = stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "the connection ended");
            answer.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8(answer).unwrap()
    }

    fn emit(&self, user: &str) -> String {
        let payload = r#"{"mensaje":"Hola","ticketId":7}"#;
        let run = program(&[
            "emit",
            "--url",
            &self.url,
            "--user",
            user,
            "--event",
            "new_notification",
            "--payload",
            payload,
        ])
        .run();
        assert_eq!(run.code, Some(0), "{run:?}");
        run.stdout
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where the test got to its end.
        let _ended = self.process.kill();
    }
}

/// The value of a line of a file of `/proc`.
fn proc_value(server: &Server, file: &str, key: &str) -> String {
    let path = format!("/proc/{}/{file}", server.process.id());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap().trim().to_owned()
}

#[test]
fn the_limit_of_open_files_is_raised_and_room_made_for_them_at_the_start() {
    let server = Server::start_program(program(SERVE).with_few_open_files(100));

    let limits = proc_value(&server, "limits", "Max open files");
    let [soft, hard] = [0, 1].map(|column| {
        let column = limits.split_whitespace().nth(column).unwrap();
        column.parse::<u64>().unwrap()
    });
    assert_eq!(soft, hard);
    // How many the kernel's table holds before it has to grow.
    let room: u64 = proc_value(&server, "status", "FDSize:").parse().unwrap();
    assert!(room >= hard.min(65_536), "room for {room} of {hard}");
}

#[test]
fn a_notification_reaches_its_user_and_nobody_else() {
    let mut server = Server::start();
    let args = [
        "listen",
        "--url",
        &server.url,
        "--user",
        "42",
        "--count",
        "1",
        "--timeout",
        "20s",
    ];
    let listener = program(&args).start();
    let connected = line_with(&mut server.lines, "Client connected");
    assert!(
        connected.contains("[NotificationsGateway] Client connected: "),
        "{connected}"
    );
    assert!(
        connected.contains(", User ID: 42, Room: user_42"),
        "{connected}"
    );

    assert!(server.emit("43").contains(r#""delivered":0"#));
    assert!(server.emit("42").contains(r#""delivered":1"#));
    let heard = listener.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(heard.stdout).unwrap(),
        "{\"event\":\"new_notification\",\"data\":{\"mensaje\":\"Hola\",\"ticketId\":7}}\n"
    );
    let gone = line_with(&mut server.lines, "Client disconnected");
    assert!(
        gone.contains("[NotificationsGateway] Client disconnected: "),
        "{gone}"
    );
}

#[test]
fn the_route_of_plain_websockets_says_what_it_takes() {
    let server = Server::start();
    let answer = server.request("GET", "/notifications?token=whatever");
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("\r\nupgrade: websocket\r\n"), "{answer}");
    assert!(answer.contains("\r\nconnection: Upgrade\r\n"), "{answer}");
    assert!(
        answer.contains(r#"{"code":"upgrade_required","#),
        "{answer}"
    );
    let answer = server.request("POST", "/notifications");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("\r\nallow: GET\r\n"), "{answer}");
}

#[test]
fn sigterm_closes_the_clients_and_ends_with_success() {
    let mut server = Server::start();
    let args = [
        "listen",
        "--url",
        &server.url,
        "--user",
        "42",
        "--timeout",
        "20s",
    ];
    let listener = program(&args).start();
    line_with(&mut server.lines, "Client connected");
    let killed = Command::new("kill")
        .args(["-TERM", &server.process.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let gone = line_with(&mut server.lines, "Client disconnected");
    assert!(gone.contains("server shutting down"), "{gone}");
    line_with(&mut server.lines, "Stopped");
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
    assert_eq!(listener.wait_with_output().unwrap().status.code(), Some(69));
}

fn program(args: &[&str]) -> Program {
    Program::new(args)
        .env("JWT_SECRET", GOOD_SECRET)
        .env("EMIT_TOKEN", GOOD_TOKEN)
}

/// The next line that has `text` in it.
fn line_with(lines: &mut impl std::io::BufRead, text: &str) -> String {
    loop {
        let mut line = String::new();
        assert_ne!(
            lines.read_line(&mut line).unwrap(),
            0,
            "no line with {text:?}"
        );
        if line.contains(text) {
            return line;
        }
    }
}

const SERVE: &[&str] = &["serve", "--host", "127.0.0.1", "--port", "0"];
