//! Clients that send faster than they are read. Each server has one thread:
//! whoever keeps it to himself keeps it from all.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hd_ws_server::ServerConfig;

use crate::client::{PATIENCE, WebSocket, frame};
use crate::echo_server::EchoServer;

const SOON: Duration = Duration::from_millis(100);

/// Sends `bytes` again and again until the server has closed the connection,
/// and sees that another client is served all the while.
#[track_caller]
fn is_closed_in_time(server: &EchoServer, mut stream: TcpStream, bytes: &[u8]) {
    let patience = Instant::now() + PATIENCE;
    std::thread::scope(|scope| {
        let flood = scope.spawn(move || {
            while stream.write_all(bytes).is_ok() {
                assert!(Instant::now() < patience, "it is read on and on");
            }
        });
        while !flood.is_finished() {
            let mut other = WebSocket::open(server.address);
            other.send_text("4served");
            assert_eq!(other.text(), "4served");
        }
    });
}

#[test]
fn a_websocket_that_is_closed_already() {
    let server = EchoServer::start(ServerConfig {
        close_linger: SOON,
        ..ServerConfig::default()
    });
    let mut client = WebSocket::open(server.address);
    // No mask.
    client.send(&[0x81, 0x01, b'x']);
    is_closed_in_time(&server, client.0, &[0x42; 64 * 1024]);
}

#[test]
fn the_new_transport_of_an_upgrade() {
    let mut config = ServerConfig::default();
    config.engine.upgrade_timeout = SOON;
    let server = EchoServer::start(config);
    let query = format!("&sid={}", server.open_polling());
    let client = WebSocket::upgrade(server.address, &query).expect("101");
    is_closed_in_time(&server, client.0, &frame(0x89, &[0; 125]).repeat(500));
}

#[test]
fn a_websocket_that_answers_no_ping() {
    let mut config = ServerConfig {
        close_linger: SOON,
        ..ServerConfig::default()
    };
    config.engine.ping_interval = SOON;
    // The other client, which answers, is given the time of a busy machine.
    config.engine.ping_timeout = Duration::from_secs(2);
    let server = EchoServer::start(config);
    for bytes in [
        frame(0x8a, &[0; 125]).repeat(500),
        frame(0x81, &[b'6'; 200]).repeat(300),
        frame(0x82, &[0; 60_000]),
    ] {
        let client = WebSocket::open(server.address);
        is_closed_in_time(&server, client.0, &bytes);
    }
}
