//! One HTTP/1.1 connection that is kept alive, for one request at a time.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::socket;
use crate::target::Target;

/// A connection. Requests may be given before it is established.
#[derive(Debug)]
pub(crate) struct HttpConnection {
    stream: TcpStream,
    unsent: Vec<u8>,
    received: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl HttpConnection {
    /// Begins to connect to an instance, from the address that client `index` has.
    ///
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
        let mut stream = socket::connect(instance, target.source(index))?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            unsent: Vec::new(),
            received: Vec::new(),
        })
    }

    /// Sends a request, at once or as soon as the connection is there.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.unsent.extend_from_slice(request);
        self.flush()
    }

    /// The socket is readable or writable; `is_ending` when its end is there
    /// to be read too. Returns the answer, once it is whole.
    ///
    /// # Errors
    ///
    /// The connection is broken or closed, or its answer is not understood.
    pub(crate) fn ready(
        &mut self,
        is_ending: bool,
        scratch: &mut [u8],
    ) -> io::Result<Option<Answer>> {
        self.flush()?;
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.received.extend_from_slice(&scratch[..read]);
                    if read < scratch.len() && !is_ending {
                        break;
                    }
                }
                Err(error) if is_not_yet(&error) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Option<Answer>> {
        if self.received.is_empty() {
            return Ok(None);
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(&self.received).map_err(io::Error::other)? {
            httparse::Status::Partial => return Ok(None),
            httparse::Status::Complete(head) => head,
        };
        let status = response.code.unwrap_or_default();
        let length = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"))
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok())
            .ok_or_else(|| io::Error::other("an answer without a length"))?;
        let Some(body) = self.received[head..].get(..length) else {
            return Ok(None);
        };
        let body = body.to_vec();
        self.received.drain(..head + length);
        Ok(Some(Answer { status, body }))
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if is_not_yet(&error) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_not_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
    )
}
