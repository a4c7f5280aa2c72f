use std::fmt;

use thiserror::Error;

/// The length from which a secret is worth its algorithm, in bytes: the output of SHA-256, as
/// RFC 7518, section 3.2 requires for HS256. Advice for operators; a shorter secret still works,
/// because it must be the one that help-desk-back uses.
pub const MIN_SECRET_BYTES: usize = 32;

/// A secret shared with help-desk-back, used byte for byte.
///
/// `Debug` does not print it.
#[derive(Clone)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes a secret as it stands: nothing is trimmed or decoded.
    ///
    /// # Errors
    ///
    /// [`SecretError`] for what Node's `jsonwebtoken` would not take as a shared secret.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, SecretError> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(SecretError::Empty);
        }
        if bytes
            .windows(PEM_BEGIN.len())
            .any(|window| window == PEM_BEGIN)
        {
            return Err(SecretError::Pem);
        }
        Ok(Self(bytes.into_boxed_slice()))
    }

    /// Whether this is a secret that help-desk-back falls back to when it is not configured, and
    /// that anybody can therefore sign with.
    #[must_use]
    pub fn is_known_default(&self) -> bool {
        KNOWN_DEFAULTS.contains(&&*self.0)
    }

    /// Whether the secret is shorter than [`MIN_SECRET_BYTES`].
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.0.len() < MIN_SECRET_BYTES
    }

    /// Whether the secret has fewer bytes than these.
    #[must_use]
    pub fn is_shorter_than(&self, bytes: usize) -> bool {
        self.0.len() < bytes
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// Why bytes cannot be a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// There are no bytes.
    #[error("the secret is empty")]
    Empty,
    /// The bytes are a PEM key or certificate. Node would take it as a public key, and everybody
    /// who knows that public key could sign with it as a shared secret.
    #[error("the secret is a PEM key, not a shared secret")]
    Pem,
}

const PEM_BEGIN: &[u8] = b"-----BEGIN ";

const KNOWN_DEFAULTS: [&[u8]; 2] = [b"default-secret-change-me", b"default-secret"];
