//! How much one caller may emit.
//!
//! A caller is whoever has a token, or a remote address where no token is asked for. What is over a
//! limit is answered with 429 and `Retry-After`, and is to be sent again after that time.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use hd_ws_server::{BucketTime, Rate, RemoteAddress, TokenBucket};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::Refused;
use super::access::Authorized;
use crate::settings::{EmitRates, Scopes, TokenId};

/// What all callers have left.
#[derive(Debug)]
pub(crate) struct EmitLimits {
    emits: Rate,
    bytes: Rate,
    recipients: Rate,
    auth_failures: Rate,
    max_concurrent: usize,
    /// Of the tokens that are set, each at its index.
    with_token: Box<[Arc<Caller>]>,
    by_address: DashMap<IpAddr, Arc<Caller>>,
    /// All whose addresses are too many to be told apart.
    others: Arc<Caller>,
    failing: DashMap<IpAddr, TokenBucket>,
    /// Bytes of bodies that have come, or are to come.
    bodies: AtomicUsize,
    /// Of purges, which look through a whole map.
    purges: TokenBucket,
    purge_rate: Rate,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EmitLimit {
    Emits,
    Bytes,
    Recipients,
    Concurrent,
    Bodies,
    AuthFailures,
}

#[derive(Debug, Default)]
struct Caller {
    emits: TokenBucket,
    bytes: TokenBucket,
    recipients: TokenBucket,
    requests: AtomicUsize,
}

/// A request that may emit, until it is answered.
#[derive(Debug)]
pub(super) struct EmitPermit<'a> {
    limits: &'a EmitLimits,
    caller: Arc<Caller>,
    scopes: Scopes,
    body_bytes: usize,
    /// When it was admitted or, once its body has come, when that came.
    at: BucketTime,
}

impl EmitLimits {
    /// For so many tokens.
    pub(crate) fn new(rates: &EmitRates, tokens: usize) -> Self {
        let rate = |per_second| Rate::per_second(per_second, BURST_SECONDS);
        Self {
            emits: rate(rates.emits),
            bytes: rate(rates.bytes),
            recipients: rate(rates.recipients),
            auth_failures: rate(AUTH_FAILURES_PER_SECOND),
            max_concurrent: rates.concurrent.get(),
            with_token: (0..tokens).map(|_| Arc::default()).collect(),
            by_address: DashMap::new(),
            others: Arc::default(),
            failing: DashMap::new(),
            bodies: AtomicUsize::new(0),
            purges: TokenBucket::default(),
            purge_rate: Rate::per_second(NonZeroU32::MIN, 2),
        }
    }

    /// Counts a request of a caller who may do something, before its body is
    /// read, which counts as so many bytes while it comes.
    pub(super) fn admit(
        &self,
        authorized: Authorized,
        remote_address: RemoteAddress,
        body_bytes: usize,
    ) -> Result<EmitPermit<'_>, Refused> {
        let now = BucketTime::now();
        let token = authorized.token.map(TokenId::index);
        let caller = match token.and_then(|index| self.with_token.get(index)) {
            Some(caller) => Arc::clone(caller),
            None => self.at_address(remote_address.network(), now),
        };
        // What the last requests owe.
        let no_debt = |bucket: &TokenBucket, rate, limit| {
            let taken = bucket.take(rate, 0, now);
            taken.map_err(|wait| limited(limit, wait))
        };
        no_debt(&caller.bytes, &self.bytes, EmitLimit::Bytes)?;
        no_debt(&caller.recipients, &self.recipients, EmitLimit::Recipients)?;
        // From here on the permit gives back what it has.
        let permit = EmitPermit {
            limits: self,
            caller,
            scopes: authorized.scopes,
            body_bytes,
            at: now,
        };
        let caller = &permit.caller;
        let requests = caller.requests.fetch_add(1, Ordering::Relaxed);
        let bodies = self.bodies.fetch_add(body_bytes, Ordering::Relaxed);
        if requests >= self.max_concurrent {
            return Err(limited(EmitLimit::Concurrent, SOON));
        }
        if bodies.saturating_add(body_bytes) > MAX_BODIES_BYTES {
            return Err(limited(EmitLimit::Bodies, SOON));
        }
        let taken = caller.emits.take(&self.emits, 1, now);
        taken.map_err(|wait| limited(EmitLimit::Emits, wait))?;
        Ok(permit)
    }

    /// What is answered to a caller without a good token: that, or 429 when
    /// there are many such of its address.
    pub(super) fn auth_failed(&self, refused: Refused, remote_address: RemoteAddress) -> Refused {
        if refused.status != StatusCode::UNAUTHORIZED {
            return refused;
        }
        let now = BucketTime::now();
        if self.failing.len() >= MAX_FAILING && self.may_purge(now) {
            self.failing.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.failing.len() >= MAX_FAILING {
            // More addresses than can be told apart.
            return refused;
        }
        let address = remote_address.network();
        let bucket = self.failing.entry(address).or_default();
        match bucket.take(&self.auth_failures, 1, now) {
            Ok(()) => refused,
            Err(wait) => limited(EmitLimit::AuthFailures, wait),
        }
    }

    fn may_purge(&self, now: BucketTime) -> bool {
        self.purges.take(&self.purge_rate, 1, now).is_ok()
    }

    fn at_address(&self, address: IpAddr, now: BucketTime) -> Arc<Caller> {
        let callers = &self.by_address;
        if let Some(caller) = callers.get(&address) {
            return Arc::clone(caller.value());
        }
        if callers.len() >= MAX_CALLERS && self.may_purge(now) {
            callers.retain(|_, caller| !caller.is_idle(now));
        }
        if callers.len() >= MAX_CALLERS {
            return Arc::clone(&self.others);
        }
        Arc::clone(callers.entry(address).or_default().value())
    }
}

