//! The sharded adapter, `createShardedAdapter` of `@socket.io/redis-adapter`:
//! SPUBLISH and SSUBSCRIBE of Redis 7.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use socketio_proto::{EventName, Namespace, OutgoingArgs};

use crate::envelope::{Envelope, WrittenOptions, WrittenPacket, to_json, to_msgpack};
use crate::packet::{RawOptions, RawPacket, RoomText, room_names};
use crate::{Limits, Message, Options, ParseError, Request, Response, SocketDetails, TooDeep};

/// The channels of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channels {
    main: String,
}

impl Channels {
    /// Those of the adapters whose option `channelPrefix` is `prefix`,
    /// `socket.io` by default.
    #[must_use]
    pub fn new(prefix: &str, namespace: &Namespace) -> Self {
        Self {
            main: format!("{prefix}#{namespace}#"),
        }
    }

    /// For everything that every server is to hear. Node's servers wait for as
    /// many responses as this one has subscribers.
    #[must_use]
    pub fn main(&self) -> &str {
        &self.main
    }

    /// For broadcasts to one room, from Node's servers in the mode `dynamic`,
    /// which is the default. `None` for a room whose name is as long as a
    /// socket's id: those go by the main channel.
    #[must_use]
    pub fn room(&self, room: &str) -> Option<String> {
        let is_as_a_socket_id = room.encode_utf16().count() == SOCKET_ID_LEN;
        (!is_as_a_socket_id).then(|| format!("{}{room}#", self.main))
    }

    /// For responses to one server.
    #[must_use]
    pub fn response(&self, uid: &str) -> String {
        format!("{}{uid}#", self.main)
    }
}

/// Reads a message of another server.
///
/// # Errors
///
/// [`ParseError`].
pub fn parse(bytes: &[u8], namespace: &Namespace, limits: &Limits) -> Result<Message, ParseError> {
    let envelope = Envelope::read(bytes, limits)?;
    let message: RawMessage<'_> = envelope.parse()?;
    let request = if message.nsp == namespace.as_str() {
        message.request(&envelope, limits)?
    } else {
        Request::None
    };
    Ok(Message {
        sender: Some(message.uid.into_owned()),
        request,
    })
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    nsp: Cow<'a, str>,
    #[serde(rename = "type")]
    message_type: u32,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawData<'a> {
    #[serde(borrow)]
    opts: RawOptions<'a>,
    #[serde(borrow, default)]
    request_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    packet: Option<RawPacket<'a>>,
    #[serde(borrow, default)]
    rooms: Option<Vec<RoomText<'a>>>,
    #[serde(default)]
    close: Option<bool>,
}

impl RawMessage<'_> {
    fn request(&self, envelope: &Envelope, limits: &Limits) -> Result<Request, ParseError> {
        let is_for_us = matches!(
            self.message_type,
            BROADCAST | SOCKETS_JOIN | SOCKETS_LEAVE | DISCONNECT_SOCKETS | FETCH_SOCKETS
        );
        if !is_for_us {
            // Heartbeats, events among servers, responses, and what may be added.
            return Ok(Request::None);
        }
        let data = self.data.ok_or(ParseError::NotAMessage)?;
        let data: RawData<'_> =
            serde_json::from_str(data.get()).map_err(|_| ParseError::NotAMessage)?;
        let options = data.opts.into_options(limits)?;
        let request_id = data.request_id.map(Cow::into_owned);
        let rooms = || room_names(data.rooms.ok_or(ParseError::NotAMessage)?, limits);
        Ok(match self.message_type {
            BROADCAST => {
                let packet = data.packet.ok_or(ParseError::NotAMessage)?;
                let event = packet.into_event(envelope.attachments.clone())?;
                match request_id {
                    None => Request::Broadcast { event, options },
                    Some(request_id) => Request::BroadcastWithAck {
                        request_id,
                        event,
                        options,
                    },
                }
            }
            SOCKETS_JOIN => Request::Join {
                options,
                rooms: rooms()?,
                request_id: None,
            },
            SOCKETS_LEAVE => Request::Leave {
                options,
                rooms: rooms()?,
                request_id: None,
            },
            DISCONNECT_SOCKETS => Request::Disconnect {
                options,
                close: data.close.unwrap_or_default(),
                request_id: None,
            },
            _ => Request::FetchSockets {
                request_id: request_id.ok_or(ParseError::NotAMessage)?,
                options,
            },
        })
    }
}

