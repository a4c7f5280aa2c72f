//! Requests, as Node's adapters and emitter were seen to publish them.

use std::time::Duration;

use socketio_adapter_proto::{
    Flags, Limits, Message, Options, ParseError, Request, classic, sharded,
};

use crate::support::{hex, namespace, rooms, to};

fn classic(json: &str) -> Result<Message, ParseError> {
    classic::parse_request(json.as_bytes(), &Limits::default())
}

fn sharded(json: &str) -> Request {
    let message = sharded::parse(json.as_bytes(), &namespace(), &Limits::default()).unwrap();
    assert_eq!(message.sender.as_deref(), Some("0011223344556677"));
    message.request
}

#[test]
fn the_emitter_joins_leaves_and_disconnects() {
    let join = r#"{"type":2,"opts":{"rooms":["user_1"],"except":[]},"rooms":["r1","r2"]}"#;
    let leave = r#"{"type":3,"opts":{"rooms":["user_1"],"except":[]},"rooms":["r1"]}"#;
    let disconnect = r#"{"type":4,"opts":{"rooms":["user_1"],"except":[]},"close":true}"#;
    let options = to(&["user_1"]);
    let request_id = None;
    assert_eq!(
        classic(join).unwrap(),
        Message {
            sender: None,
            request: Request::Join {
                options: options.clone(),
                rooms: rooms(&["r1", "r2"]),
                request_id: None
            }
        }
    );
    assert_eq!(
        classic(leave).unwrap().request,
        Request::Leave {
            options: options.clone(),
            rooms: rooms(&["r1"]),
            request_id: None
        }
    );
    assert_eq!(
        classic(disconnect).unwrap().request,
        Request::Disconnect {
            options,
            close: true,
            request_id
        }
    );
}

#[test]
fn the_old_form_names_one_socket_and_is_answered() {
    let request_id = Some("r".to_owned());
    let options = to(&["CjdVH4TQvovi1VvgAC5Z"]);
    let join = r#"{"uid":"u","requestId":"r","type":2,"sid":"CjdVH4TQvovi1VvgAC5Z","room":"a"}"#;
    assert_eq!(
        classic(join).unwrap().request,
        Request::Join {
            options: options.clone(),
            rooms: rooms(&["a"]),
            request_id: request_id.clone()
        }
    );
    let leave = join.replace(":2,", ":3,").replace("\"a\"", "7");
    assert_eq!(
        classic(&leave).unwrap().request,
        Request::Leave {
            options: options.clone(),
            rooms: rooms(&["7"]),
            request_id: request_id.clone()
        }
    );
    let close = r#"{"requestId":"r","type":4,"sid":"CjdVH4TQvovi1VvgAC5Z"}"#;
    assert_eq!(
        classic(close).unwrap().request,
        Request::Disconnect {
            options,
            close: false,
            request_id
        }
    );
}

#[test]
fn the_classic_adapter_asks_who_is_there() {
    let request_id = "ZcamOy".to_owned();
    let sockets = r#"{"uid":"Abc123","requestId":"ZcamOy","type":0,"rooms":["user_1"]}"#;
    let options = to(&["user_1"]);
    assert_eq!(
        classic(sockets).unwrap(),
        Message {
            sender: Some("Abc123".to_owned()),
            request: Request::SocketIds {
                request_id: request_id.clone(),
                options: options.clone()
            }
        }
    );
    let rooms = r#"{"uid":"Abc123","requestId":"ZcamOy","type":1}"#;
    let expected = Request::AllRooms {
        request_id: request_id.clone(),
    };
    assert_eq!(classic(rooms).unwrap().request, expected);
    let fetch =
        r#"{"uid":"Abc123","requestId":"ZcamOy","type":5,"opts":{"rooms":["user_1"],"except":[]}}"#;
    let expected = Request::FetchSockets {
        request_id,
        options,
    };
    assert_eq!(classic(fetch).unwrap().request, expected);
}

