//! `--url`: where a server is.

use std::fmt;

use http::Uri;
use tokio::net::TcpStream;

use super::Failure;

/// An `http://` URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerUrl {
    /// A name, or an address without brackets.
    host: String,
    port: u16,
    /// Without a slash at its end; empty for none.
    path: String,
}

impl ServerUrl {
    /// The server of this machine.
    pub(super) fn local(port: u16) -> Self {
        Self {
            host: "localhost".to_owned(),
            port,
            path: String::new(),
        }
    }

    /// Parses a URL whose path may be what the service is mounted under, or a namespace.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const SHAPE: &str = "write it as http://host:port";
        let uri: Uri = text
            .parse()
            .map_err(|_| format!("it is not a URL; {SHAPE}"))?;
        match uri.scheme_str() {
            Some("http" | "ws") => {}
            Some("https" | "wss") => {
                return Err(
                    "this command does not speak TLS; use the address of the service itself \
                     instead of the load balancer's, or curl and a socket.io client"
                        .to_owned(),
                );
            }
            _ => return Err(format!("its scheme is not http; {SHAPE}")),
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err(format!("it has a user name; {SHAPE}"));
        }
        if uri.query().is_some() {
            return Err(format!("it has a query; {SHAPE}"));
        }
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(format!("it has no host; {SHAPE}"));
        }
        let has_port = authority.rfind(':') > authority.rfind(']');
        let port = match uri.port_u16() {
            Some(port) if port != 0 => port,
            None if !has_port => 80,
            _ => return Err(format!("its port is not a number from 1 to 65535; {SHAPE}")),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The path, without a slash at its end.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The value of `Host`.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Opens a connection to the server.
    pub(super) async fn connect(&self) -> Result<TcpStream, Failure> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| Failure::Unavailable(format!("cannot connect to {self}: {error}")))?;
        // Without it nothing breaks: small writes only wait.
        drop(stream.set_nodelay(true));
        Ok(stream)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, expected) in [
            ("http://localhost:3001", "http://localhost:3001"),
            ("http://localhost:3001/", "http://localhost:3001"),
            ("http://a.example", "http://a.example:80"),
            ("ws://[::1]:3001", "http://[::1]:3001"),
            ("ws://[::1]", "http://[::1]:80"),
            ("http://a.example:1/x/y/", "http://a.example:1/x/y"),
        ] {
            assert_eq!(ServerUrl::parse(text).unwrap().to_string(), expected);
        }
        assert_eq!(ServerUrl::parse("http://[::1]:3001").unwrap().host, "::1");
    }

    #[test]
    fn other_urls_are_refused() {
        for (text, reason) in [
            ("https://a.example", "TLS"),
            ("ftp://a.example", "scheme"),
            ("localhost:3001", "scheme"),
            ("/x", "scheme"),
            ("not a url", "not a URL"),
            ("http://u:p@a.example", "user name"),
            ("http://a.example?token=x", "query"),
            ("http://a.example:0", "port"),
            ("http://a.example:99999", "port"),
        ] {
            let error = ServerUrl::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
