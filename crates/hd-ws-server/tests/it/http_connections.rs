//! HTTP connections whose clients do not read, never end, or are too many.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use engineio_proto::CloseReason;
use hd_ws_server::{HttpClose, ServerConfig};
use socket2::SockRef;

use crate::client::{PATIENCE, WebSocket, connect, exchange, read_until, rest, websocket_head};
use crate::echo_server::EchoServer;

const REQUEST: &str = "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n";
/// A setting's worth of waiting that no test has to sit out.
const SOON: Duration = Duration::from_millis(200);

fn stalling() -> ServerConfig {
    ServerConfig {
        http_write_timeout: SOON,
        ..ServerConfig::default()
    }
}

/// Sends requests until the server takes no more of them, or closes.
fn send_until_blocked(stream: &mut TcpStream, request: &str) {
    stream.set_nonblocking(true).expect("a mode");
    let requests = request.repeat(1000);
    let mut idle_since = Instant::now();
    loop {
        match stream.write(requests.as_bytes()) {
            Ok(_) => idle_since = Instant::now(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if idle_since.elapsed() > SOON / 4 {
                    break;
                }
                std::thread::yield_now();
            }
            // It was reset.
            Err(_) => break,
        }
    }
    stream.set_nonblocking(false).expect("a mode");
}

fn wait_for(mut is_reached: impl FnMut() -> bool, what: &str) {
    let patience = Instant::now() + PATIENCE;
    while !is_reached() {
        assert!(Instant::now() < patience, "{what}");
        std::thread::yield_now();
    }
}

fn closed(server: &EchoServer, reason: HttpClose) -> u64 {
    server.engine.counts().http_closed_total(reason)
}

