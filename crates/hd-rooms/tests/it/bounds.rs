use hd_rooms::{InsertError, JoinError, Joined, Rooms, RoomsConfig};

use super::room;

#[test]
fn max_members_counts_those_present() {
    let mut rooms = Rooms::new(RoomsConfig {
        max_members: 2,
        ..RoomsConfig::default()
    });
    let a = rooms.insert('a').unwrap();
    rooms.insert('b').unwrap();
    assert_eq!(
        rooms.insert('c'),
        Err(InsertError::TooManyMembers { max: 2 })
    );
    assert_eq!(rooms.len(), 2);

    rooms.remove(a).unwrap();
    assert!(rooms.insert('d').is_ok());
    rooms.assert_invariants();
}

#[test]
fn max_rooms_counts_rooms_with_members() {
    let mut rooms = Rooms::new(RoomsConfig {
        max_rooms: 1,
        ..RoomsConfig::default()
    });
    let a = rooms.insert('a').unwrap();
    let b = rooms.insert('b').unwrap();
    rooms.join(a, &room("r")).unwrap();

    assert_eq!(
        rooms.join(a, &room("s")),
        Err(JoinError::TooManyRooms { max: 1 })
    );
    assert_eq!(rooms.rooms_of(a).count(), 1);
    // A room that is there already takes anyone.
    assert_eq!(rooms.join(b, &room("r")), Ok(Joined::New));
    rooms.leave(a, "r");
    rooms.leave(b, "r");
    assert_eq!(rooms.join(a, &room("s")), Ok(Joined::New));
    rooms.assert_invariants();
}

#[test]
fn max_rooms_per_member_bounds_each_member_alone() {
    let mut rooms = Rooms::new(RoomsConfig {
        max_rooms_per_member: 2,
        ..RoomsConfig::default()
    });
    let a = rooms.insert('a').unwrap();
    let b = rooms.insert('b').unwrap();
    rooms.join(a, &room("r")).unwrap();
    rooms.join(a, &room("s")).unwrap();

    let refused = Err(JoinError::TooManyRoomsOfMember { max: 2 });
    assert_eq!(rooms.join(a, &room("t")), refused);
    assert_eq!(rooms.room_count(), 2, "a refused room does not come to be");
    assert_eq!(rooms.join(a, &room("r")), Ok(Joined::Already));
    assert_eq!(rooms.join(b, &room("t")), Ok(Joined::New));
    assert_eq!(rooms.join(a, &room("t")), refused);
    rooms.leave(a, "r");
    assert_eq!(rooms.join(a, &room("t")), Ok(Joined::New));
    rooms.assert_invariants();
}

#[test]
fn the_default_allows_256_rooms_per_member() {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let a = rooms.insert('a').unwrap();
    for n in 0..256 {
        rooms.join(a, &room(&format!("room_{n}"))).unwrap();
    }
    assert_eq!(
        rooms.join(a, &room("one more")),
        Err(JoinError::TooManyRoomsOfMember { max: 256 })
    );
    rooms.assert_invariants();
    assert_eq!(rooms.remove(a), Some('a'));
    assert_eq!(rooms.room_count(), 0);
    rooms.assert_invariants();
}
