use serde_json::value::RawValue;

use crate::error::VerifyError;
use crate::json::{self, MAX_SAFE_INTEGER, NotAnObject};
use crate::payload::{JwtPayload, UserId};

/// The claims that this crate reads, as they stand in the token. A repeated claim counts as it
/// was written last, which is how Node reads it.
#[derive(Default)]
pub(crate) struct Claims<'a> {
    usu_id: Option<&'a RawValue>,
    usu_correo: Option<&'a RawValue>,
    rol_id: Option<&'a RawValue>,
    reg_id: Option<&'a RawValue>,
    car_id: Option<&'a RawValue>,
    dp_id: Option<&'a RawValue>,
    es_nacional: Option<&'a RawValue>,
    perfil_ids: Option<&'a RawValue>,
    iat: Option<&'a RawValue>,
    exp: Option<&'a RawValue>,
    nbf: Option<&'a RawValue>,
    aud: Option<&'a RawValue>,
}

impl<'a> Claims<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, VerifyError> {
        let mut claims = Self::default();
        json::members(text, |name, value| {
            let slot = match name {
                b"usu_id" => &mut claims.usu_id,
                b"usu_correo" => &mut claims.usu_correo,
                b"rol_id" => &mut claims.rol_id,
                b"reg_id" => &mut claims.reg_id,
                b"car_id" => &mut claims.car_id,
                b"dp_id" => &mut claims.dp_id,
                b"es_nacional" => &mut claims.es_nacional,
                b"perfil_ids" => &mut claims.perfil_ids,
                b"iat" => &mut claims.iat,
                b"exp" => &mut claims.exp,
                b"nbf" => &mut claims.nbf,
                b"aud" => &mut claims.aud,
                _ => return,
            };
            *slot = Some(value);
        })
        .map_err(|error| match error {
            NotAnObject::Syntax => VerifyError::Malformed,
            NotAnObject::OtherType => VerifyError::Claims,
        })?;
        Ok(claims)
    }

    /// Node's checks of `nbf` and `exp`, in its order and without leeway.
    pub(crate) fn check_time(&self, now: u64, require_exp: bool) -> Result<(), VerifyError> {
        // Exact for any time before the year 285 million.
        let now = now as f64;
        if let Some(nbf) = self.nbf
            && json::number(nbf).ok_or(VerifyError::NbfInvalid)? > now
        {
            return Err(VerifyError::NotActive);
        }
        match self.exp {
            Some(exp) if now >= json::number(exp).ok_or(VerifyError::ExpInvalid)? => {
                Err(VerifyError::Expired)
            }
            None if require_exp => Err(VerifyError::ExpMissing),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether `aud` is `audience`, or an array that holds it.
    pub(crate) fn is_for(&self, audience: &str) -> bool {
        let names_it = |value| json::string(value).is_some_and(|name| name == audience);
        self.aud.is_some_and(|aud| {
            names_it(aud)
                || json::elements(aud).is_some_and(|names| names.into_iter().any(names_it))
        })
    }

    pub(crate) fn into_payload(self) -> Result<JwtPayload, VerifyError> {
        let usu_id = self
            .usu_id
            .and_then(json::safe_integer)
            .and_then(|id| u64::try_from(id).ok())
            .and_then(|id| UserId::new(id).ok())
            .ok_or(VerifyError::UserId)?;
        Ok(JwtPayload {
            usu_id,
            usu_correo: self.usu_correo.and_then(json::string),
            rol_id: self.rol_id.and_then(json::safe_integer),
            reg_id: self.reg_id.and_then(json::safe_integer),
            car_id: self.car_id.and_then(json::safe_integer),
            dp_id: self.dp_id.and_then(json::safe_integer),
            es_nacional: self.es_nacional.is_some_and(|value| value.get() == "true"),
            perfil_ids: self.perfil_ids.and_then(|value| {
                json::elements(value)?
                    .into_iter()
                    .map(json::safe_integer)
                    .collect()
            }),
            iat: self
                .iat
                .and_then(json::number)
                .map(|iat| seconds(iat.floor())),
            exp: self
                .exp
                .and_then(json::number)
                .map(|exp| seconds(exp.ceil())),
        })
    }
}

/// A time as an integer, held within the range that JavaScript holds exactly. The cast of a float
/// saturates.
fn seconds(time: f64) -> u64 {
    (time as u64).min(MAX_SAFE_INTEGER)
}
