use hd_rooms::{Audience, AudienceScratch, MemberKey, Rooms, RoomsConfig};

use super::room;

/// Members `a` to `e`, inserted in this order; room `x` has a, b, c, room `y`
/// has e, c, b, room `z` has d.
fn world() -> (Rooms<char>, Vec<MemberKey>) {
    let mut rooms = Rooms::new(RoomsConfig::default());
    let keys: Vec<MemberKey> = ('a'..='e').map(|m| rooms.insert(m).unwrap()).collect();
    for (name, members) in [("x", &[0, 1, 2][..]), ("y", &[4, 2, 1]), ("z", &[3])] {
        for member in members {
            rooms.join(keys[*member], &room(name)).unwrap();
        }
    }
    (rooms, keys)
}

fn check(rooms: &Rooms<char>, audience: &Audience, expected: &str) {
    let mut scratch = AudienceScratch::new();
    // The second time round, marks of the first must not count.
    for _ in 0..2 {
        let mut out = Vec::new();
        rooms.resolve(audience, &mut scratch, &mut out);
        assert_eq!(String::from_iter(out), expected, "{audience:?}");
    }
    rooms.visit(audience, &mut scratch, |key, member| {
        assert_eq!(rooms.get(key), Some(member));
    });
}

#[test]
fn no_room_means_everyone() {
    let (mut rooms, keys) = world();
    check(&rooms, &Audience::everyone(), "abcde");
    rooms.remove(keys[2]);
    check(&rooms, &Audience::everyone(), "abde");
}

#[test]
fn one_room_means_its_members() {
    let (rooms, _) = world();
    check(&rooms, &Audience::room(room("x")), "abc");
    check(&rooms, &Audience::room(room("y")), "ecb");
}

#[test]
fn a_room_that_does_not_exist_is_nobody_and_not_everyone() {
    let (rooms, _) = world();
    check(&rooms, &Audience::room(room("nowhere")), "");
    check(&rooms, &Audience::room(room("nowhere")).to(room("z")), "d");
    check(
        &rooms,
        &Audience::room(room("z")).except(room("nowhere")),
        "d",
    );
}

#[test]
fn members_of_several_rooms_come_once_with_the_first() {
    let (rooms, _) = world();
    check(&rooms, &Audience::room(room("x")).to(room("y")), "abce");
    check(&rooms, &Audience::room(room("y")).to(room("x")), "ecba");
    check(&rooms, &Audience::room(room("x")).to(room("x")), "abc");
}

#[test]
fn exceptions_win_over_everything() {
    let (rooms, keys) = world();
    check(&rooms, &Audience::everyone().except(room("x")), "de");
    check(&rooms, &Audience::everyone().except_member(keys[0]), "bcde");
    check(&rooms, &Audience::room(room("x")).except(room("y")), "a");
    check(&rooms, &Audience::room(room("x")).except(room("x")), "");
    check(
        &rooms,
        &Audience::room(room("x"))
            .to(room("z"))
            .except(room("y"))
            .except_member(keys[0]),
        "d",
    );
    // Somebody who would not be meant anyway.
    check(
        &rooms,
        &Audience::room(room("z")).except_member(keys[0]),
        "d",
    );
}

#[test]
fn resolving_appends() {
    let (rooms, _) = world();
    let mut out = vec!['!'];
    rooms.resolve(
        &Audience::room(room("z")),
        &mut AudienceScratch::new(),
        &mut out,
    );
    assert_eq!(out, ['!', 'd']);
}

#[test]
fn one_scratch_serves_registries_of_different_size() {
    let (large, _) = world();
    let mut small = Rooms::new(RoomsConfig::default());
    let only = small.insert('s').unwrap();
    small.join(only, &room("x")).unwrap();

    let audience = Audience::room(room("x")).to(room("y"));
    let mut scratch = AudienceScratch::new();
    let mut out = Vec::new();
    for _ in 0..3 {
        small.resolve(&audience, &mut scratch, &mut out);
        large.resolve(&audience, &mut scratch, &mut out);
    }
    assert_eq!(String::from_iter(out), "sabce".repeat(3));
}

#[test]
fn an_audience_tells_what_it_was_given() {
    let (_, keys) = world();
    let audience = Audience::room(room("x"))
        .to(room("y"))
        .except(room("z"))
        .except_member(keys[3]);
    assert_eq!(audience.to_rooms(), [room("x"), room("y")]);
    assert_eq!(audience.except_rooms(), [room("z")]);
    assert_eq!(audience.except_members(), [keys[3]]);
}
