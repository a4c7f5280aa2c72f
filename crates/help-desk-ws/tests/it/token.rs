//! `help-desk-ws token`.

use std::time::{SystemTime, UNIX_EPOCH};

use hd_auth::{JwtPayload, Secret, Verifier, VerifierConfig};

use crate::program::{GOOD_SECRET, Program, Run};

/// The claims of the token that was printed, checked with `secret`.
#[track_caller]
fn payload(run: &Run, secret: &str) -> JwtPayload {
    run.check_code(0);
    assert_eq!(run.stderr, "");
    let token = run.stdout.strip_suffix('\n').unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    Verifier::new(VerifierConfig::new(Secret::new(secret).unwrap()))
        .unwrap()
        .verify(token, now)
        .unwrap()
}

#[test]
fn the_token_is_all_that_is_printed_and_lives_for_a_day() {
    let run = Program::new(&["token", "--user", "42"])
        .env("JWT_SECRET", GOOD_SECRET)
        .run();
    let payload = payload(&run, GOOD_SECRET);
    assert_eq!(payload.usu_id.get(), 42);
    assert_eq!(payload.exp.unwrap() - payload.iat.unwrap(), 24 * 60 * 60);
    assert_eq!(payload.perfil_ids, None);
    assert!(!payload.es_nacional);
}

#[test]
fn every_claim_has_a_flag() {
    let run = Program::new(&[
        "token",
        "--user=42",
        "--email=a@b.example",
        "--role=1",
        "--region=2",
        "--position=3",
        "--department=4",
        "--national",
        "--profile=5",
        "--profile=6",
        "--expires-in=15m",
    ])
    .env("JWT_SECRET", GOOD_SECRET)
    .run();
    let payload = payload(&run, GOOD_SECRET);
    assert_eq!(payload.usu_correo.as_deref(), Some("a@b.example"));
    assert_eq!(payload.rol_id, Some(1));
    assert_eq!(payload.reg_id, Some(2));
    assert_eq!(payload.car_id, Some(3));
    assert_eq!(payload.dp_id, Some(4));
    assert!(payload.es_nacional);
    assert_eq!(payload.perfil_ids, Some(vec![5, 6]));
    assert_eq!(payload.exp.unwrap() - payload.iat.unwrap(), 15 * 60);
}

#[test]
fn the_secret_of_dotenv_is_the_one_that_node_reads() {
    let secret = "pa$$word-with-${dollars}-and-\\n-in-it";
    let run = Program::new(&["token", "--user=42"])
        .file(".env", format!("JWT_SECRET={secret}\nJWT_EXPIRES_IN=7d\n"))
        .run();
    let payload = payload(&run, secret);
    assert_eq!(
        payload.exp.unwrap() - payload.iat.unwrap(),
        7 * 24 * 60 * 60
    );
}

#[test]
fn what_cannot_be_signed_is_refused() {
    let token =
        |args: &[&str]| Program::new(&[&["token"], args].concat()).env("JWT_SECRET", GOOD_SECRET);
    for user in ["-1", "1.5", "x", "9007199254740992", ""] {
        let run = token(&["--user", user]).run();
        run.check_code(64);
        assert_eq!(run.stdout, "");
    }
    token(&["--user=9007199254740991"]).run().check_code(0);
    token(&[]).run().check_code(64).check_stderr("--user");
    token(&["--user=1", "--expires-in=3600"])
        .run()
        .check_code(64)
        .check_stderr("JWT_EXPIRES_IN=3600 (flag) has no unit");
    Program::new(&["token", "--user=1"])
        .run()
        .check_code(64)
        .check_stderr("JWT_SECRET (not set) is needed to sign a token");
}

#[test]
fn production_needs_force() {
    Program::new(&["token", "--user=1"])
        .production()
        .run()
        .check_code(64)
        .check_stderr("add --force");
    let run = Program::new(&["token", "--user=1", "--force"])
        .production()
        .run();
    assert_eq!(payload(&run, GOOD_SECRET).usu_id.get(), 1);
}
