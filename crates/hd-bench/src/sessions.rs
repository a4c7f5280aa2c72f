//! The machines of a connection.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use engineio_proto::{Config, EncodedPacket, Message, Packet, Revision, Session, Sid, Transport};
use serde_json::value::RawValue;
use socketio_proto::{Client, ClientConfig, ClientEvent};

use crate::Operation;
use crate::codecs::{self, PAYLOAD, notifications};

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation::new("sessions/open-websocket", || {
        let config = Arc::new(Config::default());
        let now = Instant::now();
        Box::new(move || {
            drop(black_box(open(&config, Transport::WebSocket, now)));
        })
    }),
    Operation::new("sessions/ping-pong", || {
        let config = Arc::new(Config::default());
        let mut now = Instant::now();
        let mut session = open(&config, Transport::WebSocket, now);
        Box::new(move || {
            now += config.ping_interval;
            session.handle_timeout(now);
            write_out(&mut session);
            let pong = Packet::decode("3").expect("a pong");
            let message = session.handle_packet(Transport::WebSocket, pong, now);
            assert!(message.expect("the right direction").is_none());
            black_box(session.poll_timeout());
        })
    }),
    Operation::new("sessions/queue-and-write-event", || {
        let mut session = open(
            &Arc::new(Config::default()),
            Transport::WebSocket,
            Instant::now(),
        );
        let packet = packet();
        Box::new(move || {
            session.send(black_box(&packet).clone()).expect("open");
            write_out(&mut session);
        })
    }),
    Operation::new("sessions/poll-event", || {
        let mut session = open(
            &Arc::new(Config::default()),
            Transport::Polling,
            Instant::now(),
        );
        let (packet, now) = (packet(), Instant::now());
        Box::new(move || {
            session.handle_poll(None, now).expect("one poll at a time");
            session.send(black_box(&packet).clone()).expect("open");
            drop(black_box(session.poll_response()).expect("an answer"));
        })
    }),
    Operation::new("sessions/client-connect", || {
        let config = Arc::new(ClientConfig::default());
        let now = Instant::now();
        let text = r#"0/notifications,{"token":"x"}"#;
        Box::new(move || {
            let mut client = Client::new(Arc::clone(&config), now);
            let event = client.handle_message(Message::Text(black_box(text)), now);
            let Ok(Some(ClientEvent::Connect { namespace, .. })) = event else {
                panic!("{event:?} is not a CONNECT");
            };
            assert!(client.accept(&namespace));
            drop(black_box(client));
        })
    }),
];

/// A session whose open packet is on its way.
fn open(config: &Arc<Config>, transport: Transport, now: Instant) -> Session {
    let sid = Sid::from_random([7; Sid::RANDOM_BYTES]);
    let mut session = Session::new(Arc::clone(config), sid, transport, Revision::V4, true, now);
    match transport {
        Transport::WebSocket => write_out(&mut session),
        Transport::Polling => {
            session.handle_poll(None, now).expect("the first poll");
            drop(black_box(session.poll_response()).expect("the open packet"));
        }
    }
    session
}

fn write_out(session: &mut Session) {
    let outbound = session.poll_transmit().expect("something waits");
    outbound.advance(outbound.bytes());
    session.handle_written();
}

fn packet() -> EncodedPacket {
    let payload = RawValue::from_string(PAYLOAD.to_owned()).expect("JSON");
    let encoded = codecs::event(&notifications(), &payload);
    encoded.packets()[0].clone()
}