impl EmitPermit<'_> {
    /// What the caller may do.
    pub(super) const fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// A body has come. What it asks for is done at once, and counted as of now.
    pub(super) fn body_has_come(&mut self, bytes: usize) {
        self.at = BucketTime::now();
        let rate = &self.limits.bytes;
        let _debt = self.caller.bytes.charge(rate, bytes as u64, self.at);
    }

    /// A batch has so many items; the request was counted as one.
    pub(super) fn items_have_come(&self, items: usize) {
        let (rate, more) = (&self.limits.emits, items.saturating_sub(1) as u64);
        let _debt = self.caller.emits.charge(rate, more, self.at);
    }

    /// Takes the recipients of an event that is for many.
    pub(super) fn take_recipients(&self, recipients: usize) -> Result<(), Refused> {
        let rate = &self.limits.recipients;
        let bucket = &self.caller.recipients;
        let taken = bucket.take(rate, recipients as u64, self.at);
        taken.map_err(|wait| limited(EmitLimit::Recipients, wait))
    }

    /// An event for one user went to so many connections.
    pub(super) fn was_delivered(&self, recipients: usize) {
        let (bucket, rate) = (&self.caller.recipients, &self.limits.recipients);
        let _debt = bucket.charge(rate, recipients as u64, self.at);
    }
}

impl Drop for EmitPermit<'_> {
    fn drop(&mut self) {
        self.caller.requests.fetch_sub(1, Ordering::Relaxed);
        self.limits
            .bodies
            .fetch_sub(self.body_bytes, Ordering::Relaxed);
    }
}

impl Caller {
    fn is_idle(&self, now: BucketTime) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
            && self.emits.is_full(now)
            && self.bytes.is_full(now)
            && self.recipients.is_full(now)
    }
}

impl EmitLimit {
    pub(crate) const ALL: [Self; 6] = [
        Self::Emits,
        Self::Bytes,
        Self::Recipients,
        Self::Concurrent,
        Self::Bodies,
        Self::AuthFailures,
    ];

