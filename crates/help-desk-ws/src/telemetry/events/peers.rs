//! Node's servers, which share the Redis.

use std::error::Error;

use socketio_adapter_proto::ParseError;
use tracing::{debug, error, info, warn};

use crate::telemetry::Counters;

/// What Node's servers say is heard from here on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeersHeard;

impl PeersHeard {
    pub(crate) fn emit(self) {
        info!(
            context = PEERS,
            "Listening to all channels of Node's servers"
        );
    }
}

/// Redis does not answer, or some channels are not where they were; what Node's
/// servers publish there meanwhile is missed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeersCutOff;

impl PeersCutOff {
    pub(crate) fn emit(self) {
        warn!(
            context = PEERS,
            "Some or all channels of Node's servers are cut off: what those publish there meanwhile is missed"
        );
    }
}

/// This Redis has no channels for the sharded adapter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardsMissing;

impl ShardsMissing {
    pub(crate) fn emit(self) {
        warn!(
            context = PEERS,
            "This Redis knows no sharded channels: servers with the sharded adapter are not heard"
        );
    }
}

/// An event of one of Node's servers is in the log, or was sent on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerEventTaken;

impl PeerEventTaken {
    pub(crate) fn emit(self, counters: &Counters) {
        counters.peer_events.add(1);
    }
}

/// One of Node's servers has asked something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerRequestTaken<'a> {
    /// What.
    pub(crate) request: &'static str,
    /// By its `uid`; requests of the emitter have none.
    pub(crate) sender: Option<&'a str>,
}

impl PeerRequestTaken<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { request, sender } = self;
        counters.peer_requests.add(1);
        debug!(
            context = PEERS,
            request, sender, "One of Node's servers asked"
        );
    }
}

/// A message on the channels of Node's servers is none, or too much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerMessageRefused {
    pub(crate) error: ParseError,
}

impl PeerMessageRefused {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { error } = self;
        counters.peer_messages_refused.add(1);
        warn!(
            context = PEERS,
            %error, "A message on the channels of Node's servers was passed over"
        );
    }
}

/// Messages came faster than they were taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerMessagesDropped {
    /// How many were dropped.
    pub(crate) messages: u64,
}

impl PeerMessagesDropped {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { messages } = self;
        counters.peer_messages_lost.add(messages);
        error!(
            context = PEERS,
            messages, "Messages of Node's servers came too fast, and were dropped"
        );
    }
}

/// An event of one of Node's servers could not be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerEventLost<'a> {
    /// Why.
    pub(crate) error: &'a (dyn Error + 'static),
}

impl PeerEventLost<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { error } = self;
        counters.peer_messages_lost.add(1);
        error!(
            context = PEERS,
            error, "An event of one of Node's servers could not be kept"
        );
    }
}

/// An event was published for the clients of Node's servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishedToPeers<'a> {
    /// Why it was not.
    pub(crate) error: Option<&'a (dyn Error + 'static)>,
}

impl PublishedToPeers<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        match self.error {
            None => counters.peer_publishes.add(1),
            Some(error) => {
                counters.peer_publishes_failed.add(1);
                warn!(
                    context = PEERS,
                    error, "An event could not be published for the clients of Node's servers"
                );
            }
        }
    }
}

/// This process ends, and the others may not listen to what Node's servers
/// publish for its clients until those are back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomsNotHandedOver<'a> {
    /// Why.
    pub(crate) error: &'a (dyn Error + 'static),
}

impl RoomsNotHandedOver<'_> {
    pub(crate) fn emit(self) {
        let Self { error } = self;
        warn!(
            context = PEERS,
            error, "The rooms of clients that were here could not be handed over"
        );
    }
}

const PEERS: &str = "NodePeers";
