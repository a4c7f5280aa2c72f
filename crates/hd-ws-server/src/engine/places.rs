//! How many clients there may be, and how many of them may be strangers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engineio_proto::Sid;

use crate::admission::{Pool, Rate, Rates, Ticket};
use crate::{Rejection, RemoteAddress, ServerConfig};

/// A place for each client. Those that have joined nothing have places of a
/// pool, in which a newcomer takes the place of the oldest.
///
/// ```text
///               ┌──────────── leave() ───────────┐
///               ▼                                │
///  take() ─► Unjoined ─────── join() ────────► Joined
///               │  │                             │
///       evicted │  └────────┬────────────────────┘
///               ▼           ▼ end()
///           (nowhere)    (nowhere)
/// ```
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    /// Of those that have joined nothing. `None`: nobody is evicted.
    most_unjoined: Option<usize>,
    most_of_an_address: Option<usize>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Places that are taken, those of the pool among them.
    taken: usize,
    unjoined: Pool<Stranger>,
    handshakes: Rates,
    /// Those beyond the rate of their address.
    spare_handshakes: Rates,
    auth_failures: Rates,
    /// TCP connections that have asked nothing yet.
    silent: HashMap<IpAddr, usize>,
}

/// A session that has joined nothing.
#[derive(Clone, Copy, Debug)]
struct Stranger {
    sid: Sid,
    since: Instant,
}

/// A session that has lost its place: it is to be closed.
pub(super) type Eviction = (Sid, Rejection);

/// The place of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Unjoined {
        ticket: Ticket,
        /// Whether it has a token of its address to give back.
        owes_token: bool,
    },
    Joined,
    /// It has none: it has ended, or makes room for another.
    Nowhere,
}

/// A place that is free again when it is dropped, unless a session
/// [keeps](Self::keep) it.
#[derive(Debug)]
pub(super) struct Place<'a> {
    places: &'a Places,
    remote_address: RemoteAddress,
    owes_token: bool,
}

impl Places {
    pub(super) fn new(config: &ServerConfig) -> Self {
        let most = config.max_connections;
        let most_of_an_address = config.max_connections_per_address;
        let spare = most_of_an_address.map(|most| {
            let most = NonZeroU32::try_from(most).unwrap_or(NonZeroU32::MAX);
            Rate::per_second(most).without_burst()
        });
        Self {
            most: most.map_or(usize::MAX, NonZeroUsize::get),
            most_unjoined: config.max_unjoined_connections.map(NonZeroUsize::get),
            most_of_an_address: most_of_an_address.map(NonZeroUsize::get),
            state: Mutex::new(State {
                taken: 0,
                unjoined: Pool::new(),
                handshakes: Rates::new(config.max_handshakes_per_address.map(Rate::per_second)),
                spare_handshakes: Rates::new(spare),
                auth_failures: Rates::new(
                    config.max_auth_failures_per_address.map(Rate::per_second),
                ),
                silent: HashMap::new(),
            }),
        }
    }

    /// Sessions that have joined nothing.
    pub(super) fn unjoined(&self) -> usize {
        self.lock().unjoined.len()
    }

    /// A place for a client, and who has to go for it. `is_limited` says whether
    /// the limits of its address hold.
    pub(super) fn take(
        &self,
        remote_address: RemoteAddress,
        is_limited: bool,
        now: Instant,
    ) -> (Result<Place<'_>, Rejection>, Option<Eviction>) {
        let address = remote_address.network();
        let mut state = self.lock();
        let is_full = state.taken >= self.most;
        if is_full && (self.most_unjoined.is_none() || state.unjoined.len() == 0) {
            return (Err(Rejection::MaxConnections), None);
        }
        let owes_token = is_limited && state.handshakes.take(address, now);
        if is_limited && !owes_token && !state.take_spare(address, self.most_of_an_address, now) {
            return (Err(Rejection::HandshakesPerAddress), None);
        }
        let evicted = if is_full { state.evict() } else { None };
        state.taken += 1;
        let place = Place {
            places: self,
            remote_address,
            owes_token,
        };
        (Ok(place), evicted)
    }

    /// The session has joined something. Its handshake does not count any more.
    pub(super) fn join(&self, standing: &mut Standing, remote_address: RemoteAddress) {
        let Standing::Unjoined { ticket, owes_token } = *standing else {
            return;
        };
        let address = remote_address.network();
        let mut state = self.lock();
        // It may be that it makes room for another just now.
        if state.unjoined.remove(address, ticket).is_some() {
            *standing = Standing::Joined;
            if owes_token {
                state.handshakes.give_back(address);
            }
        }
    }

