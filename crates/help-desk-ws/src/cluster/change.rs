//! What another server asks of clients, wherever they are: it has its place
//! among the events, so that who was put into a room gets what follows. And what
//! a process leaves to the others when it ends.

use std::borrow::Cow;

use hd_rooms::{Audience, RoomName};
use hd_ws_server::Namespace;
use serde::{Deserialize, Serialize};

use crate::node_peers::NodePeers;

/// A change of who is where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) kind: ChangeKind,
    pub(crate) audience: &'a Audience,
    /// To join, to leave, or to listen to.
    pub(crate) rooms: &'a [RoomName],
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChangeKind {
    Join,
    Leave,
    /// Out of the namespace; clients do not come back by themselves.
    Disconnect,
    /// As well, and their connections end.
    Close,
    /// Nobody is moved: who listened to what Node's servers publish for these
    /// rooms has ended.
    Follow,
}

/// A change in the log.
#[derive(Deserialize, Serialize)]
struct SharedChange<'a> {
    // The first: see `is_change`.
    change: ChangeKind,
    /// None for everyone.
    #[serde(borrow)]
    to: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    except: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    rooms: Vec<Cow<'a, str>>,
}

impl Change<'_> {
    pub(super) fn to_record(self) -> Vec<u8> {
        let names = |rooms: &[RoomName]| -> Vec<Cow<'static, str>> {
            rooms.iter().map(|room| room.to_string().into()).collect()
        };
        let change = SharedChange {
            change: self.kind,
            to: names(self.audience.to_rooms()),
            except: names(self.audience.except_rooms()),
            rooms: names(self.rooms),
        };
        serde_json::to_vec(&change).expect("invariant: text is JSON")
    }

    /// Carries it out. Returns how many sockets there were.
    fn carry_out(self, notifications: &Namespace, peers: Option<&NodePeers>) -> usize {
        let Self {
            kind,
            audience,
            rooms,
        } = self;
        match kind {
            ChangeKind::Join => {
                let moved = notifications.join(audience, rooms);
                if moved.refused > 0 {
                    tracing::debug!(moved.refused, "sockets are in as many rooms as they may be");
                }
                moved.sockets
            }
            ChangeKind::Leave => notifications.leave(audience, rooms),
            ChangeKind::Disconnect | ChangeKind::Close => {
                let sockets = notifications.sockets(audience);
                for socket in &sockets {
                    // It may have left meanwhile.
                    let _was_in = socket.disconnect();
                    if kind == ChangeKind::Close {
                        socket.close_transport();
                    }
                }
                sockets.len()
            }
            ChangeKind::Follow => {
                if let Some(peers) = peers {
                    peers.take_over(rooms);
                }
                0
            }
        }
    }
}

/// Whether a record is a change, and not an event.
pub(super) fn is_change(record: &[u8]) -> bool {
    record.starts_with(b"{\"change\":")
}

/// Carries out a change of the log. `None` when it is not understood.
pub(super) fn carry_out(
    record: &[u8],
    notifications: &Namespace,
    peers: Option<&NodePeers>,
) -> Option<usize> {
    let shared: SharedChange<'_> = serde_json::from_slice(record).ok()?;
    let names = |names: &[Cow<'_, str>]| -> Option<Vec<RoomName>> {
        names.iter().map(|name| RoomName::new(name).ok()).collect()
    };
    let audience = names(&shared.to)?
        .into_iter()
        .fold(Audience::everyone(), Audience::to);
    let audience = names(&shared.except)?
        .into_iter()
        .fold(audience, Audience::except);
    let change = Change {
        kind: shared.change,
        audience: &audience,
        rooms: &names(&shared.rooms)?,
    };
    Some(change.carry_out(notifications, peers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_from_events() {
        let audience = Audience::room(RoomName::new("a").unwrap());
        let rooms = [RoomName::new("b").unwrap()];
        let change = Change {
            kind: ChangeKind::Join,
            audience: &audience,
            rooms: &rooms,
        };
        let record = change.to_record();
        let text = r#"{"change":"join","to":["a"],"except":[],"rooms":["b"]}"#;
        assert_eq!(String::from_utf8(record.clone()).unwrap(), text);
        assert!(is_change(&record));
        assert!(!is_change(br#"{"event":"change"}"#));
    }
}
