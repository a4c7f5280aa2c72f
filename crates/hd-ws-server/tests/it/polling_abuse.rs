//! Polling requests that no client of good will sends.

use std::io::Write as _;
use std::time::Duration;

use engineio_proto::CloseReason;
use hd_ws_server::ServerConfig;

use crate::client::{WebSocket, connect, exchange, read_until, rest};
use crate::echo_server::EchoServer;

fn start() -> EchoServer {
    EchoServer::start(ServerConfig::default())
}

fn post_head(sid: &str, headers: &str) -> String {
    format!(
        "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: x\r\n\
         connection: close\r\n{headers}\r\n"
    )
}

/// CVE-2020-36048
#[test]
fn a_chunked_body_is_counted_as_it_comes() {
    let mut config = ServerConfig::default();
    config.engine.max_payload = 1000;
    let server = EchoServer::start(config);
    let sid = server.open_polling();
    let chunk = format!("200\r\n{}\r\n", "4".repeat(0x200));
    let body = chunk.repeat(10_000) + "0\r\n\r\n";
    let head = post_head(&sid, "transfer-encoding: chunked\r\n");
    let answer = exchange(server.address, head + &body);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let query = format!("&sid={sid}");
    assert!(server.request("POST", &query, "4on").ends_with("ok"));
    assert!(server.request("GET", &query, "").ends_with("4on"));
}

#[test]
fn a_declared_length_is_not_believed() {
    let server = EchoServer::start(ServerConfig {
        body_timeout: Duration::from_millis(50),
        ..ServerConfig::default()
    });
    for length in ["10737418240", "9223372036854775807"] {
        let sid = server.open_polling();
        let head = post_head(&sid, &format!("content-length: {length}\r\n"));
        let answer = exchange(server.address, head + "4a");
        assert!(
            answer.starts_with("HTTP/1.1 413 ") || answer.starts_with("HTTP/1.1 408 "),
            "{answer}"
        );
    }
}

/// CVE-2020-36048
#[test]
fn a_body_of_countless_packets_is_refused() {
    let server = start();
    for body in ["\x1e".repeat(900_000), "4\x1e".repeat(400_000) + "4"] {
        let query = format!("&sid={}", server.open_polling());
        let answer = server.request("POST", &query, &body);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(server.next_end(), CloseReason::ParseError);
    }
    server.serves_on();
}

#[test]
fn a_body_that_is_no_payload_ends_the_session() {
    let server = start();
    for (body, reason) in [
        (&b""[..], CloseReason::ParseError),
        (b"\xff\xfe", CloseReason::ParseError),
        (b"x", CloseReason::ParseError),
        (b"b!!!not base64", CloseReason::ParseError),
        (b"4a\x1e", CloseReason::ParseError),
        // A ping is the server's to send.
        (b"2", CloseReason::TransportError),
    ] {
        let sid = server.open_polling();
        let mut request = post_head(&sid, &format!("content-length: {}\r\n", body.len()));
        let answer = {
            let mut bytes = std::mem::take(&mut request).into_bytes();
            bytes.extend_from_slice(body);
            exchange(server.address, bytes)
        };
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer}");
        assert_eq!(server.next_end(), reason, "{body:?}");
    }
    server.serves_on();
}

#[test]
fn a_second_poll_ends_the_session_and_answers_the_first() {
    let server = start();
    let query = format!("&sid={}", server.open_polling());
    let mut polls = [
        server.send("GET", &query, ""),
        server.send("GET", &query, ""),
    ];
    // Whichever came second is refused.
    let mut answers = polls.each_mut().map(rest);
    answers.sort();
    assert!(answers[0].starts_with("HTTP/1.1 200 "), "{answers:?}");
    assert!(answers[1].starts_with("HTTP/1.1 400 "), "{answers:?}");
    assert_eq!(server.next_end(), CloseReason::TransportError);
    server.serves_on();
}

#[test]
fn a_post_beside_another_ends_the_session() {
    let server = start();
    let sid = server.open_polling();
    let mut first = connect(server.address);
    let head = post_head(&sid, "content-length: 6\r\nexpect: 100-continue\r\n");
    first.write_all(head.as_bytes()).unwrap();
    // So it is being read.
    let go_on = read_until(&mut first, "\r\n\r\n");
    assert!(go_on.starts_with("HTTP/1.1 100 "), "{go_on}");
    let second = server.request("POST", &format!("&sid={sid}"), "4second");
    assert!(second.starts_with("HTTP/1.1 400 "), "{second}");
    assert_eq!(server.next_end(), CloseReason::TransportError);
    first.write_all(b"4first").unwrap();
    // Answered in some way, and not echoed to anyone.
    assert!(rest(&mut first).starts_with("HTTP/1.1 "));
    server.serves_on();
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_post_ends_the_session() {
    let server = start();
    for headers in ["content-length: 6\r\n", "transfer-encoding: chunked\r\n"] {
        let sid = server.open_polling();
        let mut post = connect(server.address);
        let head = post_head(&sid, &format!("{headers}expect: 100-continue\r\n"));
        post.write_all(head.as_bytes()).unwrap();
        read_until(&mut post, "\r\n\r\n");
        drop(post);
        assert_eq!(server.next_end(), CloseReason::TransportError);
    }
    server.serves_on();
}

/// CVE-2023-31125
#[test]
fn names_of_javascript_objects_are_no_transports() {
    let server = start();
    for transport in [
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "webtransport",
        "POLLING",
        "polling%00",
        "",
    ] {
        let answer = exchange(
            server.address,
            format!(
                "GET /socket.io/?EIO=4&transport={transport} HTTP/1.1\r\nhost: x\r\n\
                 connection: close\r\n\r\n"
            ),
        );
        assert!(answer.starts_with("HTTP/1.1 400 "), "{transport}: {answer}");
        let body = r#"{"code":0,"message":"Transport unknown"}"#;
        assert!(answer.ends_with(body), "{transport}: {answer}");
    }
    assert!(server.engine.is_empty());
    server.serves_on();
}

#[test]
fn a_session_on_a_websocket_cannot_be_polled() {
    let server = start();
    let mut client = WebSocket::upgrade(server.address, "").unwrap();
    let open = client.text();
    let start = open.find("\"sid\":\"").unwrap() + 7;
    let query = format!("&sid={}", &open[start..start + 20]);
    for (method, body) in [("GET", ""), ("POST", "4injected"), ("POST", "1")] {
        let answer = server.request(method, &query, body);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            answer.ends_with(r#"{"code":3,"message":"Bad request"}"#),
            "{answer}"
        );
    }
    client.send_text("4mine");
    assert_eq!(client.text(), "4mine");
}

/// CVE-2017-16031: 15 bytes are 120 bits. That they come from the operating
/// system is `new_sid`'s to see to; this sees that each of them varies.
#[test]
fn session_ids_have_120_random_bits() {
    let server = start();
    let sids: Vec<String> = (0..100).map(|_| server.open_polling()).collect();
    let mut distinct = sids.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), sids.len());
    for place in 0..20 {
        let digits = |sid: &String| {
            let byte = sid.as_bytes()[place];
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let digit = alphabet.iter().position(|&known| known == byte);
            digit.expect("a digit of base64")
        };
        // Each of its six bits is set in one id and not in another; that this
        // fails by chance has a probability of 2^-92.
        let (all, any) = sids
            .iter()
            .map(digits)
            .fold((63, 0), |(all, any), digit| (all & digit, any | digit));
        assert_eq!((all, any), (0, 63), "place {place}");
    }
}
