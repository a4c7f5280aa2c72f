//! Reading WebSocket frames without a buffer for each idle connection.
//!
//! A connection's bytes come in a buffer that all connections of a thread
//! share. Frames that are whole in it are decoded right there, their headers by
//! tungstenite. Only a connection
//! in the middle of a frame, or of a fragmented message, keeps bytes: as many as
//! have come, and never more memory than that is doubled. An idle connection
//! keeps nothing.

use std::io::Cursor;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::fragments::{Fragments, Kind};
use super::frame_error::FrameError;
use super::partial_input::{Held, InputBounds, NoRoom, PartialInput, append};

/// The reading half of one WebSocket.
#[derive(Debug, Default)]
pub(crate) struct FrameReader {
    unfinished: Option<Box<Unfinished>>,
}

#[derive(Debug)]
struct Unfinished {
    /// The beginning of a frame.
    frame: Vec<u8>,
    /// A message that has begun.
    message: Option<Fragments>,
    held: Held,
}

/// What a client has sent.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    /// With the status that the peer gave, or that of the rule which it broke.
    Close(Option<u16>),
}

impl FrameReader {
    /// Whether nothing is kept.
    #[cfg(test)]
    pub(crate) const fn is_idle(&self) -> bool {
        self.unfinished.is_none()
    }