    /// As logs and metrics name it.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Emits => "max_emits_per_second",
            Self::Bytes => "max_emit_bytes_per_second",
            Self::Recipients => "max_recipients_per_second",
            Self::Concurrent => "max_concurrent_emits",
            Self::Bodies => "emit_bodies_in_flight",
            Self::AuthFailures => "auth_failures_per_address",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Emits => "more emits than MAX_EMITS_PER_SECOND",
            Self::Bytes => "more bytes than MAX_EMIT_BYTES_PER_SECOND",
            Self::Recipients => "more recipients than MAX_RECIPIENTS_PER_SECOND",
            Self::Concurrent => "more requests at a time than MAX_CONCURRENT_EMITS",
            Self::Bodies => "64 MiB of request bodies are on their way",
            Self::AuthFailures => "too many requests without a good token",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            // It is not the caller's doing alone.
            Self::Bodies => StatusCode::SERVICE_UNAVAILABLE,
            Self::Emits
            | Self::Bytes
            | Self::Recipients
            | Self::Concurrent
            | Self::AuthFailures => StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

fn limited(limit: EmitLimit, wait: Duration) -> Refused {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Refused {
        header: Some((RETRY_AFTER, HeaderValue::from(seconds.max(1)))),
        limit: Some(limit),
        ..Refused::new(limit.status(), "rate_limited", limit.message())
    }
}

/// What a caller may do at once, in seconds of its rates: a back end that was
/// held up for a moment has this to catch up on.
const BURST_SECONDS: u32 = 5;
/// A token that is wrong is wrong each time. Five a second are more than a
/// person tries, and enough to see in the metrics.
const AUTH_FAILURES_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).expect("invariant: it is not zero");
/// Bytes of bodies that are read at the same time: 64 batches of the largest
/// size, or some 200,000 ordinary emits.
const MAX_BODIES_BYTES: usize = 64 * 1024 * 1024;
/// Callers that are told apart; the map takes some 1 MB.
const MAX_CALLERS: usize = 8192;
/// Addresses whose failures are counted.
const MAX_FAILING: usize = 8192;
const SOON: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn limits(emits: u32, bytes: u32, recipients: u32, concurrent: usize) -> EmitLimits {
        let rates = EmitRates {
            emits: NonZeroU32::new(emits).unwrap(),
            bytes: NonZeroU32::new(bytes).unwrap(),
            recipients: NonZeroU32::new(recipients).unwrap(),
            concurrent: NonZeroUsize::new(concurrent).unwrap(),
        };
        EmitLimits::new(&rates, TOKENS.len())
    }

    fn address(last: u8) -> RemoteAddress {
        RemoteAddress::direct(([10, 0, 0, last], 5000).into())
    }

    const TOKENS: [&str; 3] = ["a", "b", "c"];

    fn authorized(token: Option<&str>) -> Authorized {
        let index = |token: &str| TOKENS.iter().position(|known| *known == token).unwrap();
        Authorized {
            scopes: Scopes::ALL,
            token: token.map(|token| TokenId::of_index(index(token))),
        }
    }

    fn admit<'a>(limits: &'a EmitLimits, token: &str) -> Result<EmitPermit<'a>, EmitLimit> {
        let permit = limits.admit(authorized(Some(token)), address(1), 1000);
        permit.map_err(|refused| refused.limit.unwrap())
    }

    #[test]
    fn emits_are_counted_for_each_caller_and_items_of_a_batch_each() {
        let limits = limits(1, 1_000_000, 1000, 10);
        for _ in 0..5 {
            admit(&limits, "a").unwrap();
        }
        assert_eq!(admit(&limits, "a").unwrap_err(), EmitLimit::Emits);
        admit(&limits, "b").unwrap().items_have_come(5);
        assert_eq!(admit(&limits, "b").unwrap_err(), EmitLimit::Emits);
        admit(&limits, "c").unwrap();
        let by_address = |last| {
            let permit = limits.admit(authorized(None), address(last), 1);
            permit.map(drop)
        };
        for _ in 0..5 {
            assert!(by_address(1).is_ok());
        }
        assert!(by_address(1).is_err());
        assert!(by_address(2).is_ok());
    }

    #[test]
    fn bytes_and_recipients_are_owed_until_they_are_paid() {
        let limits = limits(1000, 100, 100, 10);
        admit(&limits, "a").unwrap().body_has_come(501);
        assert_eq!(admit(&limits, "a").unwrap_err(), EmitLimit::Bytes);
        admit(&limits, "b").unwrap().was_delivered(501);
        assert_eq!(admit(&limits, "b").unwrap_err(), EmitLimit::Recipients);
        // One broadcast to more than the bucket holds is possible at times.
        let permit = admit(&limits, "c").unwrap();
        assert!(permit.take_recipients(10_000).is_ok());
        assert!(permit.take_recipients(1).is_err());
    }

    #[test]
    fn requests_at_a_time_and_their_bodies_are_bounded_and_given_back() {
        let few = limits(1000, 100, 100, 2);
        let first = admit(&few, "a").unwrap();
        let _second = admit(&few, "a").unwrap();
        assert_eq!(admit(&few, "a").unwrap_err(), EmitLimit::Concurrent);
        assert!(admit(&few, "b").is_ok());
        drop(first);
        assert!(admit(&few, "a").is_ok());

        let many = limits(1000, 100, 100, 1000);
        let large = || many.admit(authorized(Some("a")), address(1), 1 << 20);
        let held: Vec<_> = (0..64).map(|_| large().ok().unwrap()).collect();
        let refused = large().unwrap_err();
        assert_eq!(refused.limit, Some(EmitLimit::Bodies));
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        drop(held);
        assert!(large().is_ok());
        assert_eq!(many.bodies.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn failures_of_an_address_are_bounded_and_those_of_others_answered() {
        let limits = limits(1, 1, 1, 1);
        let fail = |last| {
            let refused = Refused::new(StatusCode::UNAUTHORIZED, "invalid_token", "");
            limits.auth_failed(refused, address(last)).status
        };
        for _ in 0..25 {
            assert_eq!(fail(1), StatusCode::UNAUTHORIZED);
        }
        assert_eq!(fail(1), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(fail(2), StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn callers_beyond_the_bound_share_one_allowance() {
        let limits = limits(1, 1_000_000, 1000, 10);
        let now = BucketTime::now();
        for number in 0..MAX_CALLERS + 10 {
            let ip = IpAddr::from([1, 1, (number >> 8) as u8, number as u8]);
            let caller = limits.at_address(ip, now);
            caller.emits.charge(&limits.emits, 100, now);
        }
        assert!(limits.by_address.len() <= MAX_CALLERS);
    }
}
