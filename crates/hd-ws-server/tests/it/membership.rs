//! Rooms as other servers ask for them.

use hd_rooms::{Audience, RoomName, RoomsConfig};
use hd_ws_server::{Moved, NamespaceConfig, RoomChange, ServerConfig};
use socketio_proto::{ClientConfig, EventName, OutgoingArgs};

use crate::socket_server::SocketServer;

fn start() -> SocketServer {
    let config = NamespaceConfig {
        own_rooms: true,
        ..NamespaceConfig::default()
    };
    SocketServer::start_with(ServerConfig::default(), ClientConfig::default(), config)
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).expect("a room")
}

fn to(name: &str) -> Audience {
    Audience::room(room(name))
}

fn emit(server: &SocketServer, audience: &Audience, name: &str) -> usize {
    let name = EventName::new(name).expect("not reserved");
    server.wait(
        server
            .namespace
            .emit(audience, name, OutgoingArgs::new(&[])),
    )
}

fn names(mut rooms: Vec<RoomName>) -> Vec<String> {
    rooms.sort();
    rooms.iter().map(ToString::to_string).collect()
}

#[test]
fn a_socket_is_in_a_room_of_its_own_where_that_is_wanted() {
    let server = start();
    let (mut first, socket) = server.join(r#"{"room":"a"}"#);
    let (_second, other) = server.join(r#"{"room":"a"}"#);
    let own = socket.id().as_str();
    assert_eq!(emit(&server, &to(own), "own"), 1);
    assert_eq!(first.text(), r#"42/n,["own"]"#);
    assert_eq!(emit(&server, &to("a").except(room(own)), "other"), 1);
    let mut expected = vec![own.to_owned(), "a".to_owned()];
    expected.sort();
    assert_eq!(names(socket.rooms()), expected);
    assert_eq!(
        server.namespace.sockets(&to(own)),
        std::slice::from_ref(&socket)
    );
    let everywhere = names(server.namespace.room_names());
    assert_eq!(everywhere.len(), 3);
    assert!(everywhere.contains(&other.id().as_str().to_owned()));

    let plain = SocketServer::start(ServerConfig::default(), ClientConfig::default());
    let (_client, socket) = plain.join(r#"{"room":"a"}"#);
    assert_eq!(names(socket.rooms()), ["a"]);
}

#[test]
fn an_audience_joins_and_leaves_rooms() {
    let server = start();
    let namespace = &server.namespace;
    let (_in_a, first) = server.join(r#"{"room":"a"}"#);
    let (_in_b, second) = server.join(r#"{"room":"b"}"#);
    let rooms = [room("x"), room("y")];
    let moved = namespace.join(&to("a"), &rooms);
    assert_eq!((moved.sockets, moved.refused), (1, 0));
    assert_eq!(namespace.sockets(&to("x")), std::slice::from_ref(&first));
    assert_eq!(namespace.join(&Audience::everyone(), &rooms).sockets, 2);
    assert_eq!(emit(&server, &to("y"), "e"), 2);
    assert_eq!(namespace.join(&to("nobody"), &rooms), Moved::default());

    assert_eq!(namespace.leave(&to("x").except(room("b")), &rooms), 1);
    assert_eq!(namespace.sockets(&to("x")), [second]);
    assert_eq!(namespace.sockets(&to("y")).len(), 1);
    assert!(!first.rooms().contains(&room("x")));
}

#[test]
fn nobody_is_in_more_rooms_than_the_bound_allows() {
    let server = start();
    let (_client, socket) = server.join(r#"{"room":"a"}"#);
    let max = RoomsConfig::default().max_rooms_per_member as usize;
    let rooms: Vec<RoomName> = (0..max).map(|number| room(&format!("r{number}"))).collect();
    let moved = server.namespace.join(&to("a"), &rooms);
    // It was in two.
    assert_eq!((moved.sockets, moved.refused), (1, 2));
    assert_eq!(socket.rooms().len(), max);
}

#[test]
fn rooms_that_are_joined_end_with_the_connection() {
    let server = start();
    let (client, _) = server.join(r#"{"room":"a"}"#);
    server.namespace.join(&to("a"), &[room("x")]);
    drop(client);
    server.next_end();
    assert!(server.namespace.room_names().is_empty());
}

#[test]
fn rooms_that_come_and_go_are_told() {
    let server = start();
    let (client, socket) = server.join(r#"{"room":"a"}"#);
    let own = room(socket.id().as_str());
    let mut changes = server.namespace.room_changes();
    let mut told = |is_there: bool, rooms: &[&RoomName]| {
        let mut expected: Vec<RoomChange> = rooms
            .iter()
            .map(|&room| RoomChange {
                room: room.clone(),
                is_there,
            })
            .collect();
        expected.sort_by(|one, other| one.room.cmp(&other.room));
        assert_eq!(server.wait(changes.next()), expected);
    };
    told(true, &[&own, &room("a")]);
    // Somebody more in a room is no change.
    let (_second, second) = server.join(r#"{"room":"a"}"#);
    told(true, &[&room(second.id().as_str())]);
    server.namespace.join(&to("a"), &[room("x")]);
    told(true, &[&room("x")]);
    server.namespace.leave(&to("a"), &[room("x")]);
    told(false, &[&room("x")]);
    drop(client);
    told(false, &[&own]);
}