    /// Decodes `bytes`, in place, and hands each message to `on_message` until
    /// that breaks. Returns how many bytes were consumed: all, unless it broke.
    pub(crate) fn read(
        &mut self,
        bytes: &mut [u8],
        bounds: InputBounds<'_>,
        mut on_message: impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<usize, FrameError> {
        let mut consumed = 0;
        while consumed < bytes.len() {
            let rest = &mut bytes[consumed..];
            let max_message = bounds.max_message();
            let kept = self
                .unfinished
                .as_deref_mut()
                .filter(|kept| !kept.frame.is_empty());
            let step = if let Some(kept) = kept {
                // Add what is missing to the frame that has begun.
                let (add, whole) = match frame_len(&kept.frame, max_message)? {
                    FrameLen::Known(len) => (rest.len().min(len - kept.frame.len()), len),
                    // One byte at a time: a header has 14 of them at most.
                    FrameLen::HeaderIncomplete => (1, MAX_HEADER_LEN),
                };
                append(&mut kept.frame, &rest[..add], whole);
                kept.hold(bounds.has_joined())?;
                consumed += add;
                match frame_len(&kept.frame, max_message)? {
                    FrameLen::Known(len) if len == kept.frame.len() => {
                        let mut frame = std::mem::take(&mut kept.frame);
                        self.decode(&mut frame, bounds, &mut on_message)?
                    }
                    FrameLen::Known(_) | FrameLen::HeaderIncomplete => continue,
                }
            } else {
                match frame_len(rest, max_message)? {
                    FrameLen::Known(len) if len <= rest.len() => {
                        consumed += len;
                        self.decode(&mut rest[..len], bounds, &mut on_message)?
                    }
                    frame_len @ (FrameLen::Known(_) | FrameLen::HeaderIncomplete) => {
                        let whole = match frame_len {
                            FrameLen::Known(len) => len,
                            FrameLen::HeaderIncomplete => MAX_HEADER_LEN,
                        };
                        let kept = self.keep(bounds.partial_input);
                        append(&mut kept.frame, rest, whole);
                        kept.hold(bounds.has_joined())?;
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
        frame: &mut [u8],
        bounds: InputBounds<'_>,
        on_message: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, FrameError> {
        let mut cursor = Cursor::new(&*frame);
        let header = FrameHeader::parse(&mut cursor);
        let (header, _) = header.ok().flatten().ok_or(FrameError::Protocol)?;
        let start = usize::try_from(cursor.position()).map_err(|_| FrameError::Protocol)?;
        let payload = &mut frame[start..];
        unmask(payload, header.mask.ok_or(FrameError::Protocol)?);
        let is_final = header.is_final;
        let has_begun = self
            .unfinished
            .as_ref()
            .is_some_and(|kept| kept.message.is_some());
        let incoming = match (header.opcode, is_final, has_begun) {
            (OpCode::Data(Data::Text), true, false) => Incoming::Text(text(payload)?),
            (OpCode::Data(Data::Binary), true, false) => Incoming::Binary(payload),
            (OpCode::Data(Data::Continue), _, true) => {
                return self.add_fragment(payload, is_final, bounds, on_message);
            }
            (OpCode::Data(data @ (Data::Text | Data::Binary)), false, false) => {
                let kind = if data == Data::Text {
                    Kind::Text
                } else {
                    Kind::Binary
                };
                self.keep(bounds.partial_input).message = Some(Fragments::new(kind));
                return self.add_fragment(payload, false, bounds, on_message);
            }
            // A message within a message, or the end of none.
            (OpCode::Data(_), ..) => return Err(FrameError::Protocol),
            (OpCode::Control(Control::Close), ..) => Incoming::Close(close_code(payload)?),
            (OpCode::Control(Control::Ping), ..) => Incoming::Ping(payload),
            (OpCode::Control(Control::Pong), ..) => Incoming::Pong,
            (OpCode::Control(Control::Reserved(_)), ..) => return Err(FrameError::Protocol),
        };
        self.forget_when_idle();
        Ok(on_message(incoming))
    }

    /// Adds a fragment to the message that has begun.
    fn add_fragment(
        &mut self,
        payload: &[u8],
        is_final: bool,
        bounds: InputBounds<'_>,
        on_message: &mut impl FnMut(Incoming<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, FrameError> {
        let kept = self.keep(bounds.partial_input);
        let message = kept.message.as_mut().ok_or(FrameError::Protocol)?;
        message.add(payload, is_final, bounds.max_message())?;
        if !is_final {
            kept.hold(bounds.has_joined())?;
            return Ok(ControlFlow::Continue(()));
        }
        let message = kept.message.take().ok_or(FrameError::Protocol)?;
        self.forget_when_idle();
        Ok(on_message(match message.kind {
            // It was checked as it came.
            Kind::Text => Incoming::Text(text(&message.payload)?),
            Kind::Binary => Incoming::Binary(&message.payload),
        }))
    }

    fn keep(&mut self, partial_input: &Arc<PartialInput>) -> &mut Unfinished {
        self.unfinished.get_or_insert_with(|| {
            Box::new(Unfinished {
                frame: Vec::new(),
                message: None,
                held: PartialInput::hold(Arc::clone(partial_input)),
            })
        })
    }

    fn forget_when_idle(&mut self) {
        self.unfinished
            .take_if(|kept| kept.frame.is_empty() && kept.message.is_none());
    }
}

impl Unfinished {
    /// Accounts for what is kept.
    fn hold(&mut self, has_joined: bool) -> Result<(), NoRoom> {
        let message = self.message.as_ref();
        let message = message.map_or(0, |message| message.payload.capacity());
        let bytes = size_of::<Self>() + self.frame.capacity() + message;
        self.held.set(bytes, has_joined)
    }
}

/// §5.3, four bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; MASK_LEN]) {
    let (words, rest) = payload.as_chunks_mut::<MASK_LEN>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

fn text(payload: &[u8]) -> Result<&str, FrameError> {
    std::str::from_utf8(payload).map_err(|_| FrameError::InvalidUtf8)
}

/// The status of a close frame (§5.5.1 and §7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, FrameError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(FrameError::Protocol)
        };
    };
    text(reason)?;
    let code = CloseCode::from(u16::from_be_bytes(*code));
    Ok(Some(if code.is_allowed() {
        code.into()
    } else {
        FrameError::Protocol.close_code()
    }))
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

/// The rules that the first two bytes of a frame show, but those about the order
/// of frames.
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

/// A client's frames are masked.
const MASK_LEN: usize = 4;
/// §5.2.
const MAX_HEADER_LEN: usize = 2 + 8 + MASK_LEN;

/// Reads frames that come in these pieces. Returns what they say, the error if
/// there was one, and how many bytes were kept at most.
#[cfg(fuzzing)]
pub fn read_frames(pieces: &[&[u8]], max_message: usize) -> (Vec<String>, Option<u16>, usize) {
    let partial_input = PartialInput::new(None);
    let has_joined = std::sync::atomic::AtomicBool::new(true);
    let bounds = InputBounds {
        has_joined: &has_joined,
        max_message,
        max_unjoined_message: max_message,
        partial_input: &partial_input,
    };
    let mut reader = FrameReader::default();
    let (mut messages, mut most) = (Vec::new(), 0);
    for piece in pieces {
        let read = reader.read(&mut piece.to_vec(), bounds, |incoming| {
            messages.push(format!("{incoming:?}"));
            ControlFlow::Continue(())
        });
        if let Err(error) = read {
            return (messages, Some(error.close_code()), most);
        }
        most = most.max(partial_input.used());
    }
    drop(reader);
    assert_eq!(partial_input.used(), 0, "what was kept is given back");
    (messages, None, most)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::frame_error::MAX_FRAGMENTS;
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
        read_within(
            reader,
            bytes,
            &PartialInput::new(None),
            &AtomicBool::new(true),
        )
    }

    /// 1,000 bytes a message, and 300 while nothing is joined.
    fn read_within(
        reader: &mut FrameReader,
        bytes: &[u8],
        partial_input: &Arc<PartialInput>,
        has_joined: &AtomicBool,
    ) -> Result<Vec<String>, FrameError> {
        let bounds = InputBounds {
            has_joined,
            max_message: 1000,
            max_unjoined_message: 300,
            partial_input,
        };
        let mut messages = Vec::new();
        reader.read(&mut bytes.to_vec(), bounds, |incoming| {
            messages.push(format!("{incoming:?}"));
            ControlFlow::Continue(())
        })?;
        Ok(messages)
    }

    #[test]
    fn takes_the_mask_off() {
        let mut bytes = frame(0x81, b"");
        bytes[1] |= 9;
        bytes[2..].copy_from_slice(b"\x01\x02\x03\x04");
        let masked = b"Helloabcd".iter().zip(b"\x01\x02\x03\x04".iter().cycle());
        bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
        assert_eq!(
            read(&mut FrameReader::default(), &bytes).unwrap(),
            [r#"Text("Helloabcd")"#]
        );
    }

    #[test]
    fn a_character_may_be_cut_between_fragments_and_no_other_bytes() {
        for (first, last, taken) in [
            (&b"\xe2\x82"[..], &b"\xac"[..], true),
            (b"\xe2", b"\x82\xac", true),
            (b"\xe2\x82", b"", false),
            (b"\xe2\x82", b"a", false),
            (b"\xe2\xff", b"", false),
        ] {
            let mut bytes = frame(0x01, first);
            bytes.extend(frame(0x80, last));
            let result = read(&mut FrameReader::default(), &bytes);
            assert_eq!(result.is_ok(), taken, "{first:?} {last:?}");
        }
        // It shows in the first fragment already.
        let refused = read(&mut FrameReader::default(), &frame(0x01, b"\xff"));
        assert_eq!(refused.unwrap_err(), FrameError::InvalidUtf8);
    }

    #[test]
    fn a_client_that_has_joined_nothing_sends_less_at_once() {
        let input = PartialInput::new(None);
        let joined = AtomicBool::new(false);
        let mut reader = FrameReader::default();
        for bytes in [
            frame(0x82, &[0; 301]),
            [frame(0x02, &[0; 200]), frame(0x80, &[0; 101])].concat(),
        ] {
            let refused = read_within(&mut FrameReader::default(), &bytes, &input, &joined);
            assert_eq!(refused.unwrap_err(), FrameError::TooLarge);
        }
        let begun = [frame(0x02, &[0; 200]), frame(0x82, &[0; 300])].concat();
        read_within(&mut reader, &begun[..208], &input, &joined).unwrap();
        joined.store(true, Ordering::Relaxed);
        read_within(&mut reader, &frame(0x80, &[0; 800]), &input, &joined).unwrap();
        assert!(reader.is_idle());
        assert_eq!(input.used(), 0);
    }

    /// Whatever is sent, and however it is cut.
    #[test]
    fn keeps_no_more_than_twice_a_message_and_accounts_for_it() {
        let input = PartialInput::new(None);
        let joined = AtomicBool::new(false);
        let mut reader = FrameReader::default();
        let mut bytes = frame(0x02, &[0; 10]);
        for _ in 0..28 {
            bytes.extend(frame(0x00, &[0; 10]));
        }
        let last = frame(0x80, &[0; 10]);
        bytes.extend(&last[..last.len() - 1]);
        let mut most = 0;
        for piece in bytes.chunks(3) {
            read_within(&mut reader, piece, &input, &joined).unwrap();
            most = most.max(input.used());
        }
        assert!(most <= size_of::<Unfinished>() + 2 * 300, "{most}");
        assert!(most >= 290, "{most}");
        read_within(&mut reader, &last[last.len() - 1..], &input, &joined).unwrap();
        assert_eq!(input.used(), 0);
    }

    #[test]
    fn the_room_for_what_has_come_in_part_is_bounded_over_all() {
        let input = PartialInput::new(Some(1500));
        let joined = AtomicBool::new(true);
        let begun = &frame(0x82, &[0; 900])[..800];
        let mut first = FrameReader::default();
        read_within(&mut first, begun, &input, &joined).unwrap();
        let mut second = FrameReader::default();
        let refused = read_within(&mut second, begun, &input, &joined);
        assert_eq!(refused.unwrap_err(), FrameError::NoRoom);
        drop(second);
        drop(first);
        assert_eq!(input.used(), 0);
        read_within(&mut FrameReader::default(), begun, &input, &joined).unwrap();
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
