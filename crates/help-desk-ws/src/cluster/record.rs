//! The format of records in the shared log: JSON objects, of which the key `event` or `change` says
//! what they are, and `v` which version of the format they need.
//!
//! A record without `v` is of version 1. A field that a reader of this version may ignore needs no
//! other version; one that changes what a record means does, and so does a new kind of record or of
//! change. A writer gives each record the lowest version that has what it means, so that instances
//! of the release before understand what they can. A reader to which a record is too new, or not
//! readable at all, does not know for whom it is: to its clients it is a gap in the log. So a
//! release that reads a version comes before the first one that writes it.
//!
//! Records of what every instance observes are compared byte by byte: the same event has the same
//! record in two releases that run side by side.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hd_rooms::{Audience, RoomName};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use socketio_proto::{Args, EventName, OutgoingArgs};

use super::change::ChangeKind;
use super::{Change, ClusterEvent, EventArgs};

/// A record that was read.
pub(super) enum LogRecord<'a> {
    Event(LogEvent<'a>),
    Change(LogChange),
}

/// An event for some clients.
pub(super) struct LogEvent<'a> {
    pub(super) audience: Audience,
    name: Cow<'a, str>,
    args: LogArgs<'a>,
    pub(super) ttl: Option<Duration>,
    pub(super) is_volatile: bool,
}

enum LogArgs<'a> {
    Values(Vec<&'a RawValue>),
    WithAttachments(Args),
}

/// A change of who is where.
pub(super) struct LogChange {
    pub(super) kind: ChangeKind,
    pub(super) audience: Audience,
    pub(super) rooms: Vec<RoomName>,
}

/// Why a record is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnreadableRecord {
    /// It is of a version that a later release writes.
    #[error("newer_version")]
    Newer,
    /// It is not what this version says.
    #[error("unreadable")]
    Malformed,
}

/// What a record is, before all of it is read.
#[derive(Deserialize)]
struct Tag {
    #[serde(default = "first_version")]
    v: u64,
    event: Option<IgnoredAny>,
    change: Option<IgnoredAny>,
}

#[derive(Default, Deserialize, Serialize)]
struct SharedEvent<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    /// The only argument, and nothing binary.
    #[serde(
        borrow,
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    payload: Option<&'a RawValue>,
    /// The arguments, where that does not do.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    args: Option<Vec<&'a RawValue>>,
    /// In base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<String>,
    /// None for everyone.
    #[serde(borrow, default)]
    rooms: Vec<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<Cow<'a, str>>,
    /// In milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    volatile: bool,
}

#[derive(Deserialize, Serialize)]
struct SharedChange<'a> {
    // The release before looks for it at the beginning of the record.
    change: ChangeKind,
    /// None for everyone.
    #[serde(borrow)]
    to: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    except: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    rooms: Vec<Cow<'a, str>>,
}

impl<'a> LogRecord<'a> {
    /// Reads a record.
    ///
    /// # Errors
    ///
    /// [`UnreadableRecord`].
    pub(super) fn parse(record: &'a [u8]) -> Result<Self, UnreadableRecord> {
        let tag: Tag = serde_json::from_slice(record).map_err(|_| UnreadableRecord::Malformed)?;
        if tag.v > VERSION {
            return Err(UnreadableRecord::Newer);
        }
        let parsed = match (tag.event, tag.change) {
            (Some(_), None) => LogEvent::parse(record).map(Self::Event),
            (None, Some(_)) => LogChange::parse(record).map(Self::Change),
            _ => None,
        };
        parsed.ok_or(UnreadableRecord::Malformed)
    }
}

impl<'a> LogEvent<'a> {
    fn parse(record: &'a [u8]) -> Option<Self> {
        let event: SharedEvent<'a> = serde_json::from_slice(record).ok()?;
        let values: Vec<&RawValue> = event
            .args
            .into_iter()
            .flatten()
            .chain(event.payload)
            .collect();
        let attachments = event.attachments.iter();
        let attachments: Option<Vec<Bytes>> = attachments
            .map(|text| Some(BASE64_STANDARD.decode(text).ok()?.into()))
            .collect();
        let attachments = attachments?;
        let args = if attachments.is_empty() {
            LogArgs::Values(values)
        } else {
            LogArgs::WithAttachments(Args::with_attachments(&values, attachments).ok()?)
        };
        EventName::new(&event.event).ok()?;
        Some(Self {
            audience: audience(&event.rooms, &event.except)?,
            name: event.event,
            args,
            ttl: event.ttl.map(Duration::from_millis),
            is_volatile: event.volatile,
        })
    }

