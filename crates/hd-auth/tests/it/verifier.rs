//! Settings, rotation and bounds of the verifier.

use std::time::Duration;

use hd_auth::{
    Algorithm, DEFAULT_MAX_TOKEN_BYTES, JwtPayload, Secret, Signer, UserId, Verifier,
    VerifierConfig, VerifierConfigError, VerifyError,
};
use proptest::prelude::*;

const NOW: u64 = 1_700_000_000;

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn token_by(text: &str) -> String {
    Signer::new(&secret(text), Algorithm::HS256)
        .sign(
            &JwtPayload::new(UserId::new(42).unwrap()),
            NOW,
            Duration::from_secs(60),
        )
        .unwrap()
}

fn verifier(config: VerifierConfig) -> Verifier {
    Verifier::new(config).unwrap()
}

#[test]
fn previous_secrets_are_accepted_until_they_are_removed() {
    let rotating = verifier(VerifierConfig {
        previous_secrets: vec![secret("older"), secret("oldest")],
        ..VerifierConfig::new(secret("new"))
    });
    for signed_with in ["new", "older", "oldest"] {
        let payload = rotating.verify(&token_by(signed_with), NOW).unwrap();
        assert_eq!(payload.usu_id.get(), 42, "{signed_with}");
        assert_eq!(payload.exp, Some(NOW + 60), "{signed_with}");
    }
    assert_eq!(
        rotating.verify(&token_by("stranger"), NOW),
        Err(VerifyError::Signature)
    );

    let rotated = verifier(VerifierConfig::new(secret("new")));
    assert_eq!(
        rotated.verify(&token_by("older"), NOW),
        Err(VerifyError::Signature)
    );
}

#[test]
fn a_previous_secret_does_not_revive_an_expired_token() {
    let rotating = verifier(VerifierConfig {
        previous_secrets: vec![secret("old")],
        ..VerifierConfig::new(secret("new"))
    });
    for signed_with in ["new", "old"] {
        let token = token_by(signed_with);
        assert!(rotating.verify(&token, NOW + 59).is_ok());
        assert_eq!(rotating.verify(&token, NOW + 60), Err(VerifyError::Expired));
    }
}

#[test]
fn the_size_bound_is_a_setting() {
    let token = token_by("s");
    let with_bound = |max_token_bytes| {
        verifier(VerifierConfig {
            max_token_bytes,
            ..VerifierConfig::new(secret("s"))
        })
        .verify(&token, NOW)
    };
    assert!(with_bound(token.len()).is_ok());
    assert_eq!(with_bound(token.len() - 1), Err(VerifyError::TooLarge));
    assert_eq!(DEFAULT_MAX_TOKEN_BYTES, 8192);
    assert_eq!(
        VerifierConfig::new(secret("s")).max_token_bytes,
        DEFAULT_MAX_TOKEN_BYTES
    );
}

#[test]
fn a_verifier_without_algorithms_is_refused() {
    let config = VerifierConfig {
        algorithms: Vec::new(),
        ..VerifierConfig::new(secret("s"))
    };
    assert_eq!(
        Verifier::new(config).unwrap_err(),
        VerifierConfigError::NoAlgorithm
    );
}

#[test]
fn reasons_are_distinct_and_stable() {
    let reasons = VerifyError::ALL.map(VerifyError::reason);
    assert_eq!(
        reasons,
        [
            "token_missing",
            "token_too_large",
            "token_malformed",
            "token_algorithm",
            "token_critical",
            "token_signature",
            "token_claims",
            "token_nbf_invalid",
            "token_not_active",
            "token_exp_missing",
            "token_exp_invalid",
            "token_expired",
            "token_audience",
            "token_user_id",
        ]
    );
}

#[test]
fn nothing_secret_is_printed() {
    let verifier = verifier(VerifierConfig {
        previous_secrets: vec![secret("hush-previous")],
        ..VerifierConfig::new(secret("hush-current"))
    });
    let signer = Signer::new(&secret("hush-signer"), Algorithm::HS256);
    let config = VerifierConfig::new(secret("hush-config"));
    for text in [
        format!("{verifier:?}"),
        format!("{signer:?}"),
        format!("{config:?}"),
        format!("{:?}", secret("hush")),
    ] {
        assert!(!text.contains("hush"), "{text}");
        assert!(!text.contains("104, 117, 115, 104"), "{text}"); // "hush" as bytes
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_without_panic(token in "\\PC*") {
        let verifier = verifier(VerifierConfig::new(secret("s")));
        prop_assert!(verifier.verify(&token, NOW).is_err());
    }

    #[test]
    fn any_three_parts_are_refused_without_panic(
        token in "(eyJhbGciOiJIUzI1NiJ9|[A-Za-z0-9_-]{0,40})\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,50}",
        now in any::<u64>(),
    ) {
        let verifier = verifier(VerifierConfig::new(secret("s")));
        prop_assert!(verifier.verify(&token, now).is_err());
    }

    #[test]
    fn a_token_with_any_byte_changed_is_refused(index in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f) {
        let mut token = token_by("s").into_bytes();
        let index = index.index(token.len());
        prop_assume!(token[index] != byte);
        token[index] = byte;
        let token = String::from_utf8(token).unwrap();
        let verifier = verifier(VerifierConfig::new(secret("s")));
        prop_assert!(verifier.verify(&token, NOW).is_err());
    }

    #[test]
    fn what_is_signed_is_verified(
        id in 0..=UserId::MAX.get(),
        correo in proptest::option::of(any::<String>()),
        rol_id in proptest::option::of(-9_007_199_254_740_991_i64..=9_007_199_254_740_991),
        es_nacional in any::<bool>(),
        perfil_ids in proptest::option::of(proptest::collection::vec(0_i64..1000, 0..5)),
        life in 1_u64..1_000_000,
    ) {
        let payload = JwtPayload {
            usu_correo: correo,
            rol_id,
            es_nacional,
            perfil_ids,
            ..JwtPayload::new(UserId::new(id).unwrap())
        };
        for algorithm in Algorithm::ALL {
            let token = Signer::new(&secret("s"), algorithm)
                .sign(&payload, NOW, Duration::from_secs(life))
                .unwrap();
            let expected = JwtPayload { iat: Some(NOW), exp: Some(NOW + life), ..payload.clone() };
            let verifier = verifier(VerifierConfig::new(secret("s")));
            prop_assert_eq!(verifier.verify(&token, NOW + life - 1), Ok(expected));
            prop_assert_eq!(verifier.verify(&token, NOW + life), Err(VerifyError::Expired));
        }
    }
}
