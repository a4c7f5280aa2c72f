//! Packets as `socket.io-msgpack-parser` writes them: one map, `{type, data,
//! nsp, id}`.
//!
//! What its `checkPacket` refuses is refused here. Other keys are ignored, such
//! as the `options` that socket.io-client sends, and of several of the same name
//! the last one counts, as in JavaScript. The text parser's rules for events and
//! acks, which that parser does not have, apply.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not named is refused, and so will what is added"
)]

use bytes::Bytes;
use serde_json::value::RawValue;

use super::read::{MAX_SAFE_INTEGER, Reader};
use super::token::{Token, Tokens};
use super::{Limits, MsgpackError};
use crate::{
    Args, DecodeError, Event, EventName, InvalidNamespace, Namespace, Packet, PacketData,
    PacketType,
};

pub(crate) fn packet(bytes: &[u8], limits: &crate::Limits) -> Result<Packet, DecodeError> {
    let fields = Fields::read(bytes)?;
    let packet_type = fields.packet_type()?;
    let namespace = fields.namespace()?;
    let id = fields.id()?;
    Ok(Packet {
        namespace,
        data: packet_data(packet_type, id, fields.data, limits)?,
    })
}

/// The values of a packet, found and not yet read.
#[derive(Default)]
struct Fields<'a> {
    packet_type: Option<Tokens<'a>>,
    namespace: Option<Tokens<'a>>,
    id: Option<Tokens<'a>>,
    data: Option<Tokens<'a>>,
}

impl<'a> Fields<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut tokens = Tokens::new(bytes);
        let Token::Map(len) = tokens.next()? else {
            return Err(DecodeError::UnknownType);
        };
        let mut fields = Self::default();
        for _ in 0..len {
            let key = tokens.next()?;
            let value = tokens.next_value()?;
            match key {
                Token::Text(b"type") => fields.packet_type = Some(value),
                Token::Text(b"nsp") => fields.namespace = Some(value),
                Token::Text(b"id") => fields.id = Some(value),
                Token::Text(b"data") => fields.data = Some(value),
                _ if key.is_key() => {}
                _ => return Err(DecodeError::Malformed),
            }
        }
        if tokens.is_empty() {
            Ok(fields)
        } else {
            Err(DecodeError::Malformed)
        }
    }

    fn packet_type(&self) -> Result<PacketType, DecodeError> {
        let number = first(self.packet_type)?.and_then(whole);
        Ok(match number.ok_or(DecodeError::UnknownType)? {
            0 => PacketType::Connect,
            1 => PacketType::Disconnect,
            2 => PacketType::Event,
            3 => PacketType::Ack,
            4 => PacketType::ConnectError,
            _ => return Err(DecodeError::UnknownType),
        })
    }

    fn namespace(&self) -> Result<Namespace, DecodeError> {
        let Some(Token::Text(name)) = first(self.namespace)? else {
            return Err(DecodeError::InvalidNamespace);
        };
        let name = str::from_utf8(name).map_err(|_| DecodeError::InvalidNamespace)?;
        if !name.starts_with('/') {
            return Err(DecodeError::InvalidNamespace);
        }
        Namespace::new(name).map_err(|error| match error {
            InvalidNamespace::Comma => DecodeError::InvalidNamespace,
            InvalidNamespace::TooLong => DecodeError::NamespaceTooLong,
        })
    }

    fn id(&self) -> Result<Option<u64>, DecodeError> {
        match first(self.id)? {
            None | Some(Token::Undefined) => Ok(None),
            Some(token) => whole(token).map(Some).ok_or(DecodeError::InvalidId),
        }
    }
}

