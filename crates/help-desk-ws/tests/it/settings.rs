//! Settings: each variable, each refusal, and which source wins.

use crate::program::{GOOD_SECRET, GOOD_TOKEN, Program, check_settings};

#[test]
fn every_variable_has_its_default() {
    let run = check_settings(&[]);
    for (name, value) in [
        ("NODE_ENV", "development"),
        ("HOST", "0.0.0.0"),
        ("PORT", "3001"),
        ("JWT_SECRET_PREVIOUS", "not set"),
        ("JWT_REQUIRE_EXP", "true"),
        ("JWT_EXPIRES_IN", "24h"),
        ("AUTH_FAILURE", "connect_error"),
        ("PARSER", "default"),
        ("CORS_ORIGIN", "*"),
        ("ALLOW_NO_ORIGIN", "true"),
        ("ALLOW_EIO3", "false"),
        ("TRUSTED_PROXIES", "not set"),
        ("EMIT_AUTH", "token"),
        ("EMIT_TOKEN_PREVIOUS", "not set"),
        ("BROADCAST_TOKEN", "not set"),
        ("BROADCAST_TOKEN_PREVIOUS", "not set"),
        ("PRESENCE_TOKEN", "not set"),
        ("PRESENCE_TOKEN_PREVIOUS", "not set"),
        ("IDEMPOTENCY_TTL", "24h"),
        ("IDEMPOTENCY_MAX_IDS", "100000"),
        ("REDIS_UNSIGNED_RECORDS", "reject"),
        ("REPLAY_STREAM_EVENTS", "100000"),
        ("REPLAY_STREAM_BYTES", "268435456"),
        ("EMIT_WITHOUT_REDIS", "refuse"),
        ("NODE_NAME", "not set"),
        ("PING_INTERVAL", "25s"),
        ("PING_TIMEOUT", "20s"),
        ("CONNECT_TIMEOUT", "10s"),
        ("UPGRADE_TIMEOUT", "10s"),
        ("HEADER_TIMEOUT", "10s"),
        ("HTTP_WRITE_TIMEOUT", "10s"),
        ("MAX_REQUESTS_PER_CONNECTION", "1000"),
        ("KEEP_ALIVE_TIMEOUT", "75s"),
        ("SHUTDOWN_TIMEOUT", "8s"),
        ("DRAIN_WINDOW", "60s"),
        ("DRAIN_RATE", "200"),
        ("MAX_CONNECTION_AGE", "off"),
        ("MAX_CONNECTIONS_PER_ADDRESS", "200"),
        ("MAX_HANDSHAKES_PER_CONNECTION", "20"),
        ("MAX_HANDSHAKES_PER_ADDRESS", "20"),
        ("MAX_AUTH_FAILURES_PER_ADDRESS", "5"),
        ("MAX_UNJOINED_MESSAGE_BYTES", "16384"),
        ("MAX_MESSAGE_BYTES", "65536"),
        ("MAX_UNJOINED_PACKETS", "100"),
        ("MAX_PARTIAL_INPUT_BYTES", "67108864"),
        ("MAX_PAYLOAD", "1000000"),
        ("SEND_QUEUE_BYTES", "1048576"),
        ("MAX_SEND_QUEUE_TOTAL_BYTES", "268435456"),
        ("MAX_MESSAGES_PER_SECOND", "50"),
        ("MAX_INBOUND_BYTES_PER_SECOND", "65536"),
        ("MAX_CONNECTIONS_PER_USER", "50"),
        ("MAX_EMITS_PER_SECOND", "10000"),
        ("MAX_EMIT_BYTES_PER_SECOND", "67108864"),
        ("MAX_RECIPIENTS_PER_SECOND", "1000000"),
        ("MAX_CONCURRENT_EMITS", "1024"),
        ("LOG_FORMAT", "text"),
        ("LOG_LEVEL", "info"),
        ("METRICS_TOKEN", "not set"),
        ("ADMIN_TOKEN", "not set"),
    ] {
        assert_eq!(run.setting(name), (value.to_owned(), "default".to_owned()));
    }
    let connections: usize = run.setting("MAX_CONNECTIONS").0.parse().unwrap();
    assert!(connections >= 1);
    let sockets: usize = run.setting("MAX_SOCKETS").0.parse().unwrap();
    assert!(sockets >= connections);
    let workers: usize = run.setting("WORKERS").0.parse().unwrap();
    assert!(workers >= 1);
    for name in ["JWT_SECRET", "EMIT_TOKEN"] {
        let made_up = "set for this run (64 bytes)".to_owned();
        assert_eq!(run.setting(name), (made_up, "generated".to_owned()));
    }
}

