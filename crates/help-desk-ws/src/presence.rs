//! Who is connected: here, and elsewhere as far as the other processes say it.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use engineio_proto::Transport;
use hd_auth::UserId;
use hd_cluster::{Due, Node, PresenceError, Roster, RosterConfig, Said, Standing, Write, Written};
use hd_events::Target;
use hd_rooms::Audience;
use hd_ws_server::{Namespace, Socket};
use serde::{Deserialize, Serialize};

use crate::gateway::{ClientData, room_of};
use crate::telemetry::events::PresenceRefused;

/// Users whose sockets have changed, for the other processes.
#[derive(Debug)]
pub(crate) struct Changes(Mutex<Roster>);

/// What is known of who is connected.
#[derive(Debug)]
pub(crate) struct Presence {
    notifications: Namespace,
    /// The name of this process.
    node: String,
    /// With several processes.
    shared: Option<Shared>,
}

#[derive(Debug)]
struct Shared {
    others: hd_cluster::Presence,
    changes: Arc<Changes>,
}

/// Sockets of a user, as one process tells the others.
#[derive(Default, Deserialize, Serialize)]
struct UserSockets {
    count: usize,
    /// The first of them.
    sockets: Vec<SocketEntry>,
}

#[derive(Deserialize, Serialize)]
struct SocketEntry {
    id: String,
    transport: TransportName,
    /// In milliseconds since 1970.
    since: u64,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum TransportName {
    Polling,
    WebSocket,
    /// A WebSocket without Socket.IO.
    Plain,
}

/// The answer about one user.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserPresence {
    user_id: u64,
    connected: bool,
    count: usize,
    sockets: Vec<SocketOfNode>,
    #[serde(flatten)]
    completeness: Completeness,
}

#[derive(Serialize)]
struct SocketOfNode {
    id: String,
    node: String,
    transport: TransportName,
    since: String,
}

/// The answer about everyone.
#[derive(Serialize)]
pub(crate) struct Totals {
    sockets: u64,
    users: u64,
    nodes: Vec<NodeTotals>,
    #[serde(flatten)]
    completeness: Completeness,
}

#[derive(Serialize)]
struct NodeTotals {
    node: String,
    sockets: u64,
    users: u64,
}

/// Whether an answer has all that there is.
#[derive(Default, Serialize)]
struct Completeness {
    partial: bool,
    /// Processes whose latest sign of life is too old. What they said is not in
    /// the answer.
    silent: Vec<String>,
    /// Processes that have not told everything yet. What they told is in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    filling: Vec<String>,
    /// Why the others are not in it, or not all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<RedisTrouble>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum RedisTrouble {
    Away,
    Refuses,
    /// It was empty a moment ago.
    New,
}

impl Changes {
    pub(crate) fn new(config: RosterConfig) -> Self {
        Self(Mutex::new(Roster::new(config, Instant::now())))
    }

    /// A socket of the user has come, has gone, or has changed.
    pub(crate) fn note(&self, user_id: UserId) {
        self.lock().changed(user_id.get());
    }

    fn lock(&self) -> MutexGuard<'_, Roster> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    /// For one process alone.
    pub(crate) fn alone(notifications: Namespace, node: String) -> Self {
        Self {
            notifications,
            node,
            shared: None,
        }
    }

    /// For several processes.
    pub(crate) fn shared(
        notifications: Namespace,
        node: String,
        others: hd_cluster::Presence,
        changes: Arc<Changes>,
    ) -> Self {
        let shared = Some(Shared { others, changes });
        Self {
            notifications,
            node,
            shared,
        }
    }

    /// Tells the others what changes here, for ever.
    pub(crate) async fn tell(&self, pause: Duration) {
        let Some(shared) = &self.shared else {
            return;
        };
        let mut is_refused = false;
        loop {
            self.tell_what_is_due(shared, &mut is_refused).await;
            tokio::time::sleep(pause).await;
        }
    }

    async fn tell_what_is_due(&self, shared: &Shared, is_refused: &mut bool) {
        loop {
            let due = shared.changes.lock().poll(Instant::now());
            match due {
                Due::Nothing => return,
                Due::Everyone => {
                    let users = self.users().into_iter().collect();
                    shared.changes.lock().fill(users);
                }
                Due::Write(write) => {
                    let written = self.write(shared, &write, is_refused).await;
                    let mut roster = shared.changes.lock();
                    roster.handle_written(write, written, Instant::now());
                }
            }
        }
    }

    async fn write(&self, shared: &Shared, write: &Write, is_refused: &mut bool) -> Written {
        let users: Vec<_> = write
            .users
            .iter()
            .map(|user| (*user, self.value(*user)))
            .collect();
        let sockets = self.notifications.len();
        match shared.others.write(write, &users, sockets).await {
            Ok(written) => {
                *is_refused = false;
                written
            }
            Err(error) => {
                // Of a Redis that is away, whoever follows the log tells.
                if let PresenceError::Refused(error) = &error
                    && !std::mem::replace(is_refused, true)
                {
                    PresenceRefused { error }.emit();
                }
                Written::Unanswered
            }
        }
    }

    /// `None` for a user who has no socket here.
    fn value(&self, user: u64) -> Option<Vec<u8>> {
        let sockets = self.sockets_of(user);
        let is_here = sockets.count > 0;
        is_here.then(|| serde_json::to_vec(&sockets).expect("invariant: text and numbers are JSON"))
    }

    /// Takes out what the others were told. [`tell`](Self::tell) has to have
    /// ended.
    pub(crate) async fn leave(&self) {
        if let Some(shared) = &self.shared {
            // What is left expires.
            let _expires = shared.others.leave().await;
        }
    }

