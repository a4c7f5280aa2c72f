//! Tokens made here, judged by Node's `jsonwebtoken` and compared with its own.

use std::time::Duration;

use hd_auth::{Algorithm, JwtPayload, Secret, SignError, Signer, UserId};
use serde_json::{Value, json};

use crate::node;

const NOW: u64 = 1_700_000_000;
const SECRET: &str = "a secret of the signer's tests";
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

fn payloads() -> Vec<JwtPayload> {
    let full = JwtPayload {
        usu_correo: Some("peña \"📬\"\n\u{7f}\u{1}</script>@example.com".into()),
        rol_id: Some(3),
        reg_id: Some(0),
        car_id: Some(-1),
        dp_id: Some(9_007_199_254_740_991),
        es_nacional: true,
        perfil_ids: Some(vec![1, 2]),
        iat: Some(5),
        exp: Some(6),
        ..JwtPayload::new(UserId::MAX)
    };
    let no_profiles = JwtPayload {
        perfil_ids: Some(Vec::new()),
        ..full.clone()
    };
    vec![JwtPayload::new(UserId::new(0).unwrap()), full, no_profiles]
}

fn sign(payload: &JwtPayload, algorithm: Algorithm) -> String {
    Signer::new(&Secret::new(SECRET).unwrap(), algorithm)
        .sign(payload, NOW, LIFE)
        .unwrap()
}

#[test]
fn node_accepts_the_tokens_until_they_expire() {
    let mut input = Vec::new();
    let mut expected = Vec::new();
    for payload in payloads() {
        for algorithm in Algorithm::ALL {
            let token = sign(&payload, algorithm);
            for (now, secret, verdict) in [
                (NOW, SECRET, "ok"),
                (NOW + LIFE.as_secs() - 1, SECRET, "ok"),
                (NOW + LIFE.as_secs(), SECRET, "jwt expired"),
                (NOW, "another secret", "invalid signature"),
            ] {
                input.push(json!({"token": token, "secret": secret, "now": now}));
                expected.push((verdict, payload.usu_id));
            }
        }
    }

    let verdicts = node::run("judge.mjs", &input);
    assert_eq!(verdicts.len(), expected.len());
    for (verdict, (expected, usu_id)) in verdicts.iter().zip(expected) {
        if expected == "ok" {
            assert_eq!(verdict["ok"], true, "{verdict}");
            assert_eq!(verdict["claims"]["usu_id"], usu_id.get());
            assert_eq!(verdict["claims"]["iat"], NOW);
            assert_eq!(verdict["claims"]["exp"], NOW + LIFE.as_secs());
        } else {
            assert_eq!(verdict["message"], expected, "{verdict}");
        }
    }
}

#[test]
fn the_tokens_are_nodes_byte_for_byte() {
    let mut input = Vec::new();
    let mut ours = Vec::new();
    for payload in payloads() {
        for algorithm in Algorithm::ALL {
            let claims = JwtPayload {
                iat: Some(NOW),
                exp: None,
                ..payload.clone()
            };
            // As text, because a `Value` would sort the claims by name.
            let claims = serde_json::to_string(&claims).unwrap();
            input.push(json!({
                "claims": claims,
                "secret": SECRET,
                "algorithm": algorithm.as_str(),
                "life": LIFE.as_secs(),
            }));
            ours.push(Value::from(sign(&payload, algorithm)));
        }
    }
    assert_eq!(node::run("mint.mjs", &input), ours);
}

#[test]
fn fractions_of_a_second_do_not_count() {
    let signer = Signer::new(&Secret::new(SECRET).unwrap(), Algorithm::HS256);
    let payload = JwtPayload::new(UserId::new(1).unwrap());
    assert_eq!(
        signer.sign(&payload, NOW, Duration::from_millis(1999)),
        signer.sign(&payload, NOW, Duration::from_secs(1)),
    );
}

#[test]
fn an_expiry_beyond_javascripts_integers_is_refused() {
    let signer = Signer::new(&Secret::new(SECRET).unwrap(), Algorithm::HS256);
    let payload = JwtPayload::new(UserId::new(1).unwrap());
    let last = UserId::MAX.get();
    assert!(
        signer
            .sign(&payload, last - 1, Duration::from_secs(1))
            .is_ok()
    );
    for (iat, life) in [(last, Duration::from_secs(1)), (1, Duration::MAX)] {
        assert_eq!(
            signer.sign(&payload, iat, life),
            Err(SignError::LifeTooLong)
        );
    }
}
