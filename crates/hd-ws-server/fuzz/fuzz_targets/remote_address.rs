//! `X-Forwarded-For` of whatever text: the address is the peer's, or stands in
//! the header.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hd_ws_server::TrustedProxies;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: Vec<&[u8]>| {
    let proxies = TrustedProxies::new(["10.0.0.0/8".parse().expect("a network")]);
    let mut headers = HeaderMap::new();
    let name = HeaderName::from_static("x-forwarded-for");
    for line in lines {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(&name, value);
        }
    }
    let trusted = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 1));
    let remote = proxies.remote_address(trusted, &headers);
    assert_eq!(remote.peer(), trusted);
    if headers.is_empty() {
        assert_eq!(remote.ip(), trusted.ip());
    }
    let stranger = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 9), 1));
    let ip: IpAddr = proxies.remote_address(stranger, &headers).ip();
    assert_eq!(ip, stranger.ip(), "a stranger's header is not believed");
});
