//! What clients may cost that have joined nothing, and what one address may ask for.

use std::num::{NonZeroU32, NonZeroUsize};

use super::reader::Reader;
use super::variables as var;
use super::{MOST_BYTES, values};

/// Bounds on what anybody may cost who reaches the port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StrangerSettings {
    /// Most clients that have joined nothing.
    pub(crate) max_unjoined_connections: NonZeroUsize,
    /// The same, of one address.
    pub(crate) max_connections_per_address: NonZeroUsize,
    pub(crate) max_handshakes_per_connection: NonZeroU32,
    /// A second.
    pub(crate) max_handshakes_per_address: NonZeroU32,
    /// A second.
    pub(crate) max_auth_failures_per_address: NonZeroU32,
    /// Whether somebody chose a limit of an address: then it holds for addresses too that may be
    /// those of load balancers.
    pub(crate) limit_private_addresses: bool,
    /// Most bytes of a message before joining, and after it.
    pub(crate) max_unjoined_message_bytes: NonZeroUsize,
    pub(crate) max_message_bytes: NonZeroUsize,
    /// Most packets of a client that has joined nothing.
    pub(crate) max_unjoined_packets: NonZeroU32,
    /// Most bytes of what has come in part, from all clients.
    pub(crate) max_partial_input_bytes: NonZeroUsize,
}

pub(super) fn strangers(
    reader: &mut Reader<'_>,
    max_connections: NonZeroUsize,
) -> StrangerSettings {
    let share = (max_connections.get() / UNJOINED_SHARE).max(LEAST_UNJOINED);
    let share = share.min(max_connections.get());
    let clients = |text: &str| values::number(text, NonZeroUsize::MIN..=max_connections);
    let rate = |text: &str| values::number(text, NonZeroU32::MIN..=MOST_OFTEN);
    let bytes = |text: &str| values::number(text, LEAST_MESSAGE_BYTES..=MOST_MESSAGE_BYTES);
    let of_an_address = [
        &var::MAX_CONNECTIONS_PER_ADDRESS,
        &var::MAX_HANDSHAKES_PER_ADDRESS,
        &var::MAX_AUTH_FAILURES_PER_ADDRESS,
    ];
    StrangerSettings {
        limit_private_addresses: of_an_address
            .into_iter()
            .any(|variable| reader.is_explicit(variable)),
        max_unjoined_connections: reader.value_or(
            &var::MAX_UNJOINED_CONNECTIONS,
            &share.to_string(),
            clients,
        ),
        max_connections_per_address: reader.value(&var::MAX_CONNECTIONS_PER_ADDRESS, |text| {
            values::number(text, NonZeroUsize::MIN..=MOST_OF_AN_ADDRESS)
        }),
        max_handshakes_per_connection: reader.value(&var::MAX_HANDSHAKES_PER_CONNECTION, rate),
        max_handshakes_per_address: reader.value(&var::MAX_HANDSHAKES_PER_ADDRESS, rate),
        max_auth_failures_per_address: reader.value(&var::MAX_AUTH_FAILURES_PER_ADDRESS, rate),
        max_unjoined_message_bytes: reader.value(&var::MAX_UNJOINED_MESSAGE_BYTES, bytes),
        max_message_bytes: reader.value(&var::MAX_MESSAGE_BYTES, bytes),
        max_unjoined_packets: reader.value(&var::MAX_UNJOINED_PACKETS, rate),
        max_partial_input_bytes: reader.value(&var::MAX_PARTIAL_INPUT_BYTES, |text| {
            values::number(text, LEAST_PARTIAL_INPUT..=MOST_PARTIAL_INPUT)
        }),
    }
}

impl StrangerSettings {
    /// Warns of bounds that the larger ones make pointless.
    pub(super) fn warn_of_sizes(&self, reader: &mut Reader<'_>, max_payload: usize) {
        if self.max_message_bytes.get() > max_payload {
            reader.warn(
                &var::MAX_MESSAGE_BYTES,
                "is larger than MAX_PAYLOAD, which clients are told at the handshake and which \
                 holds for every message; raise both, or lower this one",
            );
        }
        if self.max_unjoined_message_bytes > self.max_message_bytes {
            reader.warn(
                &var::MAX_UNJOINED_MESSAGE_BYTES,
                "is larger than MAX_MESSAGE_BYTES: clients that have joined nothing may send \
                 larger messages than those that have",
            );
        }
    }
}

/// A tenth: the rest can only be taken by who has a token.
const UNJOINED_SHARE: usize = 10;
/// As many as may come at once: those of a small server are all of its clients.
const LEAST_UNJOINED: usize = 1000;
const MOST_OFTEN: NonZeroU32 = NonZeroU32::new(1_000_000).expect("invariant: it is not zero");
const MOST_OF_AN_ADDRESS: NonZeroUsize =
    NonZeroUsize::new(1_000_000).expect("invariant: it is not zero");
/// A CONNECT packet with a short token.
const LEAST_MESSAGE_BYTES: NonZeroUsize =
    NonZeroUsize::new(1024).expect("invariant: it is not zero");
const MOST_MESSAGE_BYTES: NonZeroUsize =
    NonZeroUsize::new(MOST_BYTES).expect("invariant: it is not zero");
const LEAST_PARTIAL_INPUT: NonZeroUsize =
    NonZeroUsize::new(1024 * 1024).expect("invariant: it is not zero");
/// 64 GiB, as for what is replayed.
const MOST_PARTIAL_INPUT: NonZeroUsize =
    NonZeroUsize::new(64 * 1024 * 1024 * 1024).expect("invariant: it is not zero");
