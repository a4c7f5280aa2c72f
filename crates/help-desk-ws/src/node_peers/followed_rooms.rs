//! Listening to the channels of rooms, and handing that over when this process ends.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hd_cluster::Topic;
use hd_rooms::RoomName;
use hd_ws_server::{Namespace, RoomChange};
use tokio::sync::Notify;

use super::NodePeers;
use super::room_channels::RoomChannels;

/// The rooms whose channels this process listens to.
#[derive(Debug, Default)]
pub(super) struct FollowedRooms {
    /// Held also while Redis' channels are told of a change: what one task gives
    /// up, another may just be taking over.
    channels: Mutex<RoomChannels>,
    /// More linger than whoever waits for their end knows of.
    taken_over: Notify,
}

impl NodePeers {
    /// Listens to the rooms that have members here, for ever.
    pub(super) async fn follow_rooms(&self, notifications: &Namespace) {
        let mut changes = notifications.room_changes();
        loop {
            let end = self.rooms.lock().poll_timeout();
            let end = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = changes.next() => {
                    self.members_changed(&changed);
                    // Of many that come at once, the others go together.
                    tokio::time::sleep(ROOMS_PAUSE).await;
                }
                () = self.rooms.taken_over.notified() => {}
                () = end => {}
            }
            self.give_up_expired();
        }
    }

    /// Listens to what a process listened to that has ended. Its clients are on
    /// their way, to whatever process.
    pub(crate) fn take_over(&self, rooms: &[RoomName]) {
        if self.sharded.is_none() {
            return;
        }
        let now = Instant::now();
        let mut channels = self.rooms.lock();
        let with_channel = rooms.iter().filter(|room| self.has_channel(room));
        self.subscribe(with_channel.filter(|room| channels.take_over(room, now)));
        drop(channels);
        self.rooms.taken_over.notify_one();
    }

    /// The rooms whose channels are listened to: nobody else may do so.
    pub(crate) fn followed_rooms(&self) -> Vec<RoomName> {
        if self.sharded().is_none() {
            return Vec::new();
        }
        self.rooms.lock().names()
    }

    fn members_changed(&self, changes: &[RoomChange]) {
        let now = Instant::now();
        let mut channels = self.rooms.lock();
        let new = changes
            .iter()
            .filter(|change| self.has_channel(&change.room))
            .filter(|change| channels.changed(&change.room, change.is_there, now));
        self.subscribe(new.map(|change| &change.room));
    }

    /// The room that a socket has for itself has none.
    fn has_channel(&self, room: &RoomName) -> bool {
        let channels = self.sharded.as_ref();
        channels.is_some_and(|channels| channels.room(room.as_str()).is_some())
    }

    fn give_up_expired(&self) {
        let mut channels = self.rooms.lock();
        let fewer = self.topics(&channels.expired(Instant::now()));
        if !fewer.is_empty() {
            self.pubsub.unsubscribe(&fewer);
        }
    }

    fn subscribe<'a>(&self, rooms: impl Iterator<Item = &'a RoomName>) {
        let topics = self.topics(rooms);
        if !topics.is_empty() {
            self.pubsub.subscribe(topics);
        }
    }

    fn topics<'a>(&self, rooms: impl IntoIterator<Item = &'a RoomName>) -> Vec<Topic> {
        let channel = |room: &RoomName| self.sharded.as_ref()?.room(room.as_str());
        let channels = rooms.into_iter().filter_map(channel);
        channels.map(Topic::Shard).collect()
    }
}

impl FollowedRooms {
    fn lock(&self) -> MutexGuard<'_, RoomChannels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From one set of subscriptions to the next.
const ROOMS_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hd_cluster::ClusterConfig;
    use socketio_proto::Namespace;

    use super::*;
    use crate::settings::{Adapters, NodePeersSettings};
    use crate::telemetry::Counters;

    #[test]
    fn rooms_without_a_channel_are_not_handed_on() {
        let settings = NodePeersSettings {
            adapters: Adapters::Sharded,
            prefix: "socket.io".to_owned(),
        };
        let peers = NodePeers::new(
            ClusterConfig::new("redis://127.0.0.1:1".parse().unwrap()),
            &settings,
            Namespace::new("/notifications").unwrap(),
            Arc::new(Counters::default()),
        );
        let [user, own] =
            ["user_1", "0jaaPzGaBGjjldb9FAvx"].map(|name| RoomName::new(name).unwrap());
        peers.take_over(&[user.clone(), own.clone()]);
        assert_eq!(peers.followed_rooms(), std::slice::from_ref(&user));
        let [came, others] = [own, RoomName::new("role_2").unwrap()].map(|room| RoomChange {
            room,
            is_there: true,
        });
        peers.members_changed(&[came, others]);
        let mut followed = peers.followed_rooms();
        followed.sort();
        assert_eq!(followed, [RoomName::new("role_2").unwrap(), user]);
    }
}
