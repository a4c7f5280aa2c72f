//! What Node's servers ask, besides sending an event.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use hd_cluster::Source;
use hd_ws_server::{PendingAck, Socket};
use socketio_adapter_proto::{Event, Options, Request, Response, SocketDetails};

use super::{Listener, NodePeers, Requester, audience, room_names};
use crate::cluster::{Change, ChangeKind};
use crate::telemetry::events::{PeerEventLost, PeerRequestTaken};

impl Listener {
    pub(super) async fn ask(&mut self, source: Source<'_>, requester: Requester, request: Request) {
        let kind = match request {
            Request::Broadcast { .. } | Request::None => return,
            Request::BroadcastWithAck {
                request_id,
                event,
                options,
            } => {
                self.settle().await;
                self.ask_clients(&requester, request_id, &event, &options);
                "emit_with_ack"
            }
            Request::Join {
                options,
                rooms,
                request_id,
            } => {
                let kind = ChangeKind::Join;
                self.change(source, &requester, kind, &options, &rooms, request_id)
                    .await;
                "join"
            }
            Request::Leave {
                options,
                rooms,
                request_id,
            } => {
                let kind = ChangeKind::Leave;
                self.change(source, &requester, kind, &options, &rooms, request_id)
                    .await;
                "leave"
            }
            Request::Disconnect {
                options,
                close,
                request_id,
            } => {
                let kind = if close {
                    ChangeKind::Close
                } else {
                    ChangeKind::Disconnect
                };
                self.change(source, &requester, kind, &options, &[], request_id)
                    .await;
                "disconnect"
            }
            Request::FetchSockets {
                request_id,
                options,
            } => {
                self.settle().await;
                let sockets = self.sockets(&options);
                let sockets: Vec<SocketDetails> = sockets.iter().map(details).collect();
                let response = Response::Sockets(&sockets);
                self.peers.respond(&requester, &request_id, &response).await;
                "fetch_sockets"
            }
            Request::SocketIds {
                request_id,
                options,
            } => {
                self.settle().await;
                let ids: Vec<String> = self.sockets(&options).iter().map(id).collect();
                let response = Response::SocketIds(&ids);
                self.peers.respond(&requester, &request_id, &response).await;
                "socket_ids"
            }
            Request::AllRooms { request_id } => {
                self.settle().await;
                let rooms = self.notifications.room_names();
                let rooms: Vec<String> = rooms.iter().map(ToString::to_string).collect();
                let response = Response::Rooms(&rooms);
                self.peers.respond(&requester, &request_id, &response).await;
                "rooms"
            }
        };
        PeerRequestTaken {
            request: kind,
            sender: requester.uid.as_deref(),
        }
        .emit(&self.peers.counters);
    }

    /// Gives a change its place among the events. In the old form a request
    /// names one socket, and its server answers.
    async fn change(
        &mut self,
        source: Source<'_>,
        requester: &Requester,
        kind: ChangeKind,
        options: &Options,
        rooms: &[String],
        request_id: Option<String>,
    ) {
        let Some(audience) = audience(options) else {
            return;
        };
        let change = Change {
            kind,
            audience: &audience,
            rooms: &room_names(rooms),
        };
        let offset = match self
            .cluster
            .observe_change(&self.observer, source, &change)
            .await
        {
            Ok(offset) => offset,
            Err(error) => return PeerEventLost { error: &error }.emit(&self.peers.counters),
        };
        self.latest = Some(offset);
        if let Some(request_id) = request_id
            && self.cluster.delivered(offset).await > 0
        {
            let response = Response::Done;
            self.peers.respond(requester, &request_id, &response).await;
        }
    }

    fn sockets(&self, options: &Options) -> Vec<Socket> {
        audience(options).map_or_else(Vec::new, |audience| self.notifications.sockets(&audience))
    }

    /// Sends an event to clients, and hands on what they answer, in a task of
    /// its own.
    fn ask_clients(
        &self,
        requester: &Requester,
        request_id: String,
        event: &Event,
        options: &Options,
    ) {
        if !self.has_room_for(event) {
            return;
        }
        let Ok(permit) = Arc::clone(&self.asking).try_acquire_owned() else {
            tracing::debug!("too many events with acks are under way");
            return;
        };
        let timeout = options.flags.timeout.unwrap_or(ACK_TIMEOUT);
        let timeout = timeout.min(MAX_ACK_TIMEOUT);
        let asked: FuturesUnordered<PendingAck> = self
            .sockets(options)
            .iter()
            .map(|socket| socket.emit_with_ack(event.name(), event.args().into(), timeout))
            .filter_map(|mut ack| match (&mut ack).now_or_never() {
                None => Some(ack),
                // A plain WebSocket, which cannot answer, or one that is gone.
                Some(_) => None,
            })
            .collect();
        let peers = Arc::clone(&self.peers);
        let requester = requester.clone();
        tokio::spawn(async move {
            hand_on(&peers, &requester, &request_id, asked).await;
            drop(permit);
        });
    }
}

async fn hand_on(
    peers: &NodePeers,
    requester: &Requester,
    request_id: &str,
    mut asked: FuturesUnordered<PendingAck>,
) {
    let count = Response::ClientCount(asked.len());
    peers.respond(requester, request_id, &count).await;
    while let Some(answer) = asked.next().await {
        if let Ok(args) = answer {
            let ack = Response::Ack(&args);
            peers.respond(requester, request_id, &ack).await;
        }
    }
}

fn details(socket: &Socket) -> SocketDetails {
    SocketDetails {
        id: id(socket),
        rooms: socket.rooms().iter().map(ToString::to_string).collect(),
    }
}

fn id(socket: &Socket) -> String {
    socket.id().as_str().to_owned()
}

/// How long acks are waited for where a server does not say: `requestsTimeout`
/// of Node's adapter.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// And where it says.
const MAX_ACK_TIMEOUT: Duration = Duration::from_secs(60);
