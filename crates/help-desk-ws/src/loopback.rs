//! Names and addresses of this machine.

use std::net::IpAddr;

/// Whether an authority such as that of `Host` names this machine: a loopback address, or a name
/// that never leaves it ([RFC 6761 §6.3]). A page that rebinds its own name to 127.0.0.1 has its
/// own name here.
///
/// [RFC 6761 §6.3]: https://www.rfc-editor.org/rfc/rfc6761#section-6.3
pub(crate) fn is_loopback_authority(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, after)) if is_port(after) => address,
            _ => return false,
        },
        None => match authority.split_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            Some(_) => return false,
            None => authority,
        },
    };
    let name = host.to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return true;
    }
    host.parse::<IpAddr>().is_ok_and(is_loopback)
}

/// Whether an address is one of this machine's own, IPv4 in IPv6 included.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for authority in [
            "localhost",
            "LOCALHOST:3001",
            "app.localhost:3001",
            "127.0.0.1",
            "127.9.8.7:3001",
            "[::1]",
            "[::1]:3001",
            "[::ffff:127.0.0.1]:3001",
        ] {
            assert!(is_loopback_authority(authority), "{authority}");
        }
        for authority in [
            "",
            "localhost.evil.example",
            "127.0.0.1.evil.example:3001",
            "notlocalhost",
            "10.0.0.1:3001",
            "0.0.0.0:3001",
            "[::2]:3001",
            "[::1]evil.example",
            "[::1",
            "user@localhost",
            "127.0.0.1:3001:1",
        ] {
            assert!(!is_loopback_authority(authority), "{authority}");
        }
    }
}
