use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::error::EmitError;
use crate::json;

/// The largest id, of a user as of a role, 2^53 − 1: above it JavaScript cannot tell neighbours
/// apart.
pub const MAX_ID: u64 = json::MAX_SAFE_INTEGER;

/// The longest name of a room in a command, in bytes. Ours: as long as an event's name, and some
/// four times as long as the rooms that clients are in.
pub const MAX_ROOM_NAME_BYTES: usize = 128;

/// Whoever is meant by one id, or by one room's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The user with this `usu_id`.
    User(u64),
    /// Who has this `rol_id`.
    Role(u64),
    /// Who has this `dp_id`.
    Department(u64),
    /// Who has this `reg_id`; who has national scope and another `reg_id` is not meant.
    Region(u64),
    /// Who has this `car_id`.
    Position(u64),
    /// Who is in this room.
    Room(RoomName),
}

/// Who an event is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Every client.
    Everyone,
    /// Whoever is meant by any of the targets.
    AnyOf(Targets),
}

/// At least one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets(Vec<Target>);

/// The name of a room that a command may name: 1 to [`MAX_ROOM_NAME_BYTES`] bytes of text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName(String);

impl Targets {
    /// `None` for an empty list: an audience that was forgotten must not become everybody.
    #[must_use]
    pub fn new(targets: Vec<Target>) -> Option<Self> {
        (!targets.is_empty()).then_some(Self(targets))
    }

    /// The targets, at least one.
    #[must_use]
    pub fn as_slice(&self) -> &[Target] {
        &self.0
    }
}

impl From<Target> for Recipients {
    fn from(target: Target) -> Self {
        Self::AnyOf(Targets(vec![target]))
    }
}

