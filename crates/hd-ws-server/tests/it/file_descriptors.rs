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
    loop {
        let (began, before) = (Instant::now(), busy(&process));
        std::thread::sleep(Duration::from_secs(1));
        if busy(&process).saturating_sub(before) < began.elapsed() / 5 {
            break;
        }
        assert!(Instant::now() < patience, "it tries without pause");
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

/// How long the threads of a process have run, or waited for a processor that
/// others had: the first two fields of `schedstat`, in nanoseconds (proc(5)).
fn busy(process: &str) -> Duration {
    let tasks = std::fs::read_dir(format!("{process}/task")).expect("a process");
    let nanos = |stat: String| -> u64 {
        let fields = stat.split_whitespace().take(2);
        fields
            .map(|field| field.parse::<u64>().expect("a number"))
            .sum()
    };
    let stats = tasks.filter_map(|task| {
        // A thread may have ended since.
        std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()
    });
    Duration::from_nanos(stats.map(nanos).sum())
}
