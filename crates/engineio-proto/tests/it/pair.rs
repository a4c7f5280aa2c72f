//! A session and a scripted client under a virtual clock.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engineio_proto::{
    CacheBuster, Config, EncodedPacket, Event, Message, Packet, ProtocolViolation, Revision,
    Session, Sid, TimerReason, Transport, UpgradeId, UpgradeStep, payload,
};

use crate::wire::{Received, take_frames};

/// A server's session, and what its client does to it.
pub(crate) struct Pair {
    pub(crate) session: Session,
    pub(crate) now: Instant,
    max_packets: usize,
    stream: Vec<u8>,
    polls: usize,
    /// The latest that was let in.
    pub(crate) upgrade: Option<UpgradeId>,
}

impl Pair {
    /// A session whose handshake has been fetched or written.
    pub(crate) fn open(transport: Transport, config: Config) -> Self {
        let mut pair = Self::opening(transport, config, true);
        match transport {
            Transport::Polling => assert!(pair.get().unwrap().starts_with("0{")),
            Transport::WebSocket => assert_eq!(pair.read().len(), 1),
        }
        pair
    }

    /// A session that has just been made.
    pub(crate) fn opening(transport: Transport, config: Config, supports_binary: bool) -> Self {
        Self::opening_as(Revision::V4, transport, config, supports_binary)
    }

    /// The same, of a client of this revision.
    pub(crate) fn opening_as(
        revision: Revision,
        transport: Transport,
        config: Config,
        supports_binary: bool,
    ) -> Self {
        let now = start();
        let max_packets = config.max_packets_per_payload;
        Self {
            session: Session::new(
                Arc::new(config),
                sid(),
                transport,
                revision,
                supports_binary,
                now,
            ),
            now,
            max_packets,
            stream: Vec::new(),
            polls: 0,
            upgrade: None,
        }
    }

    pub(crate) fn polling() -> Self {
        Self::open(Transport::Polling, Config::default())
    }

    pub(crate) fn websocket() -> Self {
        Self::open(Transport::WebSocket, Config::default())
    }

    /// A polling session with an upgrade under way; its probe is not answered.
    pub(crate) fn upgrading() -> Self {
        let mut pair = Self::polling();
        assert!(pair.start_upgrade());
        pair
    }

    /// GET. The body, unless the poll waits.
    pub(crate) fn get(&mut self) -> Option<String> {
        self.poll().unwrap();
        self.response()
    }

    /// A GET arrives, which no other was like.
    pub(crate) fn poll(&mut self) -> Result<(), ProtocolViolation> {
        self.polls += 1;
        self.repeat_poll(0)
    }

    /// The GET arrives again that is so many before the latest.
    pub(crate) fn repeat_poll(&mut self, age: usize) -> Result<(), ProtocolViolation> {
        let cache_buster = CacheBuster::new(&format!("t{}", self.polls - age));
        self.session.handle_poll(cache_buster, self.now)
    }

