use hd_rooms::{Audience, AudienceScratch, JoinError, Rooms, RoomsConfig};

use super::room;

#[test]
fn a_stale_key_does_nothing_to_whoever_has_the_place_now() {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let stale = rooms.insert("old").unwrap();
    rooms.join(stale, &room("r")).unwrap();
    rooms.remove(stale).unwrap();
    let now = rooms.insert("new").unwrap();
    rooms.join(now, &room("r")).unwrap();
    assert_ne!(stale, now);

    assert_eq!(rooms.get(stale), None);
    assert_eq!(rooms.remove(stale), None);
    assert_eq!(
        rooms.join(stale, &room("other")),
        Err(JoinError::UnknownMember)
    );
    assert!(!rooms.leave(stale, "r"));
    assert!(!rooms.contains(stale, "r"));
    assert_eq!(rooms.rooms_of(stale).count(), 0);

    let mut out = Vec::new();
    rooms.resolve(
        &Audience::everyone().except_member(stale),
        &mut AudienceScratch::new(),
        &mut out,
    );
    assert_eq!(out, ["new"]);
    assert_eq!(rooms.get(now), Some(&"new"));
    assert!(rooms.contains(now, "r"));
    assert_eq!(rooms.room_count(), 1);
    rooms.assert_invariants();
}

#[test]
fn a_key_is_stale_even_while_its_place_is_vacant() {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let stale = rooms.insert(1).unwrap();
    assert_eq!(rooms.remove(stale), Some(1));
    assert_eq!(rooms.remove(stale), None);
    assert_eq!(rooms.get(stale), None);
    assert!(rooms.is_empty());
    rooms.assert_invariants();
}

#[test]
fn a_key_of_a_larger_registry_is_unknown() {
    let mut large = Rooms::new(RoomsConfig::default());
    large.insert(1).unwrap();
    let far = large.insert(2).unwrap();
    let mut small = Rooms::new(RoomsConfig::default());
    small.insert(3).unwrap();

    assert_eq!(small.get(far), None);
    assert_eq!(small.remove(far), None);
    assert_eq!(small.len(), 1);
}
