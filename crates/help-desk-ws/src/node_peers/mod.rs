//! Node's Socket.IO servers that share the Redis, while a help desk moves from
//! them to this service: each delivers the other's events
//! ([ADR 13](../../../docs/adr/0013-beside-node-servers.md)).
//!
//! | module | what |
//! |---|---|
//! | this one | who this process is to them, and what it publishes |
//! | `listener` | what they publish |
//! | `requests` | what they ask besides |
//! | `followed_rooms` | listening to the channels of rooms |
//! | `room_channels` | which those are, and for how long |

mod followed_rooms;
mod listener;
mod requests;
mod room_channels;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use hd_cluster::{ClusterConfig, PubSub, Publish, Topic};
use hd_rooms::{Audience, RoomName};
use socketio_adapter_proto::{Flags, Options, Response, TooDeep, classic, sharded};
use socketio_proto::{EventName, Namespace, OutgoingArgs};

pub(crate) use listener::Listener;
pub(crate) use room_channels::LINGER_MILLIS;

use followed_rooms::FollowedRooms;

use crate::cluster::{ClusterEvent, EventArgs};
use crate::settings::{Adapters, NodePeersSettings};
use crate::telemetry::Counters;
use crate::telemetry::events::PublishedToPeers;

/// This process among Node's servers.
#[derive(Debug)]
pub(crate) struct NodePeers {
    namespace: Namespace,
    /// What the `uid`s of all processes of this cluster begin with: what those
    /// publish is in the log already.
    own_uids: String,
    uid: String,
    classic: Option<classic::Channels>,
    sharded: Option<sharded::Channels>,
    /// Whether this Redis has channels for the sharded adapter.
    has_shards: AtomicBool,
    rooms: FollowedRooms,
    pubsub: PubSub,
    counters: Arc<Counters>,
}

/// Whom a request came from, and where its responses go.
#[derive(Clone, Debug)]
struct Requester {
    publish: Publish,
    /// Its `uid`; requests of the emitter have none.
    uid: Option<String>,
}

impl NodePeers {
    pub(crate) fn new(
        config: ClusterConfig,
        settings: &NodePeersSettings,
        namespace: Namespace,
        counters: Arc<Counters>,
    ) -> Self {
        let NodePeersSettings { adapters, prefix } = settings;
        let classic = matches!(adapters, Adapters::Classic | Adapters::Auto)
            .then(|| classic::Channels::new(prefix, &namespace));
        let sharded = matches!(adapters, Adapters::Sharded | Adapters::Auto)
            .then(|| sharded::Channels::new(prefix, &namespace));
        let own_uids = format!("{}.", config.prefix);
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("invariant: the operating system gives random bytes");
        let pubsub = PubSub::new(config);
        if let Some(channels) = &classic {
            pubsub.subscribe([
                Topic::Pattern(channels.broadcast_pattern()),
                Topic::Channel(channels.request().to_owned()),
            ]);
        }
        if let Some(channels) = &sharded {
            pubsub.subscribe([Topic::Shard(channels.main().to_owned())]);
        }
        Self {
            uid: format!("{own_uids}{:016x}", u64::from_ne_bytes(random)),
            namespace,
            own_uids,
            classic,
            sharded,
            has_shards: AtomicBool::new(true),
            rooms: FollowedRooms::default(),
            pubsub,
            counters,
        }
    }

