//! Any order of inputs, checked after each against what a client would have
//! seen.

use std::collections::VecDeque;
use std::time::Duration;

use engineio_proto::{
    CloseReason, Config, EncodedPacket, Event, Packet, Revision, SendError, Transport, UpgradeStep,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::pair::Pair;
use crate::wire::Received;

#[derive(Clone, Debug)]
enum Input {
    Get,
    Response,
    GetAborted,
    Post,
    PostEnd,
    PostAborted,
    Upgrade,
    UpgradePacket(String),
    UpgradeAborted,
    Packet(Transport, String),
    Send(usize),
    /// A message written past the queue, as far as the socket takes it.
    WriteDirectly(usize, usize),
    Write(usize),
    TransportClosed,
    PingFrame(usize),
    Pass(u64),
    Timeout,
    Close,
    Abort,
    /// What a well-behaved client does, so that sessions live long enough.
    Fetch,
    MoveToWebSocket,
    Pong,
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => Just(Input::Fetch),
        4 => Just(Input::MoveToWebSocket),
        4 => Just(Input::Pong),
        6 => Just(Input::Get),
        6 => Just(Input::Response),
        1 => Just(Input::GetAborted),
        3 => Just(Input::Post),
        4 => Just(Input::PostEnd),
        1 => Just(Input::PostAborted),
        3 => Just(Input::Upgrade),
        6 => upgrade_packet().prop_map(Input::UpgradePacket),
        1 => Just(Input::UpgradeAborted),
        4 => (transport(), packet()).prop_map(|(transport, packet)| Input::Packet(transport, packet)),
        12 => (0..40_usize).prop_map(Input::Send),
        4 => (0..40_usize, 0..60_usize).prop_map(|(len, written)| Input::WriteDirectly(len, written)),
        8 => (0..200_usize).prop_map(Input::Write),
        1 => Just(Input::TransportClosed),
        2 => (0..10_usize).prop_map(Input::PingFrame),
        2 => (0..15_000_u64).prop_map(Input::Pass),
        4 => Just(Input::Timeout),
        1 => Just(Input::Close),
        1 => Just(Input::Abort),
    ]
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Polling), Just(Transport::WebSocket)]
}

fn upgrade_packet() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("2probe".to_owned()),
        4 => Just("5".to_owned()),
        1 => packet(),
    ]
}

fn packet() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => Just("3".to_owned()),
        6 => Just("4hi".to_owned()),
        1 => "[0-9b][a-z]{0,3}",
        1 => ".{0,8}",
    ]
}

/// A session, and what its client must see.
struct Checked {
    pair: Pair,
    /// Messages that were accepted and have not come out, in order.
    due: VecDeque<String>,
    next_message: usize,
    close_events: usize,
    poll_waits: bool,
    /// Whether the session was asked to close, and has not ended.
    is_closing: bool,
    /// The largest frame written past the queue.
    direct: usize,
}

const SEND_QUEUE_BYTES: usize = 2_000;
/// A ping, a close packet or frame, and the handshake.
const CONTROL_BYTES: usize = 150;

impl Checked {
    fn new(revision: Revision, transport: Transport) -> Self {
        let config = Config {
            send_queue_bytes: SEND_QUEUE_BYTES,
            ..Config::default()
        };
        Self {
            pair: Pair::opening_as(revision, transport, config, true),
            due: VecDeque::new(),
            next_message: 0,
            close_events: 0,
            poll_waits: false,
            is_closing: false,
            direct: 0,
        }
    }

