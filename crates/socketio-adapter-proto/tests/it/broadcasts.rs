//! Broadcasts, as Node's adapters and emitter were seen to publish them
//! (`@socket.io/redis-adapter` 8.3.0, `@socket.io/redis-emitter` 5.1.0,
//! notepack.io 3.0.1).

use bytes::Bytes;
use socketio_adapter_proto::{Limits, Options, Request, classic, sharded};
use socketio_proto::{EventName, OutgoingArgs};

use crate::support::{classic_event, hex, namespace, raw, rooms, sharded_event, to};

/// `new Emitter(redis, {}, "/notifications").to("user_123").emit("new_notification",
/// { mensaje: "Ticket asignado", ticketId: 456 })`
const EMITTER: &str = "
    93 a7 656d6974746572
    83 a4 74797065 02
       a4 64617461 92 b0 6e65775f6e6f74696669636174696f6e
                      82 a7 6d656e73616a65 af5469636b657420617369676e61646f
                         a8 7469636b65744964 cd01c8
       a3 6e7370 ae 2f6e6f74696669636174696f6e73
    83 a5 726f6f6d73 91 a8 757365725f313233
       a5 666c616773 80
       a6 657863657074 90";

/// `io.of("/notifications").to("user_1").emit("x")`
const CLASSIC: &str = "
    93 a6 416263313233
    83 a4 74797065 02 a4 64617461 91 a1 78 a3 6e7370 ae 2f6e6f74696669636174696f6e73
    83 a5 726f6f6d73 91 a6 757365725f31 a6 657863657074 90 a5 666c616773 80";

/// The emitter's `volatile.to(["a", "b"]).except("c").emit("x", 1, Buffer.from([1, 2, 3]),
/// new Date(1700000000123), 1.5, 2 ** 53, undefined, [undefined])`
const MANY_ARGS: &str = "
    93 a7656d6974746572 83 a474797065 02 a464617461 98 a178 01 c403010203
    d7ff1d5353006553f100 cb3ff8000000000000 cf0020000000000000 c0 91c0
    a36e7370 ae2f6e6f74696669636174696f6e73
    83 a5726f6f6d73 92 a161 a162 a5666c616773 81 a8766f6c6174696c65 c3 a6657863657074 91 a163";

/// `io.of("/notifications").to("user_1").emit("x", { a: 1 })`
const SHARDED: &str = r#"{"type":3,"data":{"packet":{"type":2,"data":["x",{"a":1}]},"opts":{"rooms":["user_1"],"except":[],"flags":{}}},"uid":"0011223344556677","nsp":"/notifications"}"#;

/// `io.of("/notifications").volatile.except("b").emit("x", Buffer.from([1, 2, 3]))`
const SHARDED_BINARY: &str = "
    84 a474797065 03 a464617461
       82 a67061636b6574 82 a474797065 02 a464617461 92 a178 c403010203
          a46f707473 83 a5726f6f6d73 90 a6657863657074 91 a162
                        a5666c616773 81 a8766f6c6174696c65 c3
       a3756964 b030303131323233333434353536363737
       a36e7370 ae2f6e6f74696669636174696f6e73";

#[test]
fn the_emitter_is_understood() {
    let bytes = hex(EMITTER);
    assert_eq!(bytes.len(), 127);
    let message = classic::parse_broadcast(&bytes, &namespace(), &Limits::default()).unwrap();
    assert_eq!(message.sender.as_deref(), Some("emitter"));
    let (event, options) = classic_event(&bytes).unwrap();
    assert_eq!(event.name().as_str(), "new_notification");
    let args = r#"[{"mensaje":"Ticket asignado","ticketId":456}]"#;
    assert_eq!(event.args().json(), args);
    assert_eq!(options, to(&["user_123"]));
}

#[test]
fn the_classic_adapter_is_understood_and_spoken() {
    let bytes = hex(CLASSIC);
    let (event, options) = classic_event(&bytes).unwrap();
    assert_eq!((event.name().as_str(), event.args().json()), ("x", "[]"));
    assert_eq!(options, to(&["user_1"]));
    let written = classic::broadcast(
        "Abc123",
        &namespace(),
        event.name(),
        event.args().into(),
        &options,
    );
    assert_eq!(written.unwrap(), bytes);
}

