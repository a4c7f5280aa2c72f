//! What clients, users and callers may do in a second.

use std::num::{NonZeroU32, NonZeroUsize};

use super::reader::Reader;
use super::values;
use super::variables as var;

/// What a client may send, and a user have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientLimits {
    /// Messages a second.
    pub(crate) messages: NonZeroU32,
    /// Bytes a second.
    pub(crate) inbound_bytes: NonZeroU32,
    pub(crate) connections_per_user: NonZeroUsize,
    /// Bytes that may wait for all clients together.
    pub(crate) send_queue_total_bytes: usize,
}

/// What one caller of the emit routes may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmitRates {
    /// Emits a second.
    pub(crate) emits: NonZeroU32,
    /// Bytes a second.
    pub(crate) bytes: NonZeroU32,
    /// Recipients a second.
    pub(crate) recipients: NonZeroU32,
    /// Requests at a time.
    pub(crate) concurrent: NonZeroUsize,
}

pub(super) fn client_limits(reader: &mut Reader<'_>, send_queue_bytes: usize) -> ClientLimits {
    let rate = |text: &str| values::number(text, NonZeroU32::MIN..=MAX_RATE);
    let limits = ClientLimits {
        messages: reader.value(&var::MAX_MESSAGES_PER_SECOND, rate),
        inbound_bytes: reader.value(&var::MAX_INBOUND_BYTES_PER_SECOND, rate),
        connections_per_user: reader.value(&var::MAX_CONNECTIONS_PER_USER, |text| {
            values::number(text, NonZeroUsize::MIN..=MAX_CONNECTIONS_PER_USER)
        }),
        send_queue_total_bytes: reader.value(&var::MAX_SEND_QUEUE_TOTAL_BYTES, |text| {
            values::number(
                text,
                MIN_SEND_QUEUE_TOTAL_BYTES..=MAX_SEND_QUEUE_TOTAL_BYTES,
            )
        }),
    };
    if limits.send_queue_total_bytes < send_queue_bytes {
        reader.problem(
            &var::MAX_SEND_QUEUE_TOTAL_BYTES,
            "is less than SEND_QUEUE_BYTES, which may wait for one client",
            "raise it, or lower SEND_QUEUE_BYTES",
        );
    }
    limits
}

pub(super) fn emit_rates(reader: &mut Reader<'_>) -> EmitRates {
    let rate = |text: &str| values::number(text, NonZeroU32::MIN..=MAX_RATE);
    EmitRates {
        emits: reader.value(&var::MAX_EMITS_PER_SECOND, rate),
        bytes: reader.value(&var::MAX_EMIT_BYTES_PER_SECOND, rate),
        recipients: reader.value(&var::MAX_RECIPIENTS_PER_SECOND, rate),
        concurrent: reader.value(&var::MAX_CONCURRENT_EMITS, |text| {
            values::number(text, NonZeroUsize::MIN..=MAX_CONCURRENT)
        }),
    }
}

/// As good as no limit.
const MAX_RATE: NonZeroU32 = NonZeroU32::new(1_000_000_000).expect("invariant: it is not zero");
/// They are looked through at each connect and disconnect of the user.
const MAX_CONNECTIONS_PER_USER: NonZeroUsize =
    NonZeroUsize::new(10_000).expect("invariant: it is not zero");
const MAX_CONCURRENT: NonZeroUsize =
    NonZeroUsize::new(1_000_000).expect("invariant: it is not zero");
/// One client with the smallest `SEND_QUEUE_BYTES`.
const MIN_SEND_QUEUE_TOTAL_BYTES: usize = super::LEAST_SEND_QUEUE_BYTES;
/// 64 GiB.
const MAX_SEND_QUEUE_TOTAL_BYTES: usize = super::MOST_REPLAY_BYTES;
