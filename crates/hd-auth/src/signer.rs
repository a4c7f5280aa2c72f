use std::fmt;
use std::time::Duration;

use jsonwebtoken::EncodingKey;
use jsonwebtoken::crypto::aws_lc;
use thiserror::Error;

use crate::algorithm::Algorithm;
use crate::encoding;
use crate::json::MAX_SAFE_INTEGER;
use crate::payload::JwtPayload;
use crate::secret::Secret;

/// Signs payloads. For equal claims the token is the one that Node's `jsonwebtoken` makes, byte
/// for byte.
pub struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
}

impl Signer {
    /// Prepares the key.
    #[must_use]
    pub fn new(secret: &Secret, algorithm: Algorithm) -> Self {
        Self {
            key: EncodingKey::from_secret(secret.as_bytes()),
            algorithm,
        }
    }

    /// Signs a payload at the time `iat`, in seconds since the Unix epoch, for a token that lives
    /// for `life`, of which whole seconds count. The payload's own `iat` and `exp` are replaced.
    ///
    /// A life of zero makes a token that has already expired.
    ///
    /// # Errors
    ///
    /// [`SignError`] when the expiry is too far away.
    pub fn sign(
        &self,
        payload: &JwtPayload,
        iat: u64,
        life: Duration,
    ) -> Result<String, SignError> {
        let exp = iat
            .checked_add(life.as_secs())
            .filter(|exp| *exp <= MAX_SAFE_INTEGER)
            .ok_or(SignError::LifeTooLong)?;
        Ok(self.sign_claims(&JwtPayload {
            iat: Some(iat),
            exp: Some(exp),
            ..payload.clone()
        }))
    }

    fn sign_claims(&self, claims: &JwtPayload) -> String {
        let header = format!(r#"{{"alg":"{}","typ":"JWT"}}"#, self.algorithm);
        let claims = serde_json::to_vec(claims)
            .expect("invariant: numbers, booleans and strings always serialize");
        let mut token = encoding::encode(header.as_bytes());
        token.push('.');
        token.push_str(&encoding::encode(&claims));

        let signature =
            (aws_lc::DEFAULT_PROVIDER.signer_factory)(&self.algorithm.for_backend(), &self.key)
                .expect("invariant: a key made from a secret fits every HMAC")
                .sign(token.as_bytes());
        token.push('.');
        token.push_str(&encoding::encode(&signature));
        token
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Why a payload cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignError {
    /// The token would expire later than 2^53 − 1 seconds after the Unix epoch.
    #[error("the token would live too long")]
    LifeTooLong,
}
