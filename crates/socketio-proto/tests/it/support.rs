//! A client under a virtual clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engineio_proto::Message;
use socketio_proto::{
    Client, ClientConfig, ClientError, ClientEvent, DecodeError, Decoder, Encoded, Limits,
    Namespace, Packet,
};

/// A client whose clock the test moves.
pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) now: Instant,
}

impl Peer {
    pub(crate) fn new(config: ClientConfig) -> Self {
        let now = start();
        Self {
            client: Client::new(Arc::new(config), now),
            now,
        }
    }

    /// A peer that is in these namespaces.
    pub(crate) fn connected(namespaces: &[&str]) -> Self {
        let mut peer = Self::new(ClientConfig::default());
        for name in namespaces {
            peer.connect(name);
        }
        peer
    }

    pub(crate) fn connect(&mut self, name: &str) {
        let event = self.text(&format!("0{name},")).unwrap();
        assert!(matches!(event, Some(ClientEvent::Connect { .. })));
        assert!(self.client.accept(&namespace(name)));
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<Option<ClientEvent>, ClientError> {
        self.client.handle_message(Message::Text(text), self.now)
    }

    pub(crate) fn binary(&mut self, data: &[u8]) -> Result<Option<ClientEvent>, ClientError> {
        self.client
            .handle_message(Message::Binary(data.into()), self.now)
    }

    pub(crate) fn wait(&mut self, duration: Duration) {
        self.now += duration;
    }
}

/// The beginning of virtual time.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant cannot be made otherwise; it only serves as an origin"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) fn namespace(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

/// Decodes messages, of which the last one completes a packet.
pub(crate) fn decode(text: &str, attachments: &[&[u8]]) -> Result<Packet, DecodeError> {
    let mut decoder = Decoder::new();
    let (limits, now) = (Limits::default(), start());
    let mut packet = decoder.add(Message::Text(text), &limits, now)?;
    for data in attachments {
        assert!(packet.is_none(), "complete too early: {text}");
        packet = decoder.add(Message::Binary((*data).into()), &limits, now)?;
    }
    Ok(packet.unwrap_or_else(|| panic!("incomplete: {text}")))
}

/// The text of the first packet, after Engine.IO's `4`.
pub(crate) fn text_of(encoded: &Encoded) -> &str {
    let frame = encoded.packets()[0].frame();
    assert!(frame.is_text());
    std::str::from_utf8(frame.payload())
        .unwrap()
        .strip_prefix('4')
        .unwrap()
}

/// The payloads of the packets after the first one.
pub(crate) fn attachments_of(encoded: &Encoded) -> Vec<&[u8]> {
    encoded.packets()[1..]
        .iter()
        .map(|packet| {
            assert!(packet.frame().is_binary());
            packet.frame().payload()
        })
        .collect()
}
