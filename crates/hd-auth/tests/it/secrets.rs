//! What operators are told about a secret.

use hd_auth::{MIN_SECRET_BYTES, Secret, SecretError};

#[test]
fn the_back_ends_defaults_are_known() {
    for (text, known) in [
        ("default-secret-change-me", true),
        ("default-secret", true),
        ("default-secret ", false),
        ("Default-Secret", false),
        ("another", false),
    ] {
        assert_eq!(
            Secret::new(text).unwrap().is_known_default(),
            known,
            "{text:?}"
        );
    }
}

#[test]
fn a_short_secret_is_named_but_not_refused() {
    assert_eq!(MIN_SECRET_BYTES, 32);
    assert!(Secret::new("s".repeat(31)).unwrap().is_short());
    assert!(!Secret::new("s".repeat(32)).unwrap().is_short());
}

#[test]
fn an_empty_secret_is_refused() {
    assert_eq!(Secret::new("").unwrap_err(), SecretError::Empty);
}
