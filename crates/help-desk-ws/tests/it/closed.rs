//! What is not configured is closed.

use crate::program::{GOOD_SECRET, GOOD_TOKEN, Program};
use crate::server::{SERVE, Server, line_with};

const DOCKERFILE: &str = include_str!("../../../../docker/Dockerfile");
const README: &str = include_str!("../../../../README.md");
const BROADCAST_TOKEN: &str = "1b2c3d4e5f60718293a4b5c6d7e8f90a";
const PRESENCE_TOKEN: &str = "2c3d4e5f60718293a4b5c6d7e8f90a1b";
const JSON: &str = "content-type: application/json\r\n";
const EMIT: &str = r#"{"userId":42,"event":"x","payload":1}"#;

/// The environment of the image, and of the documented `docker run`.
fn as_documented() -> Program {
    Program::new(&["serve", "--host", "127.0.0.1"])
        .env("NODE_ENV", "production")
        .env("JWT_SECRET", GOOD_SECRET)
        .env("PORT", "0")
        .env("CORS_ORIGIN", "https://help.example.com")
}

fn development() -> Program {
    Program::new(SERVE).env("JWT_SECRET", GOOD_SECRET)
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

#[track_caller]
fn check(answer: &str, status: u16, code: &str) {
    let status = format!("HTTP/1.1 {status} ");
    assert!(answer.starts_with(&status), "{answer}");
    assert!(answer.contains(code), "{answer}");
}

#[test]
fn the_image_runs_in_production_mode_with_the_documented_command() {
    assert!(
        DOCKERFILE
            .lines()
            .any(|line| line == "ENV NODE_ENV=production")
    );
    let command = README.lines().find(|line| line.starts_with("docker run "));
    let names: Vec<_> = command
        .unwrap()
        .split(" -e ")
        .skip(1)
        .filter_map(|setting| setting.split('=').next())
        .collect();
    assert_eq!(names, ["JWT_SECRET", "PORT", "CORS_ORIGIN"]);
}

#[test]
fn the_documented_production_environment_serves_clients_and_emits_are_closed() {
    let mut server = Server::start_program(as_documented());
    let mut listener = server.listener();
    for target in [
        "/emit",
        "/notifications/emit",
        "/emit/batch",
        "/notifications/broadcast",
    ] {
        for token in ["", &bearer(GOOD_TOKEN)] {
            let answer = server.request_of("POST", target, &format!("{token}{JSON}"), EMIT);
            check(&answer, 404, r#""code":"emit_closed""#);
        }
    }
    check(&server.request("GET", "/sockets"), 404, "presence_closed");
    for target in ["/metrics", "/admin/drain"] {
        check(&server.request("GET", target), 404, "not_found");
    }
    check(&server.request("GET", "/health"), 200, "ok");
    listener.kill().unwrap();
    listener.wait().unwrap();
}

#[test]
fn the_documented_production_environment_says_that_emits_are_closed() {
    let run = Program::new(&["serve", "--check"])
        .env("NODE_ENV", "production")
        .env("JWT_SECRET", GOOD_SECRET)
        .env("PORT", "3001")
        .env("CORS_ORIGIN", "https://help.example.com")
        .run();
    run.check_code(0)
        .check_stderr("warning: EMIT_TOKEN is not set: the emit routes are closed")
        .check_stderr("set the token here and in help-desk-back");
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
}

#[test]
fn development_answers_without_a_token_to_this_machine_and_to_no_page() {
    let mut server = Server::start_program(development());
    check(&server.request("GET", "/admin/drain"), 200, "serving");
    let address = server.url.trim_start_matches("http://").to_owned();
    for (page, code) in [
        // An <img>, a script of an old browser, a script, a page that rebinds its name.
        ("sec-fetch-site: cross-site\r\n", "cross_site"),
        ("origin: https://evil.example\r\n", "cross_site"),
        (
            "sec-fetch-site: cross-site\r\norigin: https://evil.example\r\n",
            "cross_site",
        ),
        (
            "sec-fetch-site: same-site\r\norigin: http://127.0.0.1:5173\r\n",
            "cross_site",
        ),
        ("host: evil.example\r\n", "cross_site"),
        (
            "host: evil.example\r\norigin: http://evil.example\r\nsec-fetch-site: same-origin\r\n",
            "cross_site",
        ),
        ("x-forwarded-for: 127.0.0.1\r\n", "loopback_only"),
        ("forwarded: for=127.0.0.1\r\n", "loopback_only"),
    ] {
        for (method, target) in [
            ("POST", "/admin/drain"),
            ("DELETE", "/admin/drain"),
            ("GET", "/metrics"),
        ] {
            let answer = server.request_of(method, target, page, "");
            check(&answer, 403, &format!(r#""code":"{code}""#));
        }
    }
    let ready = server.request("GET", "/readyz");
    check(&ready, 200, "ready");
    // Clients still get in.
    let mut listener = server.listener();
    listener.kill().unwrap();
    listener.wait().unwrap();
    let own_page = format!("sec-fetch-site: same-origin\r\norigin: http://{address}\r\n");
    let answer = server.request_of("POST", "/admin/drain", &own_page, "");
    check(&answer, 202, "draining");
}

#[test]
fn presence_answers_only_this_machine_where_it_has_no_token() {
    let server = Server::start_program(development().env("EMIT_AUTH", "open"));
    check(&server.request("GET", "/sockets"), 200, "sockets");
    let page = "origin: https://evil.example\r\n";
    check(
        &server.request_of("GET", "/sockets", page, ""),
        403,
        "cross_site",
    );
    let proxied = "x-forwarded-for: 10.0.0.9\r\n";
    let answer = server.request_of("GET", "/users/42/sockets", proxied, "");
    check(&answer, 403, "loopback_only");
}

#[test]
fn what_a_page_of_another_site_causes_reaches_no_route_but_health() {
    let tokens = Program::new(SERVE)
        .production()
        .env("ADMIN_TOKEN", GOOD_TOKEN)
        .env("METRICS_TOKEN", GOOD_TOKEN);
    let server = Server::start_program(tokens);
    let headers = format!("sec-fetch-site: cross-site\r\n{}{JSON}", bearer(GOOD_TOKEN));
    for (method, target) in [
        ("POST", "/emit"),
        ("POST", "/notifications/emit"),
        ("POST", "/emit/batch"),
        ("POST", "/notifications/broadcast"),
        ("GET", "/notifications"),
        ("GET", "/sockets"),
        ("GET", "/users/42/sockets"),
        ("GET", "/metrics"),
        ("POST", "/admin/drain"),
        ("DELETE", "/admin/drain"),
    ] {
        let answer = server.request_of(method, target, &headers, EMIT);
        check(&answer, 403, r#""code":"cross_site""#);
    }
    let handshake = "/socket.io/?EIO=4&transport=polling";
    let answer = server.request_of("GET", handshake, "sec-fetch-site: cross-site\r\n", "");
    check(&answer, 403, r#"{"code":4,"message":"Forbidden"}"#);
    let websocket = "sec-fetch-site: cross-site\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                     sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    for target in [
        "/socket.io/?EIO=4&transport=websocket",
        "/notifications?token=x",
    ] {
        let answer = server.request_head_of("GET", target, websocket);
        check(&answer, 403, "");
    }
    check(&server.request("GET", "/health"), 200, "ok");
    let metrics = server.metrics(GOOD_TOKEN);
    assert!(metrics.contains(r#"{reason="cross_site"} 13"#), "{metrics}");
}

#[test]
fn open_emits_take_json_of_no_page_only() {
    let server = Server::start_program(
        Program::new(SERVE)
            .production()
            .env("EMIT_TOKEN", "")
            .env("EMIT_AUTH", "open"),
    );
    let emit = |headers: &str| server.request_of("POST", "/emit", headers, EMIT);
    check(&emit(JSON), 201, "accepted");
    check(
        &emit("content-type: Application/JSON; charset=utf-8\r\n"),
        201,
        "accepted",
    );
    for form in [
        "",
        "content-type: text/plain\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: application/jsonp\r\n",
    ] {
        check(&emit(form), 415, "unsupported_media_type");
    }
    for origin in ["https://help.example.com", "https://evil.example", "null"] {
        check(
            &emit(&format!("{JSON}origin: {origin}\r\n")),
            403,
            "cross_site",
        );
    }
}

#[test]
fn a_token_opens_the_routes_of_its_scopes_only() {
    let server = Server::start_program(
        Program::new(SERVE)
            .production()
            .env("BROADCAST_TOKEN", BROADCAST_TOKEN)
            .env("PRESENCE_TOKEN", PRESENCE_TOKEN),
    );
    let everyone = r#"{"broadcast":true,"event":"x","payload":1}"#;
    let call = |token: &str, (method, target, body): (&str, &str, &str)| {
        server.request_of(method, target, &format!("{}{JSON}", bearer(token)), body)
    };
    let emit = ("POST", "/emit", EMIT);
    let emit_to_everyone = ("POST", "/emit", everyone);
    let broadcast = ("POST", "/notifications/broadcast", everyone);
    let presence = ("GET", "/sockets", "");
    for (token, allowed, refused) in [
        (
            GOOD_TOKEN,
            &[emit][..],
            &[
                (emit_to_everyone, "broadcast"),
                (broadcast, "broadcast"),
                (presence, "presence"),
            ][..],
        ),
        (
            BROADCAST_TOKEN,
            &[emit_to_everyone, broadcast],
            &[(emit, "emit"), (presence, "presence")],
        ),
        (
            PRESENCE_TOKEN,
            &[presence],
            &[
                (emit, "emit"),
                (emit_to_everyone, "emit"),
                (broadcast, "broadcast"),
            ],
        ),
    ] {
        for request in allowed {
            let answer = call(token, *request);
            assert!(answer.starts_with("HTTP/1.1 20"), "{request:?}: {answer}");
        }
        for (request, scope) in refused {
            let answer = call(token, *request);
            check(&answer, 403, r#""code":"insufficient_scope""#);
            let challenge = format!(
                "www-authenticate: Bearer error=\"insufficient_scope\", scope=\"{scope}\"\r\n"
            );
            assert!(answer.contains(&challenge), "{answer}");
        }
    }
    let batch = format!(r#"{{"items":[{EMIT},{everyone}]}}"#);
    let answer = call(GOOD_TOKEN, ("POST", "/emit/batch", &batch));
    check(
        &answer,
        207,
        r#"{"success":true,"accepted":true,"deliveredLocally":0},{"success":false"#,
    );
    assert!(answer.contains("insufficient_scope"), "{answer}");
    check(&call("another-token", emit), 401, "invalid_token");
}

/// URLs are kept by access logs of load balancers, and by browsers.
#[test]
fn no_route_takes_its_token_from_the_url() {
    let program = Program::new(SERVE)
        .production()
        .env("ADMIN_TOKEN", GOOD_TOKEN)
        .env("METRICS_TOKEN", GOOD_TOKEN);
    let server = Server::start_program(program);
    for (method, route) in [
        ("POST", "/admin/drain"),
        ("DELETE", "/admin/drain"),
        ("GET", "/metrics"),
        ("GET", "/sockets"),
        ("POST", "/emit"),
        ("POST", "/notifications/emit"),
        ("POST", "/notifications/emit/batch"),
        ("POST", "/notifications/broadcast"),
    ] {
        for name in ["token", "access_token"] {
            let target = format!("{route}?{name}={GOOD_TOKEN}");
            let answer = server.request_of(method, &target, JSON, "");
            check(&answer, 401, "missing_token");
        }
    }
    check(&server.request("GET", "/readyz"), 200, "");
}

#[test]
fn one_token_has_every_scope_where_no_other_is_set() {
    let server = Server::start_program(Program::new(SERVE).production());
    let headers = format!("{}{JSON}", bearer(GOOD_TOKEN));
    check(
        &server.request_of("POST", "/emit", &headers, EMIT),
        201,
        "accepted",
    );
    let answer = server.request_of("POST", "/notifications/broadcast", &headers, EMIT);
    check(&answer, 201, "accepted");
    check(
        &server.request_of("GET", "/sockets", &headers, ""),
        200,
        "sockets",
    );
}

#[test]
fn open_doors_and_insecure_settings_are_named_at_start_and_measured() {
    let program = Program::new(SERVE)
        .env("JWT_SECRET", "fifteen bytes..")
        .env("EMIT_AUTH", "open")
        .env("JWT_REQUIRE_EXP", "false")
        .env("AUTH_FAILURE", "legacy")
        .env("PORT", "0");
    let mut server = Server::start_program_after(
        program,
        &[
            "JWT_REQUIRE_EXP is false",
            "JWT_SECRET is shorter than 16 bytes",
            "AUTH_FAILURE is legacy",
            "CORS_ORIGIN is *",
            "EMIT_AUTH is open",
            "PRESENCE_TOKEN is not set: who is connected is answered without a token",
            "METRICS_TOKEN is not set: GET /metrics answers without a token",
            "ADMIN_TOKEN is not set: /admin/drain answers without a token",
        ],
    );
    let metrics = server.metrics("");
    for setting in [
        "JWT_SECRET",
        "JWT_REQUIRE_EXP",
        "AUTH_FAILURE",
        "CORS_ORIGIN",
        "EMIT_AUTH",
        "PRESENCE_TOKEN",
        "METRICS_TOKEN",
        "ADMIN_TOKEN",
    ] {
        let line = format!("helpdesk_ws_insecure_settings{{setting=\"{setting}\"}} 1\n");
        assert!(metrics.contains(&line), "{setting}: {metrics}");
    }
    for door in ["emit", "broadcast", "presence", "metrics", "admin"] {
        let line = format!("helpdesk_ws_open_doors{{door=\"{door}\"}} 1\n");
        assert!(metrics.contains(&line), "{door}: {metrics}");
    }
    server.process.kill().unwrap();

    let safe = Program::new(SERVE)
        .production()
        .env("METRICS_TOKEN", GOOD_TOKEN)
        .env("REDIS_URL", "rediss://redis.internal:6379");
    let run = safe.check().run();
    run.check_code(0);
    assert_eq!(run.stderr, "");
    let server = Server::start_program(
        Program::new(SERVE)
            .production()
            .env("METRICS_TOKEN", GOOD_TOKEN),
    );
    let metrics = server.metrics(GOOD_TOKEN);
    assert!(!metrics.contains("insecure_settings{"), "{metrics}");
    assert!(
        !metrics.contains("open_doors{door=\"admin\"} 1"),
        "{metrics}"
    );
}

#[test]
fn redis_in_clear_on_another_host_is_warned_of() {
    let check = |url: &str| {
        let program = Program::new(&["serve", "--check"]).production();
        program.env("REDIS_URL", url).run()
    };
    check("redis://redis.internal:6379")
        .check_code(0)
        .check_stderr("warning: REDIS_URL has neither TLS nor a host of this machine");
    for url in ["redis://127.0.0.1:6379", "rediss://redis.internal:6379"] {
        assert_eq!(check(url).check_code(0).stderr, "", "{url}");
    }
}

#[test]
fn names_that_are_close_to_a_setting_are_warned_of() {
    let run = Program::new(&["serve", "--check"])
        .production()
        .env("JWT_SECERT", "a secret that nobody may see")
        .file(".env", "CORS_ORIGINS=https://a.example\nDB_HOST=db\n")
        .run();
    run.check_code(0)
        .check_stderr(
            "warning: JWT_SECERT (environment) is not a setting; did you mean JWT_SECRET?",
        )
        .check_stderr("warning: CORS_ORIGINS (.env) is not a setting; did you mean CORS_ORIGIN?");
    assert_eq!(run.stderr.lines().count(), 2, "{run:?}");
}

#[test]
fn the_environment_of_a_container_is_not_warned_of() {
    let environment = "PATH HOME HOSTNAME PWD SHLVL TERM LANG TZ POD_NAME NODE_VERSION NODE_OPTIONS \
                       KUBERNETES_PORT KUBERNETES_SERVICE_HOST REDIS_HOST REDIS_PORT DB_HOST DB_PORT \
                       AWS_REGION AWS_EXECUTION_ENV ECS_CONTAINER_METADATA_URI_V4 SSL_CERT_FILE";
    let program = Program::new(&["serve", "--check"]).production();
    let run = environment
        .split_whitespace()
        .fold(program, |program, name| program.env(name, "x"))
        .run();
    run.check_code(0);
    assert_eq!(run.stderr, "");
}

#[test]
fn a_drain_can_be_cancelled_and_a_stop_cannot() {
    let mut server = Server::start_program(development().env("EMIT_TOKEN", GOOD_TOKEN));
    check(
        &server.request("DELETE", "/admin/drain"),
        200,
        r#""state":"serving""#,
    );
    let mut stays = server.listener();
    check(
        &server.request("POST", "/admin/drain?window=90s"),
        202,
        "draining",
    );
    line_with(&mut server.lines, "Draining as asked");
    check(&server.request("GET", "/readyz"), 503, "draining");

    let answer = server.request("DELETE", "/admin/drain");
    check(&answer, 200, r#"{"clients":1,"state":"serving"}"#);
    line_with(
        &mut server.lines,
        "Drain cancelled as asked at /admin/drain: 1 of 1 clients left",
    );
    check(&server.request("GET", "/readyz"), 200, "ready");
    // Who was connected is served, and new clients are admitted.
    let mut comes = server.listener();
    assert!(server.emit("42").contains(r#""deliveredLocally":2"#));

    // The next drain is told of like the first.
    check(
        &server.request("POST", "/admin/drain?window=0s"),
        202,
        r#""clientsAtStart":2"#,
    );
    line_with(&mut server.lines, "Drained: moved 2 of 2, lost 0 elapsed=");
    for listener in [&mut stays, &mut comes] {
        assert_eq!(listener.wait().unwrap().code(), Some(69));
    }
    check(&server.request("DELETE", "/admin/drain"), 200, "serving");
    let mut last = server.listener();
    server.signal("TERM");
    line_with(&mut server.lines, "Stopped: moved 1 of 1, lost 0 elapsed=");
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
    assert_eq!(last.wait().unwrap().code(), Some(69));
}

#[test]
fn a_stop_that_is_under_way_is_not_cancelled() {
    let slow = development()
        .env("DRAIN_RATE", "1")
        .env("SHUTDOWN_TIMEOUT", "100s");
    let mut server = Server::start_program(slow);
    let listeners: Vec<_> = (0..10).map(|_| server.listener()).collect();
    server.signal("TERM");
    line_with(&mut server.lines, "Stopping signal=SIGTERM clients=10");
    let answer = server.request("DELETE", "/admin/drain");
    check(&answer, 409, r#""code":"stopping""#);
    server.signal("TERM");
    line_with(&mut server.lines, "Stopped: moved 10 of 10, lost 0");
    for mut listener in listeners {
        assert_eq!(listener.wait().unwrap().code(), Some(69));
    }
}

#[test]
fn a_made_up_emit_token_is_shown_beside_a_secret_that_was_set() {
    let (server, output) = Server::start_and_read(development(), "/notifications/emit");
    let shown = output
        .split("Authorization: Bearer ")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .unwrap_or_else(|| panic!("no token in {output}"));
    assert!(output.contains(&format!(
        "An EMIT_TOKEN, good until this process ends:\n\n  {shown}\n"
    )));
    assert!(
        output.contains("listen --url http://127.0.0.1:"),
        "{output}"
    );
    assert!(output.contains(" --user 42\n"), "{output}");
    assert!(!output.contains("A token for user 42"), "{output}");
    let headers = format!("{}{JSON}", bearer(shown));
    check(
        &server.request_of("POST", "/emit", &headers, EMIT),
        201,
        "accepted",
    );
}
