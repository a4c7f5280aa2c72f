//! Tokens made and judged by Node's `jsonwebtoken`: the same verdict, or a documented stricter one.

use std::collections::BTreeSet;

use hd_auth::{Algorithm, JwtPayload, Secret, SecretError, Verifier, VerifierConfig, VerifyError};
use serde::Deserialize;
use serde_json::Value;

use crate::node;

/// The tokens that Node accepts and this crate refuses: the case, the refusal, and why.
const STRICTER: &[(&str, VerifyError, &str)] = &[
    ("exp missing", VerifyError::ExpMissing, NO_EXP),
    ("usu_id 2^53", VerifyError::UserId, USER_ID),
    ("usu_id negative", VerifyError::UserId, USER_ID),
    ("usu_id 1.5", VerifyError::UserId, USER_ID),
    ("usu_id missing", VerifyError::UserId, USER_ID),
    ("usu_id null", VerifyError::UserId, USER_ID),
    ("usu_id empty", VerifyError::UserId, USER_ID),
    ("usu_id a numeric string", VerifyError::UserId, USER_ID),
    ("usu_id a string of SQL", VerifyError::UserId, USER_ID),
    ("usu_id an array", VerifyError::UserId, USER_ID),
    ("usu_id an object", VerifyError::UserId, USER_ID),
    ("usu_id true", VerifyError::UserId, USER_ID),
    ("payload an array", VerifyError::Claims, USER_ID),
    ("payload a string", VerifyError::Claims, USER_ID),
    (
        "payload not JSON, typ missing",
        VerifyError::Malformed,
        USER_ID,
    ),
    ("crit of an unknown extension", VerifyError::Critical, CRIT),
    ("crit empty", VerifyError::Critical, CRIT),
    ("of 8 KiB and a byte", VerifyError::TooLarge, SIZE),
];

const NO_EXP: &str = "a token that never expires cannot be withdrawn";
const USER_ID: &str = "without an integer usu_id there is no room to join";
const CRIT: &str = "RFC 7515, section 4.1.11 requires it; Node leaves it to the application";
const SIZE: &str = "a token is read before its sender is known";

