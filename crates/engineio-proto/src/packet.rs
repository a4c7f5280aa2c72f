//! Packets, as the peer sends them and as we send them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::Frame;

/// The type of a packet: the digit that an encoded packet begins with.
///
/// [Engine.IO protocol, "Packet encoding"](https://socket.io/docs/v4/engine-io-protocol/#packet-encoding)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketType {
    /// `0`: the handshake, from the server.
    Open,
    /// `1`: this transport can be closed.
    Close,
    /// `2`: heartbeat, from the server since revision 4; with `probe`, the
    /// client's test of a new transport.
    Ping,
    /// `3`: the answer to a ping.
    Pong,
    /// `4`: data.
    Message,
    /// `5`: the client moves to the new transport.
    Upgrade,
    /// `6`: releases a waiting poll.
    Noop,
}

impl PacketType {
    /// The digit on the wire.
    #[must_use]
    pub const fn digit(self) -> char {
        match self {
            Self::Open => '0',
            Self::Close => '1',
            Self::Ping => '2',
            Self::Pong => '3',
            Self::Message => '4',
            Self::Upgrade => '5',
            Self::Noop => '6',
        }
    }
}

/// A received packet. It borrows from the bytes that it was decoded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The handshake, as JSON; see [`Handshake`](crate::Handshake).
    Open(&'a str),
    /// Close this transport.
    Close,
    /// Heartbeat or probe, with its data.
    Ping(&'a str),
    /// Answer to a ping, with its data.
    Pong(&'a str),
    /// Data.
    Message(Message<'a>),
    /// Move to this transport.
    Upgrade,
    /// Nothing.
    Noop,
}

/// The data of a message packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes; owned when they came as base64.
    Binary(Cow<'a, [u8]>),
}

impl<'a> Packet<'a> {
    /// Decodes one packet from text: a text frame of a WebSocket, or one
    /// element of a polling payload. Text that begins with `b` is a binary
    /// message in base64, on every transport.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the text is empty, begins with something that is
    /// not a packet type, or holds base64 that is none.
    pub fn decode(text: &'a str) -> Result<Self, DecodeError> {
        let mut characters = text.chars();
        let first = characters.next().ok_or(DecodeError::Empty)?;
        let data = characters.as_str();
        Ok(match first {
            '0' => Self::Open(data),
            '1' => Self::Close,
            '2' => Self::Ping(data),
            '3' => Self::Pong(data),
            '4' => Self::Message(Message::Text(data)),
            '5' => Self::Upgrade,
            '6' => Self::Noop,
            'b' => decode_base64(data)?,
            _ => return Err(DecodeError::UnknownType),
        })
    }

    /// As [`decode`](Self::decode), of a client of revision 3: a binary message
    /// in base64 begins with `b4`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] as there.
    pub fn decode_v3(text: &'a str) -> Result<Self, DecodeError> {
        match text.strip_prefix('b') {
            None => Self::decode(text),
            Some(rest) => {
                // A packet of another type has no binary data.
                let data = rest.strip_prefix('4').ok_or(DecodeError::UnknownType)?;
                decode_base64(data)
            }
        }
    }

    /// The packet that a binary WebSocket frame of a client of revision 3 is:
    /// the first byte is its type, and only a message is binary.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the frame is empty, or of another type.
    pub const fn from_binary_v3(frame: &'a [u8]) -> Result<Self, DecodeError> {
        match frame {
            [] => Err(DecodeError::Empty),
            [BINARY_MESSAGE_V3, data @ ..] => Ok(Self::from_binary(data)),
            [..] => Err(DecodeError::UnknownType),
        }
    }

    /// The packet that a binary WebSocket frame is: a binary message, all of
    /// it data.
    #[must_use]
    pub const fn from_binary(data: &'a [u8]) -> Self {
        Self::Message(Message::Binary(Cow::Borrowed(data)))
    }

    /// This packet's type.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Open(_) => PacketType::Open,
            Self::Close => PacketType::Close,
            Self::Ping(_) => PacketType::Ping,
            Self::Pong(_) => PacketType::Pong,
            Self::Message(_) => PacketType::Message,
            Self::Upgrade => PacketType::Upgrade,
            Self::Noop => PacketType::Noop,
        }
    }
}

fn decode_base64<'a>(data: &str) -> Result<Packet<'a>, DecodeError> {
    let data = BASE64
        .decode(data)
        .map_err(|_| DecodeError::InvalidBase64)?;
    Ok(Packet::Message(Message::Binary(data.into())))
}

/// The peer's bytes are not a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A packet without a type.
    #[error("the packet is empty")]
    Empty,
    /// The first character is no packet type.
    #[error("the packet type is unknown")]
    UnknownType,
    /// A `b…` packet whose rest is not base64.
    #[error("the binary packet is not base64")]
    InvalidBase64,
    /// A payload of revision 3 whose packet is not as long as it says, or does not
    /// say how long it is.
    #[error("the length of a packet is missing or wrong")]
    InvalidLength,
    /// A polling body that is not UTF-8.
    #[error("the payload is not UTF-8")]
    InvalidUtf8,
    /// A polling body with more packets than the setting allows.
    #[error("the payload holds more than {limit} packets")]
    TooManyPackets {
        /// The setting in force.
        limit: usize,
    },
}

