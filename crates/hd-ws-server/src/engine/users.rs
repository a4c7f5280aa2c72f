//! What all connections of one user share, as far as it is bounded.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use engineio_proto::{CloseReason, Sid};
use smallvec::SmallVec;

use super::inbound::InboundBuckets;
use super::{Application, Connection};
use crate::{BucketTime, Rate, Rejection, TokenBucket};

/// The users that are connected, and those that have left and have not all
/// their tokens back yet.
#[derive(Debug)]
pub(super) struct Users {
    by_identity: DashMap<u64, Arc<User>>,
    /// How many they are: the map would look at all its shards.
    known: AtomicUsize,
    /// From how many users on those that are idle are removed.
    purge_at: AtomicUsize,
    limit: Option<ConnectionLimit>,
}

#[derive(Clone, Copy, Debug)]
struct ConnectionLimit {
    max_connections: usize,
    rate: Rate,
}

/// A user.
#[derive(Debug)]
pub(super) struct User {
    identity: u64,
    pub(super) inbound: InboundBuckets,
    /// For whatever the application limits.
    pub(super) shared: TokenBucket,
    connects: TokenBucket,
    /// The oldest first.
    connections: Mutex<SmallVec<[Sid; 1]>>,
}

/// A user connects faster than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooManyConnects;

impl Users {
    pub(super) fn new(max_connections: Option<NonZeroUsize>) -> Self {
        Self {
            by_identity: DashMap::new(),
            known: AtomicUsize::new(0),
            purge_at: AtomicUsize::new(MIN_PURGE),
            limit: max_connections.map(ConnectionLimit::new),
        }
    }

    /// Counts a connection of a user. Returns the user, and the connection that
    /// is to be closed for it.
    fn connected(
        &self,
        identity: u64,
        sid: Sid,
        now: impl Into<BucketTime>,
    ) -> Result<(Arc<User>, Option<Sid>), TooManyConnects> {
        let now = now.into();
        if self.known.load(Ordering::Relaxed) >= self.purge_at.load(Ordering::Relaxed) {
            self.purge(now);
        }
        // Under the entry's lock, so that nobody removes the user meanwhile.
        let entry = self.by_identity.entry(identity);
        let user = match &entry {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(_) => Arc::new(User::new(identity)),
        };
        let mut evicted = None;
        {
            let mut connections = user.connections();
            if let Some(limit) = &self.limit {
                let taken = user.connects.take(&limit.rate, 1, now);
                taken.map_err(|_| TooManyConnects)?;
                if connections.len() >= limit.max_connections {
                    evicted = Some(connections.remove(0));
                }
            }
            connections.push(sid);
        }
        if let Entry::Vacant(entry) = entry {
            self.known.fetch_add(1, Ordering::Relaxed);
            entry.insert(Arc::clone(&user));
        }
        Ok((user, evicted))
    }

    /// Forgets all users who are idle.
    fn purge(&self, now: BucketTime) {
        self.by_identity.retain(|_, user| {
            let is_idle = user.is_idle(now);
            self.known
                .fetch_sub(usize::from(is_idle), Ordering::Relaxed);
            !is_idle
        });
        let next = 2 * self.known.load(Ordering::Relaxed);
        self.purge_at.store(next.max(MIN_PURGE), Ordering::Relaxed);
    }

    /// A connection of a user has ended.
    pub(super) fn disconnected(&self, user: &User, sid: &Sid, now: impl Into<BucketTime>) {
        let now = now.into();
        {
            let mut connections = user.connections();
            let position = connections.iter().position(|connection| connection == sid);
            if let Some(position) = position {
                connections.remove(position);
            }
        }
        if user.is_idle(now) {
            let removed = self
                .by_identity
                .remove_if(&user.identity, |_, user| user.is_idle(now));
            self.known
                .fetch_sub(usize::from(removed.is_some()), Ordering::Relaxed);
        }
    }

    /// Users that are remembered.
    #[cfg(test)]
    fn len(&self) -> usize {
        assert_eq!(self.by_identity.len(), self.known.load(Ordering::Relaxed));
        self.by_identity.len()
    }
}

impl ConnectionLimit {
    /// All connections of a user may come at once, and once more, as when a
    /// server has restarted and its clients try twice; then each of them once
    /// in ten seconds.
    fn new(max_connections: NonZeroUsize) -> Self {
        let tokens = u32::try_from(max_connections.get()).unwrap_or(u32::MAX);
        let burst = tokens.saturating_mul(2);
        let tokens = NonZeroU32::new(tokens).unwrap_or(NonZeroU32::MIN);
        Self {
            max_connections: max_connections.get(),
            rate: Rate::new(tokens, CONNECT_PERIOD, burst),
        }
    }
}

