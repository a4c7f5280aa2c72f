//! How often something comes from each address: a token bucket for each, in a
//! table of bounded size.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// How often something may happen: so often a second, and [`BURST_SECONDS`]
/// times as often at once, unless it is [without a burst](Self::without_burst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// The time in which one token grows back.
    each: Duration,
    /// The time in which a whole bucket does.
    full: Duration,
}

/// The bucket of each address.
///
/// An address whose bucket is full is not kept. When there are too many, the
/// one that was quiet for longest is forgotten.
#[derive(Debug)]
pub(crate) struct Rates {
    rate: Option<Rate>,
    addresses: HashMap<IpAddr, Bucket>,
    /// The one that was quiet for longest first.
    by_use: BTreeMap<u64, IpAddr>,
    next_use: u64,
    max_addresses: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// When it is full again (the generic cell rate algorithm).
    full_at: Instant,
    used: u64,
}

impl Rate {
    pub(crate) fn per_second(count: NonZeroU32) -> Self {
        Self {
            each: Duration::from_secs(1) / count.get(),
            full: Duration::from_secs(BURST_SECONDS),
        }
    }

    /// The same, of which no more than one second's may happen at once.
    pub(crate) const fn without_burst(self) -> Self {
        Self {
            full: Duration::from_secs(1),
            ..self
        }
    }
}

impl Bucket {
    fn has_token(&self, rate: Rate, now: Instant) -> bool {
        self.full_at + rate.each <= now + rate.full
    }
}

impl Rates {
    /// Without a rate everything is allowed, and nothing kept.
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            addresses: HashMap::new(),
            by_use: BTreeMap::new(),
            next_use: 0,
            max_addresses: MAX_ADDRESSES,
        }
    }

    /// Whether there is a token for this address now.
    pub(crate) fn allows(&self, address: IpAddr, now: Instant) -> bool {
        let (Some(rate), Some(bucket)) = (self.rate, self.addresses.get(&address)) else {
            return true;
        };
        bucket.has_token(rate, now)
    }

    /// Takes a token; false when there is none.
    pub(crate) fn take(&mut self, address: IpAddr, now: Instant) -> bool {
        let Some(rate) = self.rate else {
            return true;
        };
        let used = self.next_use;
        if let Some(bucket) = self.addresses.get_mut(&address) {
            if !bucket.has_token(rate, now) {
                return false;
            }
            self.by_use.remove(&bucket.used);
            let full_at = bucket.full_at.max(now) + rate.each;
            *bucket = Bucket { full_at, used };
        } else {
            self.make_room(now);
            let full_at = now + rate.each;
            self.addresses.insert(address, Bucket { full_at, used });
        }
        self.next_use += 1;
        self.by_use.insert(used, address);
        true
    }

    /// Gives a token back that was taken.
    pub(crate) fn give_back(&mut self, address: IpAddr) {
        if let (Some(rate), Some(bucket)) = (self.rate, self.addresses.get_mut(&address)) {
            // One that lies in the past is of a bucket that is full.
            bucket.full_at = bucket
                .full_at
                .checked_sub(rate.each)
                .unwrap_or(bucket.full_at);
        }
    }

    /// Forgets addresses whose bucket is full, and at the bound one whose is not.
    fn make_room(&mut self, now: Instant) {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some((&used, &address)) = self.by_use.first_key_value() else {
                break;
            };
            let is_full = self
                .addresses
                .get(&address)
                .is_none_or(|bucket| bucket.full_at <= now);
            if !is_full && self.addresses.len() < self.max_addresses {
                break;
            }
            self.by_use.remove(&used);
            self.addresses.remove(&address);
        }
        if self.addresses.is_empty() {
            // Tables never shrink by themselves, and floods end.
            self.addresses = HashMap::new();
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        assert_eq!(self.addresses.len(), self.by_use.len());
        self.addresses.len()
    }
}