#[test]
fn arguments_of_every_kind_go_through() {
    let (event, options) = classic_event(&hex(MANY_ARGS)).unwrap();
    let args = r#"[1,{"_placeholder":true,"num":0},"2023-11-14T22:13:20.123Z",1.5,9007199254740992,null,[null]]"#;
    assert_eq!(event.args().json(), args);
    assert_eq!(event.args().attachments(), [Bytes::from_static(&[1, 2, 3])]);
    assert_eq!(options.rooms, ["a", "b"]);
    assert_eq!(options.except, ["c"]);
    assert!(options.flags.volatile);
    // And back: the date is a text by now.
    let written = classic::broadcast(
        "emitter",
        &namespace(),
        event.name(),
        event.args().into(),
        &options,
    );
    let again = classic_event(&written.unwrap()).unwrap();
    assert_eq!(again, (event, options));
}

#[test]
fn the_sharded_adapter_is_understood_and_spoken() {
    let (event, options) = sharded_event(SHARDED.as_bytes()).unwrap();
    assert_eq!(
        (event.name().as_str(), event.args().json()),
        ("x", r#"[{"a":1}]"#)
    );
    assert_eq!(options, to(&["user_1"]));
    let written = sharded::broadcast(
        "help-desk-ws.1",
        &namespace(),
        event.name(),
        event.args().into(),
        &options,
    );
    let text = r#"{"uid":"help-desk-ws.1","nsp":"/notifications","type":3,"data":{"packet":{"type":2,"data":["x",{"a":1}],"nsp":"/notifications"},"opts":{"rooms":["user_1"],"except":[],"flags":{}}}}"#;
    assert_eq!(String::from_utf8(written.unwrap()).unwrap(), text);
    assert_eq!(sharded_event(text.as_bytes()).unwrap(), (event, options));
}

#[test]
fn binary_data_makes_the_sharded_adapter_speak_msgpack() {
    let (event, options) = sharded_event(&hex(SHARDED_BINARY)).unwrap();
    let args = r#"[{"_placeholder":true,"num":0}]"#;
    assert_eq!((event.name().as_str(), event.args().json()), ("x", args));
    assert_eq!(event.args().attachments(), [Bytes::from_static(&[1, 2, 3])]);
    assert_eq!(
        (options.rooms.len(), &*options.except),
        (0, &*rooms(&["b"]))
    );
    assert!(options.flags.volatile);
    let written = sharded::broadcast(
        "u",
        &namespace(),
        event.name(),
        event.args().into(),
        &options,
    );
    let written = written.unwrap();
    assert_eq!(written[0], 0x84);
    assert_eq!(sharded_event(&written).unwrap(), (event, options));
}

#[test]
fn other_namespaces_are_passed_over() {
    let mut bytes = hex(CLASSIC);
    let at = bytes.windows(4).position(|four| four == b"/not").unwrap();
    bytes[at + 1] = b'N';
    let limits = Limits::default();
    let message = classic::parse_broadcast(&bytes, &namespace(), &limits).unwrap();
    assert_eq!(message.request, Request::None);
    let other = SHARDED.replace("/notifications", "/other");
    let message = sharded::parse(other.as_bytes(), &namespace(), &limits).unwrap();
    assert_eq!(message.request, Request::None);
    assert_eq!(message.sender.as_deref(), Some("0011223344556677"));
}

#[test]
fn what_is_ones_own_is_known_by_its_uid() {
    let name = EventName::new("x").unwrap();
    let payload = raw(r#"{"a":1}"#);
    let args = [&*payload];
    let args = OutgoingArgs::new(&args);
    for uid in ["ours.0", "ours.0123456789abcdef0123456789abcdef0123456789"] {
        let options = Options::default();
        let classic = classic::broadcast(uid, &namespace(), name, args, &options).unwrap();
        assert!(classic::is_broadcast_from(&classic, "ours."));
        let sharded = sharded::broadcast(uid, &namespace(), name, args, &options).unwrap();
        assert!(sharded::is_from(&sharded, "ours."));
    }
    assert!(!classic::is_broadcast_from(&hex(EMITTER), "ours."));
    assert!(!classic::is_broadcast_from(b"\x93", "ours."));
    assert!(!sharded::is_from(SHARDED.as_bytes(), "ours."));
    assert!(!sharded::is_from(b"", "ours."));
}