    /// What the waiting GET is answered with, if anything.
    pub(crate) fn response(&mut self) -> Option<String> {
        let body = self.session.poll_response()?;
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    /// POST, all of it. The messages in it.
    pub(crate) fn post(&mut self, body: &str) -> Result<Vec<String>, ProtocolViolation> {
        self.session.handle_post(self.now)?;
        let messages = self.post_body(body);
        self.session.handle_post_end();
        messages
    }

    /// The body of a POST that has begun.
    pub(crate) fn post_body(&mut self, body: &str) -> Result<Vec<String>, ProtocolViolation> {
        let mut messages = Vec::new();
        for packet in payload::decode(body.as_bytes(), self.max_packets).unwrap() {
            let packet = packet.unwrap();
            let message = self
                .session
                .handle_packet(Transport::Polling, packet, self.now)?;
            messages.extend(message.map(text_of));
        }
        Ok(messages)
    }

    /// A text frame arrives on the session's WebSocket. The message in it.
    pub(crate) fn frame(&mut self, packet: &str) -> Result<Option<String>, ProtocolViolation> {
        let packet = Packet::decode(packet).unwrap();
        let message = self
            .session
            .handle_packet(Transport::WebSocket, packet, self.now)?;
        Ok(message.map(text_of))
    }

    /// A WebSocket for the session is opened. Whether it may go on.
    pub(crate) fn start_upgrade(&mut self) -> bool {
        let upgrade = self.session.handle_upgrade(self.now);
        self.upgrade = upgrade.ok().or(self.upgrade);
        upgrade.is_ok()
    }

    /// A text frame arrives on the new WebSocket of the latest upgrade.
    pub(crate) fn upgrade_frame(&mut self, packet: &str) -> UpgradeStep {
        self.upgrade_packet(&Packet::decode(packet).unwrap())
    }

    pub(crate) fn upgrade_packet(&mut self, packet: &Packet<'_>) -> UpgradeStep {
        let upgrade = self.upgrade.expect("an upgrade was let in");
        self.session
            .handle_upgrade_packet(upgrade, packet, self.now)
    }

    /// The new WebSocket of the latest upgrade ends.
    pub(crate) fn abort_upgrade(&mut self) {
        let upgrade = self.upgrade.expect("an upgrade was let in");
        self.session.handle_upgrade_aborted(upgrade);
    }

    /// Writes up to `count` bytes of the queue, as a socket that is almost full
    /// takes them.
    pub(crate) fn write(&mut self, count: usize) {
        let Some(outbound) = self.session.poll_transmit() else {
            return;
        };
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = outbound.fill_slices(&mut slices);
        let bytes: Vec<u8> = slices[..filled]
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .take(count)
            .collect();
        outbound.advance(bytes.len());
        self.session.handle_written();
        self.stream.extend(bytes);
    }

    /// Lets the WebSocket take all that waits. The frames that the client has
    /// whole now.
    pub(crate) fn read(&mut self) -> Vec<Received> {
        while self.session.poll_transmit().is_some() {
            self.write(usize::MAX);
        }
        take_frames(&mut self.stream)
    }

    /// Bytes that went past the session's queue.
    pub(crate) fn write_directly(&mut self, bytes: &[u8]) {
        self.stream.extend_from_slice(bytes);
    }

    /// The frames that the client has whole, without letting more be written.
    pub(crate) fn received(&mut self) -> Vec<Received> {
        take_frames(&mut self.stream)
    }

    pub(crate) fn send(&mut self, data: &str) {
        self.session.send(EncodedPacket::message(data)).unwrap();
    }

    /// Moves the clock to the next deadline and does what is due. What it was
    /// for.
    pub(crate) fn next_timeout(&mut self) -> Option<TimerReason> {
        let (at, reason) = self.session.poll_timeout()?;
        // A moment earlier nothing may happen.
        let before = format!("{:?}", self.session);
        self.session.handle_timeout(at - Duration::from_nanos(1));
        assert_eq!(format!("{:?}", self.session), before);
        self.now = at;
        self.session.handle_timeout(at);
        Some(reason)
    }

    /// The next deadline: how far away it is, and what for.
    pub(crate) fn timeout(&self) -> Option<(Duration, TimerReason)> {
        let (at, reason) = self.session.poll_timeout()?;
        Some((at - self.now, reason))
    }

    /// Lets time pass in which nobody looks at the clock.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Asserts that the session is closed, says so once, and does nothing more.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self, event: Event) {
        assert_eq!(self.session.poll_event(), Some(event));
        assert_eq!(self.session.poll_event(), None);
        assert!(!self.session.is_open());
        assert_eq!(self.session.transport(), None);
        assert_eq!(self.session.poll_timeout(), None);
    }

    /// Asserts that the session goes on as if nothing had happened.
    #[track_caller]
    pub(crate) fn assert_open(&mut self, transport: Transport) {
        assert_eq!(self.session.poll_event(), None);
        assert!(self.session.is_open());
        assert_eq!(self.session.transport(), Some(transport));
    }
}

/// A session id whose text is known.
pub(crate) const SID_TEXT: &str = "AAECAwQFBgcICQoLDA0O";

pub(crate) fn sid() -> Sid {
    Sid::from_random([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can be had from the clock only; from here on time is virtual"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

fn text_of(message: Message<'_>) -> String {
    match message {
        Message::Text(text) => text.to_owned(),
        Message::Binary(data) => format!("{data:?}"),
    }
}