    pub(super) fn name(&self) -> EventName<'_> {
        EventName::new(&self.name).expect("invariant: the name was checked when it was read")
    }

    pub(super) fn args(&self) -> OutgoingArgs<'_> {
        match &self.args {
            LogArgs::Values(values) => OutgoingArgs::new(values),
            LogArgs::WithAttachments(args) => args.into(),
        }
    }
}

impl LogChange {
    fn parse(record: &[u8]) -> Option<Self> {
        let shared: SharedChange<'_> = serde_json::from_slice(record).ok()?;
        let rooms = shared.rooms.iter().map(|name| RoomName::new(name).ok());
        Some(Self {
            kind: shared.change,
            audience: audience(&shared.to, &shared.except)?,
            rooms: rooms.collect::<Option<_>>()?,
        })
    }
}

impl ClusterEvent<'_> {
    /// The event as it is in the log.
    pub(super) fn to_record(self) -> Vec<u8> {
        let event = SharedEvent {
            event: self.name.into(),
            rooms: names(self.audience.to_rooms()),
            except: names(self.audience.except_rooms()),
            ttl: self
                .ttl
                .map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
            volatile: self.is_volatile,
            ..match self.args {
                EventArgs::Payload(payload) => SharedEvent {
                    payload: Some(payload),
                    ..SharedEvent::default()
                },
                EventArgs::Packet(args) => SharedEvent {
                    args: Some(args.iter().collect()),
                    attachments: args
                        .attachments()
                        .iter()
                        .map(|data| BASE64_STANDARD.encode(data))
                        .collect(),
                    ..SharedEvent::default()
                },
            }
        };
        serde_json::to_vec(&event).expect("invariant: text and numbers are JSON")
    }
}

impl Change<'_> {
    /// The change as it is in the log.
    pub(super) fn to_record(self) -> Vec<u8> {
        let change = SharedChange {
            change: self.kind,
            to: names(self.audience.to_rooms()),
            except: names(self.audience.except_rooms()),
            rooms: names(self.rooms),
        };
        serde_json::to_vec(&change).expect("invariant: text is JSON")
    }
}

/// For which rooms a record of the log is kept; the empty name is everyone.
pub(crate) fn rooms_of(record: &[u8]) -> Vec<String> {
    match LogRecord::parse(record) {
        Ok(LogRecord::Change(_)) => Vec::new(),
        Ok(LogRecord::Event(event)) if event.is_volatile => Vec::new(),
        Ok(LogRecord::Event(event)) if !event.audience.to_rooms().is_empty() => {
            let rooms = event.audience.to_rooms().iter();
            rooms.map(ToString::to_string).collect()
        }
        // What is not understood may be for anybody.
        Ok(LogRecord::Event(_)) | Err(_) => vec![String::new()],
    }
}

fn names(rooms: &[RoomName]) -> Vec<Cow<'static, str>> {
    rooms.iter().map(|room| room.to_string().into()).collect()
}

fn audience(to: &[Cow<'_, str>], except: &[Cow<'_, str>]) -> Option<Audience> {
    let mut audience = Audience::everyone();
    for room in to {
        audience = audience.to(RoomName::new(room).ok()?);
    }
    for room in except {
        audience = audience.except(RoomName::new(room).ok()?);
    }
    Some(audience)
}

/// A field that is there, though it be `null`.
fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(input).map(Some)
}

const fn first_version() -> u64 {
    1
}

