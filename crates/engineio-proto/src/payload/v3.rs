//! Polling bodies of revision 3: each packet with its length before it, as text
//! or as bytes; and JSONP, by which pages without CORS got them.
//!
//! [Engine.IO protocol, revision 3, "Payload"](https://github.com/socketio/engine.io-protocol/tree/v3#payload)

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::{DecodeError, Frame, Packet};

/// The packets of a text body, `<length>:<packet>` each, where the length is in
/// UTF-16 code units: that of a string in JavaScript. The packets before a
/// malformed one are yielded.
///
/// An item that is an error is the last one: of a packet, of a length that the
/// body does not have, or [`DecodeError::TooManyPackets`].
///
/// # Errors
///
/// [`DecodeError::InvalidUtf8`] before the first packet.
pub fn decode_text(
    body: &[u8],
    max_packets: usize,
) -> Result<impl Iterator<Item = Result<Packet<'_>, DecodeError>>, DecodeError> {
    let text = std::str::from_utf8(body).map_err(|_| DecodeError::InvalidUtf8)?;
    Ok(up_to_an_error(text, max_packets, next_of_text))
}

/// The packets of a body of bytes, `application/octet-stream`: a byte that is 0
/// for text and 1 for binary data, the digits of the length in bytes as bytes
/// from 0 to 9, 255, and the packet.
///
/// Errors are items as in [`decode_text`].
pub fn decode_binary(
    body: &[u8],
    max_packets: usize,
) -> impl Iterator<Item = Result<Packet<'_>, DecodeError>> {
    up_to_an_error(body, max_packets, next_of_bytes)
}

/// What `next` takes off the front of `body` until that is empty, or until there
/// is an error.
fn up_to_an_error<'a, B: ?Sized + AsRef<[u8]>>(
    body: &'a B,
    max_packets: usize,
    next: impl Fn(&mut &'a B) -> Result<Packet<'a>, DecodeError>,
) -> impl Iterator<Item = Result<Packet<'a>, DecodeError>> {
    let mut rest = body;
    let mut count = 0;
    let mut is_over = false;
    std::iter::from_fn(move || {
        // A body without a packet is malformed, as in revision 4.
        if is_over || (rest.as_ref().is_empty() && count > 0) {
            return None;
        }
        let packet = if count == max_packets {
            Err(DecodeError::TooManyPackets { limit: max_packets })
        } else {
            next(&mut rest)
        };
        count += 1;
        is_over = packet.is_err();
        Some(packet)
    })
}

fn next_of_text<'a>(rest: &mut &'a str) -> Result<Packet<'a>, DecodeError> {
    let bytes = rest.as_bytes();
    let colon = bytes.iter().take(MAX_LENGTH_DIGITS + 1);
    let colon = colon.copied().position(|byte| byte == b':');
    let colon = colon.ok_or(DecodeError::InvalidLength)?;
    let units = length(bytes[..colon].iter().map(|byte| byte.wrapping_sub(b'0')))?;
    let text = &rest[colon + 1..];
    let end = end_of_units(text, units).ok_or(DecodeError::InvalidLength)?;
    let (packet, after) = text.split_at(end);
    *rest = after;
    Packet::decode_v3(packet)
}

fn next_of_bytes<'a>(rest: &mut &'a [u8]) -> Result<Packet<'a>, DecodeError> {
    let (&kind, after_kind) = rest.split_first().ok_or(DecodeError::Empty)?;
    let end = after_kind.iter().take(MAX_LENGTH_DIGITS + 1);
    let end = end.copied().position(|byte| byte == END_OF_LENGTH);
    let end = end.ok_or(DecodeError::InvalidLength)?;
    let len = length(after_kind[..end].iter().copied())?;
    let (packet, after) = after_kind[end + 1..]
        .split_at_checked(len)
        .ok_or(DecodeError::InvalidLength)?;
    *rest = after;
    match kind {
        STRING => {
            let text = std::str::from_utf8(packet).map_err(|_| DecodeError::InvalidUtf8)?;
            Packet::decode_v3(text)
        }
        BINARY => Packet::from_binary_v3(packet),
        _ => Err(DecodeError::InvalidLength),
    }
}

/// The number that these digits are, each from 0 to 9.
fn length(digits: impl ExactSizeIterator<Item = u8>) -> Result<usize, DecodeError> {
    if digits.len() == 0 || digits.len() > MAX_LENGTH_DIGITS {
        return Err(DecodeError::InvalidLength);
    }
    digits.into_iter().try_fold(0, |length: usize, digit| {
        if digit > 9 {
            return Err(DecodeError::InvalidLength);
        }
        Ok(length * 10 + usize::from(digit))
    })
}

/// Where so many UTF-16 code units of `text` end; `None` when it has fewer, or
/// when that is in the middle of a character.
fn end_of_units(text: &str, units: usize) -> Option<usize> {
    let mut left = units;
    for (position, character) in text.char_indices() {
        if left == 0 {
            return Some(position);
        }
        left = left.checked_sub(character.len_utf16())?;
    }
    (left == 0).then_some(text.len())
}

