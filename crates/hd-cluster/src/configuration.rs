use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::address::Address;

/// What one Sentinel says of the master that it watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// Counts the failovers that were decided: of two that differ, the higher
    /// one is the newer.
    epoch: u64,
    master: Address,
    /// Whether a replica has been selected, and is not known to be the master
    /// yet.
    is_promoting: bool,
}

/// A Sentinel's answer makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidConfiguration {
    #[error("it knows no such master")]
    Unknown,
    #[error("its configuration has no epoch")]
    Epoch,
    #[error("the master's address is none")]
    Address,
}

/// What each of the Sentinels said last, and who is the master by that. A pure
/// machine.
///
/// The highest epoch wins, as it does among Sentinels: the one that leads a
/// failover knows of the new master before the others, and who says the old
/// name after it is late. One that cannot be asked counts for a while, until the
/// others have to know what it knew, and then no more; the master stays the same
/// until somebody names another.
#[derive(Debug)]
pub(crate) struct Configurations {
    sentinels: Vec<Said>,
    master: Option<Address>,
    /// How long a promotion is waited for.
    promotion_wait: Duration,
}

/// ```text
///                 handle_answer
///  ┌─────────┐ ──────────────────► ┌───────────────┐
///  │ Nothing │                     │ Configuration │ ◄─┐ handle_answer
///  └─────────┘ ────┐               └───────────────┘ ──┘
///        handle_gone                 │          ▲
///                  ▼    handle_gone  ▼          │ handle_answer
///                ┌─────────────────────┐        │
///                │        Gone         │ ───────┘
///                └─────────────────────┘
/// ```
#[derive(Debug)]
enum Said {
    /// It has not been asked yet.
    Nothing,
    Configuration(Latest),
    /// It cannot be asked.
    Gone {
        why: String,
        /// What it said before, and until when that counts.
        before: Option<(Latest, Instant)>,
    },
}

#[derive(Clone, Debug)]
struct Latest {
    configuration: Configuration,
    /// Since when it has said that a replica is being promoted.
    promoting_since: Option<Instant>,
}

/// Whom a process should speak to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    /// Sentinels are being asked.
    Asking,
    /// None of them says, for instance because of this.
    Nobody(&'a str),
    /// This one.
    Master(&'a Address),
}

impl Configurations {
    pub(crate) fn new(sentinels: usize, promotion_wait: Duration) -> Self {
        Self {
            sentinels: std::iter::repeat_with(|| Said::Nothing)
                .take(sentinels)
                .collect(),
            master: None,
            promotion_wait,
        }
    }

    /// A Sentinel, by its number, has answered.
    pub(crate) fn handle_answer(&mut self, sentinel: usize, latest: Configuration, now: Instant) {
        let before = self.sentinels[sentinel].promoting_since();
        let promoting_since = latest.is_promoting.then(|| before.unwrap_or(now));
        self.sentinels[sentinel] = Said::Configuration(Latest {
            configuration: latest,
            promoting_since,
        });
        self.judge(now);
    }

    /// A Sentinel, by its number, cannot be asked.
    pub(crate) fn handle_gone(&mut self, sentinel: usize, why: String, now: Instant) {
        let said = &mut self.sentinels[sentinel];
        let before = match said {
            Said::Nothing => None,
            Said::Configuration(latest) => Some((latest.clone(), now + REMEMBERED)),
            Said::Gone { before, .. } => before.take(),
        };
        *said = Said::Gone { why, before };
        self.judge(now);
    }

    pub(crate) fn verdict(&self) -> Verdict<'_> {
        if let Some(master) = &self.master {
            return Verdict::Master(master);
        }
        let mut verdict = Verdict::Nobody("there is none");
        for said in &self.sentinels {
            match said {
                Said::Gone { why, .. } => verdict = Verdict::Nobody(why),
                Said::Nothing | Said::Configuration(_) => return Verdict::Asking,
            }
        }
        verdict
    }

    pub(crate) fn master(&self) -> Option<&Address> {
        self.master.as_ref()
    }

    pub(crate) fn is_master(&self, address: &Address) -> bool {
        self.master() == Some(address)
    }

    /// Until when the master may be one no more without anybody knowing it:
    /// what it accepts then may be lost.
    pub(crate) fn promotion_ends_at(&self, now: Instant) -> Option<Instant> {
        let since = self.sentinels.iter().filter_map(Said::promoting_since);
        let ends = since.map(|since| since + self.promotion_wait);
        ends.filter(|ends| *ends > now).max()
    }

    fn judge(&mut self, now: Instant) {
        let said = self.sentinels.iter();
        let said = said.filter_map(|said| said.configuration(now));
        let Some(epoch) = said.clone().map(|said| said.epoch).max() else {
            return;
        };
        let mut newest = said
            .filter(|said| said.epoch == epoch)
            .map(|said| &said.master);
        // Some may contradict each other; who is the master stays it then.
        let stays = |master: &&Address| newest.clone().any(|named| named == *master);
        if self.master.as_ref().filter(stays).is_none() {
            self.master = newest.next().cloned();
        }
    }
}

