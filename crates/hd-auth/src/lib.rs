//! Help-desk JSON Web Tokens: who a token says its holder is, and whether to believe it.
//!
//! - [`JwtPayload`]: the claims that help-desk-back signs.
//! - [`Verifier`]: the verdicts of Node's `jsonwebtoken` for HS256, HS384 and HS512, plus the
//!   few refusals listed in this crate's README.
//! - [`Signer`]: the same bytes that Node's `jsonwebtoken` would produce.
//! - [`TokenSources`]: where a client may have put its token, in the order of precedence.
//! - [`ClaimsFilter`]: whether a payload falls under given users, roles, departments and so on.
//!
//! The crate does no I/O and has no clock: the time is an argument, in whole seconds since the
//! Unix epoch. It knows neither HTTP nor Socket.IO, and no key but a shared secret.
//!
//! ```
//! use std::time::Duration;
//!
//! use hd_auth::{Algorithm, JwtPayload, Secret, Signer, UserId, Verifier, VerifierConfig, VerifyError};
//!
//! let secret = Secret::new("a secret shared with help-desk-back")?;
//! let now = 1_700_000_000;
//!
//! let mut payload = JwtPayload::new(UserId::new(42)?);
//! payload.rol_id = Some(3);
//! let token = Signer::new(&secret, Algorithm::HS256).sign(&payload, now, Duration::from_secs(60))?;
//!
//! let verifier = Verifier::new(VerifierConfig::new(secret))?;
//! let verified = verifier.verify(&token, now)?;
//! assert_eq!(verified.usu_id.get(), 42);
//! assert_eq!(verified.exp, Some(now + 60));
//! assert_eq!(verifier.verify(&token, now + 60), Err(VerifyError::Expired));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Specifications: [RFC 7519](https://www.rfc-editor.org/rfc/rfc7519) (JWT) and
//! [RFC 7515](https://www.rfc-editor.org/rfc/rfc7515) (JWS).

mod algorithm;
mod claims;
mod encoding;
mod error;
mod json;
mod mac;
mod matching;
mod payload;
mod secret;
mod signer;
mod token_source;
mod verifier;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use error::VerifyError;
pub use mac::Mac;
pub use matching::ClaimsFilter;
pub use payload::{InvalidUserId, JwtPayload, UserId};
pub use secret::{MIN_SECRET_BYTES, Secret, SecretError};
pub use signer::{SignError, Signer};
pub use token_source::{FoundToken, TokenSource, TokenSources};
pub use verifier::{DEFAULT_MAX_TOKEN_BYTES, Verifier, VerifierConfig, VerifierConfigError};
