//! How a setting's text becomes a value.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use hd_ws_server::{Network, TrustedProxies};
use thiserror::Error;
use tracing::level_filters::LevelFilter;

/// Why a value is refused, and what to write instead. It never holds the value.
#[derive(Debug, Error)]
#[error("{what}; {fix}")]
pub(crate) struct Refusal {
    pub(super) what: String,
    pub(super) fix: String,
}

impl Refusal {
    pub(super) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: fix.into(),
        }
    }
}

/// A setting that is one of a few words.
pub(super) trait Words: Sized + Copy + 'static {
    /// Every word with its meaning.
    const WORDS: &'static [(&'static str, Self)];
}

pub(super) fn word<T: Words>(text: &str) -> Result<T, Refusal> {
    T::WORDS
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let words: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
            Refusal::new(
                "is not one of the allowed values",
                format!("use one of: {}", words.join(", ")),
            )
        })
}

impl Words for bool {
    const WORDS: &'static [(&'static str, Self)] = &[("true", true), ("false", false)];
}

impl Words for LevelFilter {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("off", Self::OFF),
        ("error", Self::ERROR),
        ("warn", Self::WARN),
        ("info", Self::INFO),
        ("debug", Self::DEBUG),
        ("trace", Self::TRACE),
    ];
}

/// A whole number within bounds.
pub(super) fn number<T>(text: &str, bounds: RangeInclusive<T>) -> Result<T, Refusal>
where
    T: std::str::FromStr + PartialOrd + fmt::Display,
{
    let refusal = |what: &str| {
        Refusal::new(
            what,
            format!(
                "use a whole number from {} to {}",
                bounds.start(),
                bounds.end()
            ),
        )
    };
    // `parse` would take a plus sign as well.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refusal("is not a whole number"));
    }
    text.parse()
        .ok()
        .filter(|number| bounds.contains(number))
        .ok_or_else(|| refusal("is out of bounds"))
}

/// A time such as `25s`, `300ms` or `24h`, in whole milliseconds and within bounds.
///
/// A number without a unit is refused: the same text means milliseconds to Node's `ms`, and
/// seconds to most people.
pub(crate) fn duration(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, Refusal> {
    let range = format!(
        "use a time from {} to {}",
        in_one_unit(*bounds.start()),
        in_one_unit(*bounds.end())
    );
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::new(
            "has no unit",
            format!("write {text}s for seconds or {text}ms for milliseconds; {range}"),
        ));
    }
    let duration = humantime::parse_duration(text).map_err(|_| {
        Refusal::new(
            "is not a time",
            format!("write it as 300ms, 25s, 10m, 24h or 7d, without fractions; {range}"),
        )
    })?;
    if !duration.subsec_nanos().is_multiple_of(1_000_000) {
        return Err(Refusal::new("is finer than a millisecond", range));
    }
    if !bounds.contains(&duration) {
        return Err(Refusal::new("is out of bounds", range));
    }
    Ok(duration)
}

/// As a setting is written: `366d`, where humantime says `1year 18h`.
fn in_one_unit(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (unit, name) = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
    ]
    .into_iter()
    .find(|(unit, _)| millis > 0 && millis.is_multiple_of(*unit))
    .unwrap_or((1, "ms"));
    format!("{}{name}", millis / unit)
}

/// A time in whole seconds, as tokens have it.
pub(super) fn seconds(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, Refusal> {
    let duration = duration(text, bounds)?;
    if duration.subsec_nanos() == 0 {
        Ok(duration)
    } else {
        Err(Refusal::new(
            "is not a whole number of seconds",
            "tokens count in seconds: leave the milliseconds out",
        ))
    }
}

/// What the names of keys may begin with, and a process may be called.
pub(super) fn name(text: &str) -> Result<String, Refusal> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err(Refusal::new(
            "is no name",
            "use 1 to 64 letters, digits, and - _ . :",
        ))
    }
}

/// Ranges of addresses, separated by commas.
pub(super) fn networks(text: &str) -> Result<TrustedProxies, Refusal> {
    let networks: Result<Vec<Network>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    networks.map(TrustedProxies::new).map_err(|_| {
        Refusal::new(
            "is not a list of IP networks",
            "write the networks of the load balancer, such as 10.0.0.0/16,10.1.0.0/16, each with \
             its first address",
        )
    })
}

pub(super) fn ip_address(text: &str) -> Result<IpAddr, Refusal> {
    text.parse().map_err(|_| {
        Refusal::new(
            "is not an IP address",
            "use 0.0.0.0 for every IPv4 address, :: for IPv6 as well, or 127.0.0.1 for this \
             machine only; names and brackets are not taken",
        )
    })
}
