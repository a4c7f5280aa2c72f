//! What both adapters have in common: messages that are JSON or MessagePack, and
//! the parts of broadcasts.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use socketio_proto::{EventName, OutgoingArgs, msgpack};

use crate::packet::EVENT;
use crate::{Limits, Options, ParseError, TooDeep, depth};

/// A message as JSON, and what its placeholders stand for.
pub(crate) struct Envelope {
    json: String,
    pub(crate) attachments: Vec<Bytes>,
}

impl Envelope {
    /// Reads JSON where the first byte says so, else MessagePack.
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        if bytes.first() != Some(&b'{') {
            return Self::read_msgpack(bytes, limits);
        }
        check_len(bytes, limits)?;
        let json = str::from_utf8(bytes).map_err(|_| ParseError::Malformed)?;
        // Iteratively: it is no danger, however deep it is.
        let json: &RawValue = serde_json::from_str(json).map_err(|_| ParseError::Malformed)?;
        let limit = limits.max_depth;
        if !depth::is_within(json.get(), limit) {
            return Err(ParseError::TooDeep { limit });
        }
        Ok(Self {
            json: json.get().to_owned(),
            attachments: Vec::new(),
        })
    }

    pub(crate) fn read_msgpack(bytes: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        check_len(bytes, limits)?;
        let bounds = msgpack::Limits {
            max_depth: limits.max_depth,
            max_attachments: limits.max_attachments,
        };
        let (json, attachments) = msgpack::to_json(bytes, &bounds)?;
        Ok(Self { json, attachments })
    }

    pub(crate) fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ParseError> {
        serde_json::from_str(&self.json).map_err(|_| ParseError::NotAMessage)
    }
}

fn check_len(bytes: &[u8], limits: &Limits) -> Result<(), ParseError> {
    let limit = limits.max_bytes;
    if bytes.len() > limit {
        return Err(ParseError::TooLarge { limit });
    }
    Ok(())
}

/// `{type, data, nsp}`
#[derive(Serialize)]
pub(crate) struct WrittenPacket<'a> {
    #[serde(rename = "type")]
    packet_type: u8,
    data: Box<RawValue>,
    nsp: &'a str,
}

impl<'a> WrittenPacket<'a> {
    pub(crate) fn new(nsp: &'a str, name: EventName<'_>, args: OutgoingArgs<'_>) -> Self {
        let mut array = format!("[{}", text(name.as_str()));
        args.write_elements(",", &mut array);
        array.push(']');
        Self {
            packet_type: EVENT,
            data: RawValue::from_string(array).expect("invariant: arguments are JSON"),
            nsp,
        }
    }
}

/// `{rooms, except, flags}`
#[derive(Serialize)]
pub(crate) struct WrittenOptions<'a> {
    rooms: &'a [String],
    except: &'a [String],
    flags: WrittenFlags,
}

#[derive(Serialize)]
struct WrittenFlags {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    volatile: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
}

impl<'a> WrittenOptions<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        let timeout = options.flags.timeout;
        Self {
            rooms: &options.rooms,
            except: &options.except,
            flags: WrittenFlags {
                volatile: options.flags.volatile,
                timeout: timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(0)),
            },
        }
    }
}

fn text(text: &str) -> String {
    serde_json::to_string(text).expect("invariant: text is JSON")
}

pub(crate) fn to_json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("invariant: text, numbers and JSON are JSON")
}

fn to_raw_json(message: &impl Serialize) -> Box<RawValue> {
    to_raw_value(message).expect("invariant: text, numbers and JSON are JSON")
}

pub(crate) fn to_msgpack(
    message: &impl Serialize,
    attachments: &[Bytes],
) -> Result<Vec<u8>, TooDeep> {
    let json = to_raw_json(message);
    if depth::is_within(json.get(), MAX_WRITTEN_DEPTH) {
        Ok(msgpack::from_json(&json, attachments))
    } else {
        Err(TooDeep)
    }
}

/// What serde_json reads, and so whoever else reads it here.
const MAX_WRITTEN_DEPTH: usize = 127;
