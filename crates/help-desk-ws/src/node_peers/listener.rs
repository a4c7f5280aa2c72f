//! What Node's servers publish.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hd_cluster::{Heard, Observer, Offset, Publish, Source};
use hd_ws_server::Namespace;
use socketio_adapter_proto::{Event, Limits, Message, Options, ParseError, Request};
use socketio_adapter_proto::{classic, sharded};
use tokio::sync::{Notify, Semaphore, mpsc};

use super::{NodePeers, Requester, audience};
use crate::cluster::{Cluster, ClusterEvent, EventArgs};
use crate::telemetry::events::{
    PeerEventLost, PeerEventTaken, PeerMessageRefused, PeerMessagesDropped, PeersCutOff,
    PeersHeard, ShardsMissing,
};

/// Brings what Node's servers publish to the log, and carries out what they ask.
///
/// Everything is done in the order in which it was heard: who is put into a room
/// gets what is sent to it next, also by another process that heard it first.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) peers: Arc<NodePeers>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) notifications: Namespace,
    /// Bounds how many events with acks are under way.
    pub(super) asking: Arc<Semaphore>,
    /// Most bytes of an event: what does not fit into a client's queue closes
    /// the client, and once more when it comes back.
    max_event_bytes: usize,
    pub(super) observer: Observer,
    /// The latest of theirs in the log.
    pub(super) latest: Option<Offset>,
    has_begun: Arc<Notify>,
}

impl Listener {
    pub(crate) fn new(
        peers: Arc<NodePeers>,
        cluster: Arc<Cluster>,
        notifications: Namespace,
        max_event_bytes: usize,
    ) -> Self {
        Self {
            peers,
            cluster,
            notifications,
            asking: Arc::new(Semaphore::new(MAX_ASKING)),
            max_event_bytes: max_event_bytes.saturating_sub(ROOM_IN_QUEUE),
            observer: Observer::default(),
            latest: None,
            has_begun: Arc::new(Notify::new()),
        }
    }

    /// Listens for ever, in tasks of its own. Returns once it does, or when
    /// Redis takes long.
    pub(crate) async fn start(self) {
        let has_begun = Arc::clone(&self.has_begun);
        if self.peers.sharded.is_some() {
            let (peers, notifications) = (Arc::clone(&self.peers), self.notifications.clone());
            tokio::spawn(async move { peers.follow_rooms(&notifications).await });
        }
        let (sender, heard) = mpsc::channel(MAX_WAITING);
        let pubsub = self.peers.pubsub.clone();
        tokio::spawn(async move {
            // Subscriptions do not wait for what messages make us do, until many
            // of those wait.
            let take = |heard| {
                let sender = sender.clone();
                async move { drop(sender.send(heard).await) }
            };
            pubsub.listen(take).await;
        });
        tokio::spawn(self.take_all(heard));
        // Later is better than never.
        let _late = tokio::time::timeout(START_PATIENCE, has_begun.notified()).await;
    }

    async fn take_all(mut self, mut heard: mpsc::Receiver<Heard>) {
        while let Some(heard) = heard.recv().await {
            self.take(heard).await;
        }
    }

    async fn take(&mut self, heard: Heard) {
        match heard {
            Heard::Message {
                channel,
                publish,
                since,
                payload,
            } => {
                let source = Source {
                    publish,
                    channel: &channel,
                    since,
                };
                self.message(source, &payload).await;
            }
            Heard::Listening => {
                self.has_begun.notify_one();
                PeersHeard.emit();
            }
            Heard::NoShards => {
                self.peers.has_shards.store(false, Ordering::Relaxed);
                ShardsMissing.emit();
            }
            Heard::Dropped(messages) => {
                PeerMessagesDropped { messages }.emit(&self.peers.counters);
            }
            Heard::CutOff => {
                // Another one may have them.
                self.peers.has_shards.store(true, Ordering::Relaxed);
                PeersCutOff.emit();
            }
        }
    }

