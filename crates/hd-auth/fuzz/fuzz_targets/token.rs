//! A token of whatever bytes: without the secret none is accepted.

#![no_main]

use std::sync::LazyLock;

use hd_auth::{Secret, Verifier, VerifierConfig};
use libfuzzer_sys::fuzz_target;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let secret = Secret::new(*b"a secret that the fuzzer does not know").expect("a secret");
    let mut config = VerifierConfig::new(secret);
    config.require_exp = false;
    Verifier::new(config).expect("a verifier")
});

fuzz_target!(|token: &str| {
    assert!(VERIFIER.verify(token, 1_800_000_000).is_err());
});
