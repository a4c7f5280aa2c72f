//! The back end's side: requests that emit events.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::{Registry, Token};

use crate::http_connection::HttpConnection;
use crate::mark::Mark;
use crate::target::Target;

/// One connection of the back end.
#[derive(Debug)]
pub(crate) struct Emitter {
    connection: HttpConnection,
    is_busy: bool,
    /// When the request that was last sent left.
    sent: Duration,
}

impl Emitter {
    /// # Errors
    ///
    /// No socket could be had.
    pub(crate) fn connect(
        target: &Target,
        instance: SocketAddr,
        index: usize,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        Ok(Self {
            connection: HttpConnection::connect(target, instance, index, registry, token)?,
            is_busy: false,
            sent: Duration::ZERO,
        })
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Emits to one user, or to everyone.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(crate) fn emit(
        &mut self,
        target: &Target,
        user: Option<u64>,
        mark: Mark,
        payload_bytes: usize,
        now: Duration,
    ) -> io::Result<()> {
        let payload = mark.payload(payload_bytes);
        let (path, body) = match user {
            Some(user) => (
                "/notifications/emit",
                format!(r#"{{"userId":{user},"event":"{EVENT}","payload":{payload}}}"#),
            ),
            None => (
                "/notifications/broadcast",
                format!(r#"{{"event":"{EVENT}","payload":{payload}}}"#),
            ),
        };
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            target.address,
            target.emit_token,
            body.len()
        );
        self.is_busy = true;
        self.sent = now;
        self.connection.send(request.as_bytes())
    }

    /// The socket is readable or writable. Returns the status of an answer, and when its request left.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(crate) fn ready(
        &mut self,
        is_ending: bool,
        scratch: &mut [u8],
    ) -> io::Result<Option<(u16, Duration)>> {
        let answer = self.connection.ready(is_ending, scratch)?;
        if answer.is_some() {
            self.is_busy = false;
        }
        Ok(answer.map(|answer| (answer.status, self.sent)))
    }
}

const EVENT: &str = "new_notification";
