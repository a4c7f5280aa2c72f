//! Reading WebSocket frames without a buffer for each idle connection.
//!
//! A connection's bytes come in a buffer that all connections of a thread
//! share. Frames that are whole in it are decoded by a tungstenite context that
//! lives no longer than the call. Only a connection in the middle of a frame
//! keeps bytes, as many as have come, and only one in the middle of a
//! fragmented message keeps a context. An idle connection keeps neither.

use std::io::{self, Read, Write};
use std::ops::ControlFlow;

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// The reading half of one WebSocket.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    unfinished: Option<Box<Unfinished>>,
}

#[derive(Debug, Default)]
struct Unfinished {
    /// The beginning of a frame.
    frame: Vec<u8>,
    /// The context that has taken the first fragments of a message.
    message: Option<WebSocketContext>,
    fragments: usize,
}

/// What a client has sent.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    /// With the status that the peer gave.
    Close(Option<u16>),
}

/// The client broke WebSocket's rules or this server's bounds. Carries the
/// status for the close frame (RFC 6455 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a message is larger than the setting allows")]
    TooLarge,
    #[error("a message has more than {MAX_FRAGMENTS} fragments")]
    TooManyFragments,
    #[error("text is not UTF-8")]
    InvalidUtf8,
    #[error("a frame breaks the protocol")]
    Protocol,
}

impl FrameError {
    pub(crate) const fn close_code(self) -> u16 {
        match self {
            Self::TooLarge => 1009,
            Self::TooManyFragments => 1008,
            Self::InvalidUtf8 => 1007,
            Self::Protocol => 1002,
        }
    }
}

impl FrameReader {
    /// Whether nothing is kept.
    #[cfg(test)]
    pub(crate) const fn is_idle(&self) -> bool {
        self.unfinished.is_none()
    }

    /// Decodes `bytes` and hands each message to `on_message` until that
    /// breaks. Returns how many bytes were consumed: all, unless it broke.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        max_payload: usize,
        mut on_message: impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<usize, FrameError> {
        let mut consumed = 0;
        while consumed < bytes.len() {
            let rest = &bytes[consumed..];
            let kept = self
                .unfinished
                .as_mut()
                .filter(|kept| !kept.frame.is_empty());
            let step = if let Some(kept) = kept {
                // Add what is missing to the frame that has begun.
                let had = kept.frame.len();
                let add = match frame_len(&kept.frame, max_payload)? {
                    FrameLen::Known(len) => rest.len().min(len - had),
                    // One byte at a time: a header has 14 of them at most.
                    FrameLen::HeaderIncomplete => 1,
                };
                kept.frame.extend_from_slice(&rest[..add]);
                consumed += add;
                match frame_len(&kept.frame, max_payload)? {
                    FrameLen::Known(len) if len == kept.frame.len() => {
                        let frame = std::mem::take(&mut kept.frame);
                        self.decode(&frame, max_payload, &mut on_message)?
                    }
                    FrameLen::Known(_) | FrameLen::HeaderIncomplete => continue,
                }
            } else {
                match frame_len(rest, max_payload)? {
                    FrameLen::Known(len) if len <= rest.len() => {
                        consumed += len;
                        self.decode(&rest[..len], max_payload, &mut on_message)?
                    }
                    FrameLen::Known(_) | FrameLen::HeaderIncomplete => {
                        let kept = self.unfinished.get_or_insert_default();
                        kept.frame.extend_from_slice(rest);
                        consumed = bytes.len();
                        continue;
                    }
                }
            };
            if step.is_break() {
                break;
            }
        }
        Ok(consumed)
    }