#[test]
fn a_client_that_does_not_read_its_answers_is_reset() {
    let server = EchoServer::start(ServerConfig {
        max_requests_per_connection: NonZeroU32::MAX,
        ..stalling()
    });
    // Answers with a body, and answers that are a head and nothing else.
    let preflight = "OPTIONS /socket.io/?EIO=4 HTTP/1.1\r\nhost: x\r\n\r\n";
    for (index, request) in [REQUEST, preflight].into_iter().enumerate() {
        let mut stream = connect(server.address);
        SockRef::from(&stream).set_recv_buffer_size(4096).unwrap();
        send_until_blocked(&mut stream, request);
        let expected = index as u64 + 1;
        wait_for(
            || closed(&server, HttpClose::WriteTimeout) == expected,
            "it is never closed",
        );
        // Reset: the kernel keeps nothing for it.
        let mut answers = Vec::new();
        let end = stream.read_to_end(&mut answers);
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    wait_for(|| server.engine.open_sockets() == 0, "one is still open");
    server.serves_on();
}

/// The service answers no faster than its answers are read.
#[test]
fn a_slow_reader_gets_all_of_its_answers() {
    let server = EchoServer::start(ServerConfig::default());
    let mut stream = connect(server.address);
    SockRef::from(&stream).set_recv_buffer_size(4096).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let last = "GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let requests = REQUEST.repeat(998) + last;
    let writing = std::thread::spawn(move || writer.write_all(requests.as_bytes()));
    let answers = rest(&mut stream);
    assert_eq!(answers.matches("HTTP/1.1 404 ").count(), 999);
    writing.join().unwrap().unwrap();
}

/// hyper is done before all of an answer is written; see `serve_http`.
#[test]
fn a_large_answer_before_the_end_of_the_connection_arrives_whole() {
    let server = EchoServer::start(ServerConfig::default());
    let query = format!("&sid={}", server.open_polling());
    let message = "x".repeat(900_000);
    let posted = server.request("POST", &query, &format!("4{message}"));
    assert!(posted.ends_with("ok"), "{posted}");
    let mut stream = server.send("GET", &query, "");
    wait_for(
        || {
            let mut byte = [0];
            stream.peek(&mut byte).unwrap() == 1
        },
        "no answer",
    );
    let answer = rest(&mut stream);
    assert!(
        answer.ends_with(&format!("4{message}")),
        "{} bytes",
        answer.len()
    );
}

#[test]
fn an_answer_that_outlives_its_session_counts_and_is_given_up() {
    let server = EchoServer::start(stalling());
    let query = format!("&sid={}", server.open_polling());
    let posted = server.request("POST", &query, &format!("4{}", "x".repeat(900_000)));
    assert!(posted.ends_with("ok"), "{posted}");
    let mut stream = connect(server.address);
    SockRef::from(&stream).set_recv_buffer_size(4096).unwrap();
    let poll =
        format!("GET /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(poll.as_bytes()).unwrap();
    stream.peek(&mut [0]).unwrap();
    assert!(server.request("POST", &query, "1").ends_with("ok"));
    assert_eq!(server.next_end(), CloseReason::TransportClose);
    assert!(server.engine.is_empty());
    assert!(server.engine.open_sockets() >= 1);
    wait_for(|| server.engine.open_sockets() == 0, "it is still there");
    wait_for(
        || closed(&server, HttpClose::WriteTimeout) == 1,
        "it is not counted",
    );
}

#[test]
fn the_last_request_of_a_connection_is_answered_with_connection_close() {
    let server = EchoServer::start(ServerConfig {
        max_requests_per_connection: NonZeroU32::new(3).unwrap(),
        close_linger: PATIENCE,
        ..ServerConfig::default()
    });
    let mut stream = connect(server.address);
    // More than it takes: those behind the last one are not answered.
    stream.write_all(REQUEST.repeat(10).as_bytes()).unwrap();
    let answers = rest(&mut stream);
    assert_eq!(answers.matches("HTTP/1.1 404 ").count(), 3, "{answers}");
    assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
    wait_for(
        || closed(&server, HttpClose::MaxRequests) == 1,
        "it is not counted",
    );

    // The last one may ask for a WebSocket.
    let mut stream = connect(server.address);
    let requests = REQUEST.repeat(2) + &websocket_head("", "");
    stream.write_all(requests.as_bytes()).unwrap();
    read_until(&mut stream, "HTTP/1.1 101 Switching Protocols\r\n");
    read_until(&mut stream, "\r\n\r\n");
    let mut client = WebSocket(stream);
    assert!(client.text().starts_with("0{"));
    drop(client);
    server.next_end();
    server.serves_on();
}

#[test]
fn the_connection_that_is_stalled_for_longest_makes_room() {
    let server = EchoServer::start(ServerConfig {
        max_sockets: NonZeroUsize::new(4),
        ..ServerConfig::default()
    });
    // Neither a WebSocket nor a poll that waits is closed, however old it is.
    let mut websocket = WebSocket::open(server.address);
    let query = format!("&sid={}", server.open_polling());
    wait_for(
        || server.engine.open_sockets() == 1,
        "a handshake's is left",
    );
    let mut poll = server.send("GET", &query, "");
    // It waits by the time others are answered that were sent after it.
    let ending = REQUEST.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    for _ in 0..3 {
        assert!(exchange(server.address, &ending).starts_with("HTTP/1.1 404 "));
    }
    for _ in 0..20 {
        // They send half a head, and hold on to their connections.
        let mut stalled: Vec<TcpStream> = (0..4).map(|_| connect(server.address)).collect();
        for stream in &mut stalled {
            // It may have made room already.
            let _gone = stream.write_all(b"GET / HTTP/1.1\r\n");
        }
        let answer = exchange(server.address, &ending);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        // The first of them.
        assert_eq!(rest(&mut stalled[0]), "");
    }
    assert!(closed(&server, HttpClose::Evicted) >= 20);
    websocket.send_text("4one");
    assert_eq!(websocket.text(), "4one");
    let posted = server.request("POST", &query, "4two");
    assert!(posted.ends_with("ok"), "{posted}");
    assert!(rest(&mut poll).ends_with("4two"));
}

#[test]
fn a_connection_without_room_is_closed() {
    let server = EchoServer::start(ServerConfig {
        max_sockets: NonZeroUsize::new(1),
        ..ServerConfig::default()
    });
    let websocket = WebSocket::open(server.address);
    assert_eq!(exchange(server.address, ""), "");
    wait_for(
        || closed(&server, HttpClose::Evicted) == 1,
        "it is not counted",
    );
    drop(websocket);
    server.next_end();
    wait_for(|| server.engine.open_sockets() == 0, "it still counts");
    server.serves_on();
}

#[test]
fn a_declared_length_over_the_limit_is_refused_at_once() {
    let server = EchoServer::start(ServerConfig {
        close_linger: SOON,
        ..ServerConfig::default()
    });
    let query = format!("&sid={}", server.open_polling());
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut stream = connect(server.address);
        let head = format!(
            "POST /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\n{expect}\
             content-length: 10000000000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // Nothing of the body has been sent, and nothing of it is asked for.
        let answer = read_until(&mut stream, "\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        // The connection ends although the client goes on sending.
        wait_for(
            || stream.write_all(&[b'x'; 1024]).is_err(),
            "it is read on and on",
        );
    }
    wait_for(
        || closed(&server, HttpClose::BodyTooLarge) == 2,
        "it is not counted",
    );
    assert!(server.request("POST", &query, "4on").ends_with("ok"));
}

#[test]
fn a_chunked_body_over_the_limit_is_refused_when_it_is_passed() {
    let mut config = ServerConfig::default();
    config.engine.max_payload = 1000;
    config.close_linger = SOON;
    let server = EchoServer::start(config);
    let query = format!("&sid={}", server.open_polling());
    let mut stream = connect(server.address);
    let head = format!(
        "POST /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\n\
         transfer-encoding: chunked\r\n\r\n3e9\r\n{}",
        "4".repeat(1001)
    );
    stream.write_all(head.as_bytes()).unwrap();
    let answer = rest(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(server.request("POST", &query, "4on").ends_with("ok"));
}

#[test]
fn a_bare_lf_in_a_head_is_refused() {
    let server = EchoServer::start(ServerConfig::default());
    let post = "POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n\n\n\r\n\n";
    let chunked = "POST /nowhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
                   5\r\n\n\n\r\n\n\r\n0\r\n\r\n";
    let bad = [
        "GET / HTTP/1.1\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\na: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\n\n",
        "GET / HTTP/1.1\r\nhost: x\n\n",
        "\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
    ];
    for (index, head) in bad.into_iter().enumerate() {
        let answer = exchange(server.address, head);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?} {answer}");
        wait_for(
            || closed(&server, HttpClose::AmbiguousHead) == 2 * index as u64 + 1,
            "it is not counted",
        );
        // Behind others, whose bodies may hold what they like.
        let answer = exchange(server.address, format!("{REQUEST}{post}{head}"));
        assert_eq!(
            answer.matches("HTTP/1.1 404 ").count(),
            2,
            "{head:?} {answer}"
        );
        assert_eq!(
            answer.matches("HTTP/1.1 400 ").count(),
            1,
            "{head:?} {answer}"
        );
    }
    let mut stream = connect(server.address);
    for request in [post, chunked, post] {
        stream.write_all(request.as_bytes()).unwrap();
        let answer = read_until(&mut stream, "\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    server.serves_on();
}

/// Where its head begins is known to hyper alone.
#[test]
fn a_request_in_one_piece_with_a_chunked_one_is_refused() {
    let server = EchoServer::start(ServerConfig::default());
    let query = format!("&sid={}", server.open_polling());
    let answer = exchange(
        server.address,
        format!(
            "POST /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\n\
             transfer-encoding: chunked\r\n\r\n3\r\n4on\r\n0\r\n\r\n{REQUEST}"
        ),
    );
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 1, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 400 ").count(), 1, "{answer}");
    server.request("GET", &query, "");
}

#[test]
fn a_websocket_handshake_with_a_body_is_refused() {
    let server = EchoServer::start(ServerConfig::default());
    for header in ["content-length: 5\r\n", "transfer-encoding: chunked\r\n"] {
        let answer = exchange(server.address, websocket_head("", header) + "5\r\nabcde");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert_eq!(server.engine.counts().opened_total(), 0);
    server.serves_on();
}

#[test]
fn a_body_that_nobody_reads_ends_the_connection() {
    let server = EchoServer::start(ServerConfig {
        close_linger: SOON,
        ..ServerConfig::default()
    });
    for (head, status) in [
        ("POST /nowhere HTTP/1.1", "HTTP/1.1 404 "),
        (
            "POST /nowhere HTTP/1.0\r\nconnection: keep-alive",
            "HTTP/1.0 404 ",
        ),
    ] {
        let mut stream = connect(server.address);
        write!(
            stream,
            "{head}\r\nhost: x\r\ncontent-length: 10000000000\r\n\r\nxx"
        )
        .unwrap();
        let answer = read_until(&mut stream, "\r\n\r\n");
        assert!(answer.starts_with(status), "{answer}");
        wait_for(
            || stream.write_all(&[b'x'; 1024]).is_err(),
            "it is read on and on",
        );
    }
    server.serves_on();
}

#[test]
fn http_1_0_keeps_its_connection_within_the_same_bounds() {
    let server = EchoServer::start(ServerConfig {
        max_requests_per_connection: NonZeroU32::new(2).unwrap(),
        ..ServerConfig::default()
    });
    let request = "GET /nowhere HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    let answers = exchange(server.address, request.repeat(3));
    assert_eq!(answers.matches("HTTP/1.0 404 ").count(), 2, "{answers}");
    server.serves_on();
}

/// Its ping timeout would do, if it had no pongs to send.
#[test]
fn a_websocket_that_takes_nothing_is_closed_though_it_sends_pongs() {
    let mut config = ServerConfig::default();
    config.engine.ping_interval = SOON;
    config.engine.ping_timeout = SOON;
    let server = EchoServer::start(config);
    let mut client = WebSocket::open(server.address);
    SockRef::from(&client.0).set_recv_buffer_size(4096).unwrap();
    let big = format!("4{}", "x".repeat(900_000));
    client.send_text(&big);
    let mut end = None;
    wait_for(
        || {
            // The server may be gone.
            let _gone = client.0.write_all(&crate::client::frame(0x81, b"3"));
            std::thread::sleep(SOON / 10);
            end = server.end();
            end.is_some()
        },
        "it is held for ever",
    );
    wait_for(|| server.engine.open_sockets() == 0, "it still counts");
}
