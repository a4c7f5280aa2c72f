//! `CORS_ORIGIN`.

use super::values::Refusal;

/// Which browsers' pages may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CorsOrigin {
    /// Pages of every origin.
    Any,
    /// Pages of these origins, each as a browser writes it in `Origin`, so that a comparison of
    /// bytes is a comparison of scheme, host and port.
    List(Vec<String>),
}

/// Parses `*` or a comma-separated list.
pub(super) fn cors_origin(text: &str) -> Result<CorsOrigin, Refusal> {
    if text == "*" {
        return Ok(CorsOrigin::Any);
    }
    let origins: Result<_, _> = text.split(',').map(|part| origin(part.trim())).collect();
    origins.map(CorsOrigin::List)
}

/// Checks that an origin is written as browsers write it ([RFC 6454 §6.2]): another spelling of
/// the same origin would never match.
///
/// [RFC 6454 §6.2]: https://www.rfc-editor.org/rfc/rfc6454#section-6.2
fn origin(text: &str) -> Result<String, Refusal> {
    match text {
        "" => {
            return Err(Refusal::new(
                "has an empty element",
                "leave out the comma that separates nothing",
            ));
        }
        "*" => {
            return Err(Refusal::new(
                "has * beside other origins",
                "use * alone, or leave it out",
            ));
        }
        "null" => {
            return Err(Refusal::new(
                "has null, which every sandboxed page and local file sends",
                "leave it out",
            ));
        }
        _ => {}
    }
    let Some((scheme, authority)) = text.split_once("://") else {
        return Err(Refusal::new(
            "has an origin without a scheme",
            format!("write https://{text}"),
        ));
    };
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Refusal::new(
            "has an origin with capital letters, which browsers never send",
            format!("write {}", text.to_ascii_lowercase()),
        ));
    }
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    if !is_scheme {
        return Err(Refusal::new(
            "has an origin with an impossible scheme",
            SHAPE,
        ));
    }
    if authority.contains('@') {
        // The text before the @ may be a password: the fix must not show it.
        return Err(Refusal::new("has an origin with a user name", SHAPE));
    }
    if let Some(end) = authority.find(['/', '?', '#']) {
        return Err(Refusal::new(
            "has an origin with a path",
            format!("write {scheme}://{}", &authority[..end]),
        ));
    }

    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => {
            (&authority[..colon], Some(&authority[colon + 1..]))
        }
        _ => (authority, None),
    };
    if !is_host(host) {
        return Err(Refusal::new(
            "has an origin whose host is not a name or an address",
            format!("{SHAPE}; names in other letters are written in their xn-- form"),
        ));
    }
    let default_port = match scheme {
        "https" | "wss" => Some("443"),
        "http" | "ws" => Some("80"),
        _ => None,
    };
    match port {
        Some(port) if default_port == Some(port) => Err(Refusal::new(
            "has an origin with its scheme's own port, which browsers leave out",
            format!("write {scheme}://{host}"),
        )),
        Some(port)
            if port.starts_with('0')
                || !port.bytes().all(|byte| byte.is_ascii_digit())
                || port.parse::<u16>().is_err() =>
        {
            Err(Refusal::new(
                "has an origin whose port is not a number from 1 to 65535",
                SHAPE,
            ))
        }
        _ => Ok(text.to_owned()),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        return address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

const SHAPE: &str = "write scheme://host or scheme://host:port";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_as_browsers_write_them_are_taken() {
        for text in [
            "https://help.example.com",
            "http://localhost:5173",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
            "http://[::1]",
            "capacitor://localhost",
            "https://xn--maana-pta.example",
            "http://example.com:443",
        ] {
            assert_eq!(
                cors_origin(text).unwrap(),
                CorsOrigin::List(vec![text.to_owned()])
            );
        }
        assert_eq!(cors_origin("*").unwrap(), CorsOrigin::Any);
        assert_eq!(
            cors_origin("https://a.example , http://b.example:8080").unwrap(),
            CorsOrigin::List(vec![
                "https://a.example".to_owned(),
                "http://b.example:8080".to_owned()
            ])
        );
    }

    #[test]
    fn other_spellings_are_refused_with_the_right_one() {
        for (text, fix) in [
            ("https://a.example/", "write https://a.example"),
            ("https://a.example/app?x", "write https://a.example"),
            ("a.example", "write https://a.example"),
            ("https://A.example", "write https://a.example"),
            ("https://a.example:443", "write https://a.example"),
            ("http://a.example:80", "write http://a.example"),
            ("https://a.example:", SHAPE),
            ("https://a.example:0", SHAPE),
            ("https://a.example:070", SHAPE),
            ("https://a.example:65536", SHAPE),
            ("https://a.example:x", SHAPE),
            ("https://user:secret@a.example", SHAPE),
            ("://a.example", SHAPE),
            ("null", "leave it out"),
            (
                "https://a.example,",
                "leave out the comma that separates nothing",
            ),
            ("https://a.example,*", "use * alone, or leave it out"),
        ] {
            assert_eq!(cors_origin(text).unwrap_err().fix, fix, "{text}");
        }
        for text in [
            "https://",
            "https://mañana.example",
            "https://*.example",
            "http://[::g]",
        ] {
            assert!(
                cors_origin(text).unwrap_err().what.contains("host"),
                "{text}"
            );
        }
    }
}
