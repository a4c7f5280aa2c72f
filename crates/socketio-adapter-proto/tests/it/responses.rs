//! Responses, as Node's adapters take them.

use bytes::Bytes;
use socketio_adapter_proto::{Response, SocketDetails, TooDeep, classic, sharded};
use socketio_proto::Args;

use crate::support::{hex, namespace, raw, rooms};

fn classic(response: &Response<'_>) -> Vec<u8> {
    classic::response("abc", response).unwrap()
}

fn sharded(response: &Response<'_>) -> Option<Vec<u8>> {
    sharded::response("u", &namespace(), "abc", response).unwrap()
}

fn check(response: &Response<'_>, in_classic: &str, in_sharded: Option<&str>) {
    assert_eq!(String::from_utf8(classic(response)).unwrap(), in_classic);
    let written = sharded(response).map(|bytes| String::from_utf8(bytes).unwrap());
    let expected = in_sharded.map(|rest| format!(r#"{{"uid":"u","nsp":"/notifications",{rest}}}"#));
    assert_eq!(written, expected);
}

#[test]
fn sockets_are_told_without_what_clients_came_with() {
    let sockets = [SocketDetails {
        id: "CjdVH4TQvovi1VvgAC5Z".to_owned(),
        rooms: rooms(&["CjdVH4TQvovi1VvgAC5Z", "user_1"]),
    }];
    let details = r#"[{"id":"CjdVH4TQvovi1VvgAC5Z","handshake":{"headers":{},"query":{},"auth":{}},"rooms":["CjdVH4TQvovi1VvgAC5Z","user_1"],"data":{}}]"#;
    check(
        &Response::Sockets(&sockets),
        &format!(r#"{{"requestId":"abc","sockets":{details}}}"#),
        Some(&format!(
            r#""type":8,"data":{{"requestId":"abc","sockets":{details}}}"#
        )),
    );
}

#[test]
fn counts_ids_rooms_and_confirmations() {
    check(
        &Response::ClientCount(2),
        r#"{"type":8,"requestId":"abc","clientCount":2}"#,
        Some(r#""type":11,"data":{"requestId":"abc","clientCount":2}"#),
    );
    let names = rooms(&["a", "\"b"]);
    let ids = r#"{"requestId":"abc","sockets":["a","\"b"]}"#;
    check(&Response::SocketIds(&names), ids, None);
    let expected = r#"{"requestId":"abc","rooms":["a","\"b"]}"#;
    check(&Response::Rooms(&names), expected, None);
    check(&Response::Done, r#"{"requestId":"abc"}"#, None);
}

#[test]
fn acks_have_the_first_argument() {
    let (first, second) = (raw(r#"{"ok":true,"n":3}"#), raw("2"));
    let ack = Args::new(&[&first, &second]);
    // What notepack makes of `{ type: 9, requestId: "abc", packet: { ok: true, n: 3 } }`.
    let expected = hex("83 a474797065 09 a9726571756573744964 a3616263
                        a67061636b6574 82 a26f6b c3 a16e 03");
    assert_eq!(classic(&Response::Ack(&ack)), expected);
    let expected = r#"{"uid":"u","nsp":"/notifications","type":12,"data":{"requestId":"abc","packet":{"ok":true,"n":3}}}"#;
    assert_eq!(sharded(&Response::Ack(&ack)).unwrap(), expected.as_bytes());
    let nothing = Args::new(&[]);
    let expected = hex("82 a474797065 09 a9726571756573744964 a3616263");
    assert_eq!(classic(&Response::Ack(&nothing)), expected);
}

#[test]
fn acks_may_have_binary_data() {
    let first = raw(r#"{"_placeholder":true,"num":0}"#);
    let data = vec![Bytes::from_static(b"abc")];
    let ack = Args::with_attachments(&[&first], data).unwrap();
    let expected = hex("83 a474797065 09 a9726571756573744964 a3616263 a67061636b6574 c403616263");
    assert_eq!(classic(&Response::Ack(&ack)), expected);
    let written = sharded(&Response::Ack(&ack)).unwrap();
    let expected = hex("82 a9726571756573744964 a3616263 a67061636b6574 c403616263");
    assert!(written.ends_with(&expected), "{written:x?}");
}

#[test]
fn acks_that_are_nested_too_deep_are_refused() {
    let deep = raw(&format!("{}{}", "[".repeat(200), "]".repeat(200)));
    let ack = Args::new(&[&deep]);
    let written = classic::response("abc", &Response::Ack(&ack));
    assert_eq!(written, Err(TooDeep));
}
