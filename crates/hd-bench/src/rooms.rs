//! Rooms and fan-out.

use std::hint::black_box;

use engineio_proto::Outbound;
use hd_rooms::{Audience, AudienceScratch, RoomName, Rooms, RoomsConfig};
use serde_json::value::RawValue;

use crate::Operation;
use crate::codecs::{self, PAYLOAD, notifications};

pub(crate) const OPERATIONS: &[Operation] = &[
    Operation::new("rooms/come-and-go-among-10k", || {
        let mut rooms = users(10_000);
        let own = room(10_000);
        Box::new(move || {
            let key = rooms.insert(10_000).expect("room for one more");
            rooms.join(key, black_box(&own)).expect("room for one more");
            black_box(rooms.remove(key));
        })
    }),
    Operation::new("rooms/resolve-user-among-10k", || {
        resolve(10_000, Audience::room(room(5000)), 1)
    }),
    Operation::new("rooms/resolve-everyone-of-1k", || {
        resolve(1000, Audience::everyone(), 1000)
    }),
    Operation::new("rooms/resolve-all-but-one-room-of-1k", || {
        resolve(1000, Audience::everyone().except(room(500)), 999)
    }),
    Operation::new("rooms/encode-once-for-1k-queues", || {
        let namespace = notifications();
        let payload = RawValue::from_string(PAYLOAD.to_owned()).expect("JSON");
        let mut queues: Vec<Outbound> = (0..1000).map(|_| Outbound::default()).collect();
        Box::new(move || {
            let encoded = codecs::event(&namespace, &payload);
            for queue in &mut queues {
                for packet in encoded.packets() {
                    queue.push(packet.frame().clone());
                }
                queue.advance(encoded.len_bytes());
            }
        })
    }),
];

fn room(user: usize) -> RoomName {
    RoomName::new(&format!("user_{user}")).expect("a short name")
}

/// That many users, each in a room of its own.
fn users(count: usize) -> Rooms<usize> {
    let mut rooms = Rooms::new(RoomsConfig::default());
    for user in 0..count {
        let key = rooms.insert(user).expect("room for all");
        rooms.join(key, &room(user)).expect("room for all");
    }
    rooms
}

fn resolve(count: usize, audience: Audience, expected: usize) -> Box<dyn FnMut()> {
    let rooms = users(count);
    let mut scratch = AudienceScratch::default();
    let mut found = Vec::new();
    Box::new(move || {
        found.clear();
        rooms.resolve(black_box(&audience), &mut scratch, &mut found);
        assert_eq!(black_box(&found).len(), expected);
    })
}
