//! What another server asks of clients, wherever they are: it has its place
//! among the events, so that who was put into a room gets what follows. And what
//! a process leaves to the others when it ends.

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

impl Change<'_> {
    /// Carries it out. Returns how many sockets there were.
    pub(super) fn carry_out(self, notifications: &Namespace, peers: Option<&NodePeers>) -> usize {
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
