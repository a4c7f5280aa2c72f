//! Secrets: who may connect, who may read the metrics and drain. Tokens of the back end are read
//! in [`back_end`](super::back_end).

use std::fmt;
use std::ops::BitAnd;

use hd_auth::{MIN_SECRET_BYTES, Secret, SecretError, VerifierConfig};
use subtle::ConstantTimeEq;

use super::NodeEnv;
use super::reader::Reader;
use super::variables::{JWT_SECRET, JWT_SECRET_PREVIOUS, Variable};

/// What tokens of clients are verified with.
#[derive(Clone, Debug)]
pub(crate) struct JwtSettings {
    /// The secret that help-desk-back signs with.
    pub(crate) secret: Secret,
    /// Whether the secret was made up for this run, because none was set in development.
    pub(crate) is_ephemeral: bool,
    /// The secret before the last rotation.
    pub(crate) previous: Option<Secret>,
    /// Whether a token without `exp` is refused.
    pub(crate) require_exp: bool,
}

impl JwtSettings {
    /// The configuration of the verifier.
    pub(crate) fn verifier_config(&self) -> VerifierConfig {
        let mut config = VerifierConfig::new(self.secret.clone());
        config.previous_secrets = self.previous.iter().cloned().collect();
        config.require_exp = self.require_exp;
        config
    }
}

/// Who may use a route for operators.
#[derive(Clone, Debug)]
pub(crate) enum OperatorAuth {
    /// Nobody: there is no such route.
    Closed,
    /// Whoever is on this machine, and no page of a browser: see
    /// [`access`](crate::http_api::access).
    Loopback,
    /// Who presents this token.
    Token(BearerToken),
}

/// A token that fits into a header. `Debug` does not print it.
#[derive(Clone)]
pub(crate) struct BearerToken(Box<str>);

impl BearerToken {
    /// The token itself, for the client's side and for the commands to try in development.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the presented token is this one. Takes the same time wherever it differs.
    pub(crate) fn accept(&self, presented: &str) -> bool {
        self.ct_eq(presented).into()
    }

    pub(super) fn new(token: impl Into<Box<str>>) -> Self {
        Self(token.into())
    }

    pub(super) fn ct_eq(&self, presented: &str) -> subtle::Choice {
        // As the slices' own `ct_eq`, but eight bytes at a time.
        let (words, rest) = self.0.as_bytes().as_chunks();
        let (presented_words, presented_rest) = presented.as_bytes().as_chunks();
        let has_len = self.0.len().ct_eq(&presented.len());
        let words = words.iter().zip(presented_words);
        words
            .map(|(word, presented)| {
                u64::from_ne_bytes(*word).ct_eq(&u64::from_ne_bytes(*presented))
            })
            .fold(has_len & rest.ct_eq(presented_rest), BitAnd::bitand)
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken([redacted])")
    }
}

/// Reads `JWT_SECRET`, for a command that cannot do without it. A missing one is a problem.
pub(super) fn given_jwt_secret(reader: &mut Reader<'_>) -> Option<Secret> {
    let secret = read_jwt_secret(reader, &JWT_SECRET);
    if secret.is_none() && !reader.is_explicit(&JWT_SECRET) {
        reader.problem(
            &JWT_SECRET,
            "is needed to sign a token",
            "set it to the server's JWT_SECRET, in the environment or in .env",
        );
    }
    secret
}

/// Reads what the server verifies tokens with. `None` when there is a problem.
pub(super) fn jwt(
    reader: &mut Reader<'_>,
    node_env: NodeEnv,
    require_exp: bool,
) -> Option<JwtSettings> {
    let given = read_jwt_secret(reader, &JWT_SECRET);
    let previous = read_jwt_secret(reader, &JWT_SECRET_PREVIOUS);
    for (variable, secret) in [(&JWT_SECRET, &given), (&JWT_SECRET_PREVIOUS, &previous)] {
        let Some(secret) = secret else { continue };
        if secret.is_known_default() {
            refuse_in_production(
                reader,
                node_env,
                variable,
                "is the default of help-desk-back, with which anybody can sign a token",
                "set a secret of your own in both services: openssl rand -base64 48",
            );
        } else if secret.is_shorter_than(MIN_JWT_SECRET_BYTES) {
            refuse_in_production(
                reader,
                node_env,
                variable,
                format!("is shorter than {MIN_JWT_SECRET_BYTES} bytes, and can be guessed"),
                "set a longer one in both services: openssl rand -base64 48",
            );
        } else if secret.is_short() {
            reader.warn(
                variable,
                format!(
                    "is shorter than the {MIN_SECRET_BYTES} bytes that HS256 asks for; change it \
                     in both services: openssl rand -base64 48"
                ),
            );
        }
    }

    if reader.is_explicit(&JWT_SECRET) {
        return Some(JwtSettings {
            secret: given?,
            is_ephemeral: false,
            previous,
            require_exp,
        });
    }
    if reader.is_explicit(&JWT_SECRET_PREVIOUS) {
        reader.problem(
            &JWT_SECRET_PREVIOUS,
            "is set without JWT_SECRET",
            "set JWT_SECRET to the secret in use",
        );
        return None;
    }
    if node_env == NodeEnv::Production {
        reader.problem(
            &JWT_SECRET,
            "is needed in production",
            "set it to the secret that help-desk-back signs with",
        );
        return None;
    }
    reader.warn(
        &JWT_SECRET,
        "is not set: this run uses one of its own, and accepts no token of help-desk-back; set \
         it to the secret that help-desk-back signs with",
    );
    let generated = generate(reader, &JWT_SECRET)?;
    Some(JwtSettings {
        secret: Secret::new(generated).expect("invariant: 64 hexadecimal digits are a secret"),
        is_ephemeral: true,
        previous: None,
        require_exp,
    })
}