    fn apply(&mut self, input: &Input) {
        let was_closed = self.is_closed();
        let was_polling = self.pair.session.transport() == Some(Transport::Polling);
        let pair = &mut self.pair;
        let now = pair.now;
        let mut carries_out = false;
        match input {
            Input::Get => {
                let result = pair.session.handle_poll(None, pair.now);
                assert!(!was_closed || result.is_err());
                self.poll_waits |= result.is_ok();
            }
            Input::Response => {
                carries_out = true;
                self.respond();
            }
            Input::Fetch => {
                carries_out = true;
                // A second poll would end the session.
                if !self.poll_waits {
                    self.poll_waits = pair.session.handle_poll(None, pair.now).is_ok();
                }
                self.respond();
                self.pair.write(usize::MAX);
                self.receive();
            }
            Input::GetAborted => {
                pair.session.handle_poll_aborted();
                self.poll_waits = false;
            }
            Input::Post => {
                let result = pair.session.handle_post(pair.now);
                assert!(!was_closed || result.is_err());
            }
            Input::PostEnd => pair.session.handle_post_end(),
            Input::PostAborted => pair.session.handle_post_aborted(),
            Input::Upgrade => {
                let may_go_on = pair.start_upgrade();
                assert!(was_polling || !may_go_on);
            }
            Input::UpgradePacket(text) => {
                if let (Ok(packet), Some(_)) = (Packet::decode(text), pair.upgrade) {
                    self.upgrade_packet(&packet);
                }
            }
            Input::UpgradeAborted => {
                if pair.upgrade.is_some() {
                    pair.abort_upgrade();
                }
            }
            Input::MoveToWebSocket => {
                if pair.start_upgrade() {
                    self.upgrade_packet(&Packet::Ping("probe"));
                    self.respond();
                    self.upgrade_packet(&Packet::Upgrade);
                }
            }
            Input::Pong => {
                if let Some(transport) = pair.session.transport() {
                    let heartbeat = match pair.session.revision() {
                        Revision::V3 => Packet::Ping(""),
                        Revision::V4 | _ => Packet::Pong(""),
                    };
                    let handled = pair.session.handle_packet(transport, heartbeat, now);
                    // Not when the time for it is over.
                    assert!(handled.is_ok() || self.is_closed());
                }
            }
            Input::Packet(transport, text) => match Packet::decode(text) {
                Ok(packet) => {
                    let handled = pair.session.handle_packet(*transport, packet, now);
                    assert!(!was_closed || handled == Ok(None));
                    if handled.is_err() {
                        assert!(self.is_closed(), "a violation closes");
                    }
                }
                Err(_) => pair.session.abort(CloseReason::ParseError),
            },
            Input::Send(len) => {
                let message = self.message(*len);
                let is_open = self.pair.session.is_open();
                let sent = self.pair.session.send(EncodedPacket::message(&message));
                match sent {
                    Ok(()) => self.due.push_back(message),
                    Err(SendError::Closed) => assert!(!is_open),
                    Err(SendError::QueueFull) => assert!(is_open && self.is_closed()),
                }
            }
            Input::WriteDirectly(len, written) => {
                if pair.session.is_writable() {
                    let message = self.message(*len);
                    let frame = EncodedPacket::message(&message).into_frame();
                    self.direct = self.direct.max(frame.len());
                    let written = frame.len().min(*written);
                    self.pair.write_directly(&frame.bytes()[..written]);
                    self.due.push_back(message);
                    self.pair.session.queue_rest(frame, written);
                    self.receive();
                }
            }
            Input::Write(count) => {
                carries_out = true;
                pair.write(*count);
                self.receive();
            }
            Input::TransportClosed => pair
                .session
                .handle_transport_closed(CloseReason::TransportClose),
            Input::PingFrame(len) => pair.session.handle_ping_frame(&vec![7; *len], now),
            Input::Pass(milliseconds) => pair.pass(Duration::from_millis(*milliseconds)),
            Input::Timeout => {
                pair.session.handle_timeout(now);
                let next = pair.session.poll_timeout();
                assert!(next.is_none_or(|(at, _)| at > now), "nothing is due twice");
            }
            Input::Close => pair.session.close(CloseReason::ForcedClose, now),
            Input::Abort => pair.session.abort(CloseReason::ForcedClose),
        }
        self.check(was_closed, carries_out);
    }

    fn check(&mut self, was_closed: bool, carries_out: bool) {
        while let Some(event) = self.pair.session.poll_event() {
            assert_eq!(self.close_events, 0, "{event:?} after the end");
            match event {
                Event::Upgraded => {
                    let transport = self.pair.session.transport();
                    assert_eq!(transport, Some(Transport::WebSocket));
                }
                Event::Closed(_) => self.close_events += 1,
            }
        }
        let is_closed = self.is_closed();
        assert_eq!(self.close_events, usize::from(is_closed));
        assert!(is_closed || !was_closed, "closed stays closed");
        if is_closed {
            assert!(!self.pair.session.is_open());
            assert!(!self.pair.session.is_writable());
            assert!(!self.pair.session.is_ready());
            assert_eq!(self.pair.session.poll_timeout(), None);
        } else {
            assert!(self.pair.session.poll_timeout().is_some());
        }
        if is_closed && !was_closed && self.is_closing && carries_out {
            assert!(self.due.is_empty(), "closing lost {:?}", self.due);
        }
        self.is_closing = !is_closed && !self.pair.session.is_open();
        let bound = SEND_QUEUE_BYTES + CONTROL_BYTES + self.direct;
        if let Some(outbound) = self.pair.session.poll_transmit() {
            assert!(outbound.bytes() <= bound, "{} bytes", outbound.bytes());
        }
    }

