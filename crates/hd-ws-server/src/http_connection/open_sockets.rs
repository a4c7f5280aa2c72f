//! How many connections there are, and which one makes room for a new one.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slab::Slab;

use super::state::{Activity, HttpState};
use crate::HttpClose;

/// All TCP connections of a server: those that speak HTTP, and WebSockets.
#[derive(Debug)]
pub(crate) struct OpenSockets {
    max: usize,
    open: AtomicUsize,
    /// Those that were told to make room, and are still there.
    evicting: AtomicUsize,
    http: Mutex<Slab<Arc<HttpState>>>,
}

/// A connection that counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Socket(Arc<OpenSockets>);

/// One that speaks HTTP, and may have to make room.
pub(crate) struct HttpSocket {
    sockets: Arc<OpenSockets>,
    /// `None` once the WebSocket has it.
    socket: Option<Socket>,
    key: usize,
    state: Arc<HttpState>,
}

impl OpenSockets {
    pub(crate) fn new(max: Option<NonZeroUsize>) -> Arc<Self> {
        Arc::new(Self {
            max: max.map_or(usize::MAX, NonZeroUsize::get),
            open: AtomicUsize::new(0),
            evicting: AtomicUsize::new(0),
            http: Mutex::default(),
        })
    }

    /// TCP connections that are open now.
    pub(crate) fn len(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts a new connection. If there are too many the HTTP connection that
    /// has not got on for longest makes room; `None` when all of them are
    /// WebSockets and waiting polls.
    pub(crate) fn open(self: &Arc<Self>, random: impl FnOnce() -> u64) -> Option<HttpSocket> {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        let socket = Socket(Arc::clone(self));
        let mut http = self.lock();
        if open.saturating_sub(self.evicting.load(Ordering::Relaxed)) > self.max {
            let victim = find_victim(&http, random)?;
            victim.set_close(HttpClose::Evicted);
            if victim.evict() {
                self.evicting.fetch_add(1, Ordering::Relaxed);
            }
        }
        let state = Arc::new(HttpState::new());
        let key = http.insert(Arc::clone(&state));
        drop(http);
        Some(HttpSocket {
            sockets: Arc::clone(self),
            socket: Some(socket),
            key,
            state,
        })
    }

    /// Whether many of those that were told to make room have not done so yet.
    pub(crate) fn are_evictions_due(&self) -> bool {
        self.evicting.load(Ordering::Relaxed) > MAX_EVICTING
    }

    /// Waits until most of them have done so: their files are open until then.
    pub(crate) async fn evictions_settled(&self) {
        while self.are_evictions_due() {
            tokio::time::sleep(EVICTION_DELAY).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Arc<HttpState>>> {
        self.http.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection that has not got on for longest: of many, the one among some
/// that are chosen at random, as Redis finds what to evict.
fn find_victim(
    http: &Slab<Arc<HttpState>>,
    random: impl FnOnce() -> u64,
) -> Option<Arc<HttpState>> {
    let sampled = if http.len() > MAX_SAMPLE {
        // The weakest of generators is good enough to pick with: a stranger
        // cannot see what it yields.
        let mut word = random() | 1;
        let keys = std::iter::repeat_with(|| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(word >> 33).unwrap_or_default() % http.capacity()
        });
        worst(keys.take(MAX_SAMPLE).filter_map(|key| http.get(key)))
    } else {
        None
    };
    sampled
        .or_else(|| worst(http.iter().map(|(_, state)| state)))
        .cloned()
}

fn worst<'a>(states: impl Iterator<Item = &'a Arc<HttpState>>) -> Option<&'a Arc<HttpState>> {
    states
        .filter_map(|state| Some((rank(state)?, state)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, state)| state)
}

/// The order in which connections make room; `None` for one that must not.
fn rank(state: &HttpState) -> Option<(u8, Instant)> {
    if state.is_evicted() {
        return None;
    }
    let class = match state.activity() {
        _ if state.is_blocked() => 0,
        Activity::Reading | Activity::Resting => 0,
        Activity::Answering => 1,
        // A client waits for its events. There are as many as sessions at most.
        Activity::Polling => return None,
    };
    Some((class, state.since()))
}

impl HttpSocket {
    pub(super) const fn state(&self) -> &Arc<HttpState> {
        &self.state
    }

    /// It has become a WebSocket, which makes no room.
    pub(super) const fn upgraded(&mut self) -> Option<Socket> {
        self.socket.take()
    }
}

impl Drop for HttpSocket {
    fn drop(&mut self) {
        self.sockets.lock().remove(self.key);
        // Before it is no longer expected to: it must not count for nothing.
        self.socket = None;
        // Not before the lock was held: under it `open` says who makes room.
        if self.state.is_evicted() {
            self.sockets.evicting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Fewer than the files that are kept back for what is no connection.
const MAX_EVICTING: usize = 8;
/// The finest that tokio's timer is.
const EVICTION_DELAY: Duration = Duration::from_millis(1);
/// As many as are looked at in some microseconds.
const MAX_SAMPLE: usize = 256;
