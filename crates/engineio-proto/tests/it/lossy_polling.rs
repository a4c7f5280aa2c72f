//! A page that polls through proxies which lose answers and repeat polls: it
//! gets each event once and in order.
//!
//! The page is engine.io-client under socket.io-client with connection state
//! recovery: what it reads before a close packet of the same answer is shown at
//! the next connect, and its offset does not move. The server replays what is
//! after the page's offset, before anything newer.

use engineio_proto::{CloseReason, Config, EncodedPacket, Transport};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::pair::Pair;

#[derive(Clone, Copy, Debug)]
enum Action {
    Emit,
    /// The page polls, unless its poll waits, and this becomes of the answer.
    Poll(Fate),
    /// A copy of an earlier poll arrives, which nobody waits for.
    StalePoll(usize),
    /// The server closes the transport.
    Close,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    /// The proxy loses it, and sends the poll again.
    LostAndRepeated,
    /// The page sees its connection break.
    Lost,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => Just(Action::Emit),
        6 => Just(Action::Poll(Fate::Arrives)),
        2 => Just(Action::Poll(Fate::LostAndRepeated)),
        1 => Just(Action::Poll(Fate::Lost)),
        1 => (0..16_usize).prop_map(Action::StalePoll),
        1 => Just(Action::Close),
    ]
}

/// A server with the log of a user, and the user's page.
struct World {
    emitted: usize,
    page: Page,
    /// The session that the page is in, or believes to be in.
    pair: Option<Pair>,
    /// GETs of this session, that of the handshake left out.
    polls: usize,
    poll_waits: bool,
}

#[derive(Default)]
struct Page {
    shown: Vec<usize>,
    offset: usize,
    receive_buffer: Vec<usize>,
}

impl World {
    fn apply(&mut self, action: Action) {
        match action {
            Action::Emit => {
                let message = EncodedPacket::message(&self.emitted.to_string());
                self.emitted += 1;
                if let Some(pair) = &mut self.pair {
                    // A session that is closed is one that the page will leave.
                    let _closed = pair.session.send(message);
                }
            }
            Action::Poll(fate) => self.poll(fate),
            Action::StalePoll(age) => {
                // The latest of an idle page was answered, like the others.
                if let Some(pair) = &mut self.pair
                    && age < self.polls
                    && pair.repeat_poll(age).is_ok()
                {
                    drop(pair.response());
                }
            }
            Action::Close => {
                if let Some(pair) = &mut self.pair {
                    pair.session.close(CloseReason::TooOld, pair.now);
                }
            }
        }
        let shown = &self.page.shown;
        assert!(
            shown.iter().enumerate().all(|(at, event)| at == *event),
            "not once and in order: {shown:?}"
        );
    }

    fn poll(&mut self, fate: Fate) {
        if self.pair.is_none() {
            self.connect();
        }
        let Some(pair) = &mut self.pair else {
            return;
        };
        if !self.poll_waits {
            if pair.poll().is_err() {
                self.pair = None;
                return;
            }
            self.poll_waits = true;
            self.polls += 1;
        }
        let Some(body) = pair.response() else {
            return;
        };
        self.poll_waits = false;
        let arrived = match fate {
            Fate::Arrives => Some(body),
            Fate::Lost => None,
            Fate::LostAndRepeated => match pair.repeat_poll(0) {
                Err(_) => None,
                Ok(()) => match pair.response() {
                    Some(body) => Some(body),
                    None => {
                        self.poll_waits = true;
                        return;
                    }
                },
            },
        };
        if !arrived.is_some_and(|body| self.page.read(&body)) {
            self.pair = None;
        }
    }

    fn connect(&mut self) {
        let mut pair = Pair::open(Transport::Polling, Config::default());
        for missed in self.page.offset..self.emitted {
            pair.send(&missed.to_string());
        }
        self.page.shown.append(&mut self.page.receive_buffer);
        self.pair = Some(pair);
        self.polls = 0;
        self.poll_waits = false;
    }
}

impl Page {
    /// Whether the transport is open afterwards.
    fn read(&mut self, body: &str) -> bool {
        let mut events = Vec::new();
        for packet in body.split('\x1e') {
            if packet == "1" {
                self.receive_buffer.append(&mut events);
                return false;
            }
            if let Some(event) = packet.strip_prefix('4') {
                events.push(event.parse().unwrap());
            }
        }
        self.offset = events.last().map_or(self.offset, |last| last + 1);
        self.shown.append(&mut events);
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_page_that_polls_gets_each_event_once_and_in_order(
        actions in vec(action(), 1..120),
    ) {
        let mut world = World {
            emitted: 0,
            page: Page::default(),
            pair: None,
            polls: 0,
            poll_waits: false,
        };
        for action in actions {
            world.apply(action);
        }
        // Each poll brings 16 events, a reconnect, or the close packet.
        for _ in 0..world.emitted + 4 {
            world.apply(Action::Poll(Fate::Arrives));
        }
        prop_assert_eq!(world.page.shown.len(), world.emitted);
    }
}