    /// Fetches or writes all that waits. Nothing may have been lost.
    fn finish(&mut self) {
        if !self.pair.session.is_open() {
            return;
        }
        self.apply(&Input::Fetch);
        // One poll may leave messages to the next.
        for _ in 0..self.due.len() {
            self.apply(&Input::Fetch);
        }
        while self.pair.session.poll_transmit().is_some() {
            self.apply(&Input::Write(usize::MAX));
        }
        assert!(self.pair.session.is_open());
        assert!(self.due.is_empty(), "lost {:?}", self.due);
    }

    fn is_closed(&self) -> bool {
        self.pair.session.transport().is_none()
    }

    fn upgrade_packet(&mut self, packet: &Packet<'_>) {
        let pair = &mut self.pair;
        let step = pair.upgrade_packet(packet);
        let transport = pair.session.transport();
        match step {
            UpgradeStep::Answer(answer) => {
                assert_eq!(answer.frame().payload(), b"3probe");
                assert_eq!(transport, Some(Transport::Polling));
            }
            UpgradeStep::Complete => assert_eq!(transport, Some(Transport::WebSocket)),
            UpgradeStep::Refused => {}
        }
    }

    /// Messages are numbered, so that none is like another.
    fn message(&mut self, len: usize) -> String {
        self.next_message += 1;
        format!("{}:{}", self.next_message, "x".repeat(len))
    }

    fn respond(&mut self) {
        let Some(body) = self.pair.response() else {
            return;
        };
        assert!(self.poll_waits, "a response without a poll");
        self.poll_waits = false;
        assert!(body.len() <= SEND_QUEUE_BYTES + CONTROL_BYTES);
        assert!(!body.is_empty(), "a poll gets a packet");
        match self.pair.session.revision() {
            Revision::V3 => {
                let mut rest = body.as_str();
                while let Some((len, packets)) = rest.split_once(':') {
                    // What is sent here is ASCII.
                    let (packet, after) = packets.split_at(len.parse().unwrap());
                    self.packet(packet);
                    rest = after;
                }
                assert_eq!(rest, "");
            }
            Revision::V4 | _ => {
                for packet in body.split('\x1e') {
                    self.packet(packet);
                }
            }
        }
    }

    fn receive(&mut self) {
        for frame in self.pair.received() {
            match frame {
                Received::Text(text) => self.packet(&text),
                Received::Close(_) | Received::Pong(_) => {}
                Received::Binary(_) | Received::Ping => panic!("{frame:?} was not sent"),
            }
        }
    }

    fn packet(&mut self, packet: &str) {
        match Packet::decode(packet).unwrap() {
            Packet::Message(message) => {
                let due = self.due.pop_front().expect("no message is due");
                assert_eq!(packet, format!("4{due}"), "{message:?}");
            }
            Packet::Pong("") if self.pair.session.revision() == Revision::V3 => {}
            Packet::Ping("") if self.pair.session.revision() == Revision::V4 => {}
            Packet::Open(_) | Packet::Close | Packet::Noop => {}
            other @ (Packet::Ping(_) | Packet::Pong(_) | Packet::Upgrade) => {
                panic!("{other:?} is none of the server's");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_order_of_inputs_breaks_a_session(
        revision in prop_oneof![3 => Just(Revision::V4), 1 => Just(Revision::V3)],
        transport in transport(),
        inputs in vec(input(), 1..80),
    ) {
        let mut checked = Checked::new(revision, transport);
        for input in &inputs {
            checked.apply(input);
        }
        checked.finish();
    }

    #[test]
    fn an_upgrade_neither_loses_nor_reorders(
        before in 0..5_usize,
        fetched in any::<bool>(),
        waits in any::<bool>(),
        during in vec((0..5_usize, any::<bool>()), 2..4),
        after in 0..5_usize,
        step in 1..50_usize,
    ) {
        let mut checked = Checked::new(Revision::V4, Transport::Polling);
        let send = |checked: &mut Checked, count| {
            for _ in 0..count {
                checked.apply(&Input::Send(10));
            }
        };
        send(&mut checked, before);
        if fetched {
            checked.apply(&Input::Fetch);
        }
        if waits {
            checked.apply(&Input::Get);
        }
        checked.apply(&Input::Upgrade);
        for (packet, (count, responds)) in ["2probe", "2probe", "2probe"].iter().zip(during) {
            send(&mut checked, count);
            if responds {
                checked.apply(&Input::Response);
            }
            checked.apply(&Input::UpgradePacket((*packet).to_owned()));
        }
        checked.apply(&Input::UpgradePacket("5".to_owned()));
        send(&mut checked, after);
        checked.apply(&Input::Close);
        checked.apply(&Input::Response);
        while checked.pair.session.poll_transmit().is_some() {
            checked.apply(&Input::Write(step));
        }
        prop_assert!(checked.is_closed());
        prop_assert!(checked.due.is_empty());
    }
}
