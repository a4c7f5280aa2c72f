//! Headers and claims of whatever JSON, under a good signature: the verdict is
//! never a panic, and what is accepted is in force.

#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hd_auth::{Secret, Verifier, VerifierConfig};
use jsonwebtoken::crypto::sign;
use jsonwebtoken::{Algorithm, EncodingKey};
use libfuzzer_sys::fuzz_target;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const NOW: u64 = 1_800_000_000;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let config = VerifierConfig::new(Secret::new(SECRET).expect("a secret"));
    Verifier::new(config).expect("a verifier")
});
static KEY: LazyLock<EncodingKey> = LazyLock::new(|| EncodingKey::from_secret(SECRET));

fuzz_target!(|input: (Option<&str>, &str)| {
    let (header, claims) = input;
    let header = header.unwrap_or(r#"{"alg":"HS256","typ":"JWT"}"#);
    let message = format!(
        "{}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(header),
        BASE64_URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = sign(message.as_bytes(), &KEY, Algorithm::HS256).expect("a signature");
    if let Ok(payload) = VERIFIER.verify(&format!("{message}.{signature}"), NOW) {
        assert!(payload.exp.is_some_and(|exp| exp > NOW));
        assert!(payload.usu_id.get() < 1 << 53);
    }
});
