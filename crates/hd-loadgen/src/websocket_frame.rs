//! WebSocket frames, RFC 6455 section 5: a client's on their way out, a
//! server's on their way in.

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// A frame at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: Opcode,
    pub(crate) payload: &'a [u8],
    /// Bytes of the whole frame.
    pub(crate) len: usize,
}

/// A server sent what none of the servers under load has a reason to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame that is masked, fragmented, compressed or of an unknown opcode")]
pub(crate) struct UnexpectedFrame;

/// Reads a server's frame. `None` while it is incomplete.
///
/// # Errors
///
/// [`UnexpectedFrame`].
pub(crate) fn read_server_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, UnexpectedFrame> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    // FIN set, RSV1 to RSV3 clear.
    let opcode = match first {
        0x81 => Opcode::Text,
        0x82 => Opcode::Binary,
        0x88 => Opcode::Close,
        0x89 => Opcode::Ping,
        0x8a => Opcode::Pong,
        _ => return Err(UnexpectedFrame),
    };
    let (header, length) = match (*second, rest) {
        (short @ ..=125, _) => (2, usize::from(short)),
        (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
        (127, [0, 0, 0, 0, a, b, c, d, ..]) => (10, u32::from_be_bytes([*a, *b, *c, *d]) as usize),
        (126 | 127, rest) if rest.len() < 8 => return Ok(None),
        _ => return Err(UnexpectedFrame),
    };
    let len = header + length;
    Ok(bytes.get(header..len).map(|payload| Frame {
        opcode,
        payload,
        len,
    }))
}

/// Appends a client's frame. Its masking key is zero, so that the payload need
/// not be touched; a proxy between that could be fooled is not there.
pub(crate) fn write_client_frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    out.push(match opcode {
        Opcode::Text => 0x81,
        Opcode::Binary => 0x82,
        Opcode::Close => 0x88,
        Opcode::Ping => 0x89,
        Opcode::Pong => 0x8a,
    });
    match payload.len() {
        short @ ..=125 => out.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Appends a server's text frame.
pub(crate) fn write_server_text(payload: &[&[u8]], out: &mut Vec<u8>) {
    let length: usize = payload.iter().map(|part| part.len()).sum();
    out.push(0x81);
    match length {
        short @ ..=125 => out.push(short as u8),
        medium @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    for part in payload {
        out.extend_from_slice(part);
    }
}

/// Reads a client's frame and unmasks it in place. `None` while it is
/// incomplete.
///
/// # Errors
///
/// [`UnexpectedFrame`] for what this generator does not send.
pub(crate) fn read_client_frame(bytes: &mut [u8]) -> Result<Option<Frame<'_>>, UnexpectedFrame> {
    let [first, second, rest @ ..] = &*bytes else {
        return Ok(None);
    };
    let opcode = match first {
        0x81 => Opcode::Text,
        0x88 => Opcode::Close,
        0x8a => Opcode::Pong,
        _ => return Err(UnexpectedFrame),
    };
    let (header, length) = match (*second, rest) {
        (short @ 0x80..=0xfd, _) => (2, usize::from(short & 0x7f)),
        (0xfe, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
        (0xfe, _) => return Ok(None),
        _ => return Err(UnexpectedFrame),
    };
    let len = header + 4 + length;
    let Some(frame) = bytes.get_mut(header..len) else {
        return Ok(None);
    };
    let (key, payload) = frame.split_at_mut(4);
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    Ok(Some(Frame {
        opcode,
        payload,
        len,
    }))
}
