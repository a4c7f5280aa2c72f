//! One socket.io client that polls: a GET that waits, and POSTs beside it.

use std::io;
use std::time::Duration;

use anyhow::{Context as _, bail};
use engineio_proto::{ClientEvent, ClientSession, Message, Packet};
use mio::{Registry, Token};

use crate::client::Shared;
use crate::http_connection::HttpConnection;
use crate::target::Target;

/// A client and its two connections.
#[derive(Debug)]
pub(crate) struct PollingClient {
    polls: HttpConnection,
    posts: HttpConnection,
    session: ClientSession,
    started: Duration,
    is_joined: bool,
    expected: u64,
}

impl PollingClient {
    /// Begins to connect, with the first poll.
    ///
    /// # Errors
    ///
    /// No socket could be had.
    pub(crate) fn connect(
        target: &Target,
        index: usize,
        registry: &Registry,
        [polls, posts]: [Token; 2],
        now: Duration,
    ) -> io::Result<Self> {
        let instance = target.instance_of_client(index);
        let mut client = Self {
            polls: HttpConnection::connect(target, instance, index, registry, polls)?,
            posts: HttpConnection::connect(target, instance, index, registry, posts)?,
            session: ClientSession::new(),
            started: now,
            is_joined: false,
            expected: 0,
        };
        client.poll(target)?;
        Ok(client)
    }

    /// One of the connections is readable or writable: number 0 is that of the
    /// polls. Returns how long it took to get in when the client just did.
    ///
    /// # Errors
    ///
    /// The server refuses, breaks the protocol or closes.
    pub(crate) fn ready(
        &mut self,
        index: usize,
        connection: usize,
        is_ending: bool,
        shared: &mut Shared<'_>,
    ) -> anyhow::Result<Option<Duration>> {
        let is_poll = connection == 0;
        let http = if is_poll {
            &mut self.polls
        } else {
            &mut self.posts
        };
        let Some(answer) = http.ready(is_ending, shared.scratch)? else {
            return Ok(None);
        };
        if answer.status != 200 {
            bail!("answered with {}", answer.status);
        }
        if !is_poll {
            return Ok(None);
        }
        let now = shared.clock.now();
        let text = std::str::from_utf8(&answer.body).context("a payload that is no text")?;
        let mut replies = Vec::new();
        let mut joined = None;
        for packet in text.split(RECORD_SEPARATOR) {
            match self
                .session
                .handle_packet(Packet::decode(packet)?, shared.clock.instant(now))?
            {
                Some(ClientEvent::Opened) => replies.push(format!(
                    r#"40{},{{"token":"{}"}}"#,
                    shared.target.namespace,
                    shared.target.token(index)?
                )),
                Some(ClientEvent::Reply(pong)) => {
                    replies.push(String::from_utf8(pong.frame().payload().to_vec())?);
                }
                Some(ClientEvent::Message(Message::Text(message))) => {
                    match message.as_bytes().first() {
                        Some(b'2') => {
                            shared
                                .tally
                                .record(packet.as_bytes(), &mut self.expected, now);
                        }
                        Some(b'0') if !self.is_joined => {
                            self.is_joined = true;
                            joined = Some(now.saturating_sub(self.started));
                        }
                        Some(b'1' | b'4') => bail!("CONNECT was refused"),
                        _ => {}
                    }
                }
                Some(ClientEvent::Closed) => bail!("the server closed the session"),
                Some(ClientEvent::Message(Message::Binary(_))) | None => {}
            }
        }
        if !replies.is_empty() {
            let body = replies.join(&RECORD_SEPARATOR.to_string());
            let request = format!(
                "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
                self.path(),
                shared.target.address,
                body.len()
            );
            self.posts.send(request.as_bytes())?;
        }
        self.poll(shared.target)?;
        Ok(joined)
    }

    fn poll(&mut self, target: &Target) -> io::Result<()> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n",
            self.path(),
            target.address
        );
        self.polls.send(request.as_bytes())
    }

    fn path(&self) -> String {
        let sid = self
            .session
            .handshake()
            .map(|handshake| handshake.sid.as_ref());
        match sid {
            Some(sid) => format!("/socket.io/?EIO=4&transport=polling&sid={sid}"),
            None => "/socket.io/?EIO=4&transport=polling".to_owned(),
        }
    }
}

/// Between the packets of a payload.
const RECORD_SEPARATOR: char = '\u{1e}';
