//! HTTP long-polling.

use std::io::Read as _;
use std::time::Instant;

use engineio_proto::CloseReason;
use hd_ws_server::ServerConfig;

use crate::client::{PATIENCE, reset};
use crate::echo_server::EchoServer;

/// hyper lets go of a request that it has read together with the end of the
/// stream, before it looks at the service's future.
#[test]
fn a_poll_that_is_given_up_at_once_ends_the_session() {
    let server = EchoServer::start(ServerConfig::default());
    for _ in 0..50 {
        let sid = server.open_polling();
        drop(server.send("GET", &format!("&sid={sid}"), ""));
        let patience = Instant::now() + PATIENCE;
        while !server.engine.is_empty() {
            assert!(Instant::now() < patience, "the session lives on");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_body_over_the_limit_is_answered_and_the_session_lives() {
    let mut config = ServerConfig::default();
    config.engine.max_payload = 1000;
    config.close_linger = PATIENCE;
    let server = EchoServer::start(config);
    let sid = server.open_polling();
    let query = format!("&sid={sid}");
    // More than the buffers of both ends hold at first: the client is still
    // sending when it is answered.
    let answer = server.request("POST", &query, &"4".repeat(3_000_000));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(server.request("POST", &query, "4hello").ends_with("ok"));
    assert!(server.request("GET", &query, "").ends_with("4hello"));
}

#[test]
fn a_draining_server_turns_new_clients_away_and_serves_the_others() {
    let server = EchoServer::start(ServerConfig::default());
    let query = format!("&sid={}", server.open_polling());
    server.engine.drain(Some(10 * PATIENCE));
    let answer = server.request("GET", "", "");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(server.request("POST", &query, "4still").ends_with("ok"));
    assert!(server.request("GET", &query, "").ends_with("4still"));
}

#[test]
fn only_get_and_post_are_for_a_session() {
    let server = EchoServer::start(ServerConfig::default());
    let query = format!("&sid={}", server.open_polling());
    for method in ["PUT", "DELETE", "PATCH", "HEAD"] {
        let answer = server.request(method, &query, "");
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert!(
            answer.contains("\r\nallow: GET, POST, OPTIONS\r\n"),
            "{answer}"
        );
    }
    assert!(server.request("POST", &query, "4still").ends_with("ok"));
    assert!(server.request("GET", &query, "").ends_with("4still"));
}

/// A cache that kept the answer to a poll would play it again.
#[test]
fn answers_are_not_to_be_stored() {
    let server = EchoServer::start(ServerConfig::default());
    let query = format!("&sid={}", server.open_polling());
    for (method, body) in [("POST", "4hello"), ("GET", "")] {
        let answer = server.request(method, &query, body);
        assert!(
            answer.contains("\r\ncache-control: no-store\r\n"),
            "{answer}"
        );
    }
}

/// Something on the way sends it again when the connection breaks before the
/// answer, which may have been lost.
#[test]
fn a_poll_that_was_answered_already_is_rejected_and_ends_the_session() {
    let server = EchoServer::start(ServerConfig::default());
    let query = format!("&sid={}", open_polling(&server));
    let message = format!("4{}", "x".repeat(1000));
    assert!(server.request("POST", &query, &message).ends_with("ok"));
    let poll = format!("{query}&t=first");
    let mut lost = server.send("GET", &poll, "");
    lost.read_exact(&mut [0; 20]).expect("the answer begins");
    reset(lost);
    assert!(server.request("POST", &query, "4later").ends_with("ok"));

    let answer = server.request("GET", &poll, "");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(server.next_end(), CloseReason::TransportError);
    assert!(server.engine.is_empty());
    let answer = server.request("GET", &format!("{query}&t=second"), "");
    assert!(answer.ends_with(r#"{"code":1,"message":"Session ID unknown"}"#));
}

#[test]
fn polls_with_a_cache_buster_each_are_served() {
    let server = EchoServer::start(ServerConfig::default());
    let query = format!("&sid={}", open_polling(&server));
    // Those of POSTs are of no account.
    let post = format!("{query}&t=1");
    for number in 0..40 {
        let message = format!("4{number}");
        assert!(server.request("POST", &post, &message).ends_with("ok"));
        let answer = server.request("GET", &format!("{query}&t={number}"), "");
        assert!(answer.ends_with(&message), "{answer}");
    }
}

/// A session by polling of a client that sends cache busters.
fn open_polling(server: &EchoServer) -> String {
    let answer = server.request("GET", "&t=handshake", "");
    let start = answer.find("\"sid\":\"").expect("an open packet") + 7;
    answer[start..start + 20].to_owned()
}
