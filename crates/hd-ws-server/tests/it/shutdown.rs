//! How a server stops.

use engineio_proto::CloseReason;
use hd_ws_server::ServerConfig;

use crate::client::{PATIENCE, WebSocket};
use crate::echo_server::EchoServer;

/// A session would wait far longer than a test does for what it has to say.
fn start() -> EchoServer {
    let mut config = ServerConfig::default();
    config.engine.close_timeout = 10 * PATIENCE;
    EchoServer::start(config)
}

/// Its next poll finds the port closed, so there is nothing to wait for.
#[test]
fn a_client_between_two_polls_does_not_hold_up_the_end() {
    let mut server = start();
    let query = format!("&sid={}", server.open_polling());
    assert!(
        server
            .request("POST", &query, "4never fetched")
            .ends_with("ok")
    );
    assert_eq!(server.stop(), 0);
    assert_eq!(server.next_end(), CloseReason::ServerShuttingDown);
}

#[test]
fn a_websocket_is_told_to_try_again() {
    let mut server = start();
    let mut client = WebSocket::open(server.address);
    assert_eq!(server.stop(), 0);
    assert_eq!(server.next_end(), CloseReason::ServerShuttingDown);
    assert_eq!(client.close_code(), Some(1012));
}
