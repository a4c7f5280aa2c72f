//! Engine.IO sessions, their transports, and what an application sees of them.

mod connection;
mod counts;
mod drain;
mod fragments;
mod frame_error;
mod frame_reader;
mod inbound;
mod partial_input;
mod places;
mod plain;
mod polling;
mod pump;
mod queues;
mod service;
mod sweep;
mod upgrade;
mod users;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use dashmap::DashMap;
use engineio_proto::{CloseReason, Message, Session, Sid, Transport};
use http::HeaderMap;
use http::header::ORIGIN;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

pub use connection::{Connection, Sent};
pub use counts::Counts;
#[cfg(fuzzing)]
pub use frame_reader::read_frames;
pub(crate) use partial_input::{Held, append};
pub(crate) use service::{Asked, HttpService, TcpConnection, Upgrade};
pub(crate) use upgrade::{abandon_upgrade, asks_for_websocket, serve_upgrade};

use self::counts::Kind;
use self::inbound::InboundRates;
use self::partial_input::PartialInput;
use self::places::{Eviction, Place, Places};
use self::plain::PlainSession;
use self::queues::SendQueues;
use self::sweep::Sweep;
use self::users::Users;
use self::wire::Wire;
use crate::http_connection::OpenSockets;
use crate::lifecycle::{Lifecycle, jittered};
use crate::remote_address::{is_forwarded, is_private};
use crate::{
    ClientHandshake, HttpClose, HttpClosed, Rejected, Rejection, RemoteAddress, ServerConfig,
};

/// What runs on top of Engine.IO: Socket.IO, or an application of its own.
///
/// The messages of one client come one after the other, but for one that breaks
/// the protocol and sends by POST and by WebSocket at once.
/// [`closed`](Self::closed) and [`handle_timeout`](Self::handle_timeout) may
/// come beside one.
pub trait Application: Send + Sync + Sized + 'static {
    /// What the application keeps for each client.
    type Client: Send + Sync + 'static;

    /// A client has been let in; its session begins.
    fn opened(&self, handshake: ClientHandshake, now: Instant) -> Self::Client;

    /// A client has been let in that speaks WebSocket and nothing above it; see
    /// [`HttpReply::UpgradePlain`](crate::HttpReply::UpgradePlain). What it
    /// sends goes to [`plain_message`](Self::plain_message).
    fn opened_plain(&self, handshake: ClientHandshake) -> Self::Client;

    /// The session of a client that was let in has begun: what is sent to it now
    /// follows its open packet. Not for clients of
    /// [`opened_plain`](Self::opened_plain).
    fn started(&self, connection: &Arc<Connection<Self>>) {
        let _ = connection;
    }

    /// A message has arrived.
    fn message(&self, connection: &Arc<Connection<Self>>, message: Message<'_>);

    /// A message of a client that speaks WebSocket and nothing above it has
    /// arrived. It is ignored unless the application says otherwise.
    fn plain_message(&self, connection: &Arc<Connection<Self>>, message: Message<'_>) {
        let _ = (connection, message);
    }

    /// The session has moved from polling to a WebSocket.
    fn upgraded(&self, connection: &Arc<Connection<Self>>) {
        let _ = connection;
    }

    /// Nothing waits for the client any more, and the application wanted to know.
    fn drained(&self, connection: &Arc<Connection<Self>>) {
        let _ = connection;
    }

    /// The session has ended. Nothing follows.
    fn closed(&self, connection: &Arc<Connection<Self>>, reason: CloseReason);

    /// When [`handle_timeout`](Self::handle_timeout) is due for this client.
    /// Asked for at the beginning and after each call of it.
    fn poll_timeout(&self, connection: &Arc<Connection<Self>>) -> Option<Instant> {
        let _ = connection;
        None
    }

    /// Time for what is due at `now`. Early calls are to do nothing.
    fn handle_timeout(&self, connection: &Arc<Connection<Self>>, now: Instant) {
        let _ = (connection, now);
    }
}