#[test]
fn every_verdict_is_nodes_or_documented() {
    let cases: Vec<Case> = node::run("verdicts.mjs", &[])
        .into_iter()
        .map(|line| serde_json::from_value(line).unwrap())
        .collect();
    let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    assert!(cases.len() >= 130, "only {} cases", cases.len());

    let mut problems = Vec::new();
    let mut stricter = BTreeSet::new();
    for case in &cases {
        let verdict = case.judge();
        let documented = STRICTER.iter().find(|(name, ..)| *name == case.name);
        let problem = match (&case.verdict, &verdict, documented) {
            (NodeVerdict { ok: true, .. }, Err(error), Some((name, expected, _))) => {
                stricter.insert(*name);
                (error != expected).then(|| format!("refused as {error:?}, not {expected:?}"))
            }
            (
                NodeVerdict {
                    ok: true, claims, ..
                },
                Ok(payload),
                None,
            ) => {
                let ours = serde_json::to_value(payload).unwrap();
                different_claim(claims, &ours)
            }
            (
                NodeVerdict {
                    ok: false, message, ..
                },
                Err(error),
                None,
            ) => (!causes(&case.name, message).contains(error))
                .then(|| format!("{error:?} for {message:?}")),
            (node, ours, _) => Some(format!("Node: {node:?}, ours: {ours:?}")),
        };
        problems.extend(problem.map(|problem| format!("{}: {problem}", case.name)));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_eq!(
        stricter.len(),
        STRICTER.len(),
        "a documented deviation is not seen any more"
    );
}

#[test]
fn a_public_key_is_not_a_secret() {
    // Node takes such a secret as a public key, and then refuses every HMAC.
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n";
    assert_eq!(Secret::new(pem).unwrap_err(), SecretError::Pem);
    assert_eq!(
        Secret::new(format!("a remark\n{pem}")).unwrap_err(),
        SecretError::Pem
    );
}

#[derive(Deserialize)]
struct Case {
    name: String,
    token: String,
    secret: String,
    now: u64,
    options: Options,
    verdict: NodeVerdict,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    algorithms: Option<Vec<String>>,
    audience: Option<String>,
    #[serde(default)]
    allow_no_exp: bool,
}

#[derive(Debug, Deserialize)]
struct NodeVerdict {
    ok: bool,
    #[serde(default)]
    claims: Value,
    #[serde(default)]
    message: String,
}

impl Case {
    fn judge(&self) -> Result<JwtPayload, VerifyError> {
        let mut config = VerifierConfig::new(Secret::new(self.secret.as_str()).unwrap());
        if let Some(names) = &self.options.algorithms {
            config.algorithms = names.iter().map(|name| name.parse().unwrap()).collect();
        } else {
            assert_eq!(config.algorithms, Algorithm::ALL);
        }
        config.audience.clone_from(&self.options.audience);
        config.require_exp = !self.options.allow_no_exp;
        Verifier::new(config).unwrap().verify(&self.token, self.now)
    }
}

/// What this crate may answer where Node answers `message`.
fn causes(name: &str, message: &str) -> &'static [VerifyError] {
    match message {
        // Node looks for `alg` in any JSON but null.
        "invalid algorithm" if name == "header an array" => &[VerifyError::Malformed],
        "jwt must be provided" => &[VerifyError::Missing],
        "jwt malformed" | "invalid token" => &[VerifyError::Malformed],
        "invalid algorithm" => &[VerifyError::Algorithm],
        // Node misses the signature before it looks at the algorithm.
        "jwt signature is required" => &[VerifyError::Signature, VerifyError::Algorithm],
        "invalid signature" => &[VerifyError::Signature],
        "invalid nbf value" => &[VerifyError::NbfInvalid],
        "jwt not active" => &[VerifyError::NotActive],
        "invalid exp value" => &[VerifyError::ExpInvalid],
        "jwt expired" => &[VerifyError::Expired],
        _ if message.starts_with("jwt audience invalid") => &[VerifyError::Audience],
        // A TypeError that escapes from Node's library for a payload of null.
        _ if message.starts_with("Cannot read properties of null") => &[VerifyError::Claims],
        // The errors of JSON.parse; Node parses the payload before it checks the size or signature.
        _ => &[VerifyError::Malformed, VerifyError::TooLarge],
    }
}

/// A claim that Node has as a number or boolean and that the payload has otherwise.
fn different_claim(node: &Value, ours: &Value) -> Option<String> {
    let node = node.as_object().unwrap();
    node.iter().find_map(|(name, value)| {
        let expected = match (name.as_str(), value) {
            // Infinity is printed as null. Both stand for the end of time.
            ("exp", Value::Null) => (1_u64 << 53) - 1,
            ("exp", Value::Number(exp)) => (exp.as_f64().unwrap().ceil() as u64).min((1 << 53) - 1),
            (_, Value::Number(number)) if number.is_u64() => number.as_u64().unwrap(),
            (_, Value::Bool(_)) | (_, Value::Array(_)) => {
                let same = ours[name] == *value || !is_of_its_type(name, value);
                return (!same).then(|| format!("{name}: {value} and {}", ours[name]));
            }
            _ => {
                let absent = matches!(ours[name], Value::Null | Value::Bool(false));
                return (!absent).then(|| format!("{name}: {value} and {}", ours[name]));
            }
        };
        (ours[name].as_u64() != Some(expected))
            .then(|| format!("{name}: {value} and {}", ours[name]))
    })
}

fn is_of_its_type(name: &str, value: &Value) -> bool {
    matches!(
        (name, value),
        ("es_nacional", Value::Bool(_)) | ("perfil_ids", Value::Array(_))
    )
}
