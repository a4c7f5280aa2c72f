//! Requests that are rejected: each is counted by its reason, and told with
//! where it came from.

use std::sync::{Arc, Mutex};

use hd_ws_server::{
    AllowedOrigins, OriginPolicy, Rejection, RejectionHook, ServerConfig, TrustedProxies,
};

use crate::client::{exchange, websocket_head};
use crate::echo_server::EchoServer;

#[test]
fn each_rejection_is_counted_and_told_with_address_and_origin() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    let config = ServerConfig {
        origins: OriginPolicy {
            allowed: AllowedOrigins::List(vec!["https://a.example".into()]),
            allow_missing: true,
        },
        trusted_proxies: TrustedProxies::new(["127.0.0.0/8".parse().unwrap()]),
        on_rejected: RejectionHook::new(move |rejected| {
            hook.lock().unwrap().push(format!(
                "{} {} {}",
                rejected.reason.code(),
                rejected.remote_address,
                rejected.origin.unwrap_or("-")
            ));
        }),
        ..ServerConfig::default()
    };
    let server = EchoServer::start(config);
    let evil = "origin: https://evil.example\r\nx-forwarded-for: 198.51.100.1, 203.0.113.9\r\n";
    let get = |query: &str, headers: &str| head("GET", query, headers);
    for (head, reason) in [
        (
            get("EIO=4&transport=pigeon", ""),
            Rejection::TransportUnknown,
        ),
        (
            get("EIO=4&transport=polling&sid=aaaaaaaaaaaaaaaaaaaa", ""),
            Rejection::SessionIdUnknown,
        ),
        (
            head("PUT", "EIO=4&transport=polling", ""),
            Rejection::BadHandshakeMethod,
        ),
        (get("EIO=4&transport=websocket", ""), Rejection::BadRequest),
        (
            get("EIO=4&transport=polling", evil),
            Rejection::OriginNotAllowed,
        ),
        (
            get("EIO=2&transport=polling", ""),
            Rejection::UnsupportedProtocolVersion,
        ),
        (
            websocket_head("", "").replace("version: 13", "version: 7"),
            Rejection::MalformedWebSocketHandshake,
        ),
    ] {
        let answer = exchange(server.address, &head);
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert_eq!(
            server.engine.counts().rejected_total(reason),
            1,
            "{reason:?}"
        );
        let expected = if reason == Rejection::OriginNotAllowed {
            "origin_not_allowed 203.0.113.9 https://evil.example".to_owned()
        } else {
            format!("{} 127.0.0.1 -", reason.code())
        };
        assert_eq!(told.lock().unwrap().pop(), Some(expected));
    }
}

fn head(method: &str, query: &str, headers: &str) -> String {
    format!(
        "{method} /socket.io/?{query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n"
    )
}
