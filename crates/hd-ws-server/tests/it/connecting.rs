//! How clients are let into a namespace.

use hd_ws_server::ServerConfig;
use socketio_proto::ClientConfig;

use crate::client::{WebSocket, frame};
use crate::socket_server::SocketServer;

fn start() -> SocketServer {
    SocketServer::start(ServerConfig::default(), ClientConfig::default())
}

#[test]
fn a_client_that_can_be_judged_at_once_needs_no_task() {
    let server = start();
    let mut client = WebSocket::open(server.address);
    // In one piece: the event is read right after the CONNECT.
    let mut frames = frame(0x81, b"40/n,");
    frames.extend(frame(0x81, br#"42/n,7["hello",1]"#));
    client.send(&frames);
    let reply = client.text();
    assert!(reply.starts_with(r#"40/n,{"sid":""#), "{reply}");
    assert_eq!(client.text(), "43/n,7[1]");
    let (connect, event) = (server.next_event(), server.next_event());
    assert_eq!((&*connect.what, &*event.what), ("connect", "hello"));
    assert!(connect.task.is_some());
    assert_eq!(connect.task, event.task);
}

#[test]
fn a_client_that_waits_for_its_verdict_holds_nobody_up() {
    let server = start();
    let mut waiting = WebSocket::open(server.address);
    waiting.send_text(r#"40/n,{"wait":true}"#);
    let asked = server.next_event();
    assert_eq!(asked.what, "connect");
    // Another one is let in meanwhile, and so is this client elsewhere: it is
    // told that there is no such namespace.
    let (_other, other) = server.join("");
    assert_eq!(server.next_event().what, "connect");
    waiting.send_text("40/elsewhere,");
    let reply = waiting.text();
    assert!(reply.starts_with("44/elsewhere,"), "{reply}");

    server.let_in.notify_one();
    let reply = waiting.text();
    assert!(reply.starts_with(r#"40/n,{"sid":""#), "{reply}");
    let let_in = server.next_event();
    assert_eq!(let_in.what, "let in");
    assert_ne!(let_in.task, asked.task);
    assert_ne!(server.next_connected().id(), other.id());
    assert_eq!(server.namespace.len(), 2);
}

#[test]
fn a_client_is_refused_at_once_and_later() {
    let server = start();
    let mut client = WebSocket::open(server.address);
    client.send_text(r#"40/n,{"refuse":true}"#);
    assert_eq!(client.text(), r#"44/n,{"message":"no"}"#);
    client.send_text(r#"40/n,{"refuse":true,"wait":true}"#);
    server.let_in.notify_one();
    assert_eq!(client.text(), r#"44/n,{"message":"no"}"#);
    assert!(server.namespace.is_empty());
}