fn read_jwt_secret(reader: &mut Reader<'_>, variable: &'static Variable) -> Option<Secret> {
    let bytes = reader.secret(variable)?;
    match Secret::new(bytes) {
        Ok(secret) => Some(secret),
        Err(error) => {
            let fix = if error == SecretError::Pem {
                "only shared secrets (HS256, HS384, HS512) are supported; set the secret that \
                 help-desk-back signs with"
            } else {
                "set the secret that help-desk-back signs with"
            };
            reader.problem(variable, format!("cannot be used: {error}"), fix);
            None
        }
    }
}

/// Reads who may use a route for operators. `caller` is where else the token is set.
pub(super) fn operator_auth(
    reader: &mut Reader<'_>,
    node_env: NodeEnv,
    variable: &'static Variable,
    route: &str,
    caller: &str,
) -> OperatorAuth {
    let token = bearer_token(reader, variable);
    let fix = format!("set a longer one here and {caller}: openssl rand -hex 32");
    refuse_short(reader, node_env, variable, token.as_ref(), &fix);
    match (token, node_env) {
        (Some(token), _) => OperatorAuth::Token(token),
        (None, NodeEnv::Production) => OperatorAuth::Closed,
        (None, NodeEnv::Development) => {
            let what = format!(
                "is not set: {route} answers without a token, on loopback addresses only; set one \
                 here and {caller}: openssl rand -hex 32"
            );
            reader.insecure(variable, what);
            OperatorAuth::Loopback
        }
    }
}

/// Reads a token. One that no header can carry is a problem.
pub(super) fn bearer_token(
    reader: &mut Reader<'_>,
    variable: &'static Variable,
) -> Option<BearerToken> {
    let bytes = reader.secret(variable)?;
    match str::from_utf8(bytes) {
        Ok(token) if token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Some(BearerToken(token.into()))
        }
        _ => {
            reader.problem(
                variable,
                "has characters that an Authorization header cannot carry",
                "use letters, digits and -._~+/= only: openssl rand -hex 32",
            );
            None
        }
    }
}

pub(super) fn refuse_short(
    reader: &mut Reader<'_>,
    node_env: NodeEnv,
    variable: &'static Variable,
    token: Option<&BearerToken>,
    fix: &str,
) {
    if token.is_some_and(|token| token.0.len() < MIN_TOKEN_BYTES) {
        let what = format!("is shorter than {MIN_TOKEN_BYTES} bytes");
        refuse_in_production(reader, node_env, variable, what, fix);
    }
}

fn refuse_in_production(
    reader: &mut Reader<'_>,
    node_env: NodeEnv,
    variable: &'static Variable,
    what: impl Into<String>,
    fix: &str,
) {
    let what = what.into();
    match node_env {
        NodeEnv::Production => reader.problem(variable, what, fix),
        NodeEnv::Development => {
            reader.insecure(variable, format!("{what}; production refuses it; {fix}"));
        }
    }
}

/// 32 random bytes in hexadecimal, so that they fit into a header and a command line.
pub(super) fn generate(reader: &mut Reader<'_>, variable: &'static Variable) -> Option<String> {
    let mut bytes = [0; 32];
    if let Err(error) = getrandom::fill(&mut bytes) {
        reader.problem(
            variable,
            format!("cannot be made up: the system has no randomness: {error}"),
            "set it",
        );
        return None;
    }
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    reader.generated(variable, text.len());
    Some(text)
}

/// 128 bits, written in any base up to 256.
const MIN_TOKEN_BYTES: usize = 16;
/// The same. A token gives everybody who has one the means to try secrets offline.
const MIN_JWT_SECRET_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_accepted_only_when_every_byte_of_it_is_there() {
        for len in 0..40 {
            let text = "abcdefgh".repeat(5)[..len].to_owned();
            let token = BearerToken::new(text.as_str());
            assert!(token.accept(&text), "{len}");
            assert!(!token.accept(&format!("{text}a")), "{len}");
            assert!(!token.accept(&format!("{text}abcdefgh")), "{len}");
            for wrong in 0..len {
                assert!(!token.accept(&text[..wrong]), "{len} {wrong}");
                let mut other = text.clone();
                other.replace_range(wrong..=wrong, "x");
                assert!(!token.accept(&other), "{len} {wrong}");
            }
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let token = BearerToken("current-token".into());
        assert!(!format!("{token:?}").contains("current"));
    }
}
