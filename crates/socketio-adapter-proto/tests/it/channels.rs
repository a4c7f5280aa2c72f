//! Names of channels.

use socketio_adapter_proto::{classic, sharded};

use crate::support::namespace;

#[test]
fn channels_have_the_names_of_nodes_adapters() {
    let classic = classic::Channels::new("socket.io", &namespace());
    assert_eq!(classic.broadcast(), "socket.io#/notifications#");
    assert_eq!(classic.broadcast_pattern(), "socket.io#/notifications#*");
    assert_eq!(classic.request(), "socket.io-request#/notifications#");
    assert_eq!(classic.response(), "socket.io-response#/notifications#");
    let sharded = sharded::Channels::new("socket.io", &namespace());
    assert_eq!(sharded.main(), "socket.io#/notifications#");
    assert_eq!(sharded.response("0011"), "socket.io#/notifications#0011#");
}

#[test]
fn a_room_has_a_channel_unless_it_may_be_a_socket() {
    let channels = sharded::Channels::new("p", &namespace());
    let of = |room: &str| channels.room(room);
    assert_eq!(of("user_1").as_deref(), Some("p#/notifications#user_1#"));
    assert_eq!(of("CjdVH4TQvovi1VvgAC5Z"), None);
    // JavaScript counts these as two each.
    assert_eq!(of(&"😀".repeat(10)), None);
    assert!(of(&"é".repeat(19)).is_some());
}

#[test]
fn a_pattern_matches_the_prefix_to_the_letter() {
    let channels = classic::Channels::new("a*[b]?\\", &namespace());
    let expected = r"a\*\[b\]\?\\#/notifications#*";
    assert_eq!(channels.broadcast_pattern(), expected);
}
