//! No input makes it panic, and what is read is within its bounds.

use proptest::prelude::*;
use socketio_adapter_proto::{Limits, Message, Request, classic, sharded};

use crate::support::{hex, namespace};

const LIMITS: Limits = Limits {
    max_bytes: 400,
    max_depth: 12,
    max_rooms: 3,
    max_attachments: 2,
};

/// Bytes of a message with some of them changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let seeds = prop_oneof![
        Just(hex("93a641626331323383a47479706502a46461746192a178c401ffa36e7370ae2f6e6f74696669636174696f6e7383a5726f6f6d7391a6757365725f31a665786365707490a5666c61677380")),
        Just(hex("85a3756964a6416263313233a9726571756573744964a64e3147566b4ba474797065\
            07a67061636b657483a47479706502a46461746192a17181a16101a36e7370ae2f6e6f74696669636174696f6e73\
            a46f70747383a5726f6f6d7391a6757365725f31a665786365707490a5666c61677381a774696d656f7574cd03e8")),
        Just(br#"{"type":3,"data":{"packet":{"type":2,"data":["x",{"a":1}]},"requestId":"1","opts":{"rooms":["a"],"except":[],"flags":{}},"rooms":["r"]},"uid":"0","nsp":"/notifications"}"#.to_vec()),
        Just(br#"{"uid":"A","requestId":"Z","type":2,"opts":{"rooms":["a"],"except":[]},"rooms":["r"],"sid":"s","room":"r"}"#.to_vec()),
    ];
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
    (seeds, prop::collection::vec(change, 0..6)).prop_map(|(mut bytes, changes)| {
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => mutated(),
        1 => prop::collection::vec(any::<u8>(), 0..450),
        1 => prop::collection::vec(prop::sample::select(b"{}[]\":,12\\\x91\x81\xc4\x00\xdd\xff".to_vec()), 0..450),
    ]
}

fn is_within_bounds(message: &Message) -> bool {
    match &message.request {
        Request::Broadcast { event, options }
        | Request::BroadcastWithAck { event, options, .. } => {
            event.args().attachments().len() <= LIMITS.max_attachments
                && options.rooms.len() <= LIMITS.max_rooms
                && options.except.len() <= LIMITS.max_rooms
                && event.args().json().len() <= LIMITS.max_bytes * 6
        }
        Request::Join { options, rooms, .. } | Request::Leave { options, rooms, .. } => {
            options.rooms.len() <= LIMITS.max_rooms && rooms.len() <= LIMITS.max_rooms
        }
        Request::Disconnect { options, .. }
        | Request::FetchSockets { options, .. }
        | Request::SocketIds { options, .. } => options.rooms.len() <= LIMITS.max_rooms,
        Request::AllRooms { .. } | Request::None => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in bytes()) {
        let read = [
            classic::parse_broadcast(&bytes, &namespace(), &LIMITS),
            classic::parse_request(&bytes, &LIMITS),
            sharded::parse(&bytes, &namespace(), &LIMITS),
        ];
        for message in read.into_iter().flatten() {
            prop_assert!(is_within_bounds(&message), "{:?}", message);
        }
        let _ours = classic::is_broadcast_from(&bytes, "x") || sharded::is_from(&bytes, "x");
    }
}

/// Some of the changed messages are good ones, or the test above tests little.
#[test]
fn made_up_messages_are_not_all_refused() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut read = 0;
    for _ in 0..500 {
        let bytes = mutated().new_tree(&mut runner).unwrap().current();
        let messages = [
            classic::parse_broadcast(&bytes, &namespace(), &LIMITS),
            classic::parse_request(&bytes, &LIMITS),
            sharded::parse(&bytes, &namespace(), &LIMITS),
        ];
        read += usize::from(messages.iter().any(Result::is_ok));
    }
    assert!((50..450).contains(&read), "{read} of 500 are read");
}
