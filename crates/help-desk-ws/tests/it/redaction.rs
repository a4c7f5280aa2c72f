//! Nothing that is secret reaches any output.

use crate::program::Program;

const SECRETS: [(&str, &str); 6] = [
    ("JWT_SECRET", "kJ3vHq8,LwZ2xT5,yR7nB4mC9sD1fG6"),
    ("JWT_SECRET_PREVIOUS", "Qx7pW2eK5jV8uM3tA6zY9oI4hN1bS0r"),
    ("EMIT_TOKEN", "Vb9gX4cZ7lP2qE5wJ8kT1nH6yU3mR0d"),
    ("EMIT_TOKEN_PREVIOUS", "Wm2sF5aO8iL1vD4rG7tB0xK3pN6jC9e"),
    ("METRICS_TOKEN", "Hd4kR8vY1xN6qT3mC9wA2sF7pL5zE0u"),
    ("ADMIN_TOKEN", "Ty6bG1hJ9kL4zX7cV2nM8qW5eR3uI0o"),
];

#[track_caller]
fn check(program: Program) {
    let run = program.run();
    for (name, secret) in SECRETS {
        // Any part of a secret, not only the whole.
        for part in secret.as_bytes().windows(8) {
            let part = str::from_utf8(part).unwrap();
            for output in [&run.stdout, &run.stderr] {
                assert!(!output.contains(part), "{part:?} of {name} in {run:?}");
            }
        }
    }
}

fn with_secrets(args: &[&str]) -> Program {
    SECRETS
        .iter()
        .fold(Program::new(args), |program, (name, secret)| {
            program.env(name, secret)
        })
}

#[test]
fn the_list_of_settings_shows_lengths_only() {
    check(with_secrets(&["serve", "--check"]));
    let run = with_secrets(&["serve", "--check"]).run();
    assert_eq!(run.setting("JWT_SECRET").0, "set (31 bytes)");
}

#[test]
fn problems_show_no_secret() {
    let unusable: Vec<_> = SECRETS
        .iter()
        .map(|(name, secret)| (*name, format!("-----BEGIN ñ {secret}")))
        .collect();
    let program = Program::new(&["serve", "--check", "--port", "x"]);
    let program = unusable
        .iter()
        .fold(program, |program, (name, secret)| program.env(name, secret));
    check(program);
}

#[test]
fn lines_of_dotenv_are_not_shown() {
    for (name, secret) in SECRETS {
        for line in [
            format!("{name} {secret}"),
            format!("{name}='{secret}"),
            format!("{name}={secret}#{secret}"),
            format!("{name}='{secret}' {secret}"),
            format!("{secret} ñ=x"),
        ] {
            let program = Program::new(&["serve", "--check"]).file(".env", &line);
            check(program);
            let run = Program::new(&["serve", "--check"])
                .file(".env", &line)
                .run();
            run.check_code(64).check_stderr(".env, line 1: ");
        }
    }
}

#[test]
fn secrets_typed_as_flags_are_refused_and_not_shown() {
    for (name, secret) in SECRETS {
        let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
        let joined = format!("{flag}={secret}");
        for args in [
            &["serve", &joined][..],
            &["serve", &flag, secret],
            &[&joined],
        ] {
            check(Program::new(args));
            Program::new(args)
                .run()
                .check_code(64)
                .check_stderr(&format!("set {name} in the environment or in .env"));
        }
    }
}

#[test]
fn made_up_secrets_are_not_shown() {
    // They differ from run to run, so an output that does not differ shows nothing of them.
    let first = Program::new(&["serve", "--check"]).run();
    let second = Program::new(&["serve", "--check"]).run();
    assert_eq!(first.stdout, second.stdout);
}