/// A packet to send, in its bytes on the wire, the WebSocket header included.
///
/// One buffer serves both transports: a WebSocket gets the whole
/// [`Frame`], a poll gets the frame's payload (in base64 when it is binary).
/// A clone is a reference count, so a packet for a thousand recipients is
/// encoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPacket(Frame);

impl EncodedPacket {
    /// A text message packet whose data `write` appends; see
    /// [`Frame::text_with`] for `capacity`.
    #[must_use]
    pub fn message_with(capacity: usize, write: impl FnOnce(&mut String)) -> Self {
        Self(Frame::text_with(capacity + 1, |text| {
            text.push(PacketType::Message.digit());
            write(text);
        }))
    }

    /// A text message packet.
    #[must_use]
    pub fn message(data: &str) -> Self {
        Self::message_with(data.len(), |text| text.push_str(data))
    }

    /// A binary message packet.
    #[must_use]
    pub fn binary_message(data: &[u8]) -> Self {
        Self(Frame::binary(data))
    }

    /// A binary message packet whose data `write` appends; see
    /// [`Frame::text_with`] for `capacity`.
    #[must_use]
    pub fn binary_message_with(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        Self(Frame::binary_with(capacity, write))
    }

    /// A packet of another type with its data, such as `3` with `probe`.
    #[must_use]
    pub fn control(packet_type: PacketType, data: &str) -> Self {
        match (packet_type, data) {
            (PacketType::Ping, "") => Self(PING),
            (PacketType::Pong, "") => Self(PONG),
            (PacketType::Noop, "") => Self(NOOP),
            _ => Self(Frame::text_with(data.len() + 1, |text| {
                text.push(packet_type.digit());
                text.push_str(data);
            })),
        }
    }

    /// A frame that is to go out as it is, to a peer that speaks WebSocket and
    /// nothing above it. To any other peer it is the packet that its payload
    /// says.
    #[must_use]
    pub const fn from_frame(frame: Frame) -> Self {
        Self(frame)
    }

    /// The packet as one WebSocket frame.
    #[must_use]
    pub const fn frame(&self) -> &Frame {
        &self.0
    }

    /// The packet as one WebSocket frame.
    #[must_use]
    pub fn into_frame(self) -> Frame {
        self.0
    }

    /// The same packet for a client that cannot take binary data: a binary
    /// message as text, `b` and base64. Other packets stay as they are.
    #[must_use]
    pub fn without_binary(self) -> Self {
        self.binary_to_text("b")
    }

    /// The same packet for a client of revision 3: a binary message with its type
    /// before it, or as text when the client cannot take binary data. Other
    /// packets stay as they are.
    #[must_use]
    pub fn for_v3(self, supports_binary: bool) -> Self {
        if !supports_binary {
            return self.binary_to_text("b4");
        }
        if !self.0.is_binary() {
            return self;
        }
        let data = self.0.payload();
        let mut typed = Vec::with_capacity(1 + data.len());
        typed.push(BINARY_MESSAGE_V3);
        typed.extend_from_slice(data);
        Self(Frame::binary(&typed))
    }

    fn binary_to_text(self, prefix: &str) -> Self {
        if !self.0.is_binary() {
            return self;
        }
        let data = self.0.payload();
        let capacity = prefix.len() + data.len().div_ceil(3) * 4;
        Self(Frame::text_with(capacity, |text| {
            text.push_str(prefix);
            BASE64.encode_string(data, text);
        }))
    }
}

/// The type of a message, as the first byte of a binary packet of revision 3.
const BINARY_MESSAGE_V3: u8 = 4;
const PING: Frame = Frame::from_static_text(b"\x81\x012");
pub(crate) const PONG: Frame = Frame::from_static_text(b"\x81\x013");
const NOOP: Frame = Frame::from_static_text(b"\x81\x016");

/// Node encodes with padding and decodes without asking for it.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
