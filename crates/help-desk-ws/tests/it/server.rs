//! The program as a server, and raw requests to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command};

use crate::program::{GOOD_SECRET, GOOD_TOKEN, Program};

/// The program as it serves.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) lines: BufReader<std::process::ChildStdout>,
    pub(crate) url: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_program(program(SERVE))
    }

    pub(crate) fn start_program(program: Program) -> Self {
        Self::start_program_after(program, &[])
    }

    /// The same, once each of these texts was in a line, in this order.
    pub(crate) fn start_program_after(mut program: Program, texts: &[&str]) -> Self {
        let mut process = program.start();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        for text in texts {
            line_with(&mut lines, text);
        }
        let url = url_in(&line_with(&mut lines, "Listening on "));
        Self {
            process,
            lines,
            url,
        }
    }

    /// The same, with what it writes up to the first line that ends with `end`.
    pub(crate) fn start_and_read(program: Program, end: &str) -> (Self, String) {
        let mut server = Self::start_program(program);
        let mut output = String::new();
        while !output.trim_end().ends_with(end) {
            assert_ne!(server.lines.read_line(&mut output).unwrap(), 0, "{output}");
        }
        (server, output)
    }

    /// `GET /metrics`, with a token if it is not empty.
    pub(crate) fn metrics(&self, token: &str) -> String {
        let headers = format!("authorization: Bearer {token}\r\n");
        self.request_head_of("GET", "/metrics", &headers)
    }

    /// The head of the answer and what came with it of the body.
    pub(crate) fn request(&self, method: &str, target: &str) -> String {
        self.request_with(method, target, "")
    }

    pub(crate) fn request_with(&self, method: &str, target: &str, authorization: &str) -> String {
        let headers = format!("authorization: {authorization}\r\n");
        self.request_of(method, target, &headers, "")
    }

    /// The same with any headers, each with its line break, and a body.
    pub(crate) fn request_of(
        &self,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
    ) -> String {
        let mut stream = self.send(method, target, headers, body);
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        while !answer.ends_with(b"}") {
            let count = stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "the connection ended");
            answer.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8(answer).unwrap()
    }

    /// The whole of an answer, after which the connection is closed.
    pub(crate) fn request_head(&self, method: &str, target: &str) -> String {
        self.request_head_of(method, target, "")
    }

    /// The same with any headers.
    pub(crate) fn request_head_of(&self, method: &str, target: &str, headers: &str) -> String {
        let headers = if headers.contains("connection:") {
            headers.to_owned()
        } else {
            format!("{headers}connection: close\r\n")
        };
        let mut answer = String::new();
        let mut stream = self.send(method, target, &headers, "");
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Has the address in `Host`, unless there is one among the headers.
    fn send(&self, method: &str, target: &str, headers: &str, body: &str) -> TcpStream {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        let host = if headers.starts_with("host:") {
            String::new()
        } else {
            format!("host: {address}\r\n")
        };
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\n{host}{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        stream
    }

    /// Starts a listener for user 42, and waits until it is connected.
    pub(crate) fn listener(&mut self) -> Child {
        let url = self.url.clone();
        let args = ["listen", "--url", &url, "--user", "42", "--timeout", "60s"];
        let listener = program(&args).start();
        line_with(&mut self.lines, "Client connected");
        listener
    }

    pub(crate) fn signal(&self, name: &str) {
        let killed = Command::new("kill")
            .args([&format!("-{name}"), &self.process.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
    }

    pub(crate) fn emit(&self, user: &str) -> String {
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

pub(crate) fn program(args: &[&str]) -> Program {
    Program::new(args)
        .env("JWT_SECRET", GOOD_SECRET)
        .env("EMIT_TOKEN", GOOD_TOKEN)
}

fn url_in(line: &str) -> String {
    let url = line.split("Listening on ").nth(1);
    let url = url.and_then(|rest| rest.split_whitespace().next());
    url.unwrap().to_owned()
}

/// The next line that has `text` in it.
pub(crate) fn line_with(lines: &mut impl std::io::BufRead, text: &str) -> String {
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

pub(crate) const SERVE: &[&str] = &["serve", "--host", "127.0.0.1", "--port", "0"];
