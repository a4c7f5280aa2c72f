//! Random sequences of calls against a registry of sorted sets.

use std::collections::{BTreeMap, BTreeSet};

use hd_rooms::{
    Audience, AudienceScratch, InsertError, JoinError, Joined, MemberKey, Rooms, RoomsConfig,
};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::room;

/// Few enough names and low enough bounds that sequences run into each other
/// and into every bound.
const NAMES: [&str; 8] = ["", "a", "b", "c", "d", "e", "user_1", "user_2"];
const MAX_MEMBERS: u32 = 10;
const MAX_ROOMS: u32 = 6;
const MAX_ROOMS_PER_MEMBER: u32 = 4;

#[derive(Debug, Clone)]
enum Call {
    Insert,
    Join(Index, usize),
    Leave(Index, usize),
    Remove(Index),
    Resolve {
        to: Vec<usize>,
        except: Vec<usize>,
        except_members: Vec<Index>,
    },
}

fn call() -> impl Strategy<Value = Call> {
    let name = || 0..NAMES.len();
    prop_oneof![
        3 => Just(Call::Insert),
        8 => (any::<Index>(), name()).prop_map(|(key, name)| Call::Join(key, name)),
        4 => (any::<Index>(), name()).prop_map(|(key, name)| Call::Leave(key, name)),
        2 => any::<Index>().prop_map(Call::Remove),
        4 => (vec(name(), 0..4), vec(name(), 0..3), vec(any::<Index>(), 0..3)).prop_map(
            |(to, except, except_members)| Call::Resolve { to, except, except_members }
        ),
    ]
}

/// Which names each member is in.
#[derive(Default)]
struct Model {
    members: BTreeMap<MemberKey, (usize, BTreeSet<&'static str>)>,
}

impl Model {
    fn members_of(&self, name: &str) -> BTreeSet<MemberKey> {
        self.members
            .iter()
            .filter(|(_, (_, names))| names.contains(name))
            .map(|(key, _)| *key)
            .collect()
    }

    fn room_count(&self) -> usize {
        let all = self.members.values().flat_map(|(_, names)| names);
        all.collect::<BTreeSet<_>>().len()
    }

    fn join(&mut self, key: MemberKey, name: &'static str) -> Result<Joined, JoinError> {
        let is_new_room = self.members_of(name).is_empty();
        let room_count = self.room_count();
        let (_, names) = self.members.get_mut(&key).ok_or(JoinError::UnknownMember)?;
        if names.contains(name) {
            return Ok(Joined::Already);
        }
        if names.len() >= MAX_ROOMS_PER_MEMBER as usize {
            let max = MAX_ROOMS_PER_MEMBER;
            return Err(JoinError::TooManyRoomsOfMember { max });
        }
        if is_new_room && room_count >= MAX_ROOMS as usize {
            return Err(JoinError::TooManyRooms { max: MAX_ROOMS });
        }
        names.insert(name);
        Ok(Joined::New)
    }

    fn audience(&self, to: &[usize], except: &[usize], keys: &[MemberKey]) -> BTreeSet<MemberKey> {
        let mut audience: BTreeSet<MemberKey> = if to.is_empty() {
            self.members.keys().copied().collect()
        } else {
            to.iter().flat_map(|i| self.members_of(NAMES[*i])).collect()
        };
        for i in except {
            let left_out = self.members_of(NAMES[*i]);
            audience.retain(|key| !left_out.contains(key));
        }
        audience.retain(|key| !keys.contains(key));
        audience
    }
}

/// The registry and its model; `twin` gets the same calls and has another hash
/// seed, so any trace of hash order shows as a difference.
struct World {
    rooms: Rooms<usize>,
    twin: Rooms<usize>,
    model: Model,
    /// Every key there ever was, stale ones included.
    keys: Vec<MemberKey>,
    scratch: AudienceScratch,
    inserted: usize,
}

impl World {
    fn new() -> Self {
        let config = RoomsConfig {
            max_members: MAX_MEMBERS,
            max_rooms: MAX_ROOMS,
            max_rooms_per_member: MAX_ROOMS_PER_MEMBER,
        };
        Self {
            rooms: Rooms::new(config.clone()),
            twin: Rooms::new(config),
            model: Model::default(),
            keys: Vec::new(),
            scratch: AudienceScratch::new(),
            inserted: 0,
        }
    }