/// `io.of("/notifications").timeout(1000).to("user_1").emit("q", { a: 1 }, callback)`
#[test]
fn the_classic_adapter_asks_clients() {
    let bytes = hex("
        85 a3756964 a6416263313233 a9726571756573744964 a64e3147566b4b a474797065 07
           a67061636b6574 83 a474797065 02 a464617461 92 a171 81 a161 01
                             a36e7370 ae2f6e6f74696669636174696f6e73
           a46f707473 83 a5726f6f6d73 91 a6757365725f31 a6657863657074 90
                         a5666c616773 81 a774696d656f7574 cd03e8");
    let message = classic::parse_request(&bytes, &Limits::default()).unwrap();
    let Request::BroadcastWithAck {
        request_id,
        event,
        options,
    } = message.request
    else {
        panic!("{message:?}");
    };
    assert_eq!(request_id, "N1GVkK");
    assert_eq!(
        (event.name().as_str(), event.args().json()),
        ("q", r#"[{"a":1}]"#)
    );
    assert_eq!(options.flags.timeout, Some(Duration::from_secs(1)));
}

#[test]
fn the_sharded_adapter_asks_the_same() {
    let options = to(&["user_1"]);
    let r1 = rooms(&["r1"]);
    let tail = r#","uid":"0011223344556677","nsp":"/notifications"}"#;
    let opts = r#""opts":{"rooms":["user_1"],"except":[],"flags":{}}"#;
    let request = |text: &str| sharded(&format!("{text}{tail}"));
    assert_eq!(
        request(&format!(r#"{{"type":4,"data":{{{opts},"rooms":["r1"]}}"#)),
        Request::Join {
            options: options.clone(),
            rooms: r1.clone(),
            request_id: None
        }
    );
    assert_eq!(
        request(&format!(r#"{{"type":5,"data":{{{opts},"rooms":["r1"]}}"#)),
        Request::Leave {
            options: options.clone(),
            rooms: r1,
            request_id: None
        }
    );
    assert_eq!(
        request(&format!(r#"{{"type":6,"data":{{{opts},"close":true}}"#)),
        Request::Disconnect {
            options: options.clone(),
            close: true,
            request_id: None
        }
    );
    assert_eq!(
        request(&format!(
            r#"{{"type":7,"data":{{{opts},"requestId":"dd78"}}"#
        )),
        Request::FetchSockets {
            request_id: "dd78".to_owned(),
            options: options.clone()
        }
    );
    let ask = r#"{"type":3,"data":{"packet":{"type":2,"data":["q"]},"requestId":"5367","opts":{"rooms":["user_1"],"except":[],"flags":{"timeout":1000,"expectSingleResponse":true}}}"#;
    let Request::BroadcastWithAck {
        request_id,
        event,
        options: asked,
    } = request(ask)
    else {
        panic!("no acks are asked for");
    };
    assert_eq!((&*request_id, event.name().as_str()), ("5367", "q"));
    let flags = Flags {
        timeout: Some(Duration::from_secs(1)),
        volatile: false,
    };
    assert_eq!(asked, Options { flags, ..options });
}

#[test]
fn what_is_for_other_servers_is_passed_over() {
    for text in [
        r#"{"uid":"emitter","type":6,"data":["hello",1]}"#,
        r#"{"uid":"u","type":8,"requestId":"r","clientCount":1}"#,
        r#"{"type":4294967295}"#,
    ] {
        assert_eq!(classic(text).unwrap().request, Request::None, "{text}");
    }
    for message_type in [0, 1, 2, 8, 9, 10, 11, 12, 13, 14] {
        let text = format!(
            r#"{{"type":{message_type},"data":{{"packet":["hello",1]}},"uid":"0011223344556677","nsp":"/notifications"}}"#
        );
        assert_eq!(sharded(&text), Request::None, "{text}");
    }
}

#[test]
fn nobody_is_meant_by_a_request_without_rooms() {
    for text in [
        r#"{"type":4,"close":true}"#,
        r#"{"type":4,"opts":{},"close":true}"#,
        r#"{"type":4,"opts":{"rooms":"user_1"},"close":true}"#,
        r#"{"type":4,"opts":{"rooms":[null]},"close":true}"#,
        r#"{"type":4,"opts":{"rooms":[["user_1"]]},"close":true}"#,
        r#"{"type":2,"opts":{"rooms":["user_1"]}}"#,
        r#"{"type":0,"requestId":"r"}"#,
        r#"{"type":1}"#,
        r#"{"type":"4"}"#,
        r#"{"type":-1}"#,
        r"{}",
    ] {
        assert_eq!(classic(text), Err(ParseError::NotAMessage), "{text}");
    }
}
