//! Integration tests, one module per topic.

// clippy.toml allows it in `#[test]` functions only, not in what they call.
#![allow(clippy::unwrap_used)]

mod audience;
mod bounds;
mod keys;
mod membership;
mod memory;
mod model;
mod room_name;

use hd_rooms::RoomName;

fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}
