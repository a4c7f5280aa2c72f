//! How much a client may send, and what becomes of one that sends more
//! ([ADR 19](../../../../docs/adr/0019-clients-that-send-too-much-are-slowed-down.md)).

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Application, Connection};
use crate::{BucketTime, Rate, Rejection, ServerConfig, TokenBucket};

/// The rates that all clients share.
#[derive(Debug)]
pub(super) struct InboundRates {
    messages: Option<Rate>,
    bytes: Option<Rate>,
}

/// What a client has left of them, or all clients of one user together.
#[derive(Debug, Default)]
pub(super) struct InboundBuckets {
    messages: TokenBucket,
    bytes: TokenBucket,
}

/// A client has sent more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    pub(super) reason: Rejection,
    /// The time after which it may send again.
    pub(super) wait: Duration,
}

impl InboundRates {
    pub(super) fn new(config: &ServerConfig) -> Self {
        let rate = |per_second: NonZeroU32| Rate::per_second(per_second, BURST_SECONDS);
        let largest_message = config.engine.max_payload as u64;
        Self {
            messages: config.max_messages_per_second.map(rate),
            bytes: config
                .max_inbound_bytes_per_second
                .map(|bytes| rate(bytes).with_burst_of_at_least(largest_message)),
        }
    }

    pub(super) const fn are_unlimited(&self) -> bool {
        self.messages.is_none() && self.bytes.is_none()
    }
}

impl InboundBuckets {
    pub(super) fn are_full(&self, now: BucketTime) -> bool {
        self.messages.is_full(now) && self.bytes.is_full(now)
    }

    fn message_has_come(&self, rates: &InboundRates, now: BucketTime) -> Duration {
        let rate = rates.messages.as_ref();
        rate.map_or(Duration::ZERO, |rate| self.messages.charge(rate, 1, now))
    }

    fn bytes_have_come(&self, rates: &InboundRates, bytes: usize, now: BucketTime) -> Duration {
        let rate = rates.bytes.as_ref();
        rate.map_or(Duration::ZERO, |rate| {
            self.bytes.charge(rate, bytes as u64, now)
        })
    }
}

impl<A: Application> Connection<A> {
    /// Counts a packet, or a control frame. The client is to be read on only
    /// after the wait of what it sent in excess.
    pub(super) fn message_has_come(&self, now: BucketTime) -> Option<Excess> {
        let rates = &self.engine.inbound_rates;
        self.excess(Rejection::MaxMessagesPerSecond, |buckets| {
            buckets.message_has_come(rates, now)
        })
    }

    /// Counts bytes, as they came over the network.
    pub(super) fn bytes_have_come(&self, bytes: usize, now: BucketTime) -> Option<Excess> {
        let rates = &self.engine.inbound_rates;
        self.excess(Rejection::MaxInboundBytesPerSecond, |buckets| {
            buckets.bytes_have_come(rates, bytes, now)
        })
    }

    fn excess(
        &self,
        reason: Rejection,
        charge: impl Fn(&InboundBuckets) -> Duration,
    ) -> Option<Excess> {
        let of_client = charge(&self.inbound);
        let of_user = self.user().map(|user| charge(&user.inbound));
        let wait = of_client.max(of_user.unwrap_or_default());
        (!wait.is_zero()).then_some(Excess { reason, wait })
    }
}

/// What a client may send at once, in seconds of its rates. With 50 messages a
/// second these are 250: a CONNECT, and what an application has to say first,
/// are some ten, and a user with 50 tabs who reconnects sends as many.
const BURST_SECONDS: u32 = 5;
