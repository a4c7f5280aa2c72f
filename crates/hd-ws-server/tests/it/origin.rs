//! Where a browser may come from, by polling and by WebSocket alike.

use hd_ws_server::{AllowedOrigins, OriginPolicy, Rejection, ServerConfig};

use crate::client::{exchange, request, websocket_head};
use crate::echo_server::EchoServer;

const ALLOWED: &str = "https://helpdesk.example.com";

fn start(origins: OriginPolicy) -> EchoServer {
    EchoServer::start(ServerConfig {
        origins,
        ..ServerConfig::default()
    })
}

fn list(allow_missing: bool) -> OriginPolicy {
    OriginPolicy {
        allowed: AllowedOrigins::List(vec![ALLOWED.into(), "http://localhost:3000".into()]),
        allow_missing,
    }
}

fn polling_request(method: &str, query: &str, headers: &str) -> String {
    format!(
        "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\n\
         connection: close\r\n{headers}\r\n"
    )
}

/// Checks what a server says to requests with these headers, by each transport.
#[track_caller]
fn check(server: &EchoServer, headers: &str, is_allowed: bool) {
    let before = server.engine.len();
    let polling = exchange(server.address, polling_request("GET", "", headers));
    let (websocket, stream) = request(server.address, &websocket_head("", headers));
    // A request outside of the Engine.IO path is the application's, but not
    // when it asks for a WebSocket.
    let outside = websocket_head("", headers).replace("/socket.io/", "/notifications");
    let (outside, _) = request(server.address, &outside);
    if is_allowed {
        assert!(polling.starts_with("HTTP/1.1 200 "), "{headers}{polling}");
        assert!(
            websocket.starts_with("HTTP/1.1 101 "),
            "{headers}{websocket}"
        );
        assert!(outside.starts_with("HTTP/1.1 404 "), "{headers}{outside}");
        assert_eq!(server.engine.len(), before + 2);
        drop(stream);
        server.next_end();
    } else {
        assert!(polling.starts_with("HTTP/1.1 403 "), "{headers}{polling}");
        assert!(
            polling.ends_with(r#"{"code":4,"message":"Forbidden"}"#),
            "{polling}"
        );
        assert!(
            websocket.starts_with("HTTP/1.1 403 "),
            "{headers}{websocket}"
        );
        assert!(outside.starts_with("HTTP/1.1 403 "), "{headers}{outside}");
        assert_eq!(server.engine.len(), before);
    }
}

/// Spellings that a browser never sends for an allowed page, and pages that
/// look like one.
const LOOKALIKES: &[&str] = &[
    "https://helpdesk.example.com.evil.io",
    "https://evilhelpdesk.example.com",
    "https://sub.helpdesk.example.com",
    "https://example.com",
    "http://helpdesk.example.com",
    "https://helpdesk.example.com:443",
    "https://helpdesk.example.com:8443",
    "https://helpdesk.example.com.",
    "https://helpdesk.example.com/",
    "https://HELPDESK.example.com",
    "HTTPS://helpdesk.example.com",
    "https://helpdesk.example.com@evil.io",
    "https://helpdesk.example.com https://evil.io",
    "https://helpdesk.example.com,https://evil.io",
    "https://helpdeskXexample.com",
    "helpdesk.example.com",
    "//helpdesk.example.com",
    "http://localhost:3001",
    "http://localhost",
    "http://127.0.0.1:3000",
    "file://",
    "*",
    "null",
    "",
    "https://helpd\u{e9}sk.example.com",
];

#[test]
fn a_list_of_origins_is_matched_exactly() {
    let server = start(list(true));
    check(&server, &format!("origin: {ALLOWED}\r\n"), true);
    check(&server, "origin: http://localhost:3000\r\n", true);
    check(&server, "", true);
    for origin in LOOKALIKES {
        check(&server, &format!("origin: {origin}\r\n"), false);
    }
    // Each of several has to be allowed.
    for both in [
        format!("origin: {ALLOWED}\r\norigin: https://evil.io\r\n"),
        format!("origin: https://evil.io\r\norigin: {ALLOWED}\r\n"),
        format!("origin: {ALLOWED}\r\norigin: null\r\n"),
    ] {
        check(&server, &both, false);
    }
}

#[test]
fn nothing_is_allowed_by_default_but_no_origin() {
    let server = start(OriginPolicy::default());
    check(&server, "", true);
    check(&server, &format!("origin: {ALLOWED}\r\n"), false);
    check(&server, "origin: null\r\n", false);
}

#[test]
fn any_origin_is_all_but_null() {
    let server = start(OriginPolicy::any());
    check(&server, "", true);
    check(&server, "origin: https://anywhere.example\r\n", true);
    check(&server, "origin: null\r\n", false);
}

#[test]
fn a_missing_origin_can_be_refused() {
    let server = start(list(false));
    check(&server, "", false);
    check(&server, &format!("origin: {ALLOWED}\r\n"), true);
    let server = start(OriginPolicy {
        allow_missing: false,
        ..OriginPolicy::any()
    });
    check(&server, "", false);
    check(&server, "origin: https://anywhere.example\r\n", true);
}

/// An `<img>` or a link of any site makes a browser send such a request.
#[test]
fn what_a_page_of_another_site_causes_without_an_origin_is_refused() {
    for server in [start(list(true)), start(OriginPolicy::any())] {
        check(&server, "sec-fetch-site: cross-site\r\n", false);
        let twice = "sec-fetch-site: same-origin\r\nsec-fetch-site: cross-site\r\n";
        check(&server, twice, false);
        for own in ["same-origin", "same-site", "none"] {
            check(&server, &format!("sec-fetch-site: {own}\r\n"), true);
        }
        // A script of an allowed page on another site has an Origin.
        let script = format!("origin: {ALLOWED}\r\nsec-fetch-site: cross-site\r\n");
        check(&server, &script, true);
        let rejected = server.engine.counts().rejected_total(Rejection::CrossSite);
        assert_eq!(rejected, 6);
    }
}

/// Who has stolen a session id still cannot use it from a page of their own.
#[test]
fn a_session_is_served_to_allowed_origins_only() {
    let server = start(list(true));
    let query = format!("&sid={}", server.open_polling());
    for origin in ["https://evil.io", "null"] {
        let headers = format!("origin: {origin}\r\n");
        for request in [
            polling_request("GET", &query, &headers),
            polling_request("POST", &query, &format!("{headers}content-length: 0\r\n")),
        ] {
            let answer = exchange(server.address, request);
            assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        }
        let (answer, _) = request(server.address, &websocket_head(&query, &headers));
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    assert!(server.request("POST", &query, "4mine").ends_with("ok"));
    assert!(server.request("GET", &query, "").ends_with("4mine"));
}

/// The headers of an answer, in lower case.
fn cors_of(server: &EchoServer, request: String) -> Vec<String> {
    let answer = exchange(server.address, request);
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    head.lines()
        .map(str::to_ascii_lowercase)
        .filter(|line| line.starts_with("access-control-allow-") || line.starts_with("vary:"))
        .collect()
}

#[test]
fn answers_may_be_read_by_allowed_pages_only() {
    let server = start(list(true));
    let from = |origin: &str| polling_request("GET", "", &format!("origin: {origin}\r\n"));
    assert_eq!(
        cors_of(&server, from(ALLOWED)),
        [
            "vary: origin",
            "access-control-allow-origin: https://helpdesk.example.com",
            "access-control-allow-credentials: true",
        ]
    );
    for origin in LOOKALIKES {
        let lines = cors_of(&server, from(origin)).join("\n");
        assert!(!lines.contains("access-control-allow-origin"), "{lines}");
    }
    let preflight = |origin: &str| {
        let headers = format!("origin: {origin}\r\naccess-control-request-method: POST\r\n");
        polling_request("OPTIONS", "", &headers)
    };
    let allowed = cors_of(&server, preflight(ALLOWED)).join("\n");
    assert!(
        allowed.contains(&format!("access-control-allow-origin: {ALLOWED}")),
        "{allowed}"
    );
    // Also where the browser asks for no header: the answer to another would be
    // another.
    assert!(
        allowed.contains("vary: origin, access-control-request-headers"),
        "{allowed}"
    );
    let refused = cors_of(&server, preflight("https://evil.io")).join("\n");
    assert!(
        !refused.contains("access-control-allow-origin"),
        "{refused}"
    );
    assert_eq!(server.engine.len(), 1);
}

/// Browsers ignore credentials with `*`, and a page of anyone's must not get
/// them by an echo of its origin.
#[test]
fn any_origin_goes_without_credentials() {
    let server = start(OriginPolicy::any());
    for method in ["GET", "OPTIONS"] {
        let request = polling_request(method, "", "origin: https://anywhere.example\r\n");
        let lines = cors_of(&server, request).join("\n");
        assert!(lines.contains("access-control-allow-origin: *"), "{lines}");
        assert!(!lines.contains("credentials"), "{lines}");
    }
}
