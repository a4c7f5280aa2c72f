//! Packets of MessagePack: what is read, and what is refused.

use engineio_proto::Message;
use proptest::prelude::*;
use socketio_proto::{
    ClientConfig, ClientError, ClientEvent, DecodeError, Decoder, Limits, Packet, PacketData,
    Parser,
};

use crate::support::{Peer, start};

fn decode(bytes: &[u8]) -> Result<Packet, DecodeError> {
    decode_within(bytes, &Limits::default())
}

fn decode_within(bytes: &[u8], limits: &Limits) -> Result<Packet, DecodeError> {
    let mut decoder = Decoder::with_parser(Parser::Msgpack);
    let packet = decoder.add(Message::Binary(bytes.into()), limits, start())?;
    Ok(packet.expect("a packet is one message"))
}

/// Values of MessagePack, one after the other.
fn join(values: &[&[u8]]) -> Vec<u8> {
    values.concat()
}

fn text(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    join(&[&[0xd9, len], text.as_bytes()])
}

/// A map with these keys and values.
fn map(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0x80 | u8::try_from(fields.len()).unwrap()];
    for (key, value) in fields {
        bytes.extend(text(key));
        bytes.extend_from_slice(value);
    }
    bytes
}

/// EVENT of the main namespace, with this `data`.
fn event(data: &[u8]) -> Vec<u8> {
    map(&[("type", &[2]), ("data", data), ("nsp", &text("/"))])
}

/// An event with this argument.
fn event_with(arg: &[u8]) -> Vec<u8> {
    event(&join(&[&[0x92], &text("e"), arg]))
}

/// The arguments of an event as JSON.
fn args(bytes: &[u8]) -> String {
    let PacketData::Event(event) = decode(bytes).unwrap().data else {
        panic!("not an event")
    };
    event.args.json().to_owned()
}