/// What a bucket holds, in seconds of its rate. 10: a quiet address may make up
/// for that long, and at 20 handshakes a second it is an office of 200 that
/// comes at the same moment.
const BURST_SECONDS: u64 = 10;
/// Addresses whose buckets are kept. 65,536, some 10 MB: whoever has more of
/// them does as well by using each a little.
const MAX_ADDRESSES: usize = 65_536;
/// Two go for each one that comes, so that the table shrinks.
const EXPIRED_AT_ONCE: usize = 2;

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;
    use std::net::Ipv4Addr;

    use super::*;

    const OFFICE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn rates(per_second: u32) -> Rates {
        Rates::new(NonZeroU32::new(per_second).map(Rate::per_second))
    }

    #[test]
    fn a_bucket_holds_ten_seconds_and_fills_at_its_rate() {
        let (mut rates, start) = (rates(20), Instant::now());
        let burst = (0..1000).filter(|_| rates.take(OFFICE, start)).count();
        assert_eq!(burst, 200);
        assert!(!rates.allows(OFFICE, start));
        let second = (1..=1000)
            .filter(|ms| rates.take(OFFICE, start + Duration::from_millis(*ms)))
            .count();
        assert_eq!(second, 20);
        // It never holds more than it can.
        let later = start + Duration::from_secs(3600);
        let burst = (0..1000).filter(|_| rates.take(OFFICE, later)).count();
        assert_eq!(burst, 200);
    }

    #[test]
    fn a_bucket_without_a_burst_holds_one_second() {
        let start = Instant::now();
        let rate = NonZeroU32::new(20).map(Rate::per_second);
        let mut rates = Rates::new(rate.map(Rate::without_burst));
        let burst = (0..1000).filter(|_| rates.take(OFFICE, start)).count();
        assert_eq!(burst, 20);
        let second = (1..=1000)
            .filter(|ms| rates.take(OFFICE, start + Duration::from_millis(*ms)))
            .count();
        assert_eq!(second, 20);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        let (mut rates, now) = (rates(1), Instant::now());
        for _ in 0..1000 {
            assert!(rates.take(OFFICE, now));
            rates.give_back(OFFICE);
        }
        let later = now + Duration::from_secs(1);
        let burst = (0..1000).filter(|_| rates.take(OFFICE, later)).count();
        assert_eq!(burst, 10);
    }

    #[test]
    fn addresses_do_not_count_for_each_other_and_are_forgotten() {
        let (mut rates, now) = (rates(1), Instant::now());
        let address = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        for n in 0..1000 {
            assert!(rates.take(address(n), now));
        }
        assert_eq!(rates.len(), 1000);
        let later = now + Duration::from_secs(10);
        for n in 0..1000 {
            assert!(rates.take(address(n + 5000), later));
        }
        assert_eq!(rates.len(), 1000, "the first are gone");
    }

    #[test]
    fn at_the_bound_the_one_that_was_quiet_for_longest_is_forgotten() {
        let (mut rates, now) = (rates(1), Instant::now());
        rates.max_addresses = 100;
        let address = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        while rates.take(OFFICE, now) {}
        for n in 0..10_000 {
            assert!(rates.take(address(n), now));
            // It is busy, and stays.
            assert!(!rates.take(OFFICE, now) || n > 98);
            assert!(rates.len() <= 100);
        }
    }

    /// 2,000 agents behind one address lose their connections at the same moment
    /// and come back by the schedule of socket.io-client, as the front end sets
    /// it: `reconnectionDelay` 1000, `reconnectionDelayMax` 5000,
    /// `randomizationFactor` 0.5, 5 attempts. Each joins 100 ms after its
    /// handshake, if there was room for it, and gives its token back. Strangers
    /// at the same address ask 50 times a second, and get what is theirs.
    #[test]
    fn an_office_of_2000_is_back_within_13_s_and_strangers_get_20_a_second() {
        #[derive(PartialEq, Eq, PartialOrd, Ord)]
        enum Step {
            Joins,
            Asks { attempt: u32 },
            Stranger,
        }
        let mut random = 42_u64;
        let mut random = move || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as f64 / (1_u64 << 31) as f64
        };
        // backo2.
        let mut delay = move |attempt: u32| {
            let ms = 1000.0 * f64::from(2_u32.pow(attempt));
            let deviation = random() * 0.5 * ms;
            let ms = if random() < 0.5 {
                ms - deviation
            } else {
                ms + deviation
            };
            ms.min(5000.0) as u64
        };
        let mut rates = rates(20);
        let start = Instant::now();
        let mut steps = BinaryHeap::new();
        for agent in 0..2000 {
            steps.push(Reverse((delay(0), agent, Step::Asks { attempt: 0 })));
        }
        for stranger in 0..650 {
            steps.push(Reverse((stranger * 20, 2000 + stranger, Step::Stranger)));
        }
        let (mut back, mut last, mut strangers) = (0, 0, 0);
        while let Some(Reverse((at, who, step))) = steps.pop() {
            let now = start + Duration::from_millis(at);
            match step {
                Step::Joins => {
                    rates.give_back(OFFICE);
                    (back, last) = (back + 1, at);
                }
                Step::Asks { .. } if rates.take(OFFICE, now) => {
                    steps.push(Reverse((at + 100, who, Step::Joins)));
                }
                Step::Asks { attempt } => {
                    assert!(attempt < 4, "an agent gives up");
                    let attempt = attempt + 1;
                    steps.push(Reverse((at + delay(attempt), who, Step::Asks { attempt })));
                }
                Step::Stranger => strangers += u32::from(rates.take(OFFICE, now)),
            }
        }
        assert_eq!(back, 2000);
        assert!(last <= 13_000, "the last is back after {last} ms");
        // 13 s of their rate, and the bucket that was full.
        assert!(strangers <= 20 * 13 + 200, "{strangers} strangers");
    }
}