/// A response body of these frames, which are a revision 3 client's: see
/// [`EncodedPacket::for_v3`](crate::EncodedPacket::for_v3). It is one of bytes
/// when one of them is binary.
pub(crate) fn encode<'a>(frames: impl Iterator<Item = &'a Frame> + Clone) -> Vec<u8> {
    let mut body = Vec::new();
    let is_binary = frames.clone().any(Frame::is_binary);
    for frame in frames {
        let packet = frame.payload();
        if is_binary {
            body.push(if frame.is_binary() { BINARY } else { STRING });
            let digits = packet.len().to_string();
            body.extend(digits.bytes().map(|digit| digit - b'0'));
            body.push(END_OF_LENGTH);
        } else {
            body.extend_from_slice(units(packet).to_string().as_bytes());
            body.push(b':');
        }
        body.extend_from_slice(packet);
    }
    body
}

/// Length of a text in UTF-16 code units: each begins with a byte that is no
/// continuation, and one of four bytes is two of them.
fn units(text: &[u8]) -> usize {
    text.iter()
        .map(|&byte| usize::from(byte & 0xc0 != 0x80) + usize::from(byte >= 0xf0))
        .sum()
}

/// Which function of the page a JSONP client has the answers to its polls call:
/// `___eio[<index>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonpIndex(u32);

impl JsonpIndex {
    /// The index that the query parameter `j` holds: its digits, as engine.io
    /// takes them. `None` when these are none, or more than any page counts.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let digits: String = value
            .chars()
            .filter(char::is_ascii_digit)
            .take(11)
            .collect();
        digits.parse().ok().map(Self)
    }

    /// The script that hands a text body to the page.
    pub(crate) fn script(self, body: &str) -> String {
        let mut script = String::with_capacity(body.len() + body.len() / 8 + 24);
        let written = write!(script, "___eio[{}](", self.0);
        debug_assert!(written.is_ok(), "a String takes any text");
        let literal = serde_json::Value::from(body).to_string();
        // Valid in JSON, and ends of lines to older JavaScript.
        let literal = literal
            .replace('\u{2028}', "\\u2028")
            .replace('\u{2029}', "\\u2029");
        script.push_str(&literal);
        script.push_str(");");
        script
    }
}

/// The payload in the body of a JSONP client's POST: the field `d` of a form.
/// `None` when there is no such field.
///
/// A browser turns the ends of lines in a form into `\r\n`, so the client sends
/// `\n` for an end of a line, and `\\n` for a backslash and an n.
#[must_use]
pub fn jsonp_payload(body: &str) -> Option<String> {
    let field = body
        .split('&')
        .rev()
        .find_map(|pair| pair.strip_prefix("d="))?;
    Some(unescape_newlines(&form_decode(field)))
}

/// Decodes a name or a value of `application/x-www-form-urlencoded`. What is no
/// UTF-8 becomes U+FFFD, and an escape that is none stays as it is.
#[must_use]
pub fn form_decode(field: &str) -> Cow<'_, str> {
    if !field.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return field.into();
    }
    let bytes = field.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while let Some(&byte) = bytes.get(position) {
        let escaped = match (byte, bytes.get(position + 1..position + 3)) {
            (b'%', Some(&[high, low])) => hex(high).zip(hex(low)),
            _ => None,
        };
        let (byte, taken) = match (byte, escaped) {
            (_, Some((high, low))) => (high << 4 | low, 3),
            (b'+', None) => (b' ', 1),
            (byte, None) => (byte, 1),
        };
        decoded.push(byte);
        position += taken;
    }
    String::from_utf8_lossy(&decoded).into_owned().into()
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// A single backslash before an n makes an end of a line; of several, one goes.
fn unescape_newlines(text: &str) -> String {
    let mut unescaped = String::with_capacity(text.len());
    let mut backslashes = 0;
    for character in text.chars() {
        if character == '\\' {
            backslashes += 1;
            continue;
        }
        match (character, backslashes) {
            ('n', 1) => unescaped.push('\n'),
            ('n', 2..) => {
                unescaped.extend(std::iter::repeat_n('\\', backslashes - 1));
                unescaped.push('n');
            }
            (other, _) => {
                unescaped.extend(std::iter::repeat_n('\\', backslashes));
                unescaped.push(other);
            }
        }
        backslashes = 0;
    }
    unescaped.extend(std::iter::repeat_n('\\', backslashes));
    unescaped
}

/// A packet of text in a body of bytes.
pub(super) const STRING: u8 = 0;
/// A packet of binary data in a body of bytes.
pub(super) const BINARY: u8 = 1;
const END_OF_LENGTH: u8 = 255;
/// No body is longer than what a `u32` counts, whatever
/// [`Config::max_payload`](crate::Config::max_payload) allows.
const MAX_LENGTH_DIGITS: usize = 9;