/// Whether a message that this module wrote, without attachments, is from a
/// sender whose `uid` begins so, without reading more of it. Node's servers
/// write the `uid` last.
#[must_use]
pub fn is_from(bytes: &[u8], uid_prefix: &str) -> bool {
    bytes
        .strip_prefix(UID_FIRST)
        .is_some_and(|uid| uid.starts_with(uid_prefix.as_bytes()))
}

#[derive(Serialize)]
struct Written<'a, D: Serialize> {
    // The first: see `is_from`.
    uid: &'a str,
    nsp: &'a str,
    #[serde(rename = "type")]
    message_type: u32,
    data: D,
}

/// A broadcast, for [`Channels::main`], which Node's servers hear in each of
/// their modes.
///
/// # Errors
///
/// [`TooDeep`].
pub fn broadcast(
    uid: &str,
    namespace: &Namespace,
    name: EventName<'_>,
    args: OutgoingArgs<'_>,
    options: &Options,
) -> Result<Vec<u8>, TooDeep> {
    #[derive(Serialize)]
    struct Broadcast<'a> {
        packet: WrittenPacket<'a>,
        opts: WrittenOptions<'a>,
    }

    let nsp = namespace.as_str();
    let message = Written {
        uid,
        nsp,
        message_type: BROADCAST,
        data: Broadcast {
            packet: WrittenPacket::new(nsp, name, args),
            opts: WrittenOptions::new(options),
        },
    };
    if args.attachments().is_empty() {
        return Ok(to_json(&message).into_bytes());
    }
    to_msgpack(&message, args.attachments())
}

/// What is answered to a request, for [`Channels::response`]. `None` for what
/// only the classic adapter answers.
///
/// # Errors
///
/// [`TooDeep`].
pub fn response(
    uid: &str,
    namespace: &Namespace,
    request_id: &str,
    response: &Response<'_>,
) -> Result<Option<Vec<u8>>, TooDeep> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Data<'a> {
        request_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_count: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        packet: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sockets: Option<&'a [SocketDetails]>,
    }

    let mut data = Data {
        request_id,
        client_count: None,
        packet: None,
        sockets: None,
    };
    let mut attachments: &[bytes::Bytes] = &[];
    let message_type = match *response {
        Response::ClientCount(count) => {
            data.client_count = Some(count);
            BROADCAST_CLIENT_COUNT
        }
        Response::Ack(args) => {
            data.packet = args.iter().next();
            attachments = args.attachments();
            BROADCAST_ACK
        }
        Response::Sockets(sockets) => {
            data.sockets = Some(sockets);
            FETCH_SOCKETS_RESPONSE
        }
        Response::SocketIds(_) | Response::Rooms(_) | Response::Done => return Ok(None),
    };
    let message = Written {
        uid,
        nsp: namespace.as_str(),
        message_type,
        data,
    };
    Ok(Some(if attachments.is_empty() {
        to_json(&message).into_bytes()
    } else {
        to_msgpack(&message, attachments)?
    }))
}

/// The length of the id of one of Node's sockets, in JavaScript's units.
const SOCKET_ID_LEN: usize = 20;
const UID_FIRST: &[u8] = b"{\"uid\":\"";
/// Types of messages (`MessageType` of socket.io-adapter); 1 and 2 are
/// heartbeats, 9 and 10 events among servers, 13 says that one ends.
const BROADCAST: u32 = 3;
const SOCKETS_JOIN: u32 = 4;
const SOCKETS_LEAVE: u32 = 5;
const DISCONNECT_SOCKETS: u32 = 6;
const FETCH_SOCKETS: u32 = 7;
const FETCH_SOCKETS_RESPONSE: u32 = 8;
const BROADCAST_CLIENT_COUNT: u32 = 11;
const BROADCAST_ACK: u32 = 12;