/// All sessions of a server.
pub struct Engine<A: Application> {
    pub(crate) config: ServerConfig,
    /// `config.engine`, as every session shares it.
    session_config: Arc<engineio_proto::Config>,
    pub(crate) application: A,
    connections: DashMap<Sid, Arc<Connection<A>>>,
    /// One is kept by each of them, and by who is just being let in.
    places: Places,
    partial_input: Arc<PartialInput>,
    /// Whether it was said that a proxy is not trusted.
    has_warned_of_proxy: AtomicBool,
    users: Users,
    inbound_rates: InboundRates,
    queues: SendQueues,
    /// All TCP connections, sessions or not.
    pub(crate) sockets: Arc<OpenSockets>,
    sweep: Sweep,
    counts: Counts,
    runtime: Handle,
    lifecycle: Mutex<Lifecycle<Sid>>,
    /// Told when it was told to drain or to stop.
    lifecycle_changed: Notify,
    /// Told when a drain, or a stop, has closed clients.
    clients_sent_away: Notify,
    /// The tasks of all WebSockets.
    pub(crate) pumps: TaskTracker,
    /// Sessions whose end the application has not been told of.
    untold_ends: AtomicUsize,
    /// Told whenever a connection ends.
    connection_ended: Notify,
}

impl<A: Application> Engine<A> {
    /// An engine without sessions.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(config: ServerConfig, application: A) -> Self {
        let shortest = config.engine.ping_interval.min(config.engine.ping_timeout);
        let lifecycle = Lifecycle::new(config.drain_window, config.drain_rate);
        Self {
            session_config: Arc::new(config.engine.clone()),
            places: Places::new(&config),
            partial_input: PartialInput::new(config.max_partial_input_bytes.map(Into::into)),
            has_warned_of_proxy: AtomicBool::new(false),
            users: Users::new(config.max_connections_per_user),
            inbound_rates: InboundRates::new(&config),
            queues: SendQueues::new(config.max_send_queue_total_bytes),
            sockets: OpenSockets::new(config.max_sockets),
            sweep: Sweep::new(shortest, Instant::now()),
            config,
            application,
            connections: DashMap::new(),
            counts: Counts::default(),
            runtime: Handle::current(),
            lifecycle: Mutex::new(lifecycle),
            lifecycle_changed: Notify::new(),
            clients_sent_away: Notify::new(),
            pumps: TaskTracker::new(),
            untold_ends: AtomicUsize::new(0),
            connection_ended: Notify::new(),
        }
    }

    /// The application.
    #[must_use]
    pub const fn application(&self) -> &A {
        &self.application
    }

    /// Numbers of sessions and transports.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Sessions that are connected now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no session is connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Sessions that have joined nothing now.
    #[must_use]
    pub fn unjoined(&self) -> usize {
        self.places.unjoined()
    }

    /// Bytes of memory that are kept of messages that have come in part.
    #[must_use]
    pub fn partial_input_bytes(&self) -> usize {
        self.partial_input.used()
    }

    /// Waits until no session is left, and the application has been told of the
    /// end of each.
    ///
    /// # Cancel safety
    ///
    /// Safe to cancel.
    pub async fn emptied(&self) {
        loop {
            let ended = self.connection_ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.untold_ends.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Runs the heartbeats and all other deadlines, for ever.
    pub(crate) async fn run_sweep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.sweep.tick());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            for (index, (sid, tick)) in self.sweep.take_due(now).into_iter().enumerate() {
                if let Some(connection) = self.find(&sid) {
                    connection.handle_tick(tick, now);
                }
                if index % SWEEP_BATCH == SWEEP_BATCH - 1 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn find(&self, sid: &Sid) -> Option<Arc<Connection<A>>> {
        self.connections
            .get(sid)
            .map(|entry| Arc::clone(entry.value()))
    }

    /// A place for a new client, which is rejected when there is none. Who has
    /// to go for it is closed.
    fn take_place(
        &self,
        remote_address: RemoteAddress,
        now: Instant,
    ) -> Result<Place<'_>, Rejection> {
        let is_limited = self.is_limited(remote_address);
        let (place, evicted) = self.places.take(remote_address, is_limited, now);
        self.close_evicted(evicted);
        place
    }

    /// Whether the limits of an address hold for this one: not for that of a
    /// proxy, nor for one that may be a proxy's, which many clients share.
    fn is_limited(&self, remote_address: RemoteAddress) -> bool {
        let proxies = &self.config.trusted_proxies;
        let ip = remote_address.ip();
        if proxies.is_empty() {
            self.config.limit_private_addresses || !is_private(ip)
        } else {
            !proxies.contains(ip)
        }
    }

    /// Whether a TCP connection carries requests of many clients, as far as is
    /// known: it comes from a trusted proxy, or from one that nobody has named.
    /// The header alone says nothing, since strangers write it too.
    fn is_proxy(&self, peer: SocketAddr, headers: &HeaderMap) -> bool {
        let proxies = &self.config.trusted_proxies;
        if !proxies.is_empty() {
            return proxies.contains(peer.ip());
        }
        let is_unnamed = is_forwarded(headers) && is_private(peer.ip());
        if is_unnamed && !self.has_warned_of_proxy.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer,
                "requests have an X-Forwarded-For, and no proxy is trusted: all clients behind it \
                 count as one remote address until TRUSTED_PROXIES names it"
            );
        }
        is_unnamed
    }

    /// Whether the application has kept out more clients of this address than
    /// [`ServerConfig::max_auth_failures_per_address`].
    #[must_use]
    pub fn has_exceeded_failures(&self, remote_address: RemoteAddress) -> bool {
        self.is_limited(remote_address)
            && self
                .places
                .has_exceeded_failures(remote_address.network(), Instant::now())
    }

    /// A client of this address was kept out by the application. Returns whether
    /// it is to get an answer.
    fn auth_failed(&self, remote_address: RemoteAddress, now: Instant) -> bool {
        !self.is_limited(remote_address) || self.places.auth_failed(remote_address.network(), now)
    }

    /// Closes sessions that have lost their places. Only where the application
    /// holds no lock.
    fn close_evicted(&self, evicted: impl IntoIterator<Item = Eviction>) {
        for (sid, reason) in evicted {
            if let Some(connection) = self.find(&sid) {
                connection.tell_rejected(reason);
                connection.lock().is_evicted = true;
                connection.end(CloseReason::ForcedClose);
            }
        }
    }

    /// Counts a request that is rejected, and calls
    /// [`ServerConfig::on_rejected`]. For requests that an [`HttpHandler`]
    /// rejects for a reason that is the server's too.
    ///
    /// [`HttpHandler`]: crate::HttpHandler
    pub fn rejected(&self, reason: Rejection, remote_address: RemoteAddress, headers: &HeaderMap) {
        let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        self.tell_rejected(reason, remote_address, origin);
    }

    fn tell_rejected(
        &self,
        reason: Rejection,
        remote_address: RemoteAddress,
        origin: Option<&str>,
    ) {
        self.counts.rejected(reason);
        self.config.on_rejected.call(&Rejected {
            reason,
            remote_address,
            origin,
            identity: None,
        });
    }

    /// Counts a client that is closed by a limit, and tells of it.
    fn limited(&self, connection: &Connection<A>, reason: Rejection, identity: Option<u64>) {
        self.counts.rejected(reason);
        let user = connection.user();
        self.config.on_rejected.call(&Rejected {
            reason,
            remote_address: connection.remote_address(),
            origin: None,
            identity: identity.or_else(|| user.map(|user| user.identity())),
        });
    }

    /// Bytes that wait for all clients, each frame with what it costs to keep it.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queues.total()
    }

    /// Counts an HTTP connection that the server closes, and tells of it.
    pub(crate) fn http_closed(&self, reason: HttpClose, peer: SocketAddr) {
        self.counts.http_closed(reason);
        self.config.on_http_closed.call(HttpClosed {
            reason,
            remote_address: RemoteAddress::direct(peer),
        });
    }

    /// TCP connections that are open now: those that speak HTTP, and WebSockets.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        self.sockets.len()
    }

    fn open(
        self: &Arc<Self>,
        place: Place<'_>,
        transport: Transport,
        session: impl FnOnce(Sid, Arc<engineio_proto::Config>, Instant) -> Session,
        handshake: ClientHandshake,
        now: Instant,
    ) -> Arc<Connection<A>> {
        let sid = new_sid();
        let session = session(sid, Arc::clone(&self.session_config), now);
        let kind = Kind::EngineIo(transport);
        let remote_address = handshake.remote_address();
        let client = self.application.opened(handshake, now);
        let wire = Wire::EngineIo(session);
        let session = (sid, remote_address);
        let connection = self.insert(place, session, wire, kind, client, now);
        self.application.started(&connection);
        connection
    }

    fn open_plain(
        self: &Arc<Self>,
        place: Place<'_>,
        handshake: ClientHandshake,
    ) -> Arc<Connection<A>> {
        let now = Instant::now();
        let session = PlainSession::new(&self.session_config, now);
        let remote_address = handshake.remote_address();
        let client = self.application.opened_plain(handshake);
        let (wire, kind) = (Wire::Plain(session), Kind::Plain);
        let session = (new_sid(), remote_address);
        self.insert(place, session, wire, kind, client, now)
    }

    fn insert(
        self: &Arc<Self>,
        place: Place<'_>,
        (sid, remote_address): (Sid, RemoteAddress),
        wire: Wire,
        kind: Kind,
        client: A::Client,
        now: Instant,
    ) -> Arc<Connection<A>> {
        self.counts.opened(kind);
        let too_old_at = self
            .config
            .max_connection_age
            .map(|age| now + jittered(age, random_number()));
        let connection = Arc::new(Connection::new(
            Arc::clone(self),
            (sid, remote_address),
            wire,
            kind,
            too_old_at,
            client,
        ));
        self.untold_ends.fetch_add(1, Ordering::AcqRel);
        let evicted = {
            // Whoever finds it can close it once its place is its own.
            let mut state = connection.lock();
            self.connections.insert(sid, Arc::clone(&connection));
            let (standing, evicted) = place.keep(sid, self.is_limited(remote_address), now);
            state.standing = standing;
            evicted
        };
        self.close_evicted(evicted);
        let deadline = self.application.poll_timeout(&connection);
        if let Some(deadline) = deadline {
            connection.arm(deadline);
        }
        connection.settle(connection.lock());
        // Who was let in when the drain had begun has no place in it: an
        // application may have taken its time.
        if self.is_draining() {
            connection.close(CloseReason::ServerShuttingDown);
        }
        connection
    }

    /// Returns whether the session was there.
    fn remove(&self, connection: &Connection<A>) -> bool {
        let was_open = self.connections.remove(connection.sid()).is_some();
        if was_open {
            {
                let mut state = connection.lock();
                self.counts.closed(state.kind);
                let remote_address = connection.remote_address();
                self.places.end(&mut state.standing, remote_address);
            }
            if let Some(user) = connection.user() {
                self.users
                    .disconnected(user, connection.sid(), Instant::now());
            }
        }
        was_open
    }

    /// The application has been told of the end of a session.
    fn ended(&self) {
        self.untold_ends.fetch_sub(1, Ordering::AcqRel);
        self.connection_ended.notify_waiters();
    }
}

impl<A: Application> fmt::Debug for Engine<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("connections", &self.connections.len())
            .finish_non_exhaustive()
    }
}

/// A session id from the operating system's generator.
///
/// # Panics
///
/// When the system has no randomness to give: no id that can be guessed may
/// ever be handed out.
pub(crate) fn new_sid() -> Sid {
    let mut bytes = [0; Sid::RANDOM_BYTES];
    getrandom::fill(&mut bytes).expect("invariant: the operating system gives random bytes");
    Sid::from_random(bytes)
}

/// # Panics
///
/// As [`new_sid`].
pub(crate) fn random_number() -> u64 {
    let mut bytes = [0; size_of::<u64>()];
    getrandom::fill(&mut bytes).expect("invariant: the operating system gives random bytes");
    u64::from_ne_bytes(bytes)
}

/// Sessions looked after before the task lets others run.
const SWEEP_BATCH: usize = 256;
