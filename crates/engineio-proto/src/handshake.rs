//! The open packet.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;

use crate::{Config, EncodedPacket, Frame, PacketType, Sid, Transport, Transports};

/// What the server tells a client in the open packet.
///
/// [Engine.IO protocol, "Handshake"](https://socket.io/docs/v4/engine-io-protocol/#handshake)
///
/// A server's session ids are [`Sid`]s. A client takes them as text, since each
/// server makes them in its own way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake<S = Sid> {
    /// The session id.
    pub sid: S,
    /// Transports that the session may move to.
    pub upgrades: &'static [Transport],
    /// See [`Config::ping_interval`].
    pub ping_interval: Duration,
    /// See [`Config::ping_timeout`].
    pub ping_timeout: Duration,
    /// See [`Config::max_payload`].
    pub max_payload: usize,
}

impl Handshake {
    /// The handshake of a session that begins on `transport`.
    #[must_use]
    pub fn new(sid: Sid, transport: Transport, config: &Config) -> Self {
        let upgrades: &[Transport] = match (transport, config.transports) {
            (Transport::Polling, Transports::Both) => &[Transport::WebSocket],
            (Transport::Polling | Transport::WebSocket, _) => &[],
        };
        Self {
            sid,
            upgrades,
            ping_interval: config.ping_interval,
            ping_timeout: config.ping_timeout,
            max_payload: config.max_payload,
        }
    }

    /// The open packet, its keys in engine.io's order.
    #[must_use]
    pub fn encode(&self) -> EncodedPacket {
        EncodedPacket::from_frame(Frame::text_with(OPEN_LEN, |text| {
            text.push(PacketType::Open.digit());
            let upgrades = if self.upgrades.is_empty() {
                "[]"
            } else {
                r#"["websocket"]"#
            };
            let written = write!(
                text,
                r#"{{"sid":"{}","upgrades":{upgrades},"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
                self.sid,
                self.ping_interval.as_millis(),
                self.ping_timeout.as_millis(),
                self.max_payload,
            );
            debug_assert!(written.is_ok(), "a String takes any text");
        }))
    }
}

impl Handshake<Box<str>> {
    /// Parses the data of an open packet, in the client's role. Unknown
    /// upgrades and unknown keys are left out.
    ///
    /// # Errors
    ///
    /// [`InvalidHandshake`] when the data is not a handshake, or when its
    /// session id would have to be escaped in a query.
    pub fn decode(data: &str) -> Result<Self, InvalidHandshake> {
        let open: Open<'_> = serde_json::from_str(data).map_err(|_| InvalidHandshake)?;
        if open.sid.is_empty() || !open.sid.bytes().all(is_unreserved) {
            return Err(InvalidHandshake);
        }
        Ok(Self {
            sid: open.sid.into(),
            upgrades: if open.upgrades.contains(&"websocket") {
                &[Transport::WebSocket]
            } else {
                &[]
            },
            ping_interval: Duration::from_millis(open.ping_interval),
            ping_timeout: Duration::from_millis(open.ping_timeout),
            max_payload: open.max_payload,
        })
    }
}

/// RFC 3986, section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The server's open packet holds no handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the open packet holds no handshake")]
pub struct InvalidHandshake;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open<'a> {
    sid: &'a str,
    upgrades: Vec<&'a str>,
    ping_interval: u64,
    ping_timeout: u64,
    // Servers before engine.io 6.2 do not send it.
    #[serde(default)]
    max_payload: usize,
}

/// An open packet with the default settings is 118 bytes long.
const OPEN_LEN: usize = 128;
