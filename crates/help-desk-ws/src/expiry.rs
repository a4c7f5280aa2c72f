//! When tokens expire: one queue and one task for all clients.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use engineio_proto::Sid;
use hd_ws_server::Socket;
use socketio_proto::{EventName, OutgoingArgs};
use tokio::sync::Notify;

use crate::telemetry::Counters;
use crate::telemetry::events::TokenExpired;

/// Tells clients that their token has expired, and closes their transports:
/// with a new token they may come back.
#[derive(Debug)]
pub(crate) struct Expiries {
    queue: Mutex<Queue<Socket>>,
    /// Told when something is due before what the task sleeps for.
    sooner: Notify,
    counters: Arc<Counters>,
}

impl Expiries {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self {
            queue: Mutex::default(),
            sooner: Notify::new(),
            counters,
        }
    }

    /// A client has connected, with a token that expires at `exp`, in seconds
    /// since 1970.
    pub(crate) fn insert(&self, socket: &Socket, exp: Option<u64>) {
        let at = exp.map(Duration::from_secs);
        let is_first = self.lock().insert(*socket.id(), socket.clone(), at);
        if is_first {
            self.sooner.notify_one();
        }
    }

    /// A client has a new token. Returns false when the client is gone.
    pub(crate) fn renew(&self, socket: &Socket, exp: Option<u64>) -> bool {
        let at = exp.map(Duration::from_secs);
        let renewed = self.lock().renew(socket.id(), socket, at);
        if renewed == Some(true) {
            self.sooner.notify_one();
        }
        renewed.is_some()
    }

    /// A client is gone.
    pub(crate) fn remove(&self, socket: &Socket) {
        let removed = self.lock().remove(socket.id(), socket);
        drop(removed); // not under the lock
    }

    /// Does what is due, for ever.
    pub(crate) async fn run(&self) {
        loop {
            let now = unix_time();
            let (due, next) = {
                let mut queue = self.lock();
                (queue.take_due(now), queue.next_at())
            };
            for (socket, step) in due {
                self.take_step(&socket, step);
            }
            let left = next.map_or(LONGEST_SLEEP, |at| at.saturating_sub(now));
            tokio::select! {
                () = tokio::time::sleep(left.min(LONGEST_SLEEP)) => {}
                () = self.sooner.notified() => {}
            }
        }
    }

    fn take_step(&self, socket: &Socket, step: Step) {
        match step {
            Step::Tell => {
                let sid = socket.id().as_str();
                TokenExpired { sid }.emit(&self.counters);
                let name = EventName::new("auth:expired").expect("invariant: not reserved");
                // A client that is gone needs not be told.
                let _gone = socket.emit(name, OutgoingArgs::new(&[]));
            }
            Step::Close => socket.close_transport(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<Socket>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time since 1970 by the system's clock, which tokens are judged by.
pub(crate) fn unix_time() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// What is due, and when. Times are since 1970.
#[derive(Debug)]
struct Queue<S> {
    clients: HashMap<Sid, Client<S>>,
    due: BTreeMap<(Duration, Sid), Step>,
}

#[derive(Debug)]
struct Client<S> {
    socket: S,
    /// Its place in `due`.
    at: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Tell the client that its token has expired.
    Tell,
    /// Close its transport.
    Close,
}

impl<S> Default for Queue<S> {
    fn default() -> Self {
        Self {
            clients: HashMap::new(),
            due: BTreeMap::new(),
        }
    }
}

impl<S: Clone + PartialEq> Queue<S> {
    /// Returns whether this client is the next one now. It takes the place of
    /// the one that had its id before: that one has come back.
    fn insert(&mut self, sid: Sid, socket: S, at: Option<Duration>) -> bool {
        let before = self.clients.insert(sid, Client { socket, at });
        if let Some(at) = before.and_then(|client| client.at) {
            self.due.remove(&(at, sid));
        }
        at.is_some_and(|at| self.push(at, sid))
    }

    /// Returns whether this client is the next one now, or `None` when there is
    /// no such client. One that is about to be closed stays.
    fn renew(&mut self, sid: &Sid, socket: &S, at: Option<Duration>) -> Option<bool> {
        let client = self.clients.get_mut(sid)?;
        if client.socket != *socket {
            return None;
        }
        if let Some(before) = std::mem::replace(&mut client.at, at) {
            self.due.remove(&(before, *sid));
        }
        Some(at.is_some_and(|at| self.push(at, *sid)))
    }

    fn remove(&mut self, sid: &Sid, socket: &S) -> Option<S> {
        if self.clients.get(sid)?.socket != *socket {
            return None; // Its place is another one's by now.
        }
        let client = self.clients.remove(sid)?;
        if let Some(at) = client.at {
            self.due.remove(&(at, *sid));
        }
        Some(client.socket)
    }

    fn next_at(&self) -> Option<Duration> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes out what is due at `now`. Who is to be told now is to be closed
    /// [`GRACE`] later.
    fn take_due(&mut self, now: Duration) -> Vec<(S, Step)> {
        let mut taken = Vec::new();
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            let ((_, sid), step) = entry.remove_entry();
            let Some(client) = self.clients.get_mut(&sid) else {
                continue;
            };
            taken.push((client.socket.clone(), step));
            client.at = match step {
                Step::Tell => Some(now + GRACE),
                Step::Close => None,
            };
            if let Some(at) = client.at {
                self.due.insert((at, sid), Step::Close);
            }
        }
        taken
    }

    fn push(&mut self, at: Duration, sid: Sid) -> bool {
        self.due.insert((at, sid), Step::Tell);
        self.next_at() == Some(at)
    }
}

/// From telling a client that its token has expired to closing its transport.
/// Clients of revision 4 handle the packets of one poll each in a turn of their
/// own: closing in the same one would overtake the event.
const GRACE: Duration = Duration::from_millis(250);
/// The system's clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Duration = Duration::from_secs(1_800_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn sid(n: u8) -> Sid {
        Sid::from_random([n; Sid::RANDOM_BYTES])
    }

    #[test]
    fn a_client_is_told_and_then_closed() {
        let mut queue = Queue::default();
        assert!(queue.insert(sid(1), "one", Some(NOON + SECOND)));
        assert!(queue.insert(sid(2), "two", Some(NOON)));
        assert!(!queue.insert(sid(3), "three", None));
        assert_eq!(queue.next_at(), Some(NOON));
        assert_eq!(queue.take_due(NOON - SECOND), []);
        assert_eq!(queue.take_due(NOON), [("two", Step::Tell)]);
        assert_eq!(queue.next_at(), Some(NOON + GRACE));
        assert_eq!(queue.take_due(NOON + GRACE), [("two", Step::Close)]);
        assert_eq!(queue.next_at(), Some(NOON + SECOND));
        // Late as it may be, between the two there is time.
        assert_eq!(queue.take_due(2 * NOON), [("one", Step::Tell)]);
        assert_eq!(queue.take_due(2 * NOON + GRACE), [("one", Step::Close)]);
        assert_eq!(queue.next_at(), None);
    }

    #[test]
    fn a_new_token_takes_the_place_of_the_old_one() {
        let mut queue = Queue::default();
        queue.insert(sid(1), "one", Some(NOON));
        assert_eq!(
            queue.renew(&sid(1), &"one", Some(NOON + SECOND)),
            Some(true)
        );
        assert_eq!(queue.take_due(NOON), []);
        assert_eq!(queue.take_due(NOON + SECOND), [("one", Step::Tell)]);
        // Just in time.
        assert_eq!(queue.renew(&sid(1), &"one", None), Some(false));
        assert_eq!(queue.take_due(2 * NOON), []);
        assert_eq!(queue.renew(&sid(1), &"one", Some(3 * NOON)), Some(true));
        assert_eq!(queue.take_due(3 * NOON), [("one", Step::Tell)]);
    }

    #[test]
    fn nothing_is_left_of_a_client_that_is_gone() {
        let mut queue = Queue::default();
        for n in 0..3 {
            queue.insert(sid(n), n, Some(NOON));
        }
        assert_eq!(queue.take_due(NOON).len(), 3);
        queue.renew(&sid(0), &0, Some(2 * NOON));
        for n in 0..3 {
            assert_eq!(queue.remove(&sid(n), &n), Some(n));
            assert_eq!(queue.remove(&sid(n), &n), None);
        }
        assert_eq!(queue.renew(&sid(0), &0, Some(NOON)), None);
        assert!(queue.clients.is_empty() && queue.due.is_empty());
    }

    #[test]
    fn a_client_that_came_back_under_its_id_has_the_place_of_the_former_one() {
        let mut queue = Queue::default();
        queue.insert(sid(1), "former", Some(NOON));
        queue.insert(sid(1), "back", Some(NOON + SECOND));
        assert_eq!(queue.renew(&sid(1), &"former", None), None);
        assert_eq!(queue.remove(&sid(1), &"former"), None);
        assert_eq!(queue.take_due(NOON), []);
        assert_eq!(queue.take_due(NOON + SECOND), [("back", Step::Tell)]);
        assert_eq!(queue.remove(&sid(1), &"back"), Some("back"));
        assert!(queue.clients.is_empty() && queue.due.is_empty());
    }

    #[test]
    fn a_token_may_be_good_until_the_end_of_time() {
        let mut queue = Queue::default();
        queue.insert(sid(1), "one", Some(Duration::from_secs(u64::MAX)));
        assert_eq!(queue.take_due(NOON), []);
    }
}
