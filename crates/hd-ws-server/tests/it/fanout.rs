//! Events for more sockets than are served at once.

use futures_util::FutureExt as _;
use hd_rooms::{Audience, RoomName};
use hd_ws_server::ServerConfig;
use socketio_proto::{ClientConfig, EventName, OutgoingArgs};

use crate::client::{WebSocket, connect, read_until, websocket_head};
use crate::socket_server::SocketServer;

/// More than are served where an event is emitted.
const MANY: usize = 65;

fn start() -> SocketServer {
    SocketServer::start(ServerConfig::default(), ClientConfig::default())
}

fn room(name: &str) -> Audience {
    Audience::room(RoomName::new(name).expect("a room"))
}

fn emit(server: &SocketServer, audience: &Audience, name: &str) -> hd_ws_server::Emitted {
    let name = EventName::new(name).expect("not reserved");
    let args = OutgoingArgs::new(&[]);
    server.namespace.emit(audience, name, args)
}

fn event(name: &str) -> String {
    format!(r#"42/n,["{name}"]"#)
}

#[test]
fn events_keep_their_order_whatever_their_audience() {
    let server = start();
    let mut clients: Vec<WebSocket> = (0..MANY).map(|_| server.join("").0).collect();
    let (mut one, _) = server.join(r#"{"room":"one"}"#);
    let (mut plain, _) = server.join_plain();
    let everyone = Audience::everyone();

    let worker = server.hold_worker();
    let first = emit(&server, &everyone, "first");
    let second = emit(&server, &everyone, "second");
    // Few enough to be served at once, if nothing waited.
    let mut alone = emit(&server, &room("one"), "alone");
    assert_eq!((&mut alone).now_or_never(), None);
    let third = emit(&server, &everyone, "third");
    drop(worker);

    assert_eq!(server.wait(first), MANY + 2);
    assert_eq!(server.wait(second), MANY + 2);
    assert_eq!(server.wait(alone), 1);
    assert_eq!(server.wait(third), MANY + 2);
    for client in &mut clients {
        for name in ["first", "second", "third"] {
            assert_eq!(client.text(), event(name));
        }
    }
    for name in ["first", "second", "alone", "third"] {
        assert_eq!(one.text(), event(name));
    }
    for name in ["first", "second", "third"] {
        assert_eq!(plain.text(), format!(r#"{{"event":"{name}"}}"#));
    }

    // Nothing waits any more, once the worker has let the task go.
    drop(server.hold_worker());
    assert_eq!(emit(&server, &room("one"), "now").now_or_never(), Some(1));
    assert_eq!(one.text(), event("now"));
}

#[test]
fn who_enters_gets_nothing_of_what_was_emitted_before() {
    let server = start();
    let mut others: Vec<WebSocket> = (0..MANY)
        .map(|_| server.join(r#"{"room":"all"}"#).0)
        .collect();
    let worker = server.hold_worker();
    // Two audiences take turns, so that the queue lasts for many turns of the
    // worker, in which the client can enter.
    let audiences = [Audience::everyone(), room("all")];
    let before: Vec<_> = (0..400)
        .map(|turn| emit(&server, &audiences[turn % 2], "before"))
        .collect();
    let mut late = WebSocket(connect(server.address));
    late.send(websocket_head("", "").as_bytes());
    late.send_text("40/n,");
    drop(worker);

    let head = read_until(&mut late.0, "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(late.text().starts_with("0{"));
    assert!(late.text().starts_with(r#"40/n,{"sid":"#));
    let after = emit(&server, &Audience::everyone(), "after");
    assert_eq!(late.text(), event("after"));
    for emitted in before {
        assert_eq!(server.wait(emitted), MANY);
    }
    assert_eq!(server.wait(after), MANY + 1);
    for client in &mut others {
        for _ in 0..400 {
            assert_eq!(client.text(), event("before"));
        }
        assert_eq!(client.text(), event("after"));
    }
}

#[test]
fn a_hundred_events_that_wait_together_arrive_in_order() {
    let server = start();
    let mut clients: Vec<WebSocket> = (0..MANY).map(|_| server.join("").0).collect();
    let worker = server.hold_worker();
    // More than one write takes.
    let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let emitted: Vec<_> = names
        .iter()
        .map(|name| emit(&server, &Audience::everyone(), name))
        .collect();
    drop(worker);
    for emitted in emitted {
        assert_eq!(server.wait(emitted), MANY);
    }
    for client in &mut clients {
        for name in &names {
            assert_eq!(client.text(), event(name));
        }
    }
}

#[test]
fn events_join_in_while_others_go_round() {
    let server = start();
    // More than are written to in one turn.
    let mut clients: Vec<WebSocket> = (0..300).map(|_| server.join("").0).collect();
    let names: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let (half, rest) = names.split_at(100);
    let mut emitted = Vec::new();
    for name in half {
        emitted.push((emit(&server, &Audience::everyone(), name), 300));
    }
    // From here on the sockets are not those that the events go round.
    let (mut late, _) = server.join("");
    for name in rest {
        emitted.push((emit(&server, &Audience::everyone(), name), 301));
    }
    for (emitted, sockets) in emitted {
        assert_eq!(server.wait(emitted), sockets);
    }
    for client in &mut clients {
        for name in &names {
            assert_eq!(client.text(), event(name));
        }
    }
    for name in rest {
        assert_eq!(late.text(), event(name));
    }
}
