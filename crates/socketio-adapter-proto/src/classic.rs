//! The classic adapter, `createAdapter` of `@socket.io/redis-adapter`, and the
//! emitter: PUBLISH, and SUBSCRIBE and PSUBSCRIBE.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use socketio_proto::{EventName, Namespace, OutgoingArgs};

use crate::envelope::{Envelope, WrittenOptions, WrittenPacket, to_json, to_msgpack};
use crate::packet::{RawOptions, RawPacket, RoomText, room_names};
use crate::{Limits, Message, Options, ParseError, Request, Response, TooDeep};

/// The channels of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channels {
    broadcast: String,
    request: String,
    response: String,
}

impl Channels {
    /// Those of the adapters whose option `key` is `prefix`, `socket.io` by
    /// default.
    #[must_use]
    pub fn new(prefix: &str, namespace: &Namespace) -> Self {
        Self {
            broadcast: format!("{prefix}#{namespace}#"),
            request: format!("{prefix}-request#{namespace}#"),
            response: format!("{prefix}-response#{namespace}#"),
        }
    }

    /// For broadcasts, whatever rooms they are for. Node's servers publish those
    /// for one room on a channel that begins so.
    #[must_use]
    pub fn broadcast(&self) -> &str {
        &self.broadcast
    }

    /// For PSUBSCRIBE: every channel with broadcasts.
    #[must_use]
    pub fn broadcast_pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.broadcast.len() + 1);
        for character in self.broadcast.chars() {
            if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern.push('*');
        pattern
    }

    /// For requests. Node's servers wait for as many responses as this one has
    /// subscribers.
    #[must_use]
    pub fn request(&self) -> &str {
        &self.request
    }

    /// For responses.
    #[must_use]
    pub fn response(&self) -> &str {
        &self.response
    }
}

