use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::json::MAX_SAFE_INTEGER;

/// The claims that help-desk-back signs, under its own names.
///
/// Only `usu_id` is needed to serve a client. Every other claim may be missing from a verified
/// token: it is then `None`, or `false` for `es_nacional`. The same holds for a claim of another
/// type than the one listed here, so that it can never widen what its holder sees.
///
/// `Debug` does not print the e-mail.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct JwtPayload {
    /// User id, the primary key of the users' table.
    pub usu_id: UserId,
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usu_correo: Option<String>,
    /// Role.
    pub rol_id: Option<i64>,
    /// Regional office.
    pub reg_id: Option<i64>,
    /// Position.
    pub car_id: Option<i64>,
    /// Department.
    pub dp_id: Option<i64>,
    /// National scope: sees every regional office.
    pub es_nacional: bool,
    /// Extra active profiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perfil_ids: Option<Vec<i64>>,
    /// When the token was signed, in seconds since the Unix epoch. Informative: no verdict
    /// depends on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    /// The first second since the Unix epoch at which the token is refused.
    ///
    /// A fraction in the token is rounded up, which changes no verdict, and the value never
    /// exceeds 2^53 − 1. `None` only where tokens without `exp` are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
}

impl JwtPayload {
    /// A payload with a user id and nothing else.
    #[must_use]
    pub const fn new(usu_id: UserId) -> Self {
        Self {
            usu_id,
            usu_correo: None,
            rol_id: None,
            reg_id: None,
            car_id: None,
            dp_id: None,
            es_nacional: false,
            perfil_ids: None,
            iat: None,
            exp: None,
        }
    }

    /// Whether the holder sees the regional office `reg_id`: it is their own, or their scope is
    /// national.
    #[must_use]
    pub fn sees_regional_office(&self, reg_id: i64) -> bool {
        self.es_nacional || self.reg_id == Some(reg_id)
    }
}

impl fmt::Debug for JwtPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtPayload")
            .field("usu_id", &self.usu_id)
            .field(
                "usu_correo",
                &self.usu_correo.as_ref().map(|_| "[redacted]"),
            )
            .field("rol_id", &self.rol_id)
            .field("reg_id", &self.reg_id)
            .field("car_id", &self.car_id)
            .field("dp_id", &self.dp_id)
            .field("es_nacional", &self.es_nacional)
            .field("perfil_ids", &self.perfil_ids)
            .field("iat", &self.iat)
            .field("exp", &self.exp)
            .finish()
    }
}

/// A user id: an integer from 0 to 2^53 − 1, the range that JavaScript holds exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct UserId(u64);

impl UserId {
    /// The largest user id, 2^53 − 1.
    pub const MAX: Self = Self(MAX_SAFE_INTEGER);

    /// Checks a number's range.
    ///
    /// # Errors
    ///
    /// [`InvalidUserId`] above [`UserId::MAX`].
    pub const fn new(id: u64) -> Result<Self, InvalidUserId> {
        if id <= MAX_SAFE_INTEGER {
            Ok(Self(id))
        } else {
            Err(InvalidUserId)
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for UserId {
    type Error = InvalidUserId;

    fn try_from(id: u64) -> Result<Self, InvalidUserId> {
        Self::new(id)
    }
}

impl From<UserId> for u64 {
    fn from(id: UserId) -> Self {
        id.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number is above 2^53 − 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("user id must be an integer from 0 to 9007199254740991")]
pub struct InvalidUserId;
