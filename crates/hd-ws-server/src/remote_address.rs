//! Where a client is: its own address, also behind proxies.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderName};

/// The address of a client, as far as it can be known.
///
/// It is the address at the other end of the TCP connection, unless that is a
/// trusted proxy: then it is the right-most entry of `X-Forwarded-For` that is
/// no trusted proxy. Entries further left were written by strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RemoteAddress {
    ip: IpAddr,
    peer: SocketAddr,
}

impl RemoteAddress {
    /// The address of a client that no proxy stands before.
    #[must_use]
    pub fn direct(peer: SocketAddr) -> Self {
        Self {
            ip: peer.ip().to_canonical(),
            peer,
        }
    }

    /// The client's IP address. An IPv4 address mapped into IPv6 is an IPv4
    /// address here.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The other end of the TCP connection: behind a load balancer, the
    /// balancer's.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What limits per address count by: an IPv4 address, or an IPv6 network of
    /// 64 bits, which is what one customer of a provider gets.
    #[must_use]
    pub fn network(&self) -> IpAddr {
        match self.ip {
            IpAddr::V4(_) => self.ip,
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        }
    }
}

/// The IP address alone, as a proxy's access log has it.
impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip.fmt(f)
    }
}

/// The proxies whose `X-Forwarded-For` is believed. By default none is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Trusts the proxies in these networks.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        Self(networks.into_iter().collect())
    }

    /// Whether no proxy is trusted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a proxy has this address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(ip))
    }

    /// Finds out where a request comes from. An entry of the header that is no
    /// address ends the search at the proxy that passed it on.
    #[must_use]
    pub fn remote_address(&self, peer: SocketAddr, headers: &HeaderMap) -> RemoteAddress {
        let mut remote = RemoteAddress::direct(peer);
        if self.0.is_empty() || !self.contains(remote.ip) {
            return remote;
        }
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        for entry in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
            let Some(ip) = std::str::from_utf8(entry).ok().and_then(forwarded_ip) else {
                break;
            };
            remote.ip = ip;
            if !self.contains(ip) {
                break;
            }
        }
        remote
    }
}

/// Whether the request says that a proxy has passed it on. Anybody can.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(X_FORWARDED_FOR)
}

/// Whether the address is one of a private network, or of this machine: no
/// stranger on the internet has it.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let is_shared = masked_v4(ip, 10) == Ipv4Addr::new(100, 64, 0, 0).to_bits();
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// An entry of `X-Forwarded-For`: an address, with or without a port.
fn forwarded_ip(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let ip = entry.parse().or_else(|_| {
        let address: Result<SocketAddr, _> = entry.parse();
        address.map(|address| address.ip())
    });
    ip.ok().map(|ip| ip.to_canonical())
}

/// A range of addresses, written as `10.0.0.0/8`; an address alone is a range
/// of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix_len: u8,
}

/// The text is not a range of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a range of IP addresses, such as 10.0.0.0/8")]
pub struct NetworkError;

impl Network {
    fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                masked_v4(ip, self.prefix_len) == masked_v4(base, self.prefix_len)
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                masked_v6(ip, self.prefix_len) == masked_v6(base, self.prefix_len)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    /// Bits of the address beyond the prefix must be zero: a range that was
    /// mistyped would otherwise trust another network than the one that is read.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (base, prefix_len) = match text.split_once('/') {
            Some((base, prefix_len)) => (base, Some(prefix_len)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| NetworkError)?;
        let max = match base {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let prefix_len = match prefix_len {
            None => max,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|len| *len <= max)
                .ok_or(NetworkError)?,
            Some(_) => return Err(NetworkError),
        };
        let is_base = match base {
            IpAddr::V4(base) => masked_v4(base, prefix_len) == base.to_bits(),
            IpAddr::V6(base) => masked_v6(base, prefix_len) == base.to_bits(),
        };
        if is_base {
            Ok(Self { base, prefix_len })
        } else {
            Err(NetworkError)
        }
    }
}

fn masked_v4(ip: Ipv4Addr, prefix_len: u8) -> u32 {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len));
    ip.to_bits() & mask.unwrap_or(0)
}

fn masked_v6(ip: Ipv6Addr, prefix_len: u8) -> u128 {
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len));
    ip.to_bits() & mask.unwrap_or(0)
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::new(networks.iter().map(|network| network.parse().unwrap()))
    }

    fn remote(trusted: &[&str], peer: &str, forwarded_for: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded_for {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        let remote = proxies(trusted).remote_address(peer, &headers);
        assert_eq!(remote.peer(), peer);
        remote.to_string()
    }

    #[test]
    fn without_trusted_proxies_the_header_is_ignored() {
        assert_eq!(remote(&[], "10.0.0.1", &["203.0.113.9"]), "10.0.0.1");
        assert_eq!(
            remote(&["10.0.1.0/24"], "10.0.0.1", &["203.0.113.9"]),
            "10.0.0.1"
        );
    }

    #[test]
    fn the_right_most_untrusted_entry_is_the_remote_address() {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        for (forwarded_for, expected) in [
            (&[][..], "10.0.0.1"),
            (&["203.0.113.9"], "203.0.113.9"),
            // Whatever a stranger writes stands to the left of its own address.
            (&["198.51.100.7, 203.0.113.9"], "203.0.113.9"),
            (&["10.9.9.9, 203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9, 10.2.0.1"], "203.0.113.9"),
            (
                &["198.51.100.7,203.0.113.9 , 10.2.0.1,2001:db8::1"],
                "203.0.113.9",
            ),
            (&["198.51.100.7", "203.0.113.9"], "203.0.113.9"),
            (&["203.0.113.9, 10.2.0.1", "10.2.0.2"], "203.0.113.9"),
            (&["10.3.0.1, 10.2.0.1"], "10.3.0.1"),
            (&["203.0.113.9:61000"], "203.0.113.9"),
            (&["[2001:4860::1]:443"], "2001:4860::1"),
            (&["::ffff:203.0.113.9"], "203.0.113.9"),
            // What cannot be read came from the proxy before it.
            (&["203.0.113.9, unknown"], "10.0.0.1"),
            (&["unknown, 10.2.0.1"], "10.2.0.1"),
            (&["203.0.113.9,"], "10.0.0.1"),
            (&[""], "10.0.0.1"),
        ] {
            assert_eq!(
                remote(&trusted, "10.0.0.1", forwarded_for),
                expected,
                "{forwarded_for:?}"
            );
        }
        assert_eq!(
            remote(&trusted, "::ffff:10.0.0.1", &["203.0.113.9"]),
            "203.0.113.9"
        );
    }

    #[test]
    fn limits_count_ipv6_by_networks_of_64_bits() {
        let network = |ip: &str| {
            let peer = SocketAddr::new(ip.parse().unwrap(), 1);
            RemoteAddress::direct(peer).network().to_string()
        };
        assert_eq!(network("203.0.113.9"), "203.0.113.9");
        assert_eq!(network("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn ranges_are_read_strictly() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
        ] {
            let trusted = proxies(&[text]);
            assert!(
                trusted.contains(inside.parse().unwrap()),
                "{inside} in {text}"
            );
            assert!(
                !trusted.contains(outside.parse().unwrap()),
                "{outside} in {text}"
            );
        }
        for text in [
            "",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::1/64",
            "10.0.0.0/+8",
            "alb",
            "10/8",
        ] {
            let network: Result<Network, _> = text.parse();
            assert_eq!(network, Err(NetworkError), "{text}");
        }
    }
}
