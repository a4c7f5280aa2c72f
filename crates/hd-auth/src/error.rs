use thiserror::Error;

/// Why a token was refused. Every variant is the fault of whoever presented the token, and none
/// holds a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no token.
    #[error("no token was given")]
    Missing,
    /// The token is longer than the verifier's `max_token_bytes`.
    #[error("the token is too large")]
    TooLarge,
    /// The token is not three parts of base64url with a JSON object as header and JSON as payload.
    #[error("the token is malformed")]
    Malformed,
    /// The header's `alg` is missing, `none`, or not one of the verifier's algorithms.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// The header has a `crit` member (RFC 7515, section 4.1.11): no extension is understood here.
    #[error("the token requires an extension that is not supported")]
    Critical,
    /// The signature is missing, or was not made with any of the verifier's secrets.
    #[error("the token's signature is invalid")]
    Signature,
    /// The payload is JSON, but not an object.
    #[error("the token's payload is not an object")]
    Claims,
    /// The `nbf` claim is not a number.
    #[error("the token's nbf claim is not a number")]
    NbfInvalid,
    /// The `nbf` claim lies in the future.
    #[error("the token is not active yet")]
    NotActive,
    /// The `exp` claim is missing, and the verifier requires it.
    #[error("the token has no exp claim")]
    ExpMissing,
    /// The `exp` claim is not a number.
    #[error("the token's exp claim is not a number")]
    ExpInvalid,
    /// The `exp` claim is reached.
    #[error("the token has expired")]
    Expired,
    /// The `aud` claim does not name the verifier's audience.
    #[error("the token is meant for another audience")]
    Audience,
    /// The `usu_id` claim is not an integer from 0 to 2^53 − 1.
    #[error("the token's usu_id claim is not a user id")]
    UserId,
}

impl VerifyError {
    /// Every cause, for tables and metrics that want to be complete from the start.
    pub const ALL: [Self; 14] = [
        Self::Missing,
        Self::TooLarge,
        Self::Malformed,
        Self::Algorithm,
        Self::Critical,
        Self::Signature,
        Self::Claims,
        Self::NbfInvalid,
        Self::NotActive,
        Self::ExpMissing,
        Self::ExpInvalid,
        Self::Expired,
        Self::Audience,
        Self::UserId,
    ];

    /// A short code for logs, metrics and clients. It never changes for a given cause.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::TooLarge => "token_too_large",
            Self::Malformed => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::Critical => "token_critical",
            Self::Signature => "token_signature",
            Self::Claims => "token_claims",
            Self::NbfInvalid => "token_nbf_invalid",
            Self::NotActive => "token_not_active",
            Self::ExpMissing => "token_exp_missing",
            Self::ExpInvalid => "token_exp_invalid",
            Self::Expired => "token_expired",
            Self::Audience => "token_audience",
            Self::UserId => "token_user_id",
        }
    }
}