impl User {
    fn new(identity: u64) -> Self {
        Self {
            identity,
            inbound: InboundBuckets::default(),
            shared: TokenBucket::default(),
            connects: TokenBucket::default(),
            connections: Mutex::default(),
        }
    }

    pub(super) const fn identity(&self) -> u64 {
        self.identity
    }

    /// Whether forgetting it changes nothing.
    fn is_idle(&self, now: BucketTime) -> bool {
        self.connections().is_empty()
            && self.connects.is_full(now)
            && self.shared.is_full(now)
            && self.inbound.are_full(now)
    }

    fn connections(&self) -> MutexGuard<'_, SmallVec<[Sid; 1]>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Application> Connection<A> {
    /// The client is this user, by the word of the application. Returns false
    /// when the user has connected too often: then the client is closed. The
    /// oldest connection of a user who has too many is closed.
    ///
    /// The first user that a connection is said to be stays the one that it
    /// counts for.
    pub(crate) fn identify(self: &Arc<Self>, identity: u64) -> bool {
        let engine = &self.engine;
        let users = &engine.users;
        if self.user().is_some() || (users.limit.is_none() && engine.inbound_rates.are_unlimited())
        {
            return true;
        }
        let now = BucketTime::now();
        let Ok((user, evicted)) = users.connected(identity, *self.sid(), now) else {
            engine.limited(self, Rejection::MaxConnectsPerUser, Some(identity));
            self.close(CloseReason::RateLimited);
            return false;
        };
        if self.user.set(Arc::clone(&user)).is_err() || !engine.connections.contains_key(self.sid())
        {
            // Two CONNECTs at once, or the connection has ended meanwhile.
            users.disconnected(&user, self.sid(), now);
        }
        if let Some(evicted) = evicted.and_then(|sid| engine.find(&sid)) {
            engine.limited(&evicted, Rejection::MaxConnectionsPerUser, Some(identity));
            evicted.close(CloseReason::TooManyConnections);
        }
        true
    }

    pub(super) fn user(&self) -> Option<&Arc<User>> {
        self.user.get()
    }

    /// See [`Socket::shared_bucket`](crate::Socket::shared_bucket).
    pub(crate) fn shared_bucket(&self) -> Option<&TokenBucket> {
        self.user().map(|user| &user.shared)
    }
}

/// In which each connection that a user may have may be made once.
const CONNECT_PERIOD: Duration = Duration::from_secs(10);
/// Few enough not to matter.
const MIN_PURGE: usize = 1024;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn sid(number: u8) -> Sid {
        Sid::from_random([number; Sid::RANDOM_BYTES])
    }

    #[test]
    fn the_oldest_connection_makes_room() {
        let users = Users::new(NonZeroUsize::new(2));
        let now = Instant::now();
        let connect = |number| users.connected(7, sid(number), now).unwrap();
        assert_eq!(connect(1).1, None);
        let (user, evicted) = connect(2);
        assert_eq!(evicted, None);
        assert_eq!(connect(3).1, Some(sid(1)));
        users.disconnected(&user, &sid(3), now);
        assert_eq!(connect(4).1, None);
        // Another user has connections of its own.
        assert_eq!(users.connected(8, sid(5), now).unwrap().1, None);
    }

    #[test]
    fn a_user_who_connects_in_a_loop_is_refused_and_others_are_not() {
        let users = Users::new(NonZeroUsize::new(2));
        let now = Instant::now() + CONNECT_PERIOD;
        let connect = |identity, now| users.connected(identity, sid(1), now).map(drop);
        for _ in 0..4 {
            let (user, _) = users.connected(7, sid(1), now).unwrap();
            users.disconnected(&user, &sid(1), now);
        }
        assert_eq!(connect(7, now), Err(TooManyConnects));
        assert_eq!(connect(8, now), Ok(()));
        assert_eq!(connect(7, now + CONNECT_PERIOD / 2), Ok(()));
        assert_eq!(connect(7, now + CONNECT_PERIOD / 2), Err(TooManyConnects));
    }

    #[test]
    fn users_who_left_are_forgotten_once_they_have_their_tokens_back() {
        let users = Users::new(NonZeroUsize::new(2));
        let now = Instant::now() + CONNECT_PERIOD;
        let (user, _) = users.connected(7, sid(1), now).unwrap();
        users.disconnected(&user, &sid(1), now + CONNECT_PERIOD);
        assert_eq!(users.len(), 0);
        // Users that come and go at once are kept for a while, but not for ever.
        let mut later = now;
        for identity in 0..10 * MIN_PURGE as u64 {
            later += CONNECT_PERIOD / 100;
            let (user, _) = users.connected(identity, sid(1), later).unwrap();
            users.disconnected(&user, &sid(1), later);
        }
        assert!(users.len() <= 2 * MIN_PURGE, "{}", users.len());
    }
}
