//! What happens when the process may open no more files.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hd_ws_server::ServerConfig;

use crate::client::{PATIENCE, WebSocket, connect, websocket_head};
use crate::echo_server::EchoServer;

/// Files that the server may have open: a few of its own, and the connections.
const LIMIT: usize = 40;
/// Set in the process that is the server.
const IS_SERVER: &str = "HD_WS_SERVER_TEST_IS_SERVER";

/// The limit is the process's, so the server gets one of its own: this test,
/// run by itself.
#[test]
fn out_of_files_the_server_waits_and_then_serves_on() {
    if std::env::var_os(IS_SERVER).is_some() {
        serve();
        return;
    }
    let mut server = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n {LIMIT} && exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("file_descriptors::out_of_files_the_server_waits_and_then_serves_on")
        .env(IS_SERVER, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept: the server says "ok" in the end.
    let mut output = BufReader::new(server.stdout.take().unwrap()).lines();
    let address: SocketAddr = output
        .find_map(|line| Some(line.ok()?.split_once("address ")?.1.parse().unwrap()))
        .expect("an address");

    let clients: Vec<TcpStream> = (0..2 * LIMIT)
        .map(|_| {
            let mut client = connect(address);
            let request = websocket_head("", "");
            client.write_all(request.as_bytes()).unwrap();
            client
        })
        .collect();
    let process = format!("/proc/{}", server.id());
    let patience = Instant::now() + PATIENCE;
    while std::fs::read_dir(format!("{process}/fd")).unwrap().count() < LIMIT {
        assert!(Instant::now() < patience, "connections are not accepted");
        std::thread::yield_now();
    }
    // Some wait to be accepted now. A server that tried without pause would never
    // come to rest; this one does once it has answered those that are in.
    let mut before = ticks(&process);
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let now = ticks(&process);
        if now - before < 4 {
            break;
        }
        assert!(Instant::now() < patience, "it tries without pause");
        before = now;
    }

    drop(clients);
    let mut client = WebSocket::open(address);
    client.send_text("4still there");
    assert_eq!(client.text(), "4still there");

    // It stops at the end of its input.
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}

/// Serves until the end of standard input.
fn serve() {
    let server = EchoServer::start(ServerConfig::default());
    writeln!(std::io::stdout(), "address {}", server.address).expect("a reader");
    let mut nothing = Vec::new();
    std::io::stdin()
        .read_to_end(&mut nothing)
        .expect("the end of the input");
}

/// Processor time that a process has used, in hundredths of a second (proc(5)).
fn ticks(process: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("{process}/stat")).expect("a process");
    // The second field is a name in parentheses.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let number = |index| -> u64 {
        let field = fields.split_whitespace().nth(index).expect("a field");
        field.parse().expect("a number")
    };
    number(11) + number(12)
}