impl Said {
    /// What counts.
    fn configuration(&self, now: Instant) -> Option<&Configuration> {
        match self {
            Self::Configuration(latest) => Some(&latest.configuration),
            Self::Gone {
                before: Some((latest, until)),
                ..
            } if now < *until => Some(&latest.configuration),
            Self::Nothing | Self::Gone { .. } => None,
        }
    }

    fn promoting_since(&self) -> Option<Instant> {
        match self {
            Self::Configuration(latest)
            | Self::Gone {
                before: Some((latest, _)),
                ..
            } => latest.promoting_since,
            Self::Nothing | Self::Gone { .. } => None,
        }
    }
}

impl Configuration {
    /// By the answers to `SENTINEL MASTER`, `SENTINEL REPLICAS` and `SENTINEL
    /// GET-MASTER-ADDR-BY-NAME`.
    pub(crate) fn parse(
        master: &HashMap<String, String>,
        replicas: &[HashMap<String, String>],
        address: Option<(String, i64)>,
    ) -> Result<Self, InvalidConfiguration> {
        let (host, port) = address.ok_or(InvalidConfiguration::Unknown)?;
        let epoch = master
            .get("config-epoch")
            .and_then(|epoch| epoch.parse().ok())
            .ok_or(InvalidConfiguration::Epoch)?;
        let master = named(host, port)?;
        let is_promoted = |replica: &HashMap<String, String>| {
            let flags = replica.get("flags").map_or("", String::as_str);
            let has_flag = flags.split(',').any(|flag| flag == "promoted");
            has_flag && described(replica).as_ref() != Some(&master)
        };
        Ok(Self {
            epoch,
            is_promoting: replicas.iter().any(is_promoted),
            master,
        })
    }
}

/// A host that is a name or an address, and no more.
fn named(host: String, port: i64) -> Result<Address, InvalidConfiguration> {
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    let port = u16::try_from(port).ok().filter(|port| *port != 0);
    match port {
        Some(port)
            if (1..=MAX_HOST_BYTES).contains(&host.len()) && host.bytes().all(is_of_a_name) =>
        {
            Ok(Address::new(host, port))
        }
        Some(_) | None => Err(InvalidConfiguration::Address),
    }
}

/// Of a server that a Sentinel describes.
fn described(server: &HashMap<String, String>) -> Option<Address> {
    let port = server.get("port")?.parse().ok()?;
    Some(Address::new(server.get("ip")?, port))
}

