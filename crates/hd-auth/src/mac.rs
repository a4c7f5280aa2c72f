use std::fmt;

use jsonwebtoken::EncodingKey;
use jsonwebtoken::crypto::aws_lc;

use crate::{Algorithm, Secret};

/// Seals what a service hands out and wants back unchanged, with the secret
/// that it has for tokens: HMAC-SHA-256 (RFC 2104).
///
/// A code for one purpose is none for another, and never the signature of a
/// token: a token's text has no zero byte, and what is sealed here begins with
/// the purpose and one.
pub struct Mac {
    key: EncodingKey,
    prefix: Vec<u8>,
}

impl Mac {
    /// Prepares the key. The purpose is a name such as `help-desk-ws pid`.
    #[must_use]
    pub fn new(secret: &Secret, purpose: &str) -> Self {
        let mut prefix = purpose.as_bytes().to_vec();
        prefix.push(0);
        Self {
            key: EncodingKey::from_secret(secret.as_bytes()),
            prefix,
        }
    }

    /// The code over a message. Compare it in constant time.
    #[must_use]
    pub fn code(&self, message: &[u8]) -> [u8; 32] {
        let sealed = [&self.prefix, message].concat();
        (aws_lc::DEFAULT_PROVIDER.signer_factory)(&Algorithm::HS256.for_backend(), &self.key)
            .expect("invariant: a key made from a secret fits every HMAC")
            .sign(&sealed)
            .try_into()
            .expect("invariant: HMAC-SHA-256 makes 32 bytes")
    }
}

/// Shows no key.
impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mac").finish_non_exhaustive()
    }
}
