use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A signature algorithm for a shared secret (RFC 7518, section 3.2).
///
/// These three are what Node's `jsonwebtoken` accepts for a string secret. Algorithms with a
/// public key are left out on purpose: one key belongs to one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256, the default of Node's `jsonwebtoken`.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
}

impl Algorithm {
    /// Every algorithm, in ascending strength.
    pub const ALL: [Self; 3] = [Self::HS256, Self::HS384, Self::HS512];

    /// The name as it stands in a token's `alg` header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
        }
    }

    pub(crate) const fn for_backend(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::HS256 => jsonwebtoken::Algorithm::HS256,
            Self::HS384 => jsonwebtoken::Algorithm::HS384,
            Self::HS512 => jsonwebtoken::Algorithm::HS512,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Reads a name as it stands in a token's header: the case matters.
    ///
    /// # Errors
    ///
    /// [`UnknownAlgorithm`] for any other text, `none` and public-key algorithms included.
    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or(UnknownAlgorithm)
    }
}

/// The name is not one of HS256, HS384 and HS512.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("algorithm must be HS256, HS384 or HS512")]
pub struct UnknownAlgorithm;
