//! Which of the signed-in people should hear of a new ticket?
//!
//! Run with `cargo run -p hd-auth --example match_claims`.

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::time::Duration;

use hd_auth::{
    Algorithm, ClaimsFilter, JwtPayload, Secret, Signer, UserId, Verifier, VerifierConfig,
};

fn main() -> Result<(), Box<dyn Error>> {
    let secret = Secret::new("the JWT_SECRET of help-desk-back, byte for byte")?;
    let now = 1_700_000_000;
    let tokens = sign_in(&secret, now)?;

    // A ticket of department 7 in the regional office 5: for its agents and its supervisors.
    let audience = ClaimsFilter::new().dp_id(7).reg_id(5).rol_id(2).rol_id(3);

    let verifier = Verifier::new(VerifierConfig::new(secret))?;
    for token in tokens {
        let payload = verifier.verify(&token, now)?;
        let verdict = if audience.matches(&payload) {
            "hears of the ticket"
        } else {
            "does not"
        };
        println!("user {}: {verdict}", payload.usu_id);
    }
    Ok(())
}

/// An agent of the office, a supervisor with national scope, and an agent of another office.
fn sign_in(secret: &Secret, now: u64) -> Result<Vec<String>, Box<dyn Error>> {
    let signer = Signer::new(secret, Algorithm::HS256);
    [(1, 2, 5, false), (2, 3, 1, true), (3, 2, 9, false)]
        .into_iter()
        .map(|(usu_id, rol_id, reg_id, es_nacional)| {
            let payload = JwtPayload {
                rol_id: Some(rol_id),
                reg_id: Some(reg_id),
                dp_id: Some(7),
                es_nacional,
                ..JwtPayload::new(UserId::new(usu_id)?)
            };
            Ok(signer.sign(&payload, now, Duration::from_secs(24 * 60 * 60))?)
        })
        .collect()
}
