use std::time::Duration;

use engineio_proto::{
    ClientEvent, ClientSession, Config, EncodedPacket, Event, Message, Packet, PacketType,
    ServerViolation, TimerReason, Transport,
};

use crate::pair::{Pair, secs, sid, start};
use crate::wire::Received;

/// A client and a server, joined by a WebSocket.
struct World {
    server: Pair,
    client: ClientSession,
    /// What the client's application got.
    messages: Vec<String>,
}

impl World {
    fn new() -> Self {
        Self {
            server: Pair::opening(Transport::WebSocket, Config::default(), true),
            client: ClientSession::new(),
            messages: Vec::new(),
        }
    }

    fn opened() -> Self {
        let mut world = Self::new();
        world.carry();
        assert!(world.client.handshake().is_some());
        world
    }

    /// Brings what the server wrote to the client, and the client's replies
    /// back, until nobody has anything to say. Returns the client's events
    /// other than messages and replies.
    fn carry(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        loop {
            let frames = self.server.read();
            if frames.is_empty() {
                return events;
            }
            for frame in &frames {
                let packet = match frame {
                    Received::Text(text) => Packet::decode(text).unwrap(),
                    Received::Binary(data) => Packet::from_binary(data),
                    Received::Close(_) | Received::Ping | Received::Pong(_) => continue,
                };
                match self.client.handle_packet(packet, self.server.now).unwrap() {
                    Some(ClientEvent::Reply(reply)) => {
                        let reply = String::from_utf8(reply.frame().payload().to_vec()).unwrap();
                        assert_eq!(self.server.frame(&reply), Ok(None));
                    }
                    Some(ClientEvent::Message(Message::Text(text))) => {
                        self.messages.push(text.to_owned());
                    }
                    Some(ClientEvent::Message(Message::Binary(data))) => {
                        self.messages.push(format!("{data:?}"));
                    }
                    Some(event @ (ClientEvent::Opened | ClientEvent::Closed)) => {
                        events.push(format!("{event:?}"));
                    }
                    None => {}
                }
            }
        }
    }
}

#[test]
fn a_conversation_from_handshake_to_close() {
    let mut world = World::new();
    assert_eq!(world.client.handshake(), None);
    assert_eq!(world.client.poll_timeout(), None);
    assert_eq!(world.carry(), ["Opened"]);
    assert_eq!(*world.client.handshake().unwrap().sid, *sid().as_str());

    world.server.send("to the client");
    let binary = EncodedPacket::binary_message(&[1, 2]);
    world.server.session.send(binary).unwrap();
    assert!(world.carry().is_empty());
    assert_eq!(world.messages, ["to the client", "[1, 2]"]);

    let message = EncodedPacket::message("to the server");
    let text = String::from_utf8(message.frame().payload().to_vec()).unwrap();
    assert_eq!(
        world.server.frame(&text),
        Ok(Some("to the server".to_owned()))
    );

    // A day of heartbeats, and nobody is given up.
    for _ in 0..24 * 60 * 60 / 25 {
        assert_eq!(world.server.next_timeout(), Some(TimerReason::PingInterval));
        assert!(!world.client.handle_timeout(world.server.now));
        assert!(world.carry().is_empty());
    }

    world
        .server
        .session
        .handle_transport_closed(engineio_proto::CloseReason::TransportClose);
    world
        .server
        .assert_closed(Event::Closed(engineio_proto::CloseReason::TransportClose));
}

#[test]
fn a_silent_server_counts_as_gone() {
    let mut world = World::opened();
    let deadline = world.server.now + secs(25 + 20);
    assert_eq!(world.client.poll_timeout(), Some(deadline));
    assert!(
        !world
            .client
            .handle_timeout(deadline - Duration::from_nanos(1))
    );
    assert!(world.client.handle_timeout(deadline));
    assert_eq!(world.client.poll_timeout(), None);
    assert_eq!(world.client.handshake(), None);
    assert!(!world.client.handle_timeout(deadline), "it is told once");
}

#[test]
fn a_ping_restarts_the_patience() {
    let mut world = World::opened();
    world.server.next_timeout();
    world.carry();
    assert_eq!(
        world.client.poll_timeout(),
        Some(world.server.now + secs(25 + 20))
    );
}

#[test]
fn a_ping_is_answered_with_its_data() {
    let mut world = World::opened();
    let reply = world
        .client
        .handle_packet(Packet::Ping("x"), world.server.now);
    let pong = EncodedPacket::control(PacketType::Pong, "x");
    assert_eq!(reply, Ok(Some(ClientEvent::Reply(pong))));
}

#[test]
fn a_close_packet_closes() {
    let mut world = World::opened();
    let now = world.server.now;
    assert_eq!(
        world.client.handle_packet(Packet::Close, now),
        Ok(Some(ClientEvent::Closed))
    );
    assert_eq!(world.client.poll_timeout(), None);
    for packet in [
        Packet::Close,
        Packet::Open("{}"),
        Packet::Ping(""),
        Packet::Message(Message::Text("late")),
    ] {
        assert_eq!(world.client.handle_packet(packet, now), Ok(None));
    }
}

#[test]
fn packets_without_meaning_are_ignored() {
    let mut world = World::opened();
    for packet in [Packet::Pong(""), Packet::Upgrade, Packet::Noop] {
        let handled = world.client.handle_packet(packet, world.server.now);
        assert_eq!(handled, Ok(None));
    }
    assert!(world.client.handshake().is_some());
}

#[test]
fn the_first_packet_must_be_a_handshake() {
    for packet in [
        Packet::Open(""),
        Packet::Open("{}"),
        Packet::Close,
        Packet::Ping(""),
        Packet::Message(Message::Text("hi")),
        Packet::Noop,
    ] {
        let mut client = ClientSession::default();
        let handled = client.handle_packet(packet.clone(), start());
        assert_eq!(handled, Err(ServerViolation::NoHandshake), "{packet:?}");
        assert_is_closed(&mut client);
    }
}

#[test]
fn a_second_handshake_is_a_violation() {
    let mut world = World::opened();
    let handled = world
        .client
        .handle_packet(Packet::Open("{}"), world.server.now);
    assert_eq!(handled, Err(ServerViolation::SecondHandshake));
    assert_is_closed(&mut world.client);
}

#[test]
fn the_longest_intervals_that_a_server_can_name_are_borne() {
    let most = u64::MAX;
    let open = format!(
        r#"{{"sid":"{}","upgrades":[],"pingInterval":{most},"pingTimeout":{most}}}"#,
        sid()
    );
    let mut client = ClientSession::new();
    let now = start();
    assert_eq!(
        client.handle_packet(Packet::Open(&open), now),
        Ok(Some(ClientEvent::Opened))
    );
    assert!(client.poll_timeout().unwrap() > now);
}

#[track_caller]
fn assert_is_closed(client: &mut ClientSession) {
    let message = Packet::Message(Message::Text("late"));
    assert_eq!(client.handle_packet(message, start()), Ok(None));
    assert_eq!(client.poll_timeout(), None);
}
