//! How many connections a user may have, and make.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use engineio_proto::CloseReason;
use hd_ws_server::{DisconnectReason, Rejection, RejectionHook, ServerConfig};
use socketio_proto::ClientConfig;

use crate::client::WebSocket;
use crate::socket_server::SocketServer;

fn server(max_connections: usize) -> (SocketServer, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    let config = ServerConfig {
        max_connections_per_user: NonZeroUsize::new(max_connections),
        on_rejected: RejectionHook::new(move |rejected| {
            hook.lock().expect("a lock").push(format!(
                "{} {} {:?}",
                rejected.reason.code(),
                rejected.remote_address,
                rejected.identity
            ));
        }),
        ..ServerConfig::default()
    };
    (SocketServer::start(config, ClientConfig::default()), told)
}

#[test]
fn the_oldest_connection_of_a_user_is_closed_for_a_new_one() {
    let (server, told) = server(2);
    let (mut other, _) = server.join(r#"{"user":8}"#);
    let (mut oldest, socket) = server.join(r#"{"user":7}"#);
    let (mut second, _) = server.join(r#"{"user":7}"#);
    assert!(told.lock().unwrap().is_empty());
    let (mut third, _) = server.join(r#"{"user":7}"#);
    // By the transport: a DISCONNECT packet would keep it from reconnecting.
    assert_eq!(oldest.close_code(), Some(1008));
    let end = server.next_end();
    assert_eq!(end.socket, socket);
    let reason = DisconnectReason::Session(CloseReason::TooManyConnections);
    assert_eq!(end.reason, reason);
    assert_eq!(
        *told.lock().unwrap(),
        ["max_connections_per_user 127.0.0.1 Some(7)"]
    );
    for client in [&mut other, &mut second, &mut third] {
        client.send_text(r#"42/n,1["x"]"#);
        assert_eq!(client.text(), "43/n,1[]");
    }
    // Once one has left there is room.
    drop(third);
    server.next_end();
    let (_fourth, _) = server.join(r#"{"user":7}"#);
    let evictions = Rejection::MaxConnectionsPerUser;
    assert_eq!(server.engine.counts().rejected_total(evictions), 1);
}

#[test]
fn a_user_who_connects_in_a_loop_is_closed_before_it_joins() {
    let (server, told) = server(2);
    for _ in 0..4 {
        drop(server.join(r#"{"user":7}"#));
        server.next_end();
    }
    let mut client = WebSocket::open(server.address);
    client.send_text(r#"40/n,{"user":7}"#);
    assert_eq!(client.close_code(), Some(1008));
    server.emptied();
    assert_eq!(
        *told.lock().unwrap(),
        ["max_connects_per_user 127.0.0.1 Some(7)"]
    );
    // Others are let in.
    let (mut other, _) = server.join(r#"{"user":8}"#);
    other.send_text(r#"42/n,1["x"]"#);
    assert_eq!(other.text(), "43/n,1[]");
}