/// Reads what came by a channel with broadcasts.
///
/// # Errors
///
/// [`ParseError`].
pub fn parse_broadcast(
    bytes: &[u8],
    namespace: &Namespace,
    limits: &Limits,
) -> Result<Message, ParseError> {
    let envelope = Envelope::read_msgpack(bytes, limits)?;
    let (sender, packet, options): (Cow<'_, str>, RawPacket<'_>, RawOptions<'_>) =
        envelope.parse()?;
    let sender = Some(sender.into_owned());
    if packet.namespace().unwrap_or("/") != namespace.as_str() {
        return Ok(Message {
            sender,
            request: Request::None,
        });
    }
    let options = options.into_options(limits)?;
    let attachments = envelope.attachments.clone();
    Ok(Message {
        sender,
        request: Request::Broadcast {
            event: packet.into_event(attachments)?,
            options,
        },
    })
}

/// Reads what came by the channel of requests.
///
/// # Errors
///
/// [`ParseError`].
pub fn parse_request(bytes: &[u8], limits: &Limits) -> Result<Message, ParseError> {
    let envelope = Envelope::read(bytes, limits)?;
    let request: RawRequest<'_> = envelope.parse()?;
    Ok(Message {
        sender: request.uid.as_deref().map(ToOwned::to_owned),
        request: request.into_request(&envelope, limits)?,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRequest<'a> {
    #[serde(borrow, default)]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    request_id: Option<Cow<'a, str>>,
    #[serde(rename = "type")]
    request_type: u32,
    #[serde(borrow, default)]
    opts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    rooms: Option<&'a RawValue>,
    #[serde(default)]
    close: Option<bool>,
    /// In the old form.
    #[serde(borrow, default)]
    sid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    room: Option<&'a RawValue>,
    #[serde(borrow, default)]
    packet: Option<&'a RawValue>,
}

impl<'a> RawRequest<'a> {
    fn into_request(self, envelope: &Envelope, limits: &Limits) -> Result<Request, ParseError> {
        Ok(match self.request_type {
            SOCKETS => Request::SocketIds {
                options: Options {
                    rooms: self.rooms(limits)?,
                    ..Options::default()
                },
                request_id: self.request_id()?,
            },
            ALL_ROOMS => Request::AllRooms {
                request_id: self.request_id()?,
            },
            REMOTE_JOIN => {
                let (options, rooms, request_id) = self.move_of(limits)?;
                Request::Join {
                    options,
                    rooms,
                    request_id,
                }
            }
            REMOTE_LEAVE => {
                let (options, rooms, request_id) = self.move_of(limits)?;
                Request::Leave {
                    options,
                    rooms,
                    request_id,
                }
            }
            REMOTE_DISCONNECT => {
                let (options, request_id) = self.sockets(limits)?;
                Request::Disconnect {
                    options,
                    close: self.close.unwrap_or_default(),
                    request_id,
                }
            }
            REMOTE_FETCH => Request::FetchSockets {
                request_id: self.request_id()?,
                options: self.options(limits)?,
            },
            BROADCAST => {
                let packet = self.packet.ok_or(ParseError::NotAMessage)?;
                let packet: RawPacket<'_> = parse(packet)?;
                Request::BroadcastWithAck {
                    request_id: self.request_id()?,
                    options: self.options(limits)?,
                    event: packet.into_event(envelope.attachments.clone())?,
                }
            }
            // Events among servers, and what may be added.
            _ => Request::None,
        })
    }

    fn request_id(&self) -> Result<String, ParseError> {
        let id = self.request_id.as_deref().ok_or(ParseError::NotAMessage)?;
        Ok(id.to_owned())
    }

    fn options(&self, limits: &Limits) -> Result<Options, ParseError> {
        let options: RawOptions<'a> = parse(self.opts.ok_or(ParseError::NotAMessage)?)?;
        options.into_options(limits)
    }

    fn rooms(&self, limits: &Limits) -> Result<Vec<String>, ParseError> {
        room_names(parse(self.rooms.ok_or(ParseError::NotAMessage)?)?, limits)
    }

    /// Which sockets are to do something; with a request's id in the old form,
    /// which names one.
    fn sockets(&self, limits: &Limits) -> Result<(Options, Option<String>), ParseError> {
        if self.opts.is_some() {
            return Ok((self.options(limits)?, None));
        }
        let sid = self.sid.as_deref().ok_or(ParseError::NotAMessage)?;
        let options = Options {
            rooms: vec![sid.to_owned()],
            ..Options::default()
        };
        Ok((options, Some(self.request_id()?)))
    }

    fn move_of(
        &self,
        limits: &Limits,
    ) -> Result<(Options, Vec<String>, Option<String>), ParseError> {
        let (options, request_id) = self.sockets(limits)?;
        let rooms = if request_id.is_none() {
            self.rooms(limits)?
        } else {
            let room: RoomText<'_> = parse(self.room.ok_or(ParseError::NotAMessage)?)?;
            vec![room.into_string()]
        };
        Ok((options, rooms, request_id))
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Result<T, ParseError> {
    serde_json::from_str(json.get()).map_err(|_| ParseError::NotAMessage)
}

/// Whether a broadcast is from a sender whose `uid` begins so, without reading
/// more of it.
#[must_use]
pub fn is_broadcast_from(bytes: &[u8], uid_prefix: &str) -> bool {
    // An array of three, and a text of less than 32 bytes or of less than 256.
    let [0x93, rest @ ..] = bytes else {
        return false;
    };
    let ([0xa0..=0xbf, uid @ ..] | [0xd9, _, uid @ ..]) = rest else {
        return false;
    };
    uid.starts_with(uid_prefix.as_bytes())
}

/// A broadcast, for [`Channels::broadcast`].
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
    let packet = WrittenPacket::new(namespace.as_str(), name, args);
    let message = (uid, packet, WrittenOptions::new(options));
    to_msgpack(&message, args.attachments())
}

/// What is answered to a request, for [`Channels::response`].
///
/// # Errors
///
/// [`TooDeep`].
pub fn response(request_id: &str, response: &Response<'_>) -> Result<Vec<u8>, TooDeep> {
    #[derive(Default, Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Written<'a, S: Serialize> {
        #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
        response_type: Option<u32>,
        request_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_count: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        packet: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sockets: Option<S>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rooms: Option<&'a [String]>,
    }

    fn empty<S: Serialize>(request_id: &str) -> Written<'_, S> {
        Written {
            response_type: None,
            request_id,
            client_count: None,
            packet: None,
            sockets: None,
            rooms: None,
        }
    }

    let json = match *response {
        Response::ClientCount(count) => to_json(&Written {
            response_type: Some(BROADCAST_CLIENT_COUNT),
            client_count: Some(count),
            ..empty::<()>(request_id)
        }),
        Response::Ack(args) => {
            let written = Written {
                response_type: Some(BROADCAST_ACK),
                packet: args.iter().next(),
                ..empty::<()>(request_id)
            };
            return to_msgpack(&written, args.attachments());
        }
        Response::Sockets(sockets) => to_json(&Written {
            sockets: Some(sockets),
            ..empty(request_id)
        }),
        Response::SocketIds(ids) => to_json(&Written {
            sockets: Some(ids),
            ..empty(request_id)
        }),
        Response::Rooms(rooms) => to_json(&Written {
            rooms: Some(rooms),
            ..empty::<()>(request_id)
        }),
        Response::Done => to_json(&empty::<()>(request_id)),
    };
    Ok(json.into_bytes())
}

/// Types of requests and responses; 6, SERVER_SIDE_EMIT, is nobody's here.
const SOCKETS: u32 = 0;
const ALL_ROOMS: u32 = 1;
const REMOTE_JOIN: u32 = 2;
const REMOTE_LEAVE: u32 = 3;
const REMOTE_DISCONNECT: u32 = 4;
const REMOTE_FETCH: u32 = 5;
const BROADCAST: u32 = 7;
const BROADCAST_CLIENT_COUNT: u32 = 8;
const BROADCAST_ACK: u32 = 9;