    /// Decodes one whole frame.
    fn decode(
        &mut self,
        frame: &[u8],
        max_payload: usize,
        on_message: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, FrameError> {
        let is_data = frame[0] & 0x08 == 0;
        let is_final = frame[0] & 0x80 != 0;
        let mut kept = self.unfinished.take();
        let context = match &mut kept {
            Some(kept) if kept.message.is_some() => {
                if is_data {
                    kept.fragments += 1;
                    if kept.fragments > MAX_FRAGMENTS {
                        return Err(FrameError::TooManyFragments);
                    }
                }
                kept.message.take()
            }
            Some(_) | None => None,
        };
        let had_context = context.is_some();
        let mut context = context.unwrap_or_else(|| {
            WebSocketContext::new(Role::Server, Some(config(frame.len(), max_payload)))
        });
        let mut frame = FrameBytes(frame);
        let message = match context.read(&mut frame) {
            Ok(message) => Some(message),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => return Err(classify(&error)),
        };
        // A message goes on after a fragment that is not its last, and after a
        // control frame in between.
        let is_unfinished = if is_data { !is_final } else { had_context };
        if is_unfinished {
            let mut kept = kept.unwrap_or_default();
            kept.message = Some(context);
            self.unfinished = Some(kept);
        }
        Ok(match message {
            None => ControlFlow::Continue(()),
            Some(Message::Text(text)) => on_message(Incoming::Text(text.as_str())),
            Some(Message::Binary(data)) => on_message(Incoming::Binary(&data)),
            Some(Message::Ping(data)) => on_message(Incoming::Ping(&data)),
            Some(Message::Pong(_)) => on_message(Incoming::Pong),
            Some(Message::Close(frame)) => {
                on_message(Incoming::Close(frame.map(|frame| frame.code.into())))
            }
            Some(Message::Frame(_)) => ControlFlow::Continue(()),
        })
    }
}

fn config(frame_len: usize, max_payload: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(frame_len)
        .max_message_size(Some(max_payload))
        .max_frame_size(Some(max_payload))
}

fn classify(error: &Error) -> FrameError {
    if matches!(error, Error::Capacity(CapacityError::MessageTooLong { .. })) {
        FrameError::TooLarge
    } else if matches!(error, Error::Utf8(_)) {
        FrameError::InvalidUtf8
    } else {
        FrameError::Protocol
    }
}

/// How long the frame is that begins here.
enum FrameLen {
    HeaderIncomplete,
    Known(usize),
}

/// RFC 6455 §5.2. Looks for the frame's end. Refuses what is no frame of a
/// client, and a declared length, before a byte is kept for it: whoever sends
/// garbage would have us wait for the length that the garbage declares.
fn frame_len(bytes: &[u8], max_payload: usize) -> Result<FrameLen, FrameError> {
    let Some(&[first, second]) = bytes
        .get(..2)
        .and_then(|head| <&[u8; 2]>::try_from(head).ok())
    else {
        return Ok(FrameLen::HeaderIncomplete);
    };
    check_header(first, second)?;
    let (extended_len, payload_len) = match second & 0x7f {
        126 => match bytes.get(2..4).and_then(|len| len.try_into().ok()) {
            Some(len) => (2, u64::from(u16::from_be_bytes(len))),
            None => return Ok(FrameLen::HeaderIncomplete),
        },
        127 => match bytes.get(2..10).and_then(|len| len.try_into().ok()) {
            Some(len) => (8, u64::from_be_bytes(len)),
            None => return Ok(FrameLen::HeaderIncomplete),
        },
        len => (0, u64::from(len)),
    };
    let payload_len = usize::try_from(payload_len)
        .ok()
        .filter(|&len| len <= max_payload)
        .ok_or(FrameError::TooLarge)?;
    Ok(FrameLen::Known(2 + extended_len + MASK_LEN + payload_len))
}

/// The rules that the first two bytes of a frame show. Those about the order of
/// frames are tungstenite's to check.
const fn check_header(first: u8, second: u8) -> Result<(), FrameError> {
    let has_reserved_bits = first & 0x70 != 0;
    let is_masked = second & 0x80 != 0;
    let is_allowed = match first & 0x0f {
        // Continuation, text, binary.
        0..=2 => true,
        // Close, ping, pong: not fragmented, and short (§5.5).
        8..=10 => first & 0x80 != 0 && second & 0x7f <= 125,
        _ => false,
    };
    if has_reserved_bits || !is_masked || !is_allowed {
        return Err(FrameError::Protocol);
    }
    Ok(())
}

/// One frame for tungstenite to read. It writes pongs and close frames of its
/// own, which are dropped: the session writes ours, in order with its packets.
struct FrameBytes<'a>(&'a [u8]);