#[test]
fn an_event_as_socket_io_client_sends_it() {
    let options = map(&[("compress", &[0xc3])]);
    let bytes = map(&[
        ("type", &[2]),
        ("data", &join(&[&[0x93], &text("hi"), &[7], &text("a\n")])),
        ("options", &options),
        ("id", &[12]),
        ("nsp", &text("/chat")),
    ]);
    let packet = decode(&bytes).unwrap();
    assert_eq!(packet.namespace.as_str(), "/chat");
    let PacketData::Event(event) = packet.data else {
        panic!("not an event")
    };
    assert_eq!((event.id, event.name().as_str()), (Some(12), "hi"));
    assert_eq!(event.args.json(), r#"[7,"a\n"]"#);
}

#[test]
fn values_as_the_text_parser_has_them() {
    let check = |value: &[u8], expected: &str| {
        assert_eq!(
            args(&event_with(value)),
            format!("[{expected}]"),
            "{value:x?}"
        );
    };
    check(&[0xc0], "null");
    check(&[0xc2], "false");
    check(&[0xe0], "-32");
    check(
        &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        "18446744073709551615",
    );
    check(&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], "-9223372036854775808");
    check(&[0xca, 0x3f, 0xc0, 0, 0], "1.5");
    check(&[0xcb, 0x40, 0x08, 0, 0, 0, 0, 0, 0], "3");
    // JSON.stringify writes these so, too.
    check(&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], "null");
    check(&[0xd4, 0, 0], "null");
    check(&map(&[("a", &[0xd4, 0, 0]), ("b", &[1])]), r#"{"b":1}"#);
    // A date of notepack.io 2, and one of the specification.
    let date = r#""2023-11-14T22:13:20.123Z""#;
    check(
        &join(&[&[0xd7, 0], &1_700_000_000_123_i64.to_be_bytes()]),
        date,
    );
    let seconds = (123_000_000_u64 << 34) | 1_700_000_000;
    check(&join(&[&[0xd7, 0xff], &seconds.to_be_bytes()]), date);
    // Keys that JavaScript makes texts of.
    check(&[0x82, 0x01, 0x02, 0xff, 0x03], r#"{"1":2,"-1":3}"#);
    // Half of a surrogate pair, as notepack.io writes it.
    check(
        &join(&[&[0xa3], &[0xed, 0xa0, 0x80]]),
        "\"\u{fffd}\u{fffd}\u{fffd}\"",
    );
}

#[test]
fn binary_data_is_an_attachment() {
    // `bin`, and the extension by which notepack.io 2 writes an ArrayBuffer.
    let data = join(&[&[0x93], &text("e"), &[0xc4, 2, 1, 2], &[0xc7, 1, 0, 9]]);
    let PacketData::Event(event) = decode(&event(&data)).unwrap().data else {
        panic!("not an event")
    };
    let placeholders = r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    assert_eq!(event.args.json(), placeholders);
    assert_eq!(event.args.attachments(), [vec![1, 2], vec![9]]);
}

#[test]
fn the_last_of_keys_that_are_the_same_counts() {
    let data = join(&[&[0x91], &text("e")]);
    let bytes = map(&[
        ("type", &text("x")),
        ("data", &[0xc4, 1, 1]),
        ("nsp", &[1]),
        ("type", &[2]),
        ("data", &data),
        ("nsp", &text("/")),
    ]);
    assert!(matches!(decode(&bytes).unwrap().data, PacketData::Event(_)));
}

#[test]
fn other_keys_are_ignored() {
    let bytes = [
        &[0x85][..],
        &join(&[&text("type"), &[1], &text("nsp"), &text("/")]),
        // A number, an event that is none, and what is deeper than a value may be.
        &join(&[&[7, 8], &text("attachments"), &[3]]),
        &join(&[&text("__proto__"), &[0x91; 5000], &[0x90]]),
    ]
    .concat();
    assert!(matches!(
        decode(&bytes).unwrap().data,
        PacketData::Disconnect
    ));
}

/// `checkPacket` of socket.io-msgpack-parser.
#[test]
fn what_is_no_packet_is_refused() {
    let slash = text("/");
    let name = join(&[&[0x91], &text("e")]);
    let packet = |fields: &[(&str, &[u8])]| decode(&map(fields)).unwrap_err();
    use DecodeError as E;

    for value in [&[0xc0][..], &[0x00], &[0x90], &text("2"), &[0xc4, 0]] {
        assert_eq!(decode(value).unwrap_err(), E::UnknownType, "{value:x?}");
    }
    for packet_type in [
        &[5][..],
        &[6],
        &[0xff],
        &text("2"),
        &[0xc0],
        &[0xca, 0x40, 0x20, 0, 0],
    ] {
        let fields = [("type", packet_type), ("data", &name), ("nsp", &slash)];
        assert_eq!(packet(&fields), E::UnknownType, "{packet_type:x?}");
    }
    assert_eq!(packet(&[("data", &name), ("nsp", &slash)]), E::UnknownType);
    for nsp in [
        &[0xc0][..],
        &[1],
        &text("chat"),
        &text("/a,b"),
        &[0xa2, b'/', 0xff],
    ] {
        let fields = [("type", &[1][..]), ("nsp", nsp)];
        assert_eq!(packet(&fields), E::InvalidNamespace, "{nsp:x?}");
    }
    assert_eq!(packet(&[("type", &[1])]), E::InvalidNamespace);
    let long = format!("/{}", "x".repeat(254));
    let too_long = join(&[&[0xda, 1, 1], b"/", &[b'x'; 256]]);
    assert!(decode(&map(&[("type", &[1]), ("nsp", &text(&long))])).is_ok());
    let fields = [("type", &[1][..]), ("nsp", &too_long[..])];
    assert_eq!(packet(&fields), E::NamespaceTooLong);
    for id in [&[0xc0][..], &[0xff], &text("1"), &[0xca, 0x3f, 0, 0, 0]] {
        let fields = [
            ("type", &[2][..]),
            ("data", &name),
            ("id", id),
            ("nsp", &slash),
        ];
        assert_eq!(packet(&fields), E::InvalidId, "{id:x?}");
    }
    let beyond = join(&[&[0xcf], &(1_u64 << 53).to_be_bytes()]);
    let fields = [
        ("type", &[2][..]),
        ("data", &name),
        ("id", &beyond),
        ("nsp", &slash),
    ];
    assert_eq!(packet(&fields), E::InvalidId);
}

#[test]
fn what_no_packet_of_its_type_carries_is_refused() {
    let check = |packet_type: u8, data: Option<&[u8]>| {
        let mut fields = vec![("type", std::slice::from_ref(&packet_type))];
        fields.extend(data.map(|data| ("data", data)));
        let nsp = text("/");
        fields.push(("nsp", &nsp));
        assert_eq!(
            decode(&map(&fields)).unwrap_err(),
            DecodeError::InvalidPayload,
            "{packet_type} {data:x?}"
        );
    };
    let (object, string, array) = (&[0x80][..], &text("x"), &[0x90][..]);
    let (null, undefined, date) = (
        &[0xc0][..],
        &[0xd4, 0, 0][..],
        &[0xd7, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
    );
    for data in [null, string, array, date] {
        check(0, Some(data));
    }
    for data in [null, object, string] {
        check(1, Some(data));
    }
    // No name, or none that is a name, or a reserved one.
    for data in [null, object, string, array, undefined] {
        check(2, Some(data));
    }
    check(2, None);
    for name in [
        null,
        object,
        &[0xc3],
        &[0xc4, 0],
        undefined,
        &text("disconnect"),
        &text("connect"),
    ] {
        check(2, Some(&join(&[&[0x91], name])));
    }
    for data in [null, object, string, undefined] {
        check(3, Some(data));
    }
    check(3, None);
    for data in [null, array, undefined] {
        check(4, Some(data));
    }
    check(4, None);
}

#[test]
fn what_is_no_messagepack_is_refused() {
    let whole = event_with(&[0x81, 0xa1, b'a', 0x92, 1, 2]);
    assert!(decode(&whole).is_ok());
    for len in 0..whole.len() {
        assert_eq!(
            decode(&whole[..len]).unwrap_err(),
            DecodeError::Malformed,
            "{len}"
        );
    }
    let malformed = |bytes: &[u8]| assert_eq!(decode(bytes).unwrap_err(), DecodeError::Malformed);
    malformed(&join(&[&whole, &[0]]));
    malformed(&event_with(&[0xc1]));
    // Extensions that neither notepack.io nor the specification has.
    malformed(&event_with(&[0xd4, 1, 0]));
    malformed(&event_with(&[0xd5, 0, 0, 0]));
    malformed(&event_with(&[0xc7, 1, 5, 0]));
    malformed(&event_with(&[0xc7, 3, 0xff, 0, 0, 0]));
    // Keys that are neither texts nor whole numbers.
    for key in [
        &[0xc0][..],
        &[0xc3],
        &[0x90],
        &[0xc4, 0],
        &[0xca, 0, 0, 0, 0],
    ] {
        malformed(&event_with(&join(&[&[0x81], key, &[1]])));
        malformed(&join(&[&[0x81], key, &[1]]));
    }
}

/// Nothing is reserved for what is announced: this would be 4 GB and more.
#[test]
fn a_length_that_is_announced_is_not_believed() {
    for head in [0xc6, 0xc9, 0xdb, 0xdd, 0xdf] {
        let announced = [head, 0xff, 0xff, 0xff, 0xff, 0, 0];
        let cost = allocation_counter::measure(|| {
            assert_eq!(
                decode(&event_with(&announced)).unwrap_err(),
                DecodeError::Malformed
            );
            assert!(decode(&announced).is_err());
        });
        assert!(cost.bytes_max < 1000, "{head:x}: {cost:?}");
    }
}

#[test]
fn text_is_refused_where_messagepack_is_spoken() {
    let config = ClientConfig {
        parser: Parser::Msgpack,
        ..ClientConfig::default()
    };
    for text in ["0", "2[\"e\"]", "", "\u{82}"] {
        let refused = Peer::new(config).text(text).unwrap_err();
        assert_eq!(
            refused,
            ClientError::Decode(DecodeError::TextInsteadOfMsgpack)
        );
    }
    let connect = map(&[("type", &[0]), ("nsp", &text("/"))]);
    let connected = Peer::new(config).binary(&connect).unwrap();
    assert!(matches!(
        connected,
        Some(ClientEvent::Connect { auth: None, .. })
    ));
    // And the other way about.
    let refused = Peer::new(ClientConfig::default())
        .binary(&connect)
        .unwrap_err();
    assert_eq!(
        refused,
        ClientError::Decode(DecodeError::UnexpectedAttachment)
    );
}

#[test]
fn values_may_be_so_deep() {
    let limit = Limits::default().max_depth;
    let nested = |depth| event_with(&join(&[&vec![0x91; depth - 1], &[0x90]]));
    // The array of arguments is one level.
    assert!(decode(&nested(limit - 1)).is_ok());
    let refused = Err(DecodeError::TooDeep { limit });
    assert_eq!(decode(&nested(limit)).map(drop), refused);
    assert_eq!(decode(&nested(100_000)).map(drop), refused);
    let maps = event_with(&[0x81, 1].repeat(100_000));
    assert!(decode(&maps).is_err());
}

#[test]
fn attachments_may_be_so_many() {
    let with = |count: u8| {
        let attachments = [0xc4, 1, 7].repeat(count.into());
        event(&join(&[&[0xdc, 0, count + 1], &text("e"), &attachments]))
    };
    let limit = Limits::default().max_attachments;
    assert!(decode(&with(10)).is_ok());
    assert_eq!(
        decode(&with(11)).unwrap_err(),
        DecodeError::TooManyAttachments { limit }
    );
    // There are none in a CONNECT.
    let auth = map(&[("token", &[0xc4, 1, 7])]);
    let connect = map(&[("type", &[0]), ("data", &auth), ("nsp", &text("/"))]);
    assert_eq!(
        decode(&connect).unwrap_err(),
        DecodeError::TooManyAttachments { limit: 0 }
    );
}

#[test]
fn attachments_may_be_so_large() {
    let limits = Limits {
        max_attachment_bytes: 4,
        ..Limits::default()
    };
    let with = |first: &[u8], second: &[u8]| {
        event(&join(&[
            &[0x93],
            &text("e"),
            &[0xc4, first.len() as u8],
            first,
            &[0xc4, second.len() as u8],
            second,
        ]))
    };
    assert!(decode_within(&with(&[1, 2], &[3, 4]), &limits).is_ok());
    let refused = decode_within(&with(&[1, 2], &[3, 4, 5]), &limits).unwrap_err();
    assert_eq!(refused, DecodeError::AttachmentsTooLarge { limit: 4 });
}

/// An application would take it for binary data.
#[test]
fn a_map_that_looks_like_a_placeholder_is_refused_beside_binary_data() {
    let fake = map(&[("_placeholder", &[0xc3]), ("num", &[0])]);
    assert_eq!(
        args(&event_with(&fake)),
        r#"[{"_placeholder":true,"num":0}]"#
    );
    let beside = event(&join(&[&[0x93], &text("e"), &fake, &[0xc4, 1, 7]]));
    assert_eq!(
        decode(&beside).unwrap_err(),
        DecodeError::IllegalAttachments
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        drop(decode(&bytes));
        drop(decode(&event(&bytes)));
    }

    #[test]
    fn what_is_decoded_is_json(
        heads in proptest::collection::vec(head(), 0..20),
        len in 0..20_u8,
    ) {
        let data = join(&[&[0xdc, 0, len + 1], &text("e"), &heads.concat()]);
        if let Ok(packet) = decode(&event(&data)) {
            let PacketData::Event(event) = packet.data else { panic!("not an event") };
            let mut count = 0;
            for value in event.args.iter() {
                serde_json::from_str::<serde_json::Value>(value.get()).unwrap();
                count += 1;
            }
            prop_assert_eq!(count, usize::from(len));
            prop_assert!(event.args.json().len() <= 12 * data.len() + 40 * event.args.attachments().len());
        }
    }
}

/// A value, or the head of one.
fn head() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        (0..0x80_u8).prop_map(|number| vec![number]),
        (0x80..0x84_u8).prop_map(|head| vec![head]),
        (0x90..0x94_u8).prop_map(|head| vec![head]),
        "[a-z\"\\\\\u{1}]{0,4}".prop_map(|value| text(&value)),
        Just(vec![0xc0]),
        Just(vec![0xc3]),
        Just(vec![0xd4, 0, 0]),
        Just(text("_placeholder")),
        proptest::collection::vec(any::<u8>(), 0..4).prop_map(|data| [
            &[0xc4, data.len() as u8],
            &data[..]
        ]
        .concat()),
        any::<[u8; 8]>().prop_map(|bytes| [&[0xcb], &bytes[..]].concat()),
        any::<[u8; 8]>().prop_map(|bytes| [&[0xd7, 0], &bytes[..]].concat()),
    ]
}
