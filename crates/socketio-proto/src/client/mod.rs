//! The server's side of one client: which namespaces it is in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engineio_proto::Message;
use smallvec::SmallVec;

use crate::{Ack, Decoder, Limits, Namespace, PacketData, Parser, Revision};

mod outcome;
pub use outcome::{
    AwaitAckError, ClientError, ClientEvent, ProtocolViolation, Timeout, TimerReason,
};

/// Settings that all clients of a server share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// How long a client may be in no namespace. Socket.IO's `connectTimeout`,
    /// 45 s.
    pub connect_timeout: Duration,
    /// Most namespaces that one client may be in or ask for. Socket.IO has no
    /// such limit; 16 is more than any front end uses.
    pub max_namespaces: usize,
    /// Most times that a client may ask to join a namespace in a row; as many
    /// become free again evenly over each minute. Each of them makes an
    /// application look at the client, and most write a line into a log.
    /// Socket.IO has no such limit; 60.
    pub max_connects_per_minute: u32,
    /// Most events to one client whose acks are awaited. Socket.IO has no such
    /// limit; 1,024.
    pub max_awaited_acks: usize,
    /// What packets are on the wire. Text; Socket.IO's option `parser`.
    pub parser: Parser,
    /// Bounds of the parser.
    pub limits: Limits,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_millis(45_000),
            max_namespaces: 16,
            max_connects_per_minute: 60,
            max_awaited_acks: 1024,
            parser: Parser::default(),
            limits: Limits::default(),
        }
    }
}

/// The namespaces of one client, over one Engine.IO session.
///
/// Messages go in with [`handle_message`](Self::handle_message), and what they
/// mean comes out. The packets to send are the caller's to
/// encode with its [parser](Self::parser), before or after the command that they belong to:
/// [`accept`](Self::accept) with CONNECT, [`refuse`](Self::refuse) with
/// CONNECT_ERROR, [`disconnect`](Self::disconnect) with DISCONNECT.
///
/// A client that broke the protocol is not to be fed again: drop the machine
/// together with the connection.
#[derive(Debug)]
pub struct Client {
    config: Arc<ClientConfig>,
    decoder: Decoder,
    namespaces: SmallVec<[(Namespace, State); 1]>,
    awaited_acks: Vec<AwaitedAck>,
    next_ack_id: u64,
    connect_by: Option<Instant>,
    /// When all that the client may ask for is free again.
    connects_free_at: Instant,
}

/// ```text
///               CONNECT              accept()
///   (none) ───────────────► Connecting ─────────► Connected
///    ▲  ▲                    │  ▲                  │     │
///    │  └──────refuse()──────┘  │ CONNECT          │     │ disconnect()
///    ├─────────DISCONNECT───────┼──────────────────┘     ▼
///    └─────────DISCONNECT───────┴─────────────────────── Left
/// ```
///
/// [`Client::leave_out`] goes from `Connecting` to `Left`.
///
/// A client goes on sending until it learns that it was disconnected. Node
/// closes the connection for that; here such packets are ignored, so the
/// machine remembers that the client has [`Left`](Self::Left).
/// This counts towards `max_namespaces`, and is forgotten when the client asks
/// for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    Left,
}

#[derive(Debug)]
struct AwaitedAck {
    id: u64,
    namespace: Namespace,
    deadline: Instant,
}

impl Client {
    /// A client that is in no namespace yet.
    #[must_use]
    pub fn new(config: Arc<ClientConfig>, now: Instant) -> Self {
        Self::with_revision(config, Revision::V5, now)
    }

    /// The same, of this revision. A client of revision 4 has asked for `/` from
    /// the beginning: [accept](Self::accept) it there, [refuse](Self::refuse) it,
    /// or, where there is no such namespace, [leave it out](Self::leave_out).
    #[must_use]
    pub fn with_revision(config: Arc<ClientConfig>, revision: Revision, now: Instant) -> Self {
        let mut client = Self {
            decoder: Decoder::with_revision(revision, config.parser),
            namespaces: SmallVec::new(),
            awaited_acks: Vec::new(),
            next_ack_id: 0,
            connect_by: Some(now + config.connect_timeout),
            connects_free_at: now,
            config,
        };
        if revision == Revision::V4 {
            let root = (Namespace::default(), State::Connecting);
            client.namespaces.push(root);
        }
        client
    }