    /// The session has left the last that it had joined. Returns who has to go.
    pub(super) fn leave(
        &self,
        standing: &mut Standing,
        (sid, remote_address): (Sid, RemoteAddress),
        is_limited: bool,
    ) -> Vec<Eviction> {
        if *standing != Standing::Joined {
            return Vec::new();
        }
        let now = Instant::now();
        let (ticket, evicted) = self.enter_pool((sid, remote_address), is_limited, now);
        let owes_token = false;
        *standing = Standing::Unjoined { ticket, owes_token };
        evicted
    }

    /// The session has ended.
    pub(super) fn end(&self, standing: &mut Standing, remote_address: RemoteAddress) {
        let mut state = self.lock();
        let had_place = match std::mem::replace(standing, Standing::Nowhere) {
            Standing::Unjoined { ticket, .. } => {
                let address = remote_address.network();
                state.unjoined.remove(address, ticket).is_some()
            }
            Standing::Joined => true,
            Standing::Nowhere => false,
        };
        state.taken -= usize::from(had_place);
    }

    /// Whether too many clients of this address were kept out.
    pub(super) fn has_exceeded_failures(&self, address: IpAddr, now: Instant) -> bool {
        !self.lock().auth_failures.allows(address, now)
    }

    /// A client of this address was kept out; false when too many were.
    pub(super) fn auth_failed(&self, address: IpAddr, now: Instant) -> bool {
        self.lock().auth_failures.take(address, now)
    }

    /// A TCP connection that has asked nothing yet; false when its address has
    /// too many of them.
    pub(super) fn connection_opened(&self, address: IpAddr) -> bool {
        let most = self.most_of_an_address.unwrap_or(usize::MAX);
        let mut state = self.lock();
        let silent = state.silent.entry(address).or_default();
        let has_room = *silent < most;
        *silent += usize::from(has_room);
        has_room
    }

    /// It has asked something, or is gone.
    pub(super) fn connection_spoke(&self, address: IpAddr) {
        if let Entry::Occupied(mut silent) = self.lock().silent.entry(address) {
            *silent.get_mut() -= 1;
            if *silent.get() == 0 {
                silent.remove();
            }
        }
    }

    fn enter_pool(
        &self,
        (sid, remote_address): (Sid, RemoteAddress),
        is_limited: bool,
        since: Instant,
    ) -> (Ticket, Vec<Eviction>) {
        let address = remote_address.network();
        let mut evicted = Vec::new();
        let mut state = self.lock();
        if let Some(most) = self.most_of_an_address.filter(|_| is_limited)
            && state.unjoined.len_of(address) >= most
            && let Some(oldest) = state.unjoined.evict_of(address)
        {
            state.taken -= 1;
            evicted.push((oldest.sid, Rejection::ConnectionsPerAddress));
        }
        if self
            .most_unjoined
            .is_some_and(|most| state.unjoined.len() >= most)
        {
            evicted.extend(state.evict());
        }
        let ticket = state.unjoined.insert(address, Stranger { sid, since });
        (ticket, evicted)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn evict(&mut self) -> Option<Eviction> {
        let oldest = self.unjoined.evict()?;
        self.taken -= 1;
        Some((oldest.sid, Rejection::UnjoinedEvicted))
    }

    /// Whether a handshake beyond the rate of its address is served: somebody
    /// else of that address may have used it up. Nobody has to go for it who may
    /// be about to join.
    fn take_spare(&mut self, address: IpAddr, most: Option<usize>, now: Instant) -> bool {
        let Some(most) = most else {
            return false;
        };
        let has_room = self.unjoined.len_of(address) < most
            || self
                .unjoined
                .oldest_of(address)
                .is_some_and(|oldest| now.saturating_duration_since(oldest.since) >= TIME_TO_JOIN);
        has_room && self.spare_handshakes.take(address, now)
    }
}

impl Place<'_> {
    /// Gives the place to a session. Returns who has to go.
    pub(super) fn keep(
        self,
        sid: Sid,
        is_limited: bool,
        now: Instant,
    ) -> (Standing, Vec<Eviction>) {
        let session = (sid, self.remote_address);
        let (ticket, evicted) = self.places.enter_pool(session, is_limited, now);
        let standing = Standing::Unjoined {
            ticket,
            owes_token: self.owes_token,
        };
        // Until the session ends.
        std::mem::forget(self);
        (standing, evicted)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.lock().taken -= 1;
    }
}

/// For how long no client of its own address takes the place of a session
/// beyond the rate. 1 s: a CONNECT comes one round trip after the handshake, by
/// polling two.
const TIME_TO_JOIN: Duration = Duration::from_secs(1);
