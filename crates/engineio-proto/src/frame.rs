//! WebSocket frames as a server sends them.

use bytes::Bytes;

/// One complete, unmasked WebSocket frame: header and payload in one buffer.
///
/// A server does not mask ([RFC 6455 §5.1]), so the bytes of a frame are the
/// same for every recipient. They are built once and shared: a clone is a
/// reference count.
///
/// [RFC 6455 §5.1]: https://www.rfc-editor.org/rfc/rfc6455#section-5.1
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    header_len: u8,
}

impl Frame {
    /// A text frame whose payload `write` appends to an empty string.
    ///
    /// `capacity` is the expected length of the payload in bytes; a wrong
    /// guess costs a reallocation and nothing else.
    #[must_use]
    pub fn text_with(capacity: usize, write: impl FnOnce(&mut String)) -> Self {
        let mut text = String::with_capacity(MAX_HEADER + capacity);
        text.push_str(HEADER_ROOM);
        write(&mut text);
        Self::from_roomy(Opcode::Text, text.into_bytes())
    }

    /// A text frame with this payload.
    #[must_use]
    pub fn text(payload: &str) -> Self {
        Self::text_with(payload.len(), |text| text.push_str(payload))
    }

    /// A binary frame with this payload.
    #[must_use]
    pub fn binary(payload: &[u8]) -> Self {
        Self::binary_with(payload.len(), |bytes| bytes.extend_from_slice(payload))
    }

    /// A binary frame whose payload `write` appends to what is in the vector,
    /// which it must leave there; see [`text_with`](Self::text_with) for
    /// `capacity`.
    #[must_use]
    pub fn binary_with(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = Vec::with_capacity(MAX_HEADER + capacity);
        bytes.extend_from_slice(HEADER_ROOM.as_bytes());
        write(&mut bytes);
        Self::from_roomy(Opcode::Binary, bytes)
    }

    /// A ping frame without a payload.
    #[must_use]
    pub fn ping() -> Self {
        Self {
            bytes: Bytes::from_static(&[0x89, 0x00]),
            header_len: 2,
        }
    }

    /// A pong frame that echoes `payload`, cut to the 125 bytes that a control
    /// frame may carry (RFC 6455 §5.5).
    #[must_use]
    pub fn pong(payload: &[u8]) -> Self {
        let payload = &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)];
        let mut bytes = Vec::with_capacity(MAX_HEADER + payload.len());
        bytes.extend_from_slice(HEADER_ROOM.as_bytes());
        bytes.extend_from_slice(payload);
        Self::from_roomy(Opcode::Pong, bytes)
    }

    /// A close frame with a status code and no reason (RFC 6455 §5.5.1), or
    /// without either.
    #[must_use]
    pub fn close(code: Option<u16>) -> Self {
        let bytes = match code {
            None => Bytes::from_static(&[0x88, 0x00]),
            Some(code) => {
                let [high, low] = code.to_be_bytes();
                Bytes::copy_from_slice(&[0x88, 0x02, high, low])
            }
        };
        Self {
            bytes,
            header_len: 2,
        }
    }

    /// A text frame over bytes that live as long as the program and that
    /// begin with a two-byte header.
    pub(crate) const fn from_static_text(bytes: &'static [u8]) -> Self {
        Self {
            bytes: Bytes::from_static(bytes),
            header_len: 2,
        }
    }

    /// The frame on the wire.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The frame's payload, without its header.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[usize::from(self.header_len)..]
    }

    /// Whether the payload is text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.opcode() == Opcode::Text as u8
    }

    /// Whether the payload is binary data.
    #[must_use]
    pub fn is_binary(&self) -> bool {
        self.opcode() == Opcode::Binary as u8
    }

    pub(crate) fn is_close(&self) -> bool {
        self.opcode() == Opcode::Close as u8
    }

    /// Length on the wire, in bytes.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a frame has a header, so it is never empty"
    )]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    fn opcode(&self) -> u8 {
        self.bytes[0] & 0x0f
    }

    /// Puts the header right before the payload of `bytes`, which begins with
    /// [`HEADER_ROOM`].
    fn from_roomy(opcode: Opcode, mut bytes: Vec<u8>) -> Self {
        let payload_len = bytes.len() - MAX_HEADER;
        let header_len: u8 = match payload_len {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        let start = MAX_HEADER - usize::from(header_len);
        bytes[start] = FIN | opcode as u8;
        match header_len {
            2 => bytes[start + 1] = payload_len as u8,
            4 => {
                bytes[start + 1] = 126;
                bytes[start + 2..MAX_HEADER].copy_from_slice(&(payload_len as u16).to_be_bytes());
            }
            _ => {
                bytes[start + 1] = 127;
                bytes[start + 2..MAX_HEADER].copy_from_slice(&(payload_len as u64).to_be_bytes());
            }
        }
        Self {
            bytes: Bytes::from(bytes).slice(start..),
            header_len,
        }
    }
}

/// Shows the kind and the length, never the payload: frames carry
/// notifications and must be safe to log.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("opcode", &self.opcode())
            .field("len", &self.len())
            .finish()
    }
}

/// RFC 6455 §5.2, of which a server needs these.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opcode {
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Pong = 0xa,
}

const FIN: u8 = 0x80;
/// Two bytes, and eight for the length of a payload over 64 KiB.
const MAX_HEADER: usize = 10;
const HEADER_ROOM: &str = "\0\0\0\0\0\0\0\0\0\0";
const MAX_CONTROL_PAYLOAD: usize = 125;
