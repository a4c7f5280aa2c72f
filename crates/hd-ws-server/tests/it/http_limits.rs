//! Requests that are too large, too slow, ambiguous, or not HTTP at all.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use hd_ws_server::ServerConfig;

use crate::client::{PATIENCE, connect, exchange, request, reset, rest, websocket_head};
use crate::echo_server::EchoServer;

fn start() -> EchoServer {
    EchoServer::start(ServerConfig::default())
}

/// A setting's worth of waiting that no test has to sit out.
const SOON: Duration = Duration::from_millis(100);

/// How long a head may take: long enough for one that is sent in one piece by a
/// busy machine.
const HEADER_TIMEOUT: Duration = Duration::from_millis(500);

#[test]
fn too_many_headers_are_refused() {
    let server = start();
    let headers = "a: b\r\n".repeat(2001);
    let polling = format!("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n{headers}\r\n");
    for request in [polling, websocket_head("", &headers)] {
        let answer = exchange(server.address, request);
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    server.serves_on();
}

#[test]
fn a_head_over_the_limit_is_refused() {
    // hyper's buffer cannot be as small as the first.
    for limit in [500, 10_000] {
        let config = ServerConfig {
            max_header_bytes: limit,
            ..ServerConfig::default()
        };
        let server = EchoServer::start(config);
        let filled = |len| format!("a: {}\r\n", "b".repeat(len));
        let least = websocket_head("", &filled(0)).len();
        let head = websocket_head("", &filled(limit - least));
        let (answer, stream) = request(server.address, &head);
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        drop(stream);
        server.next_end();
        // CVE-2021-32640 is the second.
        for headers in [
            filled(limit - least + 1),
            format!("sec-websocket-protocol: a{}b\r\n", " ".repeat(50_000)),
        ] {
            let answer = exchange(server.address, websocket_head("", &headers));
            assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        }
        let path = "a".repeat(100_000);
        let answer = exchange(server.address, format!("GET /{path} HTTP/1.1\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        server.serves_on();
    }
}

/// GHSA-pxg6-pf52-xh8x is about the name and the path of such a cookie.
#[test]
fn no_handshake_sets_a_cookie() {
    let server = start();
    let polling = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\
                   cookie: io=a;b\r\n\r\n";
    for head in [polling, &*websocket_head("", "cookie: io=a;b\r\n")] {
        let (answer, _stream) = request(server.address, head);
        assert!(!answer.contains("set-cookie"), "{answer}");
    }
}

/// GHSA-5v72-xg48-5rpm, CVE-2021-32640
#[test]
fn odd_handshake_headers_do_no_harm() {
    let server = start();
    for headers in [
        "sec-websocket-extensions: constructor\r\n".to_owned(),
        "sec-websocket-extensions: __proto__;a=\",;\r\n".to_owned(),
        "sec-websocket-extensions: permessage-deflate\r\n".to_owned(),
        format!("sec-websocket-protocol: a{}b\r\n", " ".repeat(10_000)),
        "sec-websocket-protocol: ,\r\n".to_owned(),
    ] {
        let (answer, stream) = request(server.address, &websocket_head("", &headers));
        let has_opened = answer.starts_with("HTTP/1.1 101 ");
        assert!(
            has_opened || answer.starts_with("HTTP/1.1 400 "),
            "{answer}"
        );
        assert!(!answer.contains("sec-websocket-extensions"), "{answer}");
        drop(stream);
        if has_opened {
            server.next_end();
        }
    }
    server.serves_on();
}

#[test]
fn a_head_that_does_not_come_closes_the_connection() {
    let config = ServerConfig {
        header_timeout: HEADER_TIMEOUT,
        ..ServerConfig::default()
    };
    let server = EchoServer::start(config);
    for begun in [
        "",
        "G",
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n",
    ] {
        assert_eq!(exchange(server.address, begun), "", "{begun}");
    }
    server.serves_on();
}

#[test]
fn a_connection_rests_longer_than_a_head_may_take() {
    let config = ServerConfig {
        header_timeout: HEADER_TIMEOUT,
        ..ServerConfig::default()
    };
    let server = EchoServer::start(config);
    let mut stream = connect(server.address);
    let request = b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n";
    for _ in 0..2 {
        stream.write_all(request).unwrap();
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 404"));
        // As long as it takes until one that has sent no head yet is closed.
        assert_eq!(exchange(server.address, ""), "");
    }
    // The rest of a second head does not come.
    stream.write_all(b"GET").unwrap();
    assert_eq!(rest(&mut stream), "");
    server.serves_on();
}

#[test]
fn a_connection_that_rests_too_long_is_closed() {
    let config = ServerConfig {
        keep_alive_timeout: SOON,
        ..ServerConfig::default()
    };
    let server = EchoServer::start(config);
    let answer = exchange(server.address, "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[test]
fn a_head_that_trickles_in_closes_the_connection() {
    let config = ServerConfig {
        header_timeout: HEADER_TIMEOUT,
        ..ServerConfig::default()
    };
    let server = EchoServer::start(config);
    let mut stream = connect(server.address);
    let patience = Instant::now() + PATIENCE;
    // Each byte comes well within the limit.
    while stream.write_all(b"G").is_ok() {
        assert!(Instant::now() < patience, "it is read on and on");
        std::thread::sleep(HEADER_TIMEOUT / 50);
    }
    server.serves_on();
}

#[test]
fn what_is_not_http_is_refused() {
    let server = start();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client hello\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\na\0: b\r\n\r\n",
        b"GET / HTTP/1.1\r\na : b\r\n\r\n",
        b"\0\0\0\0",
    ] {
        let answer = exchange(server.address, garbage);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    server.serves_on();
}

#[test]
fn connections_that_say_nothing_are_let_go() {
    let server = start();
    for _ in 0..100 {
        drop(connect(server.address));
        reset(connect(server.address));
    }
    server.serves_on();
}

#[test]
fn ambiguous_lengths_are_refused_or_end_the_connection() {
    let server = start();
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    for (headers, body) in [
        ("content-length: 5\r\ncontent-length: 6\r\n", "4abcd"),
        ("content-length: 5, 6\r\n", "4abcd"),
        ("content-length: +5\r\n", "4abcd"),
        ("content-length: -1\r\n", ""),
        ("content-length: 0x5\r\n", "4abcd"),
        ("content-length: 99999999999999999999\r\n", ""),
        ("transfer-encoding: identity\r\n", ""),
        ("transfer-encoding: chunked, gzip\r\n", "0\r\n\r\n"),
        ("transfer-encoding: xchunked\r\n", "0\r\n\r\n"),
        // Not refused: as chunked, and the connection closes after it.
        (
            "content-length: 4\r\ntransfer-encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
            "0\r\n\r\n",
        ),
    ] {
        let answer = exchange(
            server.address,
            format!("POST /first HTTP/1.1\r\nhost: x\r\n{headers}\r\n{body}{smuggled}"),
        );
        assert!(answer.starts_with("HTTP/1.1 4"), "{headers}{answer}");
        // One answer and no more: what came after was not taken for a request.
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{headers}{answer}");
    }
    server.serves_on();
}

#[test]
fn http_1_0_polls_but_gets_no_websocket() {
    let server = start();
    let answer = exchange(
        server.address,
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.0\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    let request = websocket_head("", "").replace("HTTP/1.1", "HTTP/1.0");
    let answer = exchange(server.address, request);
    assert!(answer.starts_with("HTTP/1.0 400 "), "{answer}");
    assert_eq!(server.engine.len(), 1);
}

/// CVE-2022-41940
#[test]
fn a_reset_after_a_bad_upgrade_leaves_nothing_behind() {
    let server = start();
    for _ in 0..50 {
        let mut stream = connect(server.address);
        let request = websocket_head("", "").replace("version: 13", "version: 7");
        stream.write_all(request.as_bytes()).unwrap();
        reset(stream);
    }
    server.serves_on();
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let config = ServerConfig {
        body_timeout: SOON,
        ..ServerConfig::default()
    };
    let server = EchoServer::start(config);
    for body in [
        "content-length: 10\r\n\r\n4abc",
        "transfer-encoding: chunked\r\n\r\n5\r\n4ab",
    ] {
        let sid = server.open_polling();
        let mut stream = connect(server.address);
        write!(
            stream,
            "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: x\r\n\
             connection: close\r\n{body}"
        )
        .unwrap();
        let answer = rest(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        server.next_end();
    }
    server.serves_on();
}
