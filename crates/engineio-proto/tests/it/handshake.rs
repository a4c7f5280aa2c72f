use std::time::Duration;

use engineio_proto::{Config, Handshake, InvalidHandshake, Transport, Transports};

use crate::pair::{Pair, SID_TEXT, secs, sid};
use crate::wire::text;

const OPEN: &str = r#"0{"sid":"AAECAwQFBgcICQoLDA0O","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

#[test]
fn keys_are_in_the_order_of_engine_io() {
    let handshake = Handshake::new(sid(), Transport::Polling, &Config::default());
    assert_eq!(handshake.encode().frame().payload(), OPEN.as_bytes());
}

#[test]
fn shows_the_settings() {
    let config = Config {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        max_payload: 1,
        ..Config::default()
    };
    let handshake = Handshake::new(sid(), Transport::WebSocket, &config);
    let expected = format!(
        r#"0{{"sid":"{SID_TEXT}","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":1}}"#
    );
    assert_eq!(handshake.encode().frame().payload(), expected.as_bytes());
}

#[test]
fn offers_an_upgrade_only_where_there_is_one() {
    for (transport, transports, upgrades) in [
        (
            Transport::Polling,
            Transports::Both,
            &[Transport::WebSocket][..],
        ),
        (Transport::Polling, Transports::Polling, &[]),
        (Transport::WebSocket, Transports::Both, &[]),
        (Transport::WebSocket, Transports::WebSocket, &[]),
    ] {
        let config = Config {
            transports,
            ..Config::default()
        };
        let handshake = Handshake::new(sid(), transport, &config);
        assert_eq!(handshake.upgrades, upgrades, "{transport:?} {transports:?}");
    }
}

#[test]
fn is_the_first_thing_that_either_transport_carries() {
    let mut polling = Pair::opening(Transport::Polling, Config::default(), true);
    polling.send("later");
    // Alone, as from engine.io.
    assert_eq!(polling.get().unwrap(), OPEN);
    assert_eq!(polling.get().unwrap(), "4later");

    let mut websocket = Pair::opening(Transport::WebSocket, Config::default(), true);
    websocket.send("later");
    let open = OPEN.replace(r#"["websocket"]"#, "[]");
    assert_eq!(websocket.read(), [text(&open), text("4later")]);
}

#[test]
fn decodes_what_it_encodes() {
    let handshake = Handshake::new(sid(), Transport::Polling, &Config::default());
    let decoded = Handshake::decode(&OPEN[1..]).unwrap();
    assert_eq!(*decoded.sid, *handshake.sid.as_str());
    assert_eq!(decoded.upgrades, handshake.upgrades);
    assert_eq!(decoded.ping_interval, handshake.ping_interval);
    assert_eq!(decoded.ping_timeout, handshake.ping_timeout);
    assert_eq!(decoded.max_payload, handshake.max_payload);
}

#[test]
fn decodes_the_session_ids_of_other_servers() {
    for sid in ["wquKOVwvkU0GBzs4", "a", "0.1-2_3~4"] {
        let data = OPEN[1..].replace(SID_TEXT, sid);
        assert_eq!(*Handshake::decode(&data).unwrap().sid, *sid);
    }
}

#[test]
fn decodes_other_key_orders_unknown_keys_and_an_absent_max_payload() {
    let data = format!(
        r#"{{"pingTimeout":2,"pingInterval":1000,"new":[{{}}],"upgrades":["webtransport","websocket"],"sid":"{SID_TEXT}"}}"#
    );
    let handshake = Handshake::decode(&data).unwrap();
    assert_eq!(*handshake.sid, *SID_TEXT);
    assert_eq!(handshake.upgrades, [Transport::WebSocket]);
    assert_eq!(handshake.ping_interval, secs(1));
    assert_eq!(handshake.ping_timeout, Duration::from_millis(2));
    assert_eq!(handshake.max_payload, 0);
}

#[test]
fn refuses_what_is_no_handshake() {
    let valid = &OPEN[1..];
    for data in [
        "",
        "{}",
        "[]",
        "null",
        &valid[..valid.len() - 1],
        &valid.replace(SID_TEXT, ""),
        &valid.replace(SID_TEXT, "AAEC&sid=BAUGBwgJCgs"),
        &valid.replace(SID_TEXT, "AAEC HTTP/1.1\\r\\nBAUG"),
        &valid.replace("25000", "-1"),
        &valid.replace("25000", "\"25000\""),
        &valid.replace("25000", "1e400"),
        &valid.replace("20000", "null"),
        &valid.replace(r#"["websocket"]"#, r#""websocket""#),
    ] {
        assert_eq!(Handshake::decode(data), Err(InvalidHandshake), "{data}");
    }
}