    /// Where a user is connected.
    pub(crate) async fn of_user(&self, user_id: UserId) -> UserPresence {
        let user = user_id.get();
        let (nodes, completeness) = match &self.shared {
            Some(shared) => judge(shared.others.find(user).await),
            None => (Vec::new(), Completeness::default()),
        };
        let mut by_node = vec![(self.node.clone(), self.sockets_of(user))];
        for node in nodes {
            let told = node.user.as_deref().map(serde_json::from_slice);
            // What is not understood is of a version to come.
            by_node.push((node.name, told.and_then(Result::ok).unwrap_or_default()));
        }
        let counts = by_node.iter().map(|(_, sockets)| sockets.count);
        let mut count = counts.fold(0, usize::saturating_add);
        let of_node = |(node, sockets): (String, UserSockets)| {
            let sockets = sockets.sockets.into_iter();
            sockets.map(move |socket| (node.clone(), socket))
        };
        let mut sockets: Vec<(String, SocketEntry)> =
            by_node.into_iter().flat_map(of_node).collect();
        // A client that came back has kept its id, and the connection that it
        // had before may not have shown its end.
        let listed = sockets.len();
        sockets.sort_by_key(|(_, socket)| Reverse(socket.since));
        let mut ids = HashSet::new();
        sockets.retain(|(_, socket)| ids.insert(socket.id.clone()));
        count = count.saturating_sub(listed - sockets.len());
        UserPresence {
            user_id: user,
            connected: count > 0,
            count,
            sockets: sockets.into_iter().map(SocketOfNode::from).collect(),
            completeness,
        }
    }

    /// How many are connected.
    pub(crate) async fn totals(&self) -> Totals {
        let (others, completeness) = match &self.shared {
            Some(shared) => judge(shared.others.nodes().await),
            None => (Vec::new(), Completeness::default()),
        };
        let mut nodes = vec![NodeTotals {
            node: self.node.clone(),
            sockets: self.notifications.len() as u64,
            users: self.users().len() as u64,
        }];
        nodes.extend(others.into_iter().map(|node| NodeTotals {
            node: node.name,
            sockets: node.sockets,
            users: node.users,
        }));
        Totals {
            sockets: sum(nodes.iter().map(|node| node.sockets)),
            users: sum(nodes.iter().map(|node| node.users)),
            nodes,
            completeness,
        }
    }

    /// The users who have a socket here.
    fn users(&self) -> HashSet<u64> {
        let sockets = self.notifications.sockets(&Audience::everyone());
        let users = sockets.iter().filter_map(Socket::data::<ClientData>);
        users.map(|client| client.user_id.get()).collect()
    }

    fn sockets_of(&self, user: u64) -> UserSockets {
        let room = room_of(&Target::User(user));
        let sockets = self.notifications.sockets(&Audience::room(room));
        UserSockets {
            count: sockets.len(),
            sockets: sockets.iter().take(MOST_SOCKETS).map(entry).collect(),
        }
    }
}

fn entry(socket: &Socket) -> SocketEntry {
    let client: Option<&ClientData> = socket.data();
    SocketEntry {
        id: socket.id().to_string(),
        transport: match socket.transport() {
            Transport::WebSocket if socket.is_plain() => TransportName::Plain,
            Transport::WebSocket => TransportName::WebSocket,
            Transport::Polling => TransportName::Polling,
        },
        since: client.map_or(0, |client| client.since),
    }
}

impl From<(String, SocketEntry)> for SocketOfNode {
    fn from((node, socket): (String, SocketEntry)) -> Self {
        let since = Duration::from_millis(socket.since.min(LAST_MILLIS));
        Self {
            id: socket.id,
            node,
            transport: socket.transport,
            since: humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).to_string(),
        }
    }
}

/// Those whose word counts, and what is missing.
fn judge(said: Result<Said, PresenceError>) -> (Vec<Node>, Completeness) {
    let mut completeness = Completeness::default();
    let mut nodes = Vec::new();
    match said {
        Ok(said) => {
            completeness.redis = said.is_new.then_some(RedisTrouble::New);
            for node in said.nodes {
                match node.standing {
                    Standing::Silent => {
                        completeness.silent.push(node.name);
                        continue;
                    }
                    Standing::Filling => completeness.filling.push(node.name.clone()),
                    Standing::Current => {}
                }
                nodes.push(node);
            }
        }
        Err(PresenceError::Unavailable(_)) => completeness.redis = Some(RedisTrouble::Away),
        Err(PresenceError::Refused(_)) => completeness.redis = Some(RedisTrouble::Refuses),
    }
    completeness.partial = completeness.redis.is_some()
        || !completeness.silent.is_empty()
        || !completeness.filling.is_empty();
    (nodes, completeness)
}

/// What others wrote may be anything.
fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// The name of this process when it was given none: that of the host, and
/// something random, since there may be more than one on it.
pub(crate) fn default_node_name() -> String {
    let mut random = [0; 2];
    getrandom::fill(&mut random).expect("invariant: the operating system gives random bytes");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let uname = rustix::system::uname();
    let host: String = uname
        .nodename()
        .to_string_lossy()
        .chars()
        .map(|c| if is_plain(c) { c } else { '-' })
        .take(HOST_NAME_CHARS)
        .collect();
    format!("{host}-{:04x}", u16::from_ne_bytes(random))
}

/// Most sockets of a user that a process lists; it counts all. A person has a
/// few, and a value stays within some kilobytes.
const MOST_SOCKETS: usize = 100;
/// The last that can be told, in the year 9999.
const LAST_MILLIS: u64 = 253_402_300_799_999;
/// Of the 64 that a name may have.
const HOST_NAME_CHARS: usize = 59;