#[test]
fn nodes_servers_are_met_on_a_redis_only() {
    let url = ("REDIS_URL", "redis://127.0.0.1:1");
    let run = check_settings(&[url]);
    let off = ("off".to_owned(), "default".to_owned());
    assert_eq!(run.setting("REDIS_PUBSUB"), off);
    let prefix = ("socket.io".to_owned(), "default".to_owned());
    assert_eq!(run.setting("REDIS_PUBSUB_PREFIX"), prefix);
    for how in ["classic", "sharded", "auto", "off"] {
        let run = check_settings(&[url, ("REDIS_PUBSUB", how)]);
        let expected = (how.to_owned(), "environment".to_owned());
        assert_eq!(run.setting("REDIS_PUBSUB"), expected);
    }
    for (settings, name) in [
        (&[("REDIS_PUBSUB", "auto")][..], "REDIS_PUBSUB"),
        (&[url, ("REDIS_PUBSUB", "on")], "REDIS_PUBSUB"),
        (
            &[url, ("REDIS_PUBSUB_PREFIX", "a#b")],
            "REDIS_PUBSUB_PREFIX",
        ),
    ] {
        let run = check_settings(settings);
        run.check_code(64);
        assert!(run.stderr.contains(name), "{}", run.stderr);
    }
}

/// A value other than the default for each variable that is not a secret.
const OTHERS: [(&str, &str); 55] = [
    ("NODE_ENV", "production"),
    ("HOST", "::1"),
    ("PORT", "0"),
    ("WORKERS", "7"),
    ("JWT_REQUIRE_EXP", "false"),
    ("JWT_EXPIRES_IN", "7d"),
    ("AUTH_FAILURE", "legacy"),
    ("PARSER", "msgpack"),
    ("CORS_ORIGIN", "https://a.example,http://b.example:8080"),
    ("ALLOW_NO_ORIGIN", "false"),
    ("ALLOW_EIO3", "true"),
    ("TRUSTED_PROXIES", "10.0.0.0/16,::1"),
    ("EMIT_AUTH", "open"),
    ("IDEMPOTENCY_TTL", "10m"),
    ("IDEMPOTENCY_MAX_IDS", "1000"),
    ("REDIS_UNSIGNED_RECORDS", "accept"),
    ("REPLAY_STREAM_EVENTS", "5000"),
    ("REPLAY_STREAM_BYTES", "1048576"),
    ("EMIT_WITHOUT_REDIS", "accept-local"),
    ("NODE_NAME", "ws.1"),
    ("PING_INTERVAL", "300ms"),
    ("PING_TIMEOUT", "200ms"),
    ("CONNECT_TIMEOUT", "1s"),
    ("UPGRADE_TIMEOUT", "2m"),
    ("HEADER_TIMEOUT", "5s"),
    ("HTTP_WRITE_TIMEOUT", "20s"),
    ("MAX_REQUESTS_PER_CONNECTION", "100"),
    ("KEEP_ALIVE_TIMEOUT", "2m"),
    ("SHUTDOWN_TIMEOUT", "25s"),
    ("DRAIN_WINDOW", "0s"),
    ("DRAIN_RATE", "5000"),
    ("MAX_CONNECTION_AGE", "12h"),
    ("MAX_CONNECTIONS", "10"),
    ("MAX_UNJOINED_CONNECTIONS", "5"),
    ("MAX_CONNECTIONS_PER_ADDRESS", "1000000"),
    ("MAX_HANDSHAKES_PER_CONNECTION", "1"),
    ("MAX_HANDSHAKES_PER_ADDRESS", "1000000"),
    ("MAX_AUTH_FAILURES_PER_ADDRESS", "1000000"),
    ("MAX_UNJOINED_MESSAGE_BYTES", "1024"),
    ("MAX_MESSAGE_BYTES", "100000000"),
    ("MAX_UNJOINED_PACKETS", "1000000"),
    ("MAX_PARTIAL_INPUT_BYTES", "1048576"),
    ("MAX_SOCKETS", "20"),
    ("MAX_PAYLOAD", "100000000"),
    ("SEND_QUEUE_BYTES", "270000"),
    ("MAX_SEND_QUEUE_TOTAL_BYTES", "300000"),
    ("MAX_MESSAGES_PER_SECOND", "5"),
    ("MAX_INBOUND_BYTES_PER_SECOND", "1000"),
    ("MAX_CONNECTIONS_PER_USER", "1"),
    ("MAX_EMITS_PER_SECOND", "1"),
    ("MAX_EMIT_BYTES_PER_SECOND", "1000"),
    ("MAX_RECIPIENTS_PER_SECOND", "1"),
    ("MAX_CONCURRENT_EMITS", "1"),
    ("LOG_FORMAT", "json"),
    ("LOG_LEVEL", "debug"),
];

