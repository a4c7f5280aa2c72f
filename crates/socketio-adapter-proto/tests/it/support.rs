//! Short ways to what tests do all the time.

use serde_json::value::RawValue;
use socketio_adapter_proto::{
    Event, Limits, Message, Options, ParseError, Request, classic, sharded,
};
use socketio_proto::Namespace;

pub(crate) fn namespace() -> Namespace {
    Namespace::new("/notifications").unwrap()
}

pub(crate) fn rooms(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

pub(crate) fn to(names: &[&str]) -> Options {
    Options {
        rooms: rooms(names),
        ..Options::default()
    }
}

pub(crate) fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// Bytes from hexadecimal digits; white space counts for nothing.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// A broadcast of the classic adapter whose event's arguments are this.
pub(crate) fn with_args(args: &[u8], count: u8) -> Vec<u8> {
    let mut bytes = hex("93 a16f 83 a474797065 02 a464617461");
    bytes.push(0x90 + count + 1);
    bytes.extend(b"\xa1e");
    bytes.extend(args);
    bytes.extend(b"\xa3nsp\xae/notifications\x82\xa5rooms\x90\xa6except\x90");
    bytes
}

pub(crate) fn classic_event(bytes: &[u8]) -> Result<(Event, Options), ParseError> {
    let limits = Limits::default();
    Ok(broadcast_of(classic::parse_broadcast(
        bytes,
        &namespace(),
        &limits,
    )?))
}

pub(crate) fn sharded_event(bytes: &[u8]) -> Result<(Event, Options), ParseError> {
    let limits = Limits::default();
    Ok(broadcast_of(sharded::parse(bytes, &namespace(), &limits)?))
}

fn broadcast_of(message: Message) -> (Event, Options) {
    let Request::Broadcast { event, options } = message.request else {
        panic!("not a broadcast: {message:?}");
    };
    (event, options)
}