fn packet_data(
    packet_type: PacketType,
    id: Option<u64>,
    data: Option<Tokens<'_>>,
    limits: &crate::Limits,
) -> Result<PacketData, DecodeError> {
    match packet_type {
        PacketType::Event | PacketType::BinaryEvent => event(id, data, limits),
        PacketType::Ack | PacketType::BinaryAck => {
            let (len, tokens) = array(data)?;
            let args = args(tokens, len, limits)?;
            Ok(PacketData::Ack { id, args })
        }
        PacketType::Connect => {
            let auth = match first(data)? {
                None | Some(Token::Undefined) => None,
                Some(Token::Map(_)) => Some(json(data, limits)?),
                Some(_) => return Err(DecodeError::InvalidPayload),
            };
            Ok(PacketData::Connect { auth })
        }
        PacketType::ConnectError => match first(data)? {
            Some(Token::Map(_) | Token::Text(_)) => Ok(PacketData::ConnectError {
                error: json(data, limits)?,
            }),
            _ => Err(DecodeError::InvalidPayload),
        },
        PacketType::Disconnect => match first(data)? {
            None | Some(Token::Undefined) => Ok(PacketData::Disconnect),
            Some(_) => Err(DecodeError::InvalidPayload),
        },
    }
}

fn event(
    id: Option<u64>,
    data: Option<Tokens<'_>>,
    limits: &crate::Limits,
) -> Result<PacketData, DecodeError> {
    let (len, mut tokens) = array(data)?;
    let args_len = len.checked_sub(1).ok_or(DecodeError::InvalidPayload)?;
    let name: Box<str> = match tokens.next()? {
        Token::Text(name) => String::from_utf8_lossy(name).into(),
        Token::Unsigned(number) => number.to_string().into(),
        Token::Signed(number) => number.to_string().into(),
        Token::Float(number) if number.is_finite() => number.to_string().into(),
        _ => return Err(DecodeError::InvalidPayload),
    };
    EventName::new(&name).map_err(|_| DecodeError::InvalidPayload)?;
    let args = args(tokens, args_len, limits)?;
    Ok(PacketData::Event(Event { id, args, name }))
}

/// The length of an array, and its elements.
fn array(data: Option<Tokens<'_>>) -> Result<(usize, Tokens<'_>), DecodeError> {
    let mut tokens = data.ok_or(DecodeError::InvalidPayload)?;
    let Token::Array(len) = tokens.next()? else {
        return Err(DecodeError::InvalidPayload);
    };
    Ok((len, tokens))
}

fn args(tokens: Tokens<'_>, len: usize, limits: &crate::Limits) -> Result<Args, DecodeError> {
    let bounds = Limits {
        max_depth: limits.max_depth,
        max_attachments: limits.max_attachments,
    };
    let mut reader = Reader::of(tokens, &bounds);
    reader.array(len)?;
    if reader.has_fake_placeholder() {
        return Err(DecodeError::IllegalAttachments);
    }
    let (json, attachments) = reader.finish()?;
    let limit = limits.max_attachment_bytes;
    if attachments.iter().map(Bytes::len).sum::<usize>() > limit {
        return Err(DecodeError::AttachmentsTooLarge { limit });
    }
    Ok(Args::received(json, attachments))
}

/// A value in which there is no binary data.
fn json(data: Option<Tokens<'_>>, limits: &crate::Limits) -> Result<Box<RawValue>, DecodeError> {
    let bounds = Limits {
        max_depth: limits.max_depth,
        max_attachments: 0,
    };
    let mut reader = Reader::of(data.ok_or(DecodeError::InvalidPayload)?, &bounds);
    reader.value()?;
    let (json, _) = reader.finish()?;
    RawValue::from_string(json).map_err(|_| DecodeError::Malformed)
}

/// The first token of a value, if there is a value.
fn first(value: Option<Tokens<'_>>) -> Result<Option<Token<'_>>, DecodeError> {
    Ok(value.map(|mut tokens| tokens.next()).transpose()?)
}

/// A whole number from 0 to 2^53 − 1, as JavaScript counts.
fn whole(token: Token<'_>) -> Option<u64> {
    let number = match token {
        Token::Unsigned(number) => number,
        Token::Signed(number) => u64::try_from(number).ok()?,
        Token::Float(number) if number >= 0.0 && number.fract() == 0.0 => number as u64,
        _ => return None,
    };
    (number <= MAX_SAFE_INTEGER as u64).then_some(number)
}

impl From<MsgpackError> for DecodeError {
    fn from(error: MsgpackError) -> Self {
        match error {
            MsgpackError::Malformed => Self::Malformed,
            MsgpackError::TooDeep { limit } => Self::TooDeep { limit },
            MsgpackError::TooManyAttachments { limit } => Self::TooManyAttachments { limit },
        }
    }
}