#[test]
fn every_variable_is_taken_from_every_source() {
    let secret = ("JWT_SECRET", GOOD_SECRET);
    let flags: Vec<String> = OTHERS
        .iter()
        .flat_map(|(name, value)| [flag(name), (*value).to_owned()])
        .collect();
    let mut args = vec!["serve", "--check"];
    args.extend(flags.iter().map(String::as_str));
    let lines: String = OTHERS
        .iter()
        .chain([&secret])
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();

    let by_flag = Program::new(&args).env(secret.0, secret.1).run();
    let by_environment = check_settings(&[&OTHERS[..], &[secret]].concat());
    let by_dotenv = Program::new(&["--check"]).file(".env", lines).run();
    for (run, source) in [
        (by_flag, "flag"),
        (by_environment, "environment"),
        (by_dotenv, ".env"),
    ] {
        for (name, value) in OTHERS {
            assert_eq!(run.setting(name), (value.to_owned(), source.to_owned()));
        }
    }
}

fn flag(name: &str) -> String {
    format!("--{}", name.to_lowercase().replace('_', "-"))
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_dotenv() {
    let program = |args: &[&str]| {
        let args = [&["serve", "--check"], args].concat();
        Program::new(&args).file(".env", "PORT=1003\nHOST=10.0.0.3\nWORKERS=3")
    };
    let run = program(&["--port", "1001"])
        .env("PORT", "1002")
        .env("HOST", "10.0.0.2")
        .run();
    assert_eq!(run.setting("PORT"), ("1001".into(), "flag".into()));
    assert_eq!(
        run.setting("HOST"),
        ("10.0.0.2".into(), "environment".into())
    );
    assert_eq!(run.setting("WORKERS"), ("3".into(), ".env".into()));
}

#[test]
fn an_empty_value_counts_as_none() {
    let run = Program::new(&["serve", "--check", "--port", ""])
        .env("PORT", "")
        .env("HOST", " ")
        .env("JWT_SECRET", "")
        .file(".env", "PORT=1003\nEMIT_TOKEN=\n")
        .run();
    assert_eq!(run.setting("PORT"), ("1003".into(), ".env".into()));
    assert_eq!(run.setting("HOST"), ("0.0.0.0".into(), "default".into()));
    assert_eq!(run.setting("JWT_SECRET").1, "generated");
    assert_eq!(run.setting("EMIT_TOKEN").1, "generated");
}

#[test]
fn every_bad_value_names_itself_and_the_fix() {
    const TEN_MINUTES: &str = "use a time from 10ms to 10m";
    for (name, value, fix) in [
        ("NODE_ENV", "prod", "use one of: development, production"),
        ("HOST", "localhost", "127.0.0.1 for this machine only"),
        ("HOST", "[::]", "names and brackets are not taken"),
        ("PORT", "65536", "use a whole number from 0 to 65535"),
        ("PORT", "-1", "use a whole number from 0 to 65535"),
        ("PORT", "3001x", "use a whole number from 0 to 65535"),
        ("WORKERS", "0", "use a whole number from 1 to 1024"),
        ("WORKERS", "1025", "use a whole number from 1 to 1024"),
        ("JWT_REQUIRE_EXP", "yes", "use one of: true, false"),
        (
            "JWT_EXPIRES_IN",
            "3600",
            "write 3600s for seconds or 3600ms for milliseconds",
        ),
        ("JWT_EXPIRES_IN", "0s", "use a time from 1s to"),
        ("JWT_EXPIRES_IN", "1500ms", "leave the milliseconds out"),
        ("JWT_EXPIRES_IN", "100years", "use a time from 1s to 366d"),
        (
            "JWT_EXPIRES_IN",
            "tomorrow",
            "write it as 300ms, 25s, 10m, 24h or 7d",
        ),
        ("AUTH_FAILURE", "none", "use one of: connect_error, legacy"),
        ("PARSER", "json", "use one of: default, msgpack"),
        (
            "CORS_ORIGIN",
            "https://a.example/",
            "write https://a.example",
        ),
        ("CORS_ORIGIN", "null", "leave it out"),
        ("ALLOW_NO_ORIGIN", "1", "use one of: true, false"),
        ("ALLOW_EIO3", "yes", "use one of: true, false"),
        (
            "TRUSTED_PROXIES",
            "10.0.0.1/16",
            "each with its first address",
        ),
        ("EMIT_AUTH", "none", "use one of: token, open"),
        ("IDEMPOTENCY_TTL", "0s", "use a time from 1s to 30d"),
        (
            "IDEMPOTENCY_MAX_IDS",
            "0",
            "use a whole number from 1 to 10000000",
        ),
        (
            "REDIS_UNSIGNED_RECORDS",
            "yes",
            "use one of: reject, accept",
        ),
        (
            "EMIT_WITHOUT_REDIS",
            "accept",
            "use one of: refuse, accept-local",
        ),
        ("NODE_NAME", "two words", "use 1 to 64 letters, digits"),
        (
            "NODE_NAME",
            "01234567890123456789012345678901234567890123456789012345678901234",
            "use 1 to 64 letters, digits",
        ),
        ("PING_INTERVAL", "0s", "use a time from 10ms to 1h"),
        ("PING_INTERVAL", "1us", "use a time from 10ms to 1h"),
        ("PING_INTERVAL", "2h", "use a time from 10ms to 1h"),
        ("PING_TIMEOUT", "0ms", "use a time from 10ms to 1h"),
        ("CONNECT_TIMEOUT", "11m", TEN_MINUTES),
        ("UPGRADE_TIMEOUT", "1ms", TEN_MINUTES),
        ("HEADER_TIMEOUT", "-1s", TEN_MINUTES),
        ("HTTP_WRITE_TIMEOUT", "11m", TEN_MINUTES),
        ("KEEP_ALIVE_TIMEOUT", "0s", TEN_MINUTES),
        (
            "MAX_REQUESTS_PER_CONNECTION",
            "0",
            "use a whole number from 1 to 4294967295",
        ),
        ("SHUTDOWN_TIMEOUT", "3m", "use a time from 10ms to 2m"),
        ("DRAIN_WINDOW", "61m", "use a time from 0ms to 1h"),
        ("DRAIN_RATE", "0", "use a whole number from 1 to 100000"),
        (
            "MAX_CONNECTION_AGE",
            "8d",
            "use a time from 10ms to 7d, or off",
        ),
        ("MAX_CONNECTIONS", "0", "use a whole number from 1 to"),
        ("MAX_SOCKETS", "0", "use a whole number from 1 to"),
        (
            "MAX_PAYLOAD",
            "1e6",
            "use a whole number from 16384 to 100000000",
        ),
        (
            "MAX_PAYLOAD",
            "16383",
            "use a whole number from 16384 to 100000000",
        ),
        (
            "SEND_QUEUE_BYTES",
            "262144",
            "use a whole number from 266240 to 100000000",
        ),
        ("SEND_QUEUE_BYTES", "99999999999999999999", "to 100000000"),
        (
            "MAX_SEND_QUEUE_TOTAL_BYTES",
            "1000000",
            "raise it, or lower SEND_QUEUE_BYTES",
        ),
        (
            "MAX_MESSAGES_PER_SECOND",
            "0",
            "use a whole number from 1 to 1000000000",
        ),
        (
            "MAX_INBOUND_BYTES_PER_SECOND",
            "64k",
            "use a whole number from 1 to 1000000000",
        ),
        (
            "MAX_CONNECTIONS_PER_USER",
            "0",
            "use a whole number from 1 to 10000",
        ),
        (
            "MAX_EMITS_PER_SECOND",
            "0",
            "use a whole number from 1 to 1000000000",
        ),
        (
            "MAX_CONCURRENT_EMITS",
            "0",
            "use a whole number from 1 to 1000000",
        ),
        ("LOG_FORMAT", "pretty", "use one of: text, json"),
        (
            "LOG_LEVEL",
            "INFO",
            "use one of: off, error, warn, info, debug, trace",
        ),
    ] {
        let run = check_settings(&[(name, value)]);
        run.check_code(64)
            .check_stderr(&format!("{name}={value} (environment) "))
            .check_stderr("    fix: ")
            .check_stderr(fix);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn more_connections_than_files_are_warned_of() {
    let room = check_settings(&[]).setting("MAX_CONNECTIONS").0;
    let is_warned = |connections: &str| {
        let run = check_settings(&[("MAX_CONNECTIONS", connections)]);
        run.check_code(0).stderr.contains("MAX_CONNECTIONS is more")
    };
    assert!(!is_warned(&room));
    assert!(is_warned(&i32::MAX.to_string()));
}

#[test]
fn strangers_get_a_tenth_of_the_places_and_a_thousand_where_there_are_so_many() {
    for (connections, unjoined) in [("10", "10"), ("5000", "1000"), ("50000", "5000")] {
        let run = check_settings(&[("MAX_CONNECTIONS", connections)]);
        let expected = (unjoined.to_owned(), "default".to_owned());
        assert_eq!(run.setting("MAX_UNJOINED_CONNECTIONS"), expected);
    }
    let more = [
        ("MAX_CONNECTIONS", "10"),
        ("MAX_UNJOINED_CONNECTIONS", "11"),
    ];
    check_settings(&more)
        .check_code(64)
        .check_stderr("use a whole number from 1 to 10");
}

#[test]
fn every_problem_is_reported_at_once() {
    let run = Program::new(&["serve", "--check", "--port", "x"])
        .env("PING_INTERVAL", "25")
        .file(".env", "WORKERS=0\nhello\nLOG_FORMAT='text\n")
        .run();
    run.check_code(64)
        .check_stderr("5 settings cannot be used:")
        .check_stderr(".env, line 2: has no `=`")
        .check_stderr(".env, line 3: opens a quote that is never closed")
        .check_stderr("PORT=x (flag) ")
        .check_stderr("PING_INTERVAL=25 (environment) ")
        .check_stderr("WORKERS=0 (.env) ");
}

#[test]
fn a_dotenv_that_cannot_be_read_is_a_problem() {
    Program::new(&["--check"])
        .file(".env", b"A=\xff")
        .run()
        .check_code(64)
        .check_stderr(".env is not UTF-8");

    let program = Program::new(&["--check"]);
    std::fs::create_dir(program.directory().join(".env")).unwrap();
    program
        .run()
        .check_code(64)
        .check_stderr(".env cannot be read: ");
}

#[test]
fn values_are_shown_on_one_line() {
    check_settings(&[("LOG_FORMAT", "a\nb\u{1b}[31m")])
        .check_code(64)
        .check_stderr(r"LOG_FORMAT=a\nb\u{1b}[31m (environment)");
    let run = check_settings(&[("LOG_FORMAT", &"x".repeat(10_000))]);
    run.check_code(64);
    assert!(run.stderr.len() < 1000, "{run:?}");
}

#[test]
fn production_with_every_setting_starts_without_warnings() {
    let run = Program::new(&["--check"]).production().run();
    run.check_code(0);
    assert_eq!(run.stderr, "");
}

#[test]
fn production_refuses_what_is_missing() {
    for (name, fix) in [
        (
            "JWT_SECRET",
            "set it to the secret that help-desk-back signs with",
        ),
        ("CORS_ORIGIN", "set it to the front end's origin"),
    ] {
        let run = Program::new(&["--check"]).production().env(name, "").run();
        run.check_code(64)
            .check_stderr("a setting cannot be used:")
            .check_stderr(&format!("{name} (not set) is needed in production"))
            .check_stderr(fix);
    }
}

#[test]
fn sizes_that_contradict_each_other_are_warned_of() {
    check_settings(&[
        ("MAX_PAYLOAD", "100000"),
        ("MAX_MESSAGE_BYTES", "200000"),
        ("MAX_UNJOINED_MESSAGE_BYTES", "300000"),
    ])
    .check_code(0)
    .check_stderr("warning: MAX_MESSAGE_BYTES is larger than MAX_PAYLOAD")
    .check_stderr("warning: MAX_UNJOINED_MESSAGE_BYTES is larger than MAX_MESSAGE_BYTES");
}

#[test]
fn production_takes_open_doors_that_are_stated_and_warns() {
    let run = Program::new(&["--check"])
        .production()
        .env("CORS_ORIGIN", "*")
        .env("EMIT_TOKEN", "")
        .env("EMIT_AUTH", "open")
        .run();
    run.check_code(0)
        .check_stderr("warning: CORS_ORIGIN is *")
        .check_stderr("warning: EMIT_AUTH is open");
}

#[test]
fn development_warns_about_what_production_refuses() {
    check_settings(&[])
        .check_code(0)
        .check_stderr("warning: JWT_SECRET is not set")
        .check_stderr("warning: EMIT_TOKEN is not set")
        .check_stderr("warning: CORS_ORIGIN is *");
}

#[test]
fn default_secrets_of_the_back_end_are_refused_in_production() {
    for secret in ["default-secret", "default-secret-change-me"] {
        for name in ["JWT_SECRET", "JWT_SECRET_PREVIOUS"] {
            Program::new(&["--check"])
                .production()
                .env(name, secret)
                .run()
                .check_code(64)
                .check_stderr(&format!(
                    "{name} (environment) is the default of help-desk-back"
                ));
        }
        check_settings(&[("JWT_SECRET", secret)])
            .check_code(0)
            .check_stderr("warning: JWT_SECRET is the default of help-desk-back");
    }
}

const TOKENS: [&str; 5] = [
    "EMIT_TOKEN",
    "BROADCAST_TOKEN",
    "PRESENCE_TOKEN",
    "METRICS_TOKEN",
    "ADMIN_TOKEN",
];

#[test]
fn a_secret_that_can_be_guessed_is_refused_in_production() {
    for name in ["JWT_SECRET", "JWT_SECRET_PREVIOUS"] {
        let with = |secret: &str| {
            let program = Program::new(&["--check"]).production();
            program.env(name, secret).run()
        };
        with("fifteen bytes..")
            .check_code(64)
            .check_stderr(&format!("{name} (environment) is shorter than 16 bytes"));
        with("sixteen bytes...")
            .check_code(0)
            .check_stderr(&format!("warning: {name} is shorter than the 32 bytes"));
    }
}

#[test]
fn weak_secrets_are_warned_about() {
    check_settings(&[("JWT_SECRET", "sixteen bytes...")])
        .check_code(0)
        .check_stderr("warning: JWT_SECRET is shorter than the 32 bytes");
    check_settings(&[("JWT_SECRET", "fifteen bytes..")])
        .check_code(0)
        .check_stderr("warning: JWT_SECRET is shorter than 16 bytes, and can be guessed");
    check_settings(&[("JWT_SECRET", &format!("{GOOD_SECRET}\n"))])
        .check_code(0)
        .check_stderr("warning: JWT_SECRET begins or ends with white space");
    check_settings(&[("EMIT_TOKEN", "short")])
        .check_code(0)
        .check_stderr("warning: EMIT_TOKEN is shorter than 16 bytes");
    check_settings(&[("METRICS_TOKEN", "short")])
        .check_code(0)
        .check_stderr("warning: METRICS_TOKEN is shorter than 16 bytes");
    for name in TOKENS {
        Program::new(&["--check"])
            .production()
            .env(name, "short")
            .run()
            .check_code(64)
            .check_stderr(&format!("{name} (environment) is shorter than 16 bytes"));
    }
}

#[test]
fn secrets_that_cannot_work_are_refused() {
    check_settings(&[("JWT_SECRET", "-----BEGIN PUBLIC KEY-----\nMFww")])
        .check_code(64)
        .check_stderr("JWT_SECRET (environment) cannot be used: the secret is a PEM key");
    for token in ["two words", "ñandú"] {
        for name in TOKENS {
            check_settings(&[(name, token)])
                .check_code(64)
                .check_stderr(&format!("{name} (environment) has characters that"));
        }
    }
}

#[test]
fn previous_secrets_need_their_successors() {
    check_settings(&[("JWT_SECRET_PREVIOUS", GOOD_SECRET)])
        .check_code(64)
        .check_stderr("JWT_SECRET_PREVIOUS (environment) is set without JWT_SECRET");
    for name in ["EMIT_TOKEN", "BROADCAST_TOKEN", "PRESENCE_TOKEN"] {
        let previous = format!("{name}_PREVIOUS");
        check_settings(&[(&previous, GOOD_TOKEN)])
            .check_code(64)
            .check_stderr(&format!("{previous} (environment) is set without {name}"));
    }
    let run = Program::new(&["--check"])
        .production()
        .env("JWT_SECRET_PREVIOUS", "the secret, before the last change")
        .env("EMIT_TOKEN_PREVIOUS", "0f8e7d6c5b4a39281706f5e4d3c2b1a0")
        .run();
    assert_eq!(run.setting("JWT_SECRET_PREVIOUS").0, "set (34 bytes)");
    assert_eq!(run.setting("EMIT_TOKEN_PREVIOUS").0, "set (32 bytes)");
}

#[test]
fn settings_that_do_not_fit_their_surroundings_are_warned_about() {
    check_settings(&[
        ("PING_INTERVAL", "60s"),
        ("KEEP_ALIVE_TIMEOUT", "60s"),
        ("SHUTDOWN_TIMEOUT", "30s"),
    ])
    .check_code(0)
    .check_stderr("warning: PING_INTERVAL lets a connection rest for longer")
    .check_stderr("warning: KEEP_ALIVE_TIMEOUT closes connections that a load balancer")
    .check_stderr("warning: SHUTDOWN_TIMEOUT is not shorter than the 30 s");
    let run = check_settings(&[
        ("PING_INTERVAL", "59s"),
        ("KEEP_ALIVE_TIMEOUT", "61s"),
        ("SHUTDOWN_TIMEOUT", "29s"),
    ]);
    for name in ["PING_INTERVAL", "KEEP_ALIVE", "SHUTDOWN"] {
        assert!(!run.stderr.contains(name), "{}", run.stderr);
    }
}

#[test]
fn the_command_line_is_checked() {
    Program::new(&["--no-such-flag"]).run().check_code(64);
    Program::new(&["no-such-command"]).run().check_code(64);
    Program::new(&["--port", "1", "token", "--user", "1"])
        .run()
        .check_code(64);
    let version = Program::new(&["--version"]).run();
    version.check_code(0);
    assert_eq!(
        version.stdout,
        concat!("help-desk-ws ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn help_names_every_setting() {
    let help = Program::new(&["--help"]).run();
    help.check_code(0);
    for (name, _) in OTHERS {
        assert!(help.stdout.contains(&flag(name)), "{name}");
        let words: Vec<_> = help.stdout.split_whitespace().collect();
        assert!(words.join(" ").contains(&format!("env: {name}]")), "{name}");
    }
    for text in [
        "JWT_SECRET ",
        "EMIT_TOKEN_PREVIOUS ",
        "METRICS_TOKEN ",
        "ADMIN_TOKEN ",
        "Examples:",
        "Exit codes:",
    ] {
        assert!(help.stdout.contains(text), "{text}");
    }
}
