//! `help-desk-ws listen`, against a server that plays a script.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use hd_auth::{Secret, Verifier, VerifierConfig};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_hdr};

use crate::program::{GOOD_SECRET, Program};

type Client = WebSocket<TcpStream>;

struct Server {
    port: u16,
    script: JoinHandle<()>,
}

impl Server {
    /// Takes one WebSocket on `/socket.io/`, and does with it what `script` says.
    fn new(script: impl FnOnce(&mut Client) + Send + 'static) -> Self {
        Self::on_tcp(|stream| {
            #[expect(clippy::result_large_err, reason = "the library's own signature")]
            let check = |request: &Request, response: Response| {
                assert_eq!(request.uri(), "/socket.io/?EIO=4&transport=websocket");
                Ok(response)
            };
            script(&mut accept_hdr(stream, check).unwrap());
        })
    }

    fn on_tcp(script: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            port: listener.local_addr().unwrap().port(),
            script: thread::spawn(move || script(listener.accept().unwrap().0)),
        }
    }

    fn listen(&self, args: &[&str]) -> Program {
        let url = format!("http://127.0.0.1:{}", self.port);
        Program::new(&[&["listen", "--url", &url], args].concat())
    }

    #[track_caller]
    fn finish(self) {
        self.script.join().unwrap();
    }
}

fn send(client: &mut Client, text: &str) {
    client.send(Message::text(text)).unwrap();
}

fn receive(client: &mut Client) -> String {
    client.read().unwrap().into_text().unwrap().to_string()
}

fn open(client: &mut Client, ping_ms: u64) {
    send(
        client,
        &format!(
            r#"0{{"sid":"lv_VI97HAXpY6yYWAAAB","upgrades":[],"pingInterval":{ping_ms},"pingTimeout":{ping_ms},"maxPayload":1000000}}"#
        ),
    );
}

