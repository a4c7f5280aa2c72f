//! Polling bodies: in revision 4, packets joined by the record separator; those
//! of revision 3 are in [`v3`].
//!
//! [Engine.IO protocol, "Payload encoding"](https://socket.io/docs/v4/engine-io-protocol/#http-long-polling-1)

pub mod v3;

use base64::Engine as _;

use crate::packet::BASE64;
use crate::{DecodeError, Frame, Packet};

/// The packets of a request body, in order. The packets before a malformed one
/// are yielded, as engine.io processes them too.
///
/// # Errors
///
/// [`DecodeError::InvalidUtf8`] and [`DecodeError::TooManyPackets`] before the
/// first packet; the iterator's items carry the errors of single packets, and
/// nothing follows such an item.
pub fn decode(
    body: &[u8],
    max_packets: usize,
) -> Result<impl Iterator<Item = Result<Packet<'_>, DecodeError>>, DecodeError> {
    let text = std::str::from_utf8(body).map_err(|_| DecodeError::InvalidUtf8)?;
    let separators = body.iter().filter(|&&byte| byte == SEPARATOR).count();
    if separators >= max_packets {
        return Err(DecodeError::TooManyPackets { limit: max_packets });
    }
    let mut failed = false;
    Ok(text
        .split(char::from(SEPARATOR))
        .map(Packet::decode)
        .take_while(move |packet| {
            let is_before_failure = !failed;
            failed = packet.is_err();
            is_before_failure
        }))
}

/// The `Content-Type` of a body that
/// [`Session::poll_response`](crate::Session::poll_response) gave.
#[must_use]
pub fn content_type(body: &[u8]) -> &'static str {
    // No text payload begins with one of these bytes.
    if matches!(body.first(), Some(&(v3::STRING | v3::BINARY))) {
        "application/octet-stream"
    } else {
        "text/plain; charset=UTF-8"
    }
}

/// Appends one packet to a response body; a binary message goes as base64.
pub(crate) fn append(body: &mut Vec<u8>, frame: &Frame) {
    if !body.is_empty() {
        body.push(SEPARATOR);
    }
    if frame.is_binary() {
        body.push(b'b');
        let start = body.len();
        let len = frame.payload().len().div_ceil(3) * 4;
        body.resize(start + len, 0);
        let written = BASE64.encode_slice(frame.payload(), &mut body[start..]);
        debug_assert_eq!(written, Ok(len));
    } else {
        body.extend_from_slice(frame.payload());
    }
}

/// ASCII record separator.
const SEPARATOR: u8 = 0x1e;
