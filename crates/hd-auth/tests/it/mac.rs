use hd_auth::{Mac, Secret};

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

#[test]
fn is_hmac_sha_256_over_the_purpose_a_zero_and_the_message() {
    // printf 'purpose\0message' | openssl dgst -sha256 -hmac 'a secret of at least thirty-two bytes'
    let mac = Mac::new(&secret("a secret of at least thirty-two bytes"), "purpose");
    let code = mac.code(b"message");
    let hex: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "1ff3fc02ad1fd43e4614fdba06a7e8780ef259b04979d2058d6b43ca171846ae"
    );
}

#[test]
fn depends_on_secret_purpose_and_message() {
    let (a, b) = (
        secret("a secret of at least thirty-two bytes"),
        secret("b secret of at least thirty-two bytes"),
    );
    let code = Mac::new(&a, "purpose").code(b"message");
    assert_eq!(Mac::new(&a, "purpose").code(b"message"), code);
    assert_ne!(Mac::new(&b, "purpose").code(b"message"), code);
    assert_ne!(Mac::new(&a, "other").code(b"message"), code);
    assert_ne!(Mac::new(&a, "purpose").code(b"massage"), code);
    // The border between the two counts.
    assert_ne!(Mac::new(&a, "purpos").code(b"emessage"), code);
}
