//! The session machine under any sequence of inputs and times: it never panics,
//! its queue stays within its bound, a closed session stays closed, and its end
//! is reported once. A poll that is repeated is never answered with messages,
//! and a close packet is alone in its answer.

#![no_main]

use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engineio_proto::{
    CacheBuster, CloseReason, Config, DecodeError, EncodedPacket, Event, Packet, Revision, Session,
    Sid, Transport, UpgradeId, payload,
};
use libfuzzer_sys::{arbitrary, fuzz_target};

#[derive(arbitrary::Arbitrary, Debug)]
enum Input<'a> {
    Wait { millis: u16 },
    Poll,
    AbortPoll,
    Answer,
    Post { body: &'a [u8] },
    BeginPost,
    EndPost,
    AbortPost,
    Frame { text: &'a str },
    BinaryFrame { data: &'a [u8] },
    PingFrame { data: &'a [u8] },
    Upgrade,
    UpgradeFrame { text: &'a str },
    AbortUpgrade,
    Write { bytes: u16 },
    TransportClosed,
    Send { text: &'a str },
    SendBinary { data: &'a [u8] },
    Close,
    Abort,
    RepeatPoll { age: u8 },
}

#[derive(arbitrary::Arbitrary, Debug)]
struct Script<'a> {
    begins_on_websocket: bool,
    supports_binary: bool,
    inputs: Vec<Input<'a>>,
}

const QUEUE_BYTES: usize = 2048;
/// A ping, a close packet and a close frame go out over a full queue, each with
/// what keeping it costs; and so does a pong of at most 125 bytes.
const SLACK: usize = 512;

fuzz_target!(|script: Script<'_>| {
    let config = Config {
        send_queue_bytes: QUEUE_BYTES,
        max_packets_per_payload: 16,
        ..Config::default()
    };
    let start = Instant::now();
    let mut now = start;
    let transport = if script.begins_on_websocket {
        Transport::WebSocket
    } else {
        Transport::Polling
    };
    // Every fourth, without a byte more in the seeds.
    let revision = if script.inputs.len() % 4 == 3 {
        Revision::V3
    } else {
        Revision::V4
    };
    let mut session = Session::new(
        Arc::new(config),
        Sid::from_random([7; Sid::RANDOM_BYTES]),
        transport,
        revision,
        script.supports_binary,
        now,
    );
    if let (Revision::V3, Some(index)) = (revision, payload::v3::JsonpIndex::parse("7")) {
        // Half of those that take no binary data poll by JSONP.
        if !script.supports_binary && script.inputs.len() % 8 == 3 {
            session = session.with_jsonp(index);
        }
    }
    let mut upgrade: Option<UpgradeId> = None;
    let mut ends = 0;
    let mut polls = 0_u32;
    for input in script.inputs {
        let was_closed = session.transport().is_none();
        match input {
            Input::Wait { millis } => {
                now += Duration::from_millis(millis.into());
                session.handle_timeout(now);
            }
            Input::Poll => {
                polls += 1;
                drop(session.handle_poll(cache_buster(polls), now));
            }
            Input::AbortPoll => session.handle_poll_aborted(),
            Input::Answer => {
                if let Some(body) = session.poll_response()
                    && revision == Revision::V4
                {
                    let closes = body
                        .split(|byte| *byte == 0x1e)
                        .any(|packet| packet == b"1");
                    assert!(!closes || &body[..] == b"1", "a close packet is alone");
                }
            }
            Input::Post { body } => {
                if session.handle_post(now).is_ok() {
                    post(&mut session, body, now);
                    session.handle_post_end();
                }
            }
            Input::BeginPost => drop(session.handle_post(now)),
            Input::EndPost => session.handle_post_end(),
            Input::AbortPost => session.handle_post_aborted(),
            Input::Frame { text } => {
                if let Ok(packet) = revision.decode(text) {
                    drop(session.handle_packet(Transport::WebSocket, packet, now));
                }
            }
            Input::BinaryFrame { data } => {
                if let Ok(packet) = revision.decode_binary(data) {
                    drop(session.handle_packet(Transport::WebSocket, packet, now));
                }
            }
            Input::PingFrame { data } => {
                session.handle_ping_frame(&data[..data.len().min(125)], now);
            }
            Input::Upgrade => upgrade = session.handle_upgrade(now).ok().or(upgrade),
            Input::UpgradeFrame { text } => {
                if let (Some(id), Ok(packet)) = (upgrade, revision.decode(text)) {
                    let _step = session.handle_upgrade_packet(id, &packet, now);
                }
            }
            Input::AbortUpgrade => {
                if let Some(id) = upgrade.take() {
                    session.handle_upgrade_aborted(id);
                }
            }
            Input::Write { bytes } => {
                if let Some(outbound) = session.poll_transmit() {
                    let mut slices = [IoSlice::new(&[]); 4];
                    let filled = outbound.fill_slices(&mut slices);
                    let waiting: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
                    outbound.advance(waiting.min(bytes.into()));
                    session.handle_written();
                }
            }
            Input::TransportClosed => session.handle_transport_closed(CloseReason::TransportClose),
            Input::Send { text } => {
                // Text that has the separator in it would look like a close packet.
                let text = text.replace('\x1e', "");
                drop(session.send(EncodedPacket::message(&text)));
            }
            Input::SendBinary { data } => drop(session.send(EncodedPacket::binary_message(data))),
            Input::Close => session.close(CloseReason::ServerShuttingDown, now),
            Input::Abort => session.abort(CloseReason::ForcedClose),
            // The handshake's, which is the first, cannot be.
            Input::RepeatPoll { age } if u32::from(age % 16) + 1 < polls => {
                let repeated = cache_buster(polls - u32::from(age % 16));
                assert!(session.handle_poll(repeated, now).is_err());
                if session.transport().is_some() {
                    assert_eq!(session.transport(), Some(Transport::WebSocket));
                }
            }
            Input::RepeatPoll { .. } => {}
        }
        while let Some(event) = session.poll_event() {
            match event {
                Event::Upgraded => assert!(!was_closed),
                Event::Closed(_) => ends += 1,
            }
        }
        let is_closed = session.transport().is_none();
        assert!(is_closed || !was_closed, "what is closed stays closed");
        assert_eq!(ends, i32::from(is_closed), "the end is reported once");
        assert_eq!(session.poll_timeout().is_none(), is_closed);
        assert!(!(is_closed && session.is_open()));
        if let Some(outbound) = session.poll_transmit() {
            assert!(outbound.memory() <= QUEUE_BYTES + SLACK);
        }
    }
});

fn cache_buster(poll: u32) -> Option<CacheBuster> {
    CacheBuster::new(&poll.to_string())
}

fn post(session: &mut Session, body: &[u8], now: Instant) {
    let all: Result<Vec<Packet<'_>>, DecodeError> = match session.revision() {
        Revision::V3 => payload::v3::decode_binary(body, 16).collect(),
        _ => payload::decode(body, 16).and_then(Iterator::collect),
    };
    let Ok(packets) = all else {
        return session.abort(CloseReason::ParseError);
    };
    for packet in packets {
        if session
            .handle_packet(Transport::Polling, packet, now)
            .is_err()
        {
            return;
        }
    }
}