    /// The client's revision.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.decoder.revision()
    }

    /// Takes a message. Returns `None` when it is a part of a packet, or
    /// nothing that the caller needs to know. A message that comes after the
    /// deadline for it is too late, whether or not
    /// [`handle_timeout`](Self::handle_timeout) was called in between.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; close the connection then.
    pub fn handle_message(
        &mut self,
        message: Message<'_>,
        now: Instant,
    ) -> Result<Option<ClientEvent>, ClientError> {
        if let Some(overdue) = self.overdue(now) {
            return Err(ClientError::TimedOut(overdue));
        }
        let Some(packet) = self.decoder.add(message, &self.config.limits, now)? else {
            let namespace = self.decoder.unfinished();
            match namespace.and_then(|namespace| self.state(namespace)) {
                Some(State::Connected) => {}
                Some(State::Left) => self.decoder.discard(),
                // Refused before an attachment of it is kept.
                Some(State::Connecting) | None => {
                    self.decoder = Decoder::with_parser(self.config.parser);
                    return Err(ProtocolViolation::NotConnected.into());
                }
            }
            return Ok(None);
        };
        let namespace = packet.namespace;
        Ok(match (packet.data, self.state(&namespace)) {
            (PacketData::Connect { auth }, None | Some(State::Left)) => {
                self.count_connect(now)?;
                self.start_connecting(namespace.clone())?;
                Some(ClientEvent::Connect { namespace, auth })
            }
            (PacketData::Connect { .. }, Some(State::Connecting | State::Connected)) => {
                return Err(ProtocolViolation::AlreadyConnected.into());
            }
            (PacketData::ConnectError { .. }, _) => {
                return Err(ProtocolViolation::ConnectErrorFromClient.into());
            }
            (_, None | Some(State::Connecting)) => {
                return Err(ProtocolViolation::NotConnected.into());
            }
            (PacketData::Event(_) | PacketData::Ack { .. }, Some(State::Left)) => None,
            (PacketData::Disconnect, Some(State::Left)) => {
                self.remove(&namespace);
                None
            }
            (PacketData::Event(event), Some(State::Connected)) => {
                Some(ClientEvent::Event { namespace, event })
            }
            (PacketData::Ack { id, args }, Some(State::Connected)) => {
                // An ack that nobody waits for is late or made up. Node
                // ignores it too.
                id.filter(|&id| self.take_awaited_ack(&namespace, id))
                    .map(|id| {
                        let ack = Ack { id, args };
                        ClientEvent::Ack { namespace, ack }
                    })
            }
            (PacketData::Disconnect, Some(State::Connected)) => {
                self.remove(&namespace);
                let lost_acks = self.has_left(&namespace, now);
                Some(ClientEvent::Disconnect {
                    namespace,
                    lost_acks,
                })
            }
        })
    }

    /// How packets for this client are encoded: as the settings say, or as text
    /// for a client of revision 4.
    #[must_use]
    pub const fn parser(&self) -> Parser {
        self.decoder.parser()
    }

    /// Lets the client into a namespace that it asked for; CONNECT tells it
    /// so. Returns false when it did not ask.
    ///
    /// `connect_timeout` stops. It starts again when the client leaves its
    /// last namespace, which Node leaves out: a client could stay there for
    /// ever.
    #[must_use]
    pub fn accept(&mut self, namespace: &Namespace) -> bool {
        let is_asking = self.replace(namespace, State::Connecting, State::Connected);
        if is_asking {
            self.connect_by = None;
        }
        is_asking
    }

    /// Keeps the client out of a namespace that it asked for; CONNECT_ERROR
    /// tells it so. Returns false when it did not ask.
    ///
    /// `connect_timeout` goes on: it counts from the beginning of the
    /// connection, or from when the client left its last namespace.
    #[must_use]
    pub fn refuse(&mut self, namespace: &Namespace) -> bool {
        let is_asking = self.state(namespace) == Some(State::Connecting);
        if is_asking {
            self.remove(namespace);
        }
        is_asking
    }

    /// Has a client believe that it is in a namespace that it asked for and that
    /// there is not; CONNECT tells it so. Returns false when it did not ask.
    ///
    /// What it sends there is ignored, and `connect_timeout` goes on. This is how a
    /// client of revision 4 gets past `/`, where it waits for CONNECT before it asks
    /// for more, and how a client is kept out in the words of CONNECT and
    /// DISCONNECT.
    #[must_use]
    pub fn leave_out(&mut self, namespace: &Namespace) -> bool {
        self.replace(namespace, State::Connecting, State::Left)
    }

    /// Takes the client out of a namespace; DISCONNECT tells it so. Returns the
    /// ids of the acks that will not come any more, or `None` when the client
    /// is not in the namespace.
    ///
    /// What the client sends there before it knows is ignored.
    #[must_use]
    pub fn disconnect(&mut self, namespace: &Namespace, now: Instant) -> Option<Vec<u64>> {
        if !self.replace(namespace, State::Connected, State::Left) {
            return None;
        }
        if self.decoder.unfinished() == Some(namespace) {
            self.decoder.discard();
        }
        Some(self.has_left(namespace, now))
    }

    /// The namespaces that the client is in, in no particular order.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces
            .iter()
            .filter(|(_, state)| *state == State::Connected)
            .map(|(namespace, _)| namespace)
    }

    /// An id for an event whose ack is awaited until `deadline`. It is used
    /// once in the life of a client, in whatever namespace.
    ///
    /// # Errors
    ///
    /// [`AwaitAckError`] when the client is not in the namespace, or at
    /// [`ClientConfig::max_awaited_acks`].
    pub fn await_ack(
        &mut self,
        namespace: &Namespace,
        deadline: Instant,
    ) -> Result<u64, AwaitAckError> {
        if self.state(namespace) != Some(State::Connected) {
            return Err(AwaitAckError::NotConnected);
        }
        let limit = self.config.max_awaited_acks;
        if self.awaited_acks.len() >= limit {
            return Err(AwaitAckError::TooManyAcks { limit });
        }
        let id = self.next_ack_id;
        self.next_ack_id += 1;
        self.awaited_acks.push(AwaitedAck {
            id,
            namespace: namespace.clone(),
            deadline,
        });
        Ok(id)
    }

    /// Stops waiting for an ack; it is ignored if it comes. Returns false when
    /// it is not awaited.
    pub fn forget_ack(&mut self, id: u64) -> bool {
        self.awaited_acks
            .iter()
            .position(|awaited| awaited.id == id)
            .map(|position| self.awaited_acks.swap_remove(position))
            .is_some()
    }

    /// How many bytes of memory are kept of a packet that has come in part, about.
    #[must_use]
    pub fn partial_memory(&self) -> usize {
        self.decoder.memory()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due, and why. Ask again
    /// after every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, TimerReason)> {
        let connect = self.connect_by.map(|by| (by, TimerReason::Connect));
        let attachment = self.decoder.poll_timeout();
        let acks = self.awaited_acks.iter().map(|awaited| awaited.deadline);
        connect
            .into_iter()
            .chain(attachment.map(|by| (by, TimerReason::Attachment)))
            .chain(acks.min().map(|by| (by, TimerReason::Ack)))
            .min_by_key(|(by, _)| *by)
    }

    /// A deadline that has passed at `now`, each of them once. Call again
    /// until it returns `None`.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Timeout> {
        match self.overdue(now) {
            Some(TimerReason::Connect) => {
                self.connect_by = None;
                return Some(Timeout::Connect);
            }
            Some(TimerReason::Attachment) => {
                self.decoder = Decoder::with_revision(self.revision(), self.config.parser);
                return Some(Timeout::Attachment);
            }
            Some(TimerReason::Ack) | None => {}
        }
        let overdue = self
            .awaited_acks
            .iter()
            .position(|awaited| awaited.deadline <= now)?;
        let AwaitedAck { id, namespace, .. } = self.awaited_acks.swap_remove(overdue);
        Some(Timeout::Ack { namespace, id })
    }

    /// What the client has been too slow for at `now`: each ends its connection.
    fn overdue(&self, now: Instant) -> Option<TimerReason> {
        let attachments_by = self.decoder.poll_timeout();
        if self.connect_by.is_some_and(|by| by <= now) {
            Some(TimerReason::Connect)
        } else if attachments_by.is_some_and(|by| by <= now) {
            Some(TimerReason::Attachment)
        } else {
            None
        }
    }

    fn state(&self, namespace: &Namespace) -> Option<State> {
        self.namespaces
            .iter()
            .find(|(name, _)| name == namespace)
            .map(|(_, state)| *state)
    }

    fn replace(&mut self, namespace: &Namespace, from: State, to: State) -> bool {
        self.namespaces
            .iter_mut()
            .find(|(name, state)| name == namespace && *state == from)
            .map(|(_, state)| *state = to)
            .is_some()
    }

    fn remove(&mut self, namespace: &Namespace) {
        self.namespaces.retain(|(name, _)| name != namespace);
    }

    fn count_connect(&mut self, now: Instant) -> Result<(), ProtocolViolation> {
        let limit = self.config.max_connects_per_minute;
        let each = MINUTE.checked_div(limit).unwrap_or(Duration::MAX);
        let too_many = ProtocolViolation::TooManyConnects { limit };
        let free_at = self.connects_free_at.max(now).checked_add(each);
        let free_at = free_at.ok_or(too_many)?;
        if free_at > now + MINUTE {
            return Err(too_many);
        }
        self.connects_free_at = free_at;
        Ok(())
    }

    fn start_connecting(&mut self, namespace: Namespace) -> Result<(), ProtocolViolation> {
        self.remove(&namespace);
        let limit = self.config.max_namespaces;
        if self.namespaces.len() >= limit {
            let left = self
                .namespaces
                .iter()
                .position(|(_, state)| *state == State::Left)
                .ok_or(ProtocolViolation::TooManyNamespaces { limit })?;
            self.namespaces.remove(left);
        }
        self.namespaces.push((namespace, State::Connecting));
        Ok(())
    }

    fn take_awaited_ack(&mut self, namespace: &Namespace, id: u64) -> bool {
        self.awaited_acks
            .iter()
            .position(|awaited| awaited.id == id && awaited.namespace == *namespace)
            .map(|position| self.awaited_acks.swap_remove(position))
            .is_some()
    }

    /// Returns the acks that will not come any more, and starts
    /// `connect_timeout` again after the last namespace.
    fn has_left(&mut self, namespace: &Namespace, now: Instant) -> Vec<u64> {
        if self.namespaces().next().is_none() {
            self.connect_by = Some(now + self.config.connect_timeout);
        }
        let mut lost_acks = Vec::new();
        self.awaited_acks.retain(|awaited| {
            let is_lost = awaited.namespace == *namespace;
            if is_lost {
                lost_acks.push(awaited.id);
            }
            !is_lost
        });
        lost_acks
    }
}

const MINUTE: Duration = Duration::from_secs(60);