    async fn message(&mut self, source: Source<'_>, payload: &[u8]) {
        let (peers, publish) = (&self.peers, source.publish);
        let (namespace, limits) = (&peers.namespace, &Limits::default());
        let is_request = |channels: &classic::Channels| channels.request() == source.channel;
        let parsed = match publish {
            Publish::Classic if peers.classic.as_ref().is_some_and(is_request) => {
                classic::parse_request(payload, limits)
            }
            Publish::Classic if classic::is_broadcast_from(payload, &peers.own_uids) => return,
            Publish::Classic => classic::parse_broadcast(payload, namespace, limits),
            Publish::Sharded if sharded::is_from(payload, &peers.own_uids) => return,
            Publish::Sharded => sharded::parse(payload, namespace, limits),
        };
        match parsed {
            Ok(Message { sender, request }) => {
                let is_own = |uid: &str| uid.starts_with(&self.peers.own_uids);
                if !sender.as_deref().is_some_and(is_own) {
                    let uid = sender;
                    let requester = Requester { publish, uid };
                    self.carry_out(source, requester, request).await;
                }
            }
            Err(error) => self.refuse(error),
        }
    }

    async fn carry_out(&mut self, source: Source<'_>, requester: Requester, request: Request) {
        match request {
            Request::None => {}
            Request::Broadcast { event, options } => {
                self.broadcast(source, &event, &options).await;
            }
            Request::BroadcastWithAck { .. }
            | Request::Join { .. }
            | Request::Leave { .. }
            | Request::Disconnect { .. }
            | Request::FetchSockets { .. }
            | Request::SocketIds { .. }
            | Request::AllRooms { .. } => Box::pin(self.ask(source, requester, request)).await,
        }
    }

    /// Takes an event into the log, from which it comes to the clients of every
    /// process; a volatile one goes to those that are here now.
    async fn broadcast(&mut self, source: Source<'_>, event: &Event, options: &Options) {
        if !self.has_room_for(event) {
            return;
        }
        let Some(audience) = audience(options) else {
            return;
        };
        let (name, args) = (event.name(), event.args());
        if options.flags.volatile {
            self.settle().await;
            self.notifications
                .emit_volatile(&audience, name, args.into());
            return PeerEventTaken.emit(&self.peers.counters);
        }
        let event = ClusterEvent {
            audience: &audience,
            name: name.as_str(),
            args: EventArgs::Packet(args),
            ttl: None,
            is_volatile: false,
        };
        match self
            .cluster
            .observe_event(&self.observer, source, &event)
            .await
        {
            Ok(offset) => {
                self.latest = Some(offset);
                PeerEventTaken.emit(&self.peers.counters);
            }
            Err(error) => PeerEventLost { error: &error }.emit(&self.peers.counters),
        }
    }

    /// Waits until what came before has reached the clients that are here.
    pub(super) async fn settle(&mut self) {
        if let Some(latest) = self.latest.take() {
            self.cluster.delivered(latest).await;
        }
    }

    /// Whether a client can be sent an event at all.
    pub(super) fn has_room_for(&self, event: &Event) -> bool {
        let attachments = event.args().attachments().iter().map(bytes::Bytes::len);
        let len = event.name().as_str().len() + event.args().json().len();
        let limit = self.max_event_bytes;
        let has_room = len + attachments.sum::<usize>() <= limit;
        if !has_room {
            self.refuse(ParseError::TooLarge { limit });
        }
        has_room
    }

    fn refuse(&self, error: ParseError) {
        PeerMessageRefused { error }.emit(&self.peers.counters);
    }
}

/// Messages that wait here. As many again, and more, wait at the connection.
const MAX_WAITING: usize = 256;
/// Events with acks that are under way at the same time.
const MAX_ASKING: usize = 64;
/// For an event's frame, its offset, and what else waits.
const ROOM_IN_QUEUE: usize = 4 * 1024;
/// How long a start waits for the channels.
const START_PATIENCE: Duration = Duration::from_secs(5);
