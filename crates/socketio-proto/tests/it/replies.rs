//! The server's answers, as a client reads them.

use serde_json::value::to_raw_value;
use socketio_proto::{ConnectError, Connected, PacketData, encode};

use crate::support::{decode, namespace, text_of};

#[test]
fn connected() {
    for pid in [None, Some("p")] {
        let encoded = encode::connect(&namespace("/a"), "abc", pid);
        let packet = decode(text_of(&encoded), &[]).unwrap();
        let PacketData::Connect { auth: Some(reply) } = packet.data else {
            panic!("not a CONNECT");
        };
        let connected = Connected::from_json(&reply).unwrap();
        assert_eq!(connected.sid, "abc");
        assert_eq!(connected.pid.as_deref(), pid);
    }
}

#[test]
fn connect_error() {
    let data = to_raw_value(&[1]).unwrap();
    let encoded = encode::connect_error(&namespace("/a"), "no", Some(&data));
    let error = read_error(text_of(&encoded));
    assert_eq!(error.message, "no");
    assert_eq!(error.data.unwrap().get(), "[1]");

    for text in [r#"4/a,"no""#, r#"4/a,{"message":"no"}"#] {
        let error = read_error(text);
        assert_eq!(error.message, "no");
        assert!(error.data.is_none());
    }
}

#[test]
fn what_is_not_an_answer() {
    let json = to_raw_value(&serde_json::json!({"x": 1})).unwrap();
    Connected::from_json(&json).unwrap_err();
    ConnectError::from_json(&json).unwrap_err();
}

fn read_error(text: &str) -> ConnectError {
    let PacketData::ConnectError { error } = decode(text, &[]).unwrap().data else {
        panic!("not a CONNECT_ERROR");
    };
    ConnectError::from_json(&error).unwrap()
}
