use std::fmt;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc;
use thiserror::Error;

use crate::algorithm::Algorithm;
use crate::claims::Claims;
use crate::encoding;
use crate::error::VerifyError;
use crate::json;
use crate::payload::JwtPayload;
use crate::secret::Secret;

/// The longest token that is looked at, in bytes: 8 KiB, the usual limit of a whole request head
/// in proxies. Tokens of help-desk-back have some 300 bytes.
pub const DEFAULT_MAX_TOKEN_BYTES: usize = 8 * 1024;

/// What a [`Verifier`] accepts.
#[derive(Clone, Debug)]
pub struct VerifierConfig {
    /// The secret that help-desk-back signs with.
    pub secret: Secret,
    /// Secrets that it signed with before, still accepted while they are being replaced. Each one
    /// costs another HMAC for a token that none of them signed.
    pub previous_secrets: Vec<Secret>,
    /// The algorithms accepted, whatever a token says of itself. Default: all three, as Node.
    pub algorithms: Vec<Algorithm>,
    /// Whether a token must have an `exp` claim. Default: `true`, stricter than Node.
    pub require_exp: bool,
    /// The audience that a token must name in `aud`. Default: `None`, which ignores `aud` as Node
    /// does.
    pub audience: Option<String>,
    /// The longest token that is looked at, in bytes. Default: [`DEFAULT_MAX_TOKEN_BYTES`].
    pub max_token_bytes: usize,
}

impl VerifierConfig {
    /// The defaults, with one secret.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self {
            secret,
            previous_secrets: Vec::new(),
            algorithms: Algorithm::ALL.to_vec(),
            require_exp: true,
            audience: None,
            max_token_bytes: DEFAULT_MAX_TOKEN_BYTES,
        }
    }
}

/// Decides whether a token is to be believed. Cheap to share behind an `Arc`: nothing in it
/// changes.
///
/// The HMAC is computed and compared (in constant time) by the `jsonwebtoken` crate. The rest of
/// that crate's `decode` is not used: it reads a clock, and its own reading of headers and claims
/// differs from Node's (repeated members, numbers with a fraction, base64 with unused bits,
/// headers of an odd type).
pub struct Verifier {
    /// The current secret first.
    keys: Vec<DecodingKey>,
    algorithms: Vec<Algorithm>,
    require_exp: bool,
    audience: Option<String>,
    max_token_bytes: usize,
}

impl Verifier {
    /// Prepares the keys.
    ///
    /// # Errors
    ///
    /// [`VerifierConfigError`] when no token could ever pass.
    pub fn new(config: VerifierConfig) -> Result<Self, VerifierConfigError> {
        if config.algorithms.is_empty() {
            return Err(VerifierConfigError::NoAlgorithm);
        }
        let keys = std::iter::once(&config.secret)
            .chain(&config.previous_secrets)
            .map(|secret| DecodingKey::from_secret(secret.as_bytes()))
            .collect();
        Ok(Self {
            keys,
            algorithms: config.algorithms,
            require_exp: config.require_exp,
            audience: config.audience,
            max_token_bytes: config.max_token_bytes,
        })
    }

    /// Verifies a token in compact form at the time `now`, in seconds since the Unix epoch.
    ///
    /// A token is active from `nbf` on and expired from `exp` on, without leeway. The payload's
    /// `exp` says when to verify again.
    ///
    /// # Errors
    ///
    /// The first cause found, in this order: size, form, algorithm, `crit`, signature, `nbf`,
    /// `exp`, `aud`, `usu_id`. Nothing of the payload is read before its signature is known to
    /// be good.
    pub fn verify(&self, token: &str, now: u64) -> Result<JwtPayload, VerifyError> {
        if token.is_empty() {
            return Err(VerifyError::Missing);
        }
        if token.len() > self.max_token_bytes {
            return Err(VerifyError::TooLarge);
        }
        let parts = Parts::split(token).ok_or(VerifyError::Malformed)?;
        let algorithm = self.check_header(parts.header)?;
        if !self.is_signed(&parts, algorithm) {
            return Err(VerifyError::Signature);
        }

        let payload = encoding::decode_part(parts.payload).ok_or(VerifyError::Malformed)?;
        // Node decodes the payload with replacement characters, too.
        let payload = String::from_utf8_lossy(&payload);
        let claims = Claims::parse(&payload)?;
        claims.check_time(now, self.require_exp)?;
        if let Some(audience) = &self.audience
            && !claims.is_for(audience)
        {
            return Err(VerifyError::Audience);
        }
        claims.into_payload()
    }

    /// Reads `alg` and `crit`. Every other member is ignored, above all those that name a key
    /// (`jku`, `jwk`, `x5u`, `x5c`, `kid`).
    fn check_header(&self, part: &str) -> Result<Algorithm, VerifyError> {
        let bytes = encoding::decode_part(part).ok_or(VerifyError::Malformed)?;
        // Node reads the header as Latin-1, in which any bytes are a text.
        let text: String = bytes.into_iter().map(char::from).collect();
        let mut alg = None;
        let mut has_crit = false;
        json::members(&text, |name, value| match name {
            b"alg" => alg = Some(value),
            b"crit" => has_crit = true,
            _ => {}
        })
        .map_err(|_| VerifyError::Malformed)?;

        let algorithm = alg
            .and_then(json::string)
            .and_then(|name| name.parse().ok())
            .filter(|algorithm| self.algorithms.contains(algorithm))
            .ok_or(VerifyError::Algorithm)?;
        if has_crit {
            return Err(VerifyError::Critical);
        }
        Ok(algorithm)
    }

    fn is_signed(&self, parts: &Parts<'_>, algorithm: Algorithm) -> bool {
        encoding::decode_signature(parts.signature).is_some_and(|signature| {
            self.keys.iter().any(|key| {
                // The provider is named, because the crate's own choice of one panics when
                // another dependency turns on its second backend.
                (aws_lc::DEFAULT_PROVIDER.verifier_factory)(&algorithm.for_backend(), key)
                    .is_ok_and(|verifier| verifier.verify(parts.signed, &signature).is_ok())
            })
        })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("keys", &self.keys.len())
            .field("algorithms", &self.algorithms)
            .field("require_exp", &self.require_exp)
            .field("audience", &self.audience)
            .field("max_token_bytes", &self.max_token_bytes)
            .finish()
    }
}

/// Why a [`Verifier`] cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifierConfigError {
    /// No algorithm is accepted.
    #[error("at least one algorithm must be accepted")]
    NoAlgorithm,
}

/// The parts of a token in compact form (RFC 7515, section 7.1).
struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// What the signature covers: the header, a dot and the payload.
    signed: &'a [u8],
}

impl<'a> Parts<'a> {
    /// `None` unless there are three parts of base64url characters. The signature may be empty
    /// here, as in Node.
    fn split(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let is_base64url = |part: &str| {
            part.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let is_well_formed = !header.is_empty()
            && !payload.is_empty()
            && [header, payload, signature].into_iter().all(is_base64url);
        is_well_formed.then_some(Self {
            header,
            payload,
            signature,
            signed: signed.as_bytes(),
        })
    }
}
