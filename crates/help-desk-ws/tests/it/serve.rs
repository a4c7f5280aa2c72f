//! The main job, by the program alone: a client listens, the back end emits,
//! the notification arrives, and SIGTERM ends the server in order.

use std::time::{Duration, Instant};

use crate::program::{GOOD_TOKEN, Program};
use crate::server::{SERVE, Server, line_with, program};

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
        "60s",
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

    assert!(server.emit("43").contains(r#""deliveredLocally":0"#));
    assert!(server.emit("42").contains(r#""deliveredLocally":1"#));
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
    let listener = server.listener();
    server.signal("TERM");
    let stopping = line_with(&mut server.lines, "Stopping");
    assert!(
        stopping.ends_with("Stopping signal=SIGTERM clients=1 window=100ms timeout=8s\n"),
        "{stopping}"
    );
    let gone = line_with(&mut server.lines, "Client disconnected");
    assert!(gone.contains("server shutting down"), "{gone}");
    line_with(&mut server.lines, "Stopped: moved 1 of 1, lost 0 elapsed=");
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
    assert_eq!(listener.wait_with_output().unwrap().status.code(), Some(69));
}

#[test]
fn a_drain_moves_the_clients_and_the_service_stays() {
    let mut server = Server::start();
    let listener = server.listener();
    let state = server.request("GET", "/admin/drain");
    assert!(
        state.ends_with(r#"{"clients":1,"state":"serving"}"#),
        "{state}"
    );
    assert!(
        server
            .request("GET", "/readyz")
            .starts_with("HTTP/1.1 200 ")
    );

    let answer = server.request("POST", "/admin/drain?window=90s");
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    for part in [
        r#""clientsAtStart":1,"#,
        r#""state":"draining","#,
        r#""windowMs":90000}"#,
    ] {
        assert!(answer.contains(part), "{answer}");
    }
    line_with(
        &mut server.lines,
        "Draining as asked at /admin/drain clients=1 window=\"1m 30s\"",
    );
    // Until its turn comes, the client is served.
    assert!(server.emit("42").contains(r#""deliveredLocally":1"#));
    let ready = server.request("GET", "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(ready.ends_with(r#"{"status":"draining"}"#), "{ready}");
    for alive in ["/health", "/livez"] {
        assert!(server.request("GET", alive).starts_with("HTTP/1.1 200 "));
    }
    let handshake = "/socket.io/?EIO=4&transport=polling";
    let refused = server.request_head("GET", handshake);
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("\r\nretry-after: 1\r\n"), "{refused}");

    assert!(
        server
            .request("POST", "/admin/drain?window=0s")
            .starts_with("HTTP/1.1 202 ")
    );
    line_with(&mut server.lines, "Client disconnected");
    line_with(&mut server.lines, "Drained: moved 1 of 1, lost 0 elapsed=");
    assert_eq!(listener.wait_with_output().unwrap().status.code(), Some(69));
    let state = server.request("GET", "/admin/drain");
    assert!(state.contains(r#""clients":0,"#), "{state}");

    server.signal("TERM");
    line_with(
        &mut server.lines,
        "Stopping signal=SIGTERM clients=0 window=0s timeout=8s",
    );
    line_with(&mut server.lines, "Stopped: moved 1 of 1, lost 0 elapsed=");
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_second_signal_closes_the_rest_at_once() {
    let slow = program(SERVE)
        .env("DRAIN_RATE", "1")
        .env("SHUTDOWN_TIMEOUT", "100s");
    let mut server = Server::start_program(slow);
    let listeners: Vec<_> = (0..30).map(|_| server.listener()).collect();
    server.signal("INT");
    line_with(
        &mut server.lines,
        "Stopping signal=SIGINT clients=30 window=30s",
    );
    let told = Instant::now();
    server.signal("TERM");
    line_with(
        &mut server.lines,
        "closing the rest at once signal=SIGTERM clients=",
    );
    line_with(&mut server.lines, "Stopped: moved 30 of 30, lost 0");
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(15));
    for listener in listeners {
        assert_eq!(listener.wait_with_output().unwrap().status.code(), Some(69));
    }
}

#[test]
fn a_drain_is_asked_for_in_plain_terms() {
    let server = Server::start();
    for (target, code) in [
        ("/admin/drain?window=90", "invalid_window"),
        ("/admin/drain?window=2h", "invalid_window"),
        ("/admin/drain?window=", "invalid_window"),
        ("/admin/drain?windw=90s", "unknown_parameter"),
    ] {
        let answer = server.request("POST", target);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains(&format!(r#""code":"{code}""#)), "{answer}");
    }
    let answer = server.request("PUT", "/admin/drain");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(
        answer.contains("\r\nallow: GET, POST, DELETE\r\n"),
        "{answer}"
    );
    assert!(
        server
            .request("GET", "/readyz")
            .starts_with("HTTP/1.1 200 ")
    );
}

#[test]
fn a_drain_needs_its_token() {
    let server = Server::start_program(program(SERVE).env("ADMIN_TOKEN", ADMIN_TOKEN));
    for method in ["GET", "POST"] {
        for wrong in [
            "",
            "Bearer",
            "Bearer another-token",
            &format!("Bearer {GOOD_TOKEN}"),
        ] {
            let answer = server.request_with(method, "/admin/drain", wrong);
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
            assert!(
                answer.contains("\r\nwww-authenticate: Bearer\r\n"),
                "{answer}"
            );
        }
    }
    assert!(
        server
            .request("GET", "/readyz")
            .starts_with("HTTP/1.1 200 ")
    );
    let right = format!("Bearer {ADMIN_TOKEN}");
    let answer = server.request_with("POST", "/admin/drain", &right);
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
}

#[test]
fn production_has_no_drain_without_a_token() {
    let server = Server::start_program(Program::new(SERVE).production());
    for method in ["GET", "POST"] {
        let answer = server.request(method, "/admin/drain");
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    assert!(
        server
            .request("GET", "/readyz")
            .starts_with("HTTP/1.1 200 ")
    );
}

#[test]
fn an_old_connection_is_closed() {
    let young = program(SERVE).env("MAX_CONNECTION_AGE", "2s");
    let mut server = Server::start_program(young);
    let listener = server.listener();
    let gone = line_with(&mut server.lines, "Client disconnected");
    assert!(gone.contains("reason=\"connection too old\""), "{gone}");
    assert_eq!(listener.wait_with_output().unwrap().status.code(), Some(69));
}

const ADMIN_TOKEN: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