/// Sentinels tell each other what they know every 2 s.
const REMEMBERED: Duration = Duration::from_secs(10);
/// The longest name of DNS.
const MAX_HOST_BYTES: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(1);

    fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn address(port: u16) -> Address {
        Address::new("10.0.0.1", port)
    }

    fn said(epoch: u64, port: u16) -> Configuration {
        Configuration {
            epoch,
            master: address(port),
            is_promoting: false,
        }
    }

    fn promoting(epoch: u64, port: u16) -> Configuration {
        Configuration {
            is_promoting: true,
            ..said(epoch, port)
        }
    }

    fn parse(epoch: &str, host: &str, port: i64) -> Result<Configuration, InvalidConfiguration> {
        let master = map(&[("config-epoch", epoch)]);
        Configuration::parse(&master, &[], Some((host.to_owned(), port)))
    }

    #[test]
    fn an_answer_is_taken() {
        assert_eq!(parse("7", "10.0.0.1", 6379), Ok(said(7, 6379)));
        let named = parse("7", "redis-1.example_a", 65535).unwrap();
        assert_eq!(named.master.to_string(), "redis-1.example_a:65535");
        let named = parse("7", "fd00::1", 6379).unwrap();
        assert_eq!(named.master.to_string(), "[fd00::1]:6379");
        assert!(parse("7", &"a".repeat(MAX_HOST_BYTES), 6379).is_ok());
    }

    #[test]
    fn nonsense_is_not() {
        use InvalidConfiguration::{Address, Epoch, Unknown};
        for epoch in ["", "-1", "x", "18446744073709551616"] {
            assert_eq!(parse(epoch, "a", 1), Err(Epoch), "{epoch}");
        }
        for port in [0, -1, 65536, i64::MAX] {
            assert_eq!(parse("1", "a", port), Err(Address), "{port}");
        }
        let long = "a".repeat(MAX_HOST_BYTES + 1);
        for host in ["", "user@host", "host/1", "a b", "ü", "a\n", "a%b", &long] {
            assert_eq!(parse("1", host, 1), Err(Address), "{host}");
        }
        let nothing = HashMap::new();
        let refused = Configuration::parse(&nothing, &[], Some(("a".to_owned(), 1)));
        assert_eq!(refused, Err(Epoch));
        let refused = Configuration::parse(&map(&[("config-epoch", "1")]), &[], None);
        assert_eq!(refused, Err(Unknown));
    }

    #[test]
    fn a_promotion_is_under_way_until_another_one_is_named() {
        let master = map(&[("config-epoch", "1")]);
        let parse = |flags, port| {
            let promoted = [("flags", flags), ("ip", "10.0.0.1"), ("port", "2")];
            let replicas = [map(&[("flags", "slave")]), map(&promoted)];
            Configuration::parse(&master, &replicas, Some(("10.0.0.1".to_owned(), port))).unwrap()
        };
        assert_eq!(parse("slave,promoted", 1), promoting(1, 1));
        assert_eq!(parse("slave,promoted", 2), said(1, 2));
        assert_eq!(parse("slave,unpromoted", 1), said(1, 1));
        assert_eq!(parse("slave", 1), said(1, 1));
    }

    #[test]
    fn the_highest_epoch_names_the_master() {
        let now = Instant::now();
        let mut all = Configurations::new(3, WAIT);
        assert_eq!(all.verdict(), Verdict::Asking);
        all.handle_answer(0, said(4, 1), now);
        assert_eq!(all.verdict(), Verdict::Master(&address(1)));
        all.handle_answer(1, said(5, 2), now);
        assert_eq!(all.verdict(), Verdict::Master(&address(2)));
        // These are late.
        all.handle_answer(0, said(4, 1), now);
        all.handle_answer(2, said(4, 1), now);
        assert!(all.is_master(&address(2)));
        assert!(!all.is_master(&address(1)));
    }

    #[test]
    fn of_two_with_one_epoch_who_is_the_master_stays_it() {
        let now = Instant::now();
        let mut all = Configurations::new(2, WAIT);
        all.handle_answer(1, said(4, 2), now);
        all.handle_answer(0, said(4, 1), now);
        assert!(all.is_master(&address(2)));
        // It takes it back.
        all.handle_answer(1, said(4, 1), now);
        assert!(all.is_master(&address(1)));
    }

    #[test]
    fn who_is_gone_counts_until_the_others_have_to_know() {
        let now = Instant::now();
        let gone = |all: &mut Configurations, sentinel, at| {
            all.handle_gone(sentinel, format!("{sentinel} is gone"), at);
        };
        let mut all = Configurations::new(2, WAIT);
        gone(&mut all, 0, now);
        assert_eq!(all.verdict(), Verdict::Asking);
        gone(&mut all, 1, now);
        assert_eq!(all.verdict(), Verdict::Nobody("1 is gone"));
        all.handle_answer(0, said(4, 1), now);
        all.handle_answer(1, said(5, 2), now);
        // It led, and the other one does not know yet.
        gone(&mut all, 1, now);
        let last = now + REMEMBERED - Duration::from_millis(1);
        gone(&mut all, 1, last);
        all.handle_answer(0, said(4, 1), last);
        assert!(all.is_master(&address(2)));
        // It was lost before the other one could know: that one decides.
        gone(&mut all, 1, now + REMEMBERED);
        assert!(all.is_master(&address(1)));
        gone(&mut all, 0, now + REMEMBERED);
        gone(&mut all, 0, now + 3 * REMEMBERED);
        assert!(all.is_master(&address(1)));
        // Sentinels that are made anew count from the beginning.
        all.handle_answer(0, said(0, 3), now + 3 * REMEMBERED);
        assert!(all.is_master(&address(3)));
    }

    #[test]
    fn a_promotion_is_waited_for_though_who_said_so_is_gone() {
        let began = Instant::now();
        let mut all = Configurations::new(1, WAIT);
        all.handle_answer(0, promoting(4, 1), began);
        all.handle_gone(0, "reset".to_owned(), began);
        assert_eq!(all.promotion_ends_at(began), Some(began + WAIT));
        let half = began + WAIT / 2;
        all.handle_answer(0, promoting(4, 1), half);
        assert_eq!(all.promotion_ends_at(half), Some(began + WAIT));
        assert_eq!(all.promotion_ends_at(began + WAIT), None);
    }

    #[test]
    fn a_promotion_is_waited_for_within_bounds() {
        let began = Instant::now();
        let mut all = Configurations::new(2, WAIT);
        all.handle_answer(0, promoting(4, 1), began);
        all.handle_answer(1, said(4, 1), began);
        let half = began + WAIT / 2;
        all.handle_answer(0, promoting(4, 1), half);
        assert_eq!(all.promotion_ends_at(half), Some(began + WAIT));
        assert_eq!(all.promotion_ends_at(began + WAIT), None);
        all.handle_answer(0, said(5, 2), half);
        assert_eq!(all.promotion_ends_at(half), None);
        // Another one.
        all.handle_answer(0, promoting(5, 2), began + WAIT);
        assert_eq!(all.promotion_ends_at(began + WAIT), Some(began + 2 * WAIT));
    }
}
