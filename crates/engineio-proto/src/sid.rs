//! Session ids.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// A session id: 20 characters of URL-safe base64, as engine.io makes them.
///
/// engine.io fills 3 of the 15 bytes with a counter; here all 15 come from the
/// caller, who must take them from the operating system's generator: who knows
/// a session id can read and write that session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sid([u8; Self::LEN]);

impl Sid {
    /// Length of a session id, in characters.
    pub const LEN: usize = 20;
    /// Random bytes that make a session id.
    pub const RANDOM_BYTES: usize = 15;

    /// The session id made of these random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; Self::RANDOM_BYTES]) -> Self {
        let mut text = [0; Self::LEN];
        let written = BASE64_URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
        debug_assert_eq!(written, Ok(Self::LEN));
        Self(text)
    }

    /// The session id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only URL-safe base64 gets in, so this never falls back.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Sid {
    type Err = InvalidSid;

    fn from_str(text: &str) -> Result<Self, InvalidSid> {
        let bytes: [u8; Self::LEN] = text.as_bytes().try_into().map_err(|_| InvalidSid)?;
        if bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        {
            Ok(Self(bytes))
        } else {
            Err(InvalidSid)
        }
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sid({self})")
    }
}

/// The text is not a session id that this crate could have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a session id")]
pub struct InvalidSid;