    /// Publishes an event of the log for the clients of Node's servers. Who
    /// does not hear it now never will.
    pub(crate) async fn publish(&self, event: &ClusterEvent<'_>) {
        let Ok(name) = EventName::new(event.name) else {
            return;
        };
        let options = options(event.audience, event.is_volatile);
        let payload;
        let args: OutgoingArgs<'_> = match event.args {
            EventArgs::Payload(value) => {
                payload = [value];
                OutgoingArgs::new(&payload)
            }
            EventArgs::Packet(args) => args.into(),
        };
        let (uid, namespace) = (&*self.uid, &self.namespace);
        let classic = self.classic.as_ref().map(|channels| {
            let bytes = classic::broadcast(uid, namespace, name, args, &options);
            (Publish::Classic, channels.broadcast(), bytes)
        });
        let sharded = self.sharded().map(|channels| {
            let bytes = sharded::broadcast(uid, namespace, name, args, &options);
            (Publish::Sharded, channels.main(), bytes)
        });
        let publishing = [classic, sharded].into_iter().flatten();
        join_all(publishing.map(|(how, channel, bytes)| self.send(how, channel, bytes))).await;
    }

    /// Answers a request.
    async fn respond(&self, requester: &Requester, request_id: &str, response: &Response<'_>) {
        let (channel, bytes) = match (requester.publish, &self.classic, &self.sharded) {
            (Publish::Classic, Some(channels), _) => {
                let channel = channels.response().to_owned();
                (channel, classic::response(request_id, response))
            }
            (Publish::Sharded, _, Some(channels)) => {
                let Some(uid) = &requester.uid else {
                    return;
                };
                let response = sharded::response(&self.uid, &self.namespace, request_id, response);
                let Some(bytes) = response.transpose() else {
                    return;
                };
                (channels.response(uid), bytes)
            }
            _ => return,
        };
        self.send(requester.publish, &channel, bytes).await;
    }

    async fn send(&self, how: Publish, channel: &str, bytes: Result<Vec<u8>, TooDeep>) {
        let result: Result<(), Box<dyn Error>> = match bytes {
            Ok(bytes) => match self.pubsub.publish(how, channel, &bytes).await {
                Ok(_heard) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        };
        let error = result.as_ref().err().map(|error| &**error);
        PublishedToPeers { error }.emit(&self.counters);
    }

    /// The channels of the sharded adapter, where Redis has them.
    fn sharded(&self) -> Option<&sharded::Channels> {
        let has_shards = self.has_shards.load(Ordering::Relaxed);
        self.sharded.as_ref().filter(|_| has_shards)
    }
}

fn options(audience: &Audience, is_volatile: bool) -> Options {
    let names = |rooms: &[RoomName]| rooms.iter().map(ToString::to_string).collect();
    Options {
        rooms: names(audience.to_rooms()),
        except: names(audience.except_rooms()),
        flags: Flags {
            volatile: is_volatile,
            timeout: None,
        },
    }
}

/// Whom another server means; `None` for nobody. A room of a longer name than
/// rooms have here has nobody in it.
fn audience(options: &Options) -> Option<Audience> {
    let rooms: Vec<RoomName> = room_names(&options.rooms);
    if rooms.is_empty() && !options.rooms.is_empty() {
        return None;
    }
    let audience = rooms.into_iter().fold(Audience::everyone(), Audience::to);
    let except = room_names(&options.except);
    Some(except.into_iter().fold(audience, Audience::except))
}

fn room_names(names: &[String]) -> Vec<RoomName> {
    names
        .iter()
        .filter_map(|name| RoomName::new(name).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(rooms: &[&str]) -> Options {
        Options {
            rooms: rooms.iter().map(|&room| room.to_owned()).collect(),
            ..Options::default()
        }
    }

    #[test]
    fn rooms_that_cannot_be_do_not_become_everyone() {
        let long = "x".repeat(hd_rooms::MAX_ROOM_NAME_BYTES + 1);
        assert_eq!(audience(&to(&[])), Some(Audience::everyone()));
        assert_eq!(audience(&to(&[&long])), None);
        let a = RoomName::new("a").unwrap();
        assert_eq!(audience(&to(&[&long, "a"])), Some(Audience::room(a)));
    }

    #[test]
    fn an_audience_is_named_as_it_is() {
        let room = |name: &str| RoomName::new(name).unwrap();
        let audience_of = Audience::room(room("a")).to(room("b")).except(room("c"));
        let options = options(&audience_of, true);
        assert_eq!(
            (options.rooms.len(), &*options.except),
            (2, &["c".to_owned()][..])
        );
        assert!(options.flags.volatile);
        assert_eq!(audience(&options), Some(audience_of));
    }
}