/// Lets the client in, and returns its token.
fn join(client: &mut Client) -> String {
    open(client, 25_000);
    let connect = receive(client);
    let token = connect
        .strip_prefix(r#"40/notifications,{"token":""#)
        .and_then(|rest| rest.strip_suffix(r#""}"#))
        .unwrap()
        .to_owned();
    send(client, r#"40/notifications,{"sid":"x9","pid":"p"}"#);
    token
}

/// Reads until the client is gone.
fn until_closed(client: &mut Client) {
    while client.read().is_ok() {}
}

#[test]
fn notifications_are_printed_one_a_line_until_there_are_enough() {
    let server = Server::new(|client| {
        assert_eq!(join(client), "a.b.c");
        send(client, r#"42/other,["elsewhere",1]"#);
        send(
            client,
            r#"42/notifications,["new_notification",{"mensaje":"ñ","ticketId": 7},"offset"]"#,
        );
        send(client, r#"42/notifications,["nothing"]"#);
        send(client, r#"42/notifications,["late",1]"#);
        until_closed(client);
    });
    let run = server.listen(&["--token", "a.b.c", "--count", "2"]).run();
    run.check_code(0)
        .check_stderr("listening to http://127.0.0.1:");
    assert_eq!(
        run.stdout,
        concat!(
            r#"{"event":"new_notification","data":{"mensaje":"ñ","ticketId": 7}}"#,
            "\n",
            r#"{"event":"nothing","data":null}"#,
            "\n"
        )
    );
    assert!(!run.stderr.contains("a.b.c"));
    server.finish();
}

#[test]
fn lines_are_printed_when_they_come() {
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let server = Server::new(move |client| {
        join(client);
        send(client, r#"42/notifications,["first",1]"#);
        wait.recv().unwrap();
        send(client, r#"42/notifications,["second",2]"#);
        until_closed(client);
    });
    let mut program = server.listen(&["--token=t", "--count=2"]);
    let mut child = program.start();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(
        lines.next().unwrap().unwrap(),
        r#"{"event":"first","data":1}"#
    );
    go_on.send(()).unwrap();
    assert_eq!(
        lines.next().unwrap().unwrap(),
        r#"{"event":"second","data":2}"#
    );
    assert!(child.wait().unwrap().success());
    server.finish();
}

#[test]
fn a_token_is_signed_for_a_user() {
    let server = Server::new(|client| {
        let token = join(client);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let verifier =
            Verifier::new(VerifierConfig::new(Secret::new(GOOD_SECRET).unwrap())).unwrap();
        let payload = verifier.verify(&token, now.as_secs()).unwrap();
        assert_eq!(payload.usu_id.get(), 42);
        send(client, r#"42/notifications,["x",1]"#);
        until_closed(client);
    });
    server
        .listen(&["--user=42", "--count=1"])
        .env("JWT_SECRET", GOOD_SECRET)
        .run()
        .check_code(0);
    server.finish();
}

#[test]
fn the_path_of_the_url_is_the_namespace() {
    let server = Server::new(|client| {
        open(client, 25_000);
        assert_eq!(receive(client), r#"40/custom,{"token":"t"}"#);
        send(client, r#"40/custom,{"sid":"x9"}"#);
        send(client, r#"42/custom,["x",1]"#);
        until_closed(client);
    });
    let url = format!("http://127.0.0.1:{}/custom", server.port);
    Program::new(&["listen", "--url", &url, "--token=t", "--count=1"])
        .run()
        .check_code(0);
    server.finish();
}

#[test]
fn pings_are_answered() {
    let server = Server::new(|client| {
        join(client);
        send(client, "2");
        assert_eq!(receive(client), "3");
        send(client, r#"42/notifications,["x",1]"#);
        until_closed(client);
    });
    server
        .listen(&["--token=t", "--count=1"])
        .run()
        .check_code(0);
    server.finish();
}

#[test]
fn a_refused_token_is_a_failure_with_the_servers_words() {
    let server = Server::new(|client| {
        open(client, 25_000);
        receive(client);
        send(
            client,
            r#"44/notifications,{"message":"the token has expired","data":{"code":"expired"}}"#,
        );
        until_closed(client);
    });
    let run = server.listen(&["--token=t"]).run();
    run.check_code(1)
        .check_stderr(r#"refuses: the token has expired {"code":"expired"}"#);
    assert_eq!(run.stdout, "");
    server.finish();
}

#[test]
fn a_refusal_of_the_old_kind_is_a_failure() {
    let server = Server::new(|client| {
        join(client);
        send(client, "41/notifications");
        until_closed(client);
    });
    server
        .listen(&["--token=t"])
        .run()
        .check_code(1)
        .check_stderr("the token may be refused");
    server.finish();
}

#[test]
fn a_refused_connection_is_a_failure() {
    for (status, code) in [("403 Forbidden", 1), ("503 Service Unavailable", 69)] {
        let server = Server::on_tcp(move |stream| {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while !lines.next().unwrap().unwrap().is_empty() {}
            write!(&stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
        });
        server
            .listen(&["--token=t"])
            .run()
            .check_code(code)
            .check_stderr(&format!("refuses the connection: {status}"));
        server.finish();
    }
}

#[test]
fn a_server_that_goes_away_is_told_from_a_refusal() {
    let close = Server::new(|client| {
        join(client);
        client.close(None).unwrap();
        until_closed(client);
    });
    let end = Server::new(|client| {
        join(client);
        send(client, "1");
        until_closed(client);
    });
    let silence = Server::new(|client| {
        open(client, 500);
        receive(client);
        send(client, r#"40/notifications,{"sid":"x9"}"#);
        until_closed(client);
    });
    let nonsense = Server::new(|client| {
        join(client);
        send(client, "x");
        until_closed(client);
    });
    let no_handshake = Server::new(|client| {
        send(client, "2");
        until_closed(client);
    });
    for (server, words) in [
        (close, "closes the connection"),
        (end, "closes the session"),
        (silence, "is silent"),
        (nonsense, "errs: the packet type is unknown"),
        (no_handshake, "errs: the first packet is no handshake"),
    ] {
        server
            .listen(&["--token=t"])
            .run()
            .check_code(69)
            .check_stderr(words);
        server.finish();
    }

    let nobody = Server::on_tcp(drop);
    nobody.listen(&["--token=t"]).run().check_code(69);
    nobody.finish();
}

#[test]
fn the_time_ends_it() {
    let quiet = || {
        Server::new(|client| {
            join(client);
            until_closed(client);
        })
    };
    let server = quiet();
    server
        .listen(&["--token=t", "--timeout=1s"])
        .run()
        .check_code(0);
    server.finish();

    let server = quiet();
    server
        .listen(&["--token=t", "--timeout=1s", "--count=3"])
        .run()
        .check_code(1)
        .check_stderr("time is up after 0 of 3 notifications");
    server.finish();
}

#[test]
fn a_token_need_not_be_on_the_command_line() {
    let listen = |args: &[&str]| {
        let server = Server::new(|client| {
            assert_eq!(join(client), "a.b.c");
            send(client, r#"42/notifications,["x",1]"#);
            until_closed(client);
        });
        let args = [args, &["--count", "1"]].concat();
        (server.listen(&args), server)
    };
    let (program, server) = listen(&[]);
    program
        .env("HELP_DESK_WS_TOKEN", "a.b.c")
        .run()
        .check_code(0);
    server.finish();
    let (program, server) = listen(&["--token-file", "-"]);
    program.stdin("a.b.c\n").run().check_code(0);
    server.finish();
    let (program, server) = listen(&["--token-file", "token"]);
    let program = program.file("token", " a.b.c\r\n");
    program
        .env("HELP_DESK_WS_TOKEN", "d.e.f")
        .run()
        .check_code(0);
    server.finish();
}

#[test]
fn the_command_line_is_checked() {
    Program::new(&["listen"])
        .run()
        .check_code(64)
        .check_stderr("no token is given: use --token-file FILE, HELP_DESK_WS_TOKEN");
    for args in [
        &["listen", "--token-file=-", "--user=1"][..],
        &["listen", "--token-file=-", "--token=t"],
        &["listen", "--token-file=no-such-file"],
        &["listen", "--token-file=-"],
    ] {
        Program::new(args).run().check_code(64);
    }
    Program::new(&["listen", "--token=t", "--user=1"])
        .run()
        .check_code(64);
    Program::new(&["listen", "--token=t", "--count=0"])
        .run()
        .check_code(64);
    Program::new(&["listen", "--token=t", "--url=http://a.example/x,y"])
        .run()
        .check_code(64);
    Program::new(&["listen", "--user=1"])
        .run()
        .check_code(64)
        .check_stderr("JWT_SECRET (not set) is needed to sign a token");
    Program::new(&["listen", "--user=1"])
        .production()
        .run()
        .check_code(64)
        .check_stderr("give a token by --token-file or HELP_DESK_WS_TOKEN");
}
