//! base64url as the two sides of Node's `jsonwebtoken` read it.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};

/// Encodes without padding (RFC 7515, section 2).
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes a header or payload as leniently as Node's `Buffer.from(text, "base64")`: unused bits
/// may be set, and a last character that cannot complete a byte is dropped.
///
/// The leniency is harmless: the signature covers the text, not the decoded bytes.
pub(crate) fn decode_part(text: &str) -> Option<Vec<u8>> {
    let whole = if text.len() % 4 == 1 {
        text.get(..text.len() - 1)?
    } else {
        text
    };
    LENIENT.decode(whole).ok()
}

/// Decodes a signature strictly: Node compares signatures as text, so only the one canonical
/// form of a signature may pass.
pub(crate) fn decode_signature(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);