/// What this release reads.
const VERSION: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn emitted(payload: &RawValue) -> String {
        let audience = Audience::room(RoomName::new("user_42").unwrap());
        let event = ClusterEvent {
            audience: &audience,
            name: "e",
            args: EventArgs::Payload(payload),
            ttl: Some(Duration::from_secs(1)),
            is_volatile: false,
        };
        String::from_utf8(event.to_record()).unwrap()
    }

    fn args_of(record: &str) -> Vec<String> {
        let Ok(LogRecord::Event(event)) = LogRecord::parse(record.as_bytes()) else {
            panic!("an event: {record}");
        };
        match &event.args {
            LogArgs::Values(values) => values.iter().map(|value| value.get().to_owned()).collect(),
            LogArgs::WithAttachments(args) => {
                args.iter().map(|value| value.get().to_owned()).collect()
            }
        }
    }

    fn unreadable(record: &str) -> UnreadableRecord {
        match LogRecord::parse(record.as_bytes()) {
            Ok(_) => panic!("it is readable: {record}"),
            Err(unreadable) => unreadable,
        }
    }

    #[test]
    fn records_are_written_as_the_release_before_writes_them() {
        let text = r#"{"event":"e","payload":{"a":1},"rooms":["user_42"],"ttl":1000}"#;
        assert_eq!(emitted(&raw(r#"{"a":1}"#)), text);
        let audience = Audience::room(RoomName::new("a").unwrap());
        let rooms = [RoomName::new("b").unwrap()];
        let change = Change {
            kind: ChangeKind::Join,
            audience: &audience,
            rooms: &rooms,
        };
        let text = r#"{"change":"join","to":["a"],"except":[],"rooms":["b"]}"#;
        assert_eq!(String::from_utf8(change.to_record()).unwrap(), text);
        let Ok(LogRecord::Change(read)) = LogRecord::parse(text.as_bytes()) else {
            panic!("a change");
        };
        assert_eq!((read.kind, read.rooms), (ChangeKind::Join, rooms.to_vec()));
    }

    #[test]
    fn null_is_a_payload_and_none_is_none() {
        for payload in ["null", "{}", "[]", "\"text\"", "0", "false"] {
            assert_eq!(args_of(&emitted(&raw(payload))), [payload]);
        }
        assert_eq!(args_of(r#"{"event":"e","rooms":[]}"#), [""; 0]);
        assert_eq!(args_of(r#"{"event":"e","args":[],"rooms":[]}"#), [""; 0]);
        assert_eq!(
            args_of(r#"{"event":"e","args":[null,1],"rooms":[]}"#),
            ["null", "1"]
        );
    }

    #[test]
    fn unknown_fields_are_ignored_and_later_versions_are_not_read() {
        let same = r#"{"event":"e","payload":1,"rooms":[],"later":true,"v":1}"#;
        assert_eq!(args_of(same), ["1"]);
        for newer in [
            r#"{"event":"e","payload":1,"rooms":[],"v":2}"#,
            r#"{"v":2,"change":"join","to":[],"except":[],"rooms":[]}"#,
            r#"{"v":18446744073709551615,"something":"else"}"#,
        ] {
            assert_eq!(unreadable(newer), UnreadableRecord::Newer, "{newer}");
        }
    }

    #[test]
    fn what_is_neither_an_event_nor_a_change_is_unreadable() {
        for record in [
            "",
            "x",
            "[]",
            "{}",
            r#"{"v":"2","event":"e"}"#,
            r#"{"v":-1,"event":"e"}"#,
            r#"{"event":"e","change":"join"}"#,
            r#"{"event":"connect","payload":1,"rooms":[]}"#,
            r#"{"event":7,"payload":1,"rooms":[]}"#,
            r#"{"change":"something","to":[],"except":[],"rooms":[]}"#,
            r#"{"event":"e","args":[1],"attachments":["*"],"rooms":[]}"#,
            // A client that is sent this closes its connection.
            r#"{"event":"e","args":[{"_placeholder":true,"num":1}],"attachments":["AA=="],"rooms":[]}"#,
            r#"{"event":"e","args":[{"_placeholder":true}],"attachments":["AA=="],"rooms":[]}"#,
        ] {
            assert_eq!(unreadable(record), UnreadableRecord::Malformed, "{record}");
        }
    }
}
