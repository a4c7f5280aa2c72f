//! Whether what Redis is told can be read on the way.

use crate::loopback;

/// Whether a URL of Redis names a host other than this one, and no TLS: payloads and the password
/// cross the network as they are.
pub(super) fn is_in_clear(url: &str) -> bool {
    let hosts = ["redis://", "redis+sentinel://", "redis+cluster://"]
        .into_iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let Some(rest) = hosts else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let hosts = authority
        .rsplit_once('@')
        .map_or(authority, |(_, hosts)| hosts);
    !hosts.split(',').all(loopback::is_loopback_authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_hosts_without_tls_are_in_clear() {
        for url in [
            "redis://10.0.0.9:6379",
            "redis://user:p@ssword@redis.internal/0",
            "redis://redis",
            "redis+sentinel://127.0.0.1:1,10.0.0.9:2/master",
            "redis+cluster://[2001:db8::1]:6379",
        ] {
            assert!(is_in_clear(url), "{url}");
        }
        for url in [
            "redis://127.0.0.1:6379",
            "redis://user:password@localhost:6379/0",
            "redis://[::1]:6379",
            "redis+sentinel://127.0.0.1:1,localhost:2/master",
            "rediss://redis.internal",
            "rediss+cluster://redis.internal:6379",
            "redis+unix:///run/redis.sock",
        ] {
            assert!(!is_in_clear(url), "{url}");
        }
    }
}
