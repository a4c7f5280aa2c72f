//! Reading what a server writes to a WebSocket.

/// A frame read back from the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Text(String),
    Binary(Vec<u8>),
    Close(Option<u16>),
    Ping,
    Pong(Vec<u8>),
}

pub(crate) fn text(text: &str) -> Received {
    Received::Text(text.to_owned())
}

/// Takes the complete frames off the front of `bytes`.
pub(crate) fn take_frames(bytes: &mut Vec<u8>) -> Vec<Received> {
    let mut frames = Vec::new();
    while let Some((frame, len)) = first_frame(bytes) {
        frames.push(frame);
        bytes.drain(..len);
    }
    frames
}

fn first_frame(bytes: &[u8]) -> Option<(Received, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(first & 0xf0, 0x80, "FIN and no reserved bit");
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (header, payload) = match second {
        126 => {
            let len = u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap());
            (4, usize::from(len))
        }
        127 => {
            let len = u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap());
            (10, usize::try_from(len).unwrap())
        }
        len => (2, usize::from(len)),
    };
    let end = header + payload;
    let payload = bytes.get(header..end)?.to_vec();
    let frame = match first & 0x0f {
        0x1 => Received::Text(String::from_utf8(payload).unwrap()),
        0x2 => Received::Binary(payload),
        0x8 if payload.is_empty() => Received::Close(None),
        0x8 => Received::Close(Some(u16::from_be_bytes(payload.try_into().unwrap()))),
        0x9 => Received::Ping,
        0xa => Received::Pong(payload),
        opcode => panic!("opcode {opcode:#x}"),
    };
    Some((frame, end))
}