impl Read for FrameBytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(buffer)
    }
}

impl Write for FrameBytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Most fragments of one message: the limit of `ws` 8.21 for Node.
const MAX_FRAGMENTS: usize = 16_384;
/// A client's frames are masked.
const MASK_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame, as clients send it; the mask is zero.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..=125 => bytes.push(0x80 | len as u8),
            len => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(len as u16).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn read(reader: &mut FrameReader, bytes: &[u8]) -> Result<Vec<String>, FrameError> {
        let mut messages = Vec::new();
        reader.read(bytes, 1000, |incoming| {
            messages.push(format!("{incoming:?}"));
            ControlFlow::Continue(())
        })?;
        Ok(messages)
    }

    #[test]
    fn keeps_nothing_between_messages_however_they_are_cut() {
        let mut bytes = frame(0x81, b"hello");
        bytes.extend(frame(0x01, b"frag"));
        bytes.extend(frame(0x89, b"ping"));
        bytes.extend(frame(0x80, b"ment"));
        bytes.extend(frame(0x82, &[7; 300]));
        let whole = read(&mut FrameReader::default(), &bytes).unwrap();
        assert_eq!(whole.len(), 4);
        assert_eq!(whole[2], r#"Text("fragment")"#);
        for step in 1..20 {
            let mut reader = FrameReader::default();
            let mut messages = Vec::new();
            for piece in bytes.chunks(step) {
                messages.extend(read(&mut reader, piece).unwrap());
            }
            assert_eq!(messages, whole, "in pieces of {step}");
            assert!(reader.is_idle(), "in pieces of {step}");
        }
    }

    #[test]
    fn refuses_a_declared_length_before_it_keeps_a_byte() {
        let mut reader = FrameReader::default();
        let huge = [0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0];
        assert_eq!(read(&mut reader, &huge).unwrap_err(), FrameError::TooLarge);
        assert!(reader.is_idle());
    }

    #[test]
    fn refuses_a_message_in_too_many_fragments() {
        let mut reader = FrameReader::default();
        read(&mut reader, &frame(0x01, b"")).unwrap();
        let fragment = frame(0x00, b"");
        let refused = (0..=MAX_FRAGMENTS).find_map(|_| read(&mut reader, &fragment).err());
        assert_eq!(refused, Some(FrameError::TooManyFragments));
    }

    #[test]
    fn refuses_what_breaks_the_protocol() {
        for (bytes, error) in [
            (frame(0xc1, b"reserved bit"), FrameError::Protocol),
            (frame(0x83, b"reserved opcode"), FrameError::Protocol),
            (frame(0x09, b"fragmented ping"), FrameError::Protocol),
            (frame(0x81, b"\xff"), FrameError::InvalidUtf8),
            (
                frame(0x8b, b"reserved control opcode"),
                FrameError::Protocol,
            ),
            (frame(0x89, &[0; 126]), FrameError::Protocol),
            (frame(0x80, b"nothing to continue"), FrameError::Protocol),
            (frame(0x88, b"\x03"), FrameError::Protocol),
            (frame(0x88, b"\x03\xe8\xff"), FrameError::InvalidUtf8),
            (vec![0x81, 0x01, b'x'], FrameError::Protocol),
            // What the header shows is not waited for.
            (b"test".to_vec(), FrameError::Protocol),
            (vec![0x83, 0xfe], FrameError::Protocol),
            (vec![0x09, 0x80], FrameError::Protocol),
            (vec![0x81, 0x7e], FrameError::Protocol),
        ] {
            let refused = read(&mut FrameReader::default(), &bytes).unwrap_err();
            assert_eq!(refused, error, "{bytes:?}");
        }
    }
}