    fn insert(&mut self) {
        let value = self.inserted;
        self.inserted += 1;
        let result = self.rooms.insert(value);
        assert_eq!(self.twin.insert(value), result);
        if self.model.members.len() >= MAX_MEMBERS as usize {
            let max = MAX_MEMBERS;
            assert_eq!(result, Err(InsertError::TooManyMembers { max }));
            return;
        }
        let key = result.unwrap();
        assert!(!self.keys.contains(&key), "a key was given out twice");
        self.keys.push(key);
        self.model.members.insert(key, (value, BTreeSet::new()));
    }

    fn apply(&mut self, call: &Call) {
        let Some(key_of) = (!self.keys.is_empty()).then_some(&self.keys) else {
            return self.insert();
        };
        match call {
            Call::Insert => self.insert(),
            Call::Join(key, i) => {
                let key = *key.get(key_of);
                let name = room(NAMES[*i]);
                let result = self.rooms.join(key, &name);
                assert_eq!(result, self.model.join(key, NAMES[*i]));
                assert_eq!(self.twin.join(key, &name), result);
            }
            Call::Leave(key, i) => {
                let key = *key.get(key_of);
                let member = self.model.members.get_mut(&key);
                let expected = member.is_some_and(|(_, names)| names.remove(NAMES[*i]));
                assert_eq!(self.rooms.leave(key, NAMES[*i]), expected);
                assert_eq!(self.twin.leave(key, NAMES[*i]), expected);
            }
            Call::Remove(key) => {
                let key = *key.get(key_of);
                let expected = self.model.members.remove(&key).map(|(value, _)| value);
                assert_eq!(self.rooms.remove(key), expected);
                assert_eq!(self.twin.remove(key), expected);
            }
            Call::Resolve {
                to,
                except,
                except_members,
            } => {
                let keys: Vec<MemberKey> = except_members.iter().map(|i| *i.get(key_of)).collect();
                self.resolve(to, except, &keys);
            }
        }
    }

    fn resolve(&mut self, to: &[usize], except: &[usize], except_members: &[MemberKey]) {
        let mut audience = Audience::everyone();
        for i in to {
            audience = audience.to(room(NAMES[*i]));
        }
        for i in except {
            audience = audience.except(room(NAMES[*i]));
        }
        for key in except_members {
            audience = audience.except_member(*key);
        }

        let mut visited = Vec::new();
        self.rooms
            .visit(&audience, &mut self.scratch, |key, value| {
                visited.push((key, *value));
            });
        let keys: BTreeSet<MemberKey> = visited.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys.len(), visited.len(), "somebody came twice");
        assert_eq!(keys, self.model.audience(to, except, except_members));
        for (key, value) in &visited {
            assert_eq!(self.model.members[key].0, *value);
        }

        let values: Vec<usize> = visited.iter().map(|(_, value)| *value).collect();
        let mut out = Vec::new();
        self.rooms.resolve(&audience, &mut self.scratch, &mut out);
        assert_eq!(out, values);
        out.clear();
        self.twin.resolve(&audience, &mut self.scratch, &mut out);
        assert_eq!(out, values, "the order depends on the hash seed");
    }

    fn check(&self) {
        self.rooms.assert_invariants();
        assert_eq!(self.rooms.len(), self.model.members.len());
        assert_eq!(self.rooms.room_count(), self.model.room_count());
        for key in &self.keys {
            let member = self.model.members.get(key);
            assert_eq!(self.rooms.get(*key), member.map(|(value, _)| value));
            let names: Vec<&str> = self.rooms.rooms_of(*key).map(|name| &**name).collect();
            let twin: Vec<&str> = self.twin.rooms_of(*key).map(|name| &**name).collect();
            assert_eq!(names, twin);
            let expected = member.map(|(_, names)| names.clone()).unwrap_or_default();
            assert_eq!(names.len(), expected.len());
            assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected);
            for name in NAMES {
                assert_eq!(self.rooms.contains(*key, name), expected.contains(name));
            }
        }
        for name in NAMES {
            let members: Vec<MemberKey> = self.rooms.members_of(name).map(|(key, _)| key).collect();
            assert_eq!(self.rooms.room_len(name), members.len());
            let expected = self.model.members_of(name);
            assert_eq!(members.len(), expected.len());
            assert_eq!(members.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_sequence_of_calls_agrees_with_the_model(calls in vec(call(), 1..120)) {
        let mut world = World::new();
        for call in &calls {
            world.apply(call);
            world.check();
        }
    }
}