impl RoomName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`InvalidRoomName`] when it is empty or too long.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidRoomName> {
        let name = name.into();
        if name.is_empty() || name.len() > MAX_ROOM_NAME_BYTES {
            return Err(InvalidRoomName);
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name is empty, or longer than [`MAX_ROOM_NAME_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the name of a room must have 1 to {MAX_ROOM_NAME_BYTES} bytes")]
pub struct InvalidRoomName;

/// The members of a body, or of its `except`, that name targets.
#[derive(Default)]
pub(crate) struct TargetFields<'a> {
    user_id: Option<&'a RawValue>,
    user_ids: Option<&'a RawValue>,
    rooms: Option<&'a RawValue>,
    role: Option<&'a RawValue>,
    department: Option<&'a RawValue>,
    region: Option<&'a RawValue>,
    position: Option<&'a RawValue>,
    broadcast: Option<&'a RawValue>,
}

impl<'a> TargetFields<'a> {
    /// Where the member of this name is kept, if it names targets.
    pub(crate) fn slot(&mut self, name: &[u8]) -> Option<&mut Option<&'a RawValue>> {
        Some(match name {
            b"userId" => &mut self.user_id,
            b"userIds" => &mut self.user_ids,
            b"rooms" => &mut self.rooms,
            b"role" => &mut self.role,
            b"department" => &mut self.department,
            b"region" => &mut self.region,
            b"position" => &mut self.position,
            b"broadcast" => &mut self.broadcast,
            _ => return None,
        })
    }

    /// The recipients that the members of a body name.
    pub(crate) fn recipients(&self, most: usize) -> Result<Recipients, EmitError> {
        let targets = self.targets(most)?;
        match self.broadcast.map(RawValue::get) {
            Some("true") => return Ok(Recipients::Everyone),
            Some("false") | None => {}
            Some(_) => return Err(EmitError::InvalidTarget { field: "broadcast" }),
        }
        Targets::new(targets)
            .map(Recipients::AnyOf)
            .ok_or(EmitError::NoTarget)
    }

    fn targets(&self, most: usize) -> Result<Vec<Target>, EmitError> {
        let mut list = TargetList {
            most,
            targets: Vec::new(),
        };
        if let Some(id) = self.user_id {
            list.push(user(id)?)?;
        }
        if let Some(ids) = self.user_ids {
            json::elements(ids, EmitError::InvalidUserId, |id| list.push(user(id)?))?;
        }
        if let Some(names) = self.rooms {
            const INVALID: EmitError = EmitError::InvalidTarget { field: "rooms" };
            json::elements(names, INVALID, |name| {
                let name = json::string(name).and_then(|name| RoomName::new(name).ok());
                list.push(Target::Room(name.ok_or(INVALID)?))
            })?;
        }
        list.ids("role", self.role, Target::Role)?;
        list.ids("department", self.department, Target::Department)?;
        list.ids("region", self.region, Target::Region)?;
        list.ids("position", self.position, Target::Position)?;
        Ok(list.targets)
    }
}

/// Whom an event is not for: `{"userId": 7, "role": [1, 2]}`. A name that is no target's is an
/// error: ignored, it would send to those who are not to be sent to.
pub(crate) fn exceptions(value: &RawValue, most: usize) -> Result<Vec<Target>, EmitError> {
    const INVALID: EmitError = EmitError::InvalidTarget { field: "except" };
    let mut fields = TargetFields::default();
    let mut is_known = true;
    json::members(value.get(), |name, value| match fields.slot(name) {
        Some(slot) => *slot = Some(value),
        None => is_known = false,
    })
    .map_err(|_| INVALID)?;
    if !is_known || fields.broadcast.is_some() {
        return Err(INVALID);
    }
    fields.targets(most)
}

/// Targets as they are read, within a bound.
struct TargetList {
    most: usize,
    targets: Vec<Target>,
}

impl TargetList {
    fn push(&mut self, target: Target) -> Result<(), EmitError> {
        if self.targets.len() >= self.most {
            return Err(EmitError::TooManyTargets { limit: self.most });
        }
        self.targets.push(target);
        Ok(())
    }

    /// An id, or a list of ids.
    fn ids(
        &mut self,
        field: &'static str,
        value: Option<&RawValue>,
        target: impl Fn(u64) -> Target,
    ) -> Result<(), EmitError> {
        let Some(value) = value else {
            return Ok(());
        };
        let invalid = || EmitError::InvalidTarget { field };
        if let Some(id) = json::id(value) {
            return self.push(target(id));
        }
        json::elements(value, invalid(), |id| {
            self.push(target(json::id(id).ok_or_else(invalid)?))
        })
    }
}

fn user(id: &RawValue) -> Result<Target, EmitError> {
    json::id(id)
        .map(Target::User)
        .ok_or(EmitError::InvalidUserId)
}

/// Writes targets as the members that [`TargetFields`] reads.
pub(crate) fn serialize_targets<M: SerializeMap>(
    map: &mut M,
    targets: &[Target],
) -> Result<(), M::Error> {
    if let [user @ Target::User(_)] = targets {
        return map.serialize_entry("userId", &Bare(user));
    }
    for field in LISTS {
        let is_of_field = |target: &&Target| target.list() == field;
        let list: Vec<Bare<'_>> = targets.iter().filter(is_of_field).map(Bare).collect();
        if !list.is_empty() {
            map.serialize_entry(field, &list)?;
        }
    }
    Ok(())
}

impl Target {
    /// The member whose list it may stand in.
    const fn list(&self) -> &'static str {
        match self {
            Self::User(_) => "userIds",
            Self::Role(_) => "role",
            Self::Department(_) => "department",
            Self::Region(_) => "region",
            Self::Position(_) => "position",
            Self::Room(_) => "rooms",
        }
    }
}

const LISTS: [&str; 6] = [
    "userIds",
    "rooms",
    "role",
    "department",
    "region",
    "position",
];

/// A target as it stands in its list.
struct Bare<'a>(&'a Target);

impl Serialize for Bare<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Target::User(id)
            | Target::Role(id)
            | Target::Department(id)
            | Target::Region(id)
            | Target::Position(id) => serializer.serialize_u64(*id),
            Target::Room(name) => serializer.serialize_str(name.as_str()),
        }
    }
}
