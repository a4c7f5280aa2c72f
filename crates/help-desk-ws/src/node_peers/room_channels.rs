//! Whose channels are listened to. A server with the sharded adapter publishes an
//! event for one room on that room's channel only.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use hd_rooms::RoomName;

/// Rooms whose channels are listened to: those with members here, and for a
/// while those that had some, here or at a process that has ended. A client that
/// comes back finds in the log what was published meanwhile.
///
/// ```text
///        the first member comes                    the last one goes
/// (none) ──────────────────────► members (None) ◄─────────────────────► lingering (Some)
///   │ ▲                                            one comes back           ▲ │
///   │ └─────────────────────────────────────────────────────────────────────┼─┘ LINGER is over
///   └───────────────────────────────────────────────────────────────────────┘ taken over
/// ```
#[derive(Debug, Default)]
pub(super) struct RoomChannels {
    /// Until when, where nobody is there.
    rooms: HashMap<RoomName, Option<Instant>>,
    /// In the order of their ends. One of which somebody has come back is passed
    /// over.
    ends: VecDeque<(Instant, RoomName)>,
}

impl RoomChannels {
    /// A room came or went. Returns whether its channel is to be subscribed to.
    #[must_use]
    pub(super) fn changed(&mut self, room: &RoomName, is_there: bool, now: Instant) -> bool {
        let until = (!is_there).then(|| now + LINGER);
        if let Some(until) = until {
            self.ends.push_back((until, room.clone()));
        }
        self.rooms.insert(room.clone(), until).is_none()
    }

    /// A process that listened to it has ended. Returns whether its channel is to
    /// be subscribed to.
    #[must_use]
    pub(super) fn take_over(&mut self, room: &RoomName, now: Instant) -> bool {
        let has_members = self.rooms.get(room) == Some(&None);
        !has_members && self.changed(room, false, now)
    }

    /// All of them.
    #[must_use]
    pub(super) fn names(&self) -> Vec<RoomName> {
        self.rooms.keys().cloned().collect()
    }

    /// When [`expired`](Self::expired) has something.
    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }

    /// Rooms whose channels are to be listened to no more.
    #[must_use]
    pub(super) fn expired(&mut self, now: Instant) -> Vec<RoomName> {
        let mut expired = Vec::new();
        while let Some((end, _)) = self.ends.front()
            && (*end <= now || self.ends.len() > MAX_LINGERING)
        {
            let Some((end, room)) = self.ends.pop_front() else {
                break;
            };
            if self.rooms.get(&room) == Some(&Some(end)) {
                self.rooms.remove(&room);
                expired.push(room);
            }
        }
        expired
    }
}

/// How long after its last member a room is listened to: clients come back within
/// some 13 s, or not at all.
const LINGER: Duration = Duration::from_millis(LINGER_MILLIS);
/// The same, in milliseconds.
pub(crate) const LINGER_MILLIS: u64 = 60_000;
/// Rooms without members that are listened to, or so many ends of rooms that came
/// back: what a stop of another server leaves behind.
const MAX_LINGERING: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::new(name).unwrap()
    }

    #[test]
    fn a_channel_is_listened_to_until_a_while_after_the_last_member() {
        let mut channels = RoomChannels::default();
        let start = Instant::now();
        assert!(channels.changed(&room("a"), true, start));
        assert_eq!(channels.poll_timeout(), None);
        assert!(!channels.changed(&room("a"), false, start));
        assert_eq!(channels.poll_timeout(), Some(start + LINGER));
        assert!(
            channels
                .expired(start + LINGER - Duration::from_millis(1))
                .is_empty()
        );
        assert_eq!(channels.expired(start + LINGER), [room("a")]);
        assert!(channels.changed(&room("a"), true, start + LINGER));
    }

    #[test]
    fn who_comes_back_keeps_the_channel() {
        let mut channels = RoomChannels::default();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert!(channels.changed(&room("a"), true, start));
        assert!(!channels.changed(&room("a"), false, start));
        assert!(!channels.changed(&room("a"), true, start + second));
        assert!(channels.expired(start + LINGER).is_empty());
        assert!(!channels.changed(&room("a"), false, start + 2 * LINGER));
        assert!(!channels.changed(&room("a"), true, start + 2 * LINGER));
        assert!(!channels.changed(&room("a"), false, start + 2 * LINGER + second));
        assert!(channels.expired(start + 3 * LINGER).is_empty());
        assert_eq!(channels.expired(start + 3 * LINGER + second), [room("a")]);
        assert_eq!(channels.poll_timeout(), None);
    }

    #[test]
    fn a_room_that_came_and_went_unseen_lingers() {
        let mut channels = RoomChannels::default();
        let start = Instant::now();
        assert!(channels.changed(&room("a"), false, start));
        assert_eq!(channels.expired(start + LINGER), [room("a")]);
    }

    #[test]
    fn what_is_taken_over_lingers_and_members_stay() {
        let mut channels = RoomChannels::default();
        let start = Instant::now();
        let second = Duration::from_secs(1);
        assert!(channels.changed(&room("members"), true, start));
        assert!(channels.changed(&room("lingering"), false, start));
        assert!(!channels.take_over(&room("members"), start + second));
        assert!(!channels.take_over(&room("lingering"), start + second));
        assert!(channels.take_over(&room("new"), start + second));
        let mut names = channels.names();
        names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        assert_eq!(names, ["lingering", "members", "new"].map(room));
        assert!(channels.expired(start + LINGER).is_empty());
        let expired = channels.expired(start + LINGER + second);
        assert_eq!(expired, [room("lingering"), room("new")]);
        assert_eq!(channels.names(), [room("members")]);
    }

    #[test]
    fn no_more_linger_than_the_bound_allows() {
        let mut channels = RoomChannels::default();
        let start = Instant::now();
        for number in 0..=MAX_LINGERING {
            assert!(channels.changed(&room(&number.to_string()), false, start));
        }
        assert_eq!(channels.expired(start), [room("0")]);
    }
}
