//! One socket.io client over a WebSocket.

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use engineio_proto::{ClientEvent, ClientSession, Message, Packet};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::generator::Tally;
use crate::mark::Clock;
use crate::socket;
use crate::target::Target;
use crate::websocket_frame::{Opcode, read_server_frame, write_client_frame};

/// A client, connected or not.
#[derive(Debug, Default)]
pub(crate) struct Client {
    stream: Option<TcpStream>,
    state: State,
    /// The beginning of a frame, or of the answer to the upgrade.
    partial: Vec<u8>,
    started: Duration,
    /// The sequence number that comes next.
    expected: u64,
}

/// ```text
///  Absent ─► Connecting ─► Upgrading ─► Opening ─► Joining ─► Joined
///    ▲            │             │           │          │         │
///    └────────────┴─────────────┴───────────┴──────────┴─────────┘
/// ```
#[derive(Debug, Default)]
enum State {
    #[default]
    Absent,
    Connecting,
    Upgrading,
    /// The handshake is awaited.
    Opening(ClientSession),
    /// The answer to CONNECT is awaited.
    Joining(ClientSession),
    Joined(ClientSession),
}

/// What has come of an event on a client's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Nothing,
    /// The client is in its namespace; it took this long since it began.
    Joined(Duration),
    /// The server closed the connection of a client that was in.
    Left,
}

/// A client did not get in, or its server broke a rule.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the upgrade was answered with {0}")]
    Refused(String),
    #[error("CONNECT was refused")]
    ConnectError,
    #[error("the connection was closed before CONNECT was answered")]
    ClosedEarly,
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
}

/// What all clients share.
pub(crate) struct Shared<'a> {
    pub(crate) target: &'a Target,
    pub(crate) scratch: &'a mut [u8],
    pub(crate) tally: &'a mut Tally,
    pub(crate) clock: Clock,
}

impl Client {
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.state, State::Absent)
    }

    pub(crate) fn is_joined(&self) -> bool {
        matches!(self.state, State::Joined(_))
    }

    /// Begins to connect.
    ///
    /// # Errors
    ///
    /// No socket could be had.
    pub(crate) fn connect(
        &mut self,
        index: usize,
        target: &Target,
        registry: &Registry,
        now: Duration,
    ) -> Result<(), ClientError> {
        let mut stream = socket::connect(target.instance_of_client(index), target.source(index))?;
        registry.register(
            &mut stream,
            Token(index),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        self.stream = Some(stream);
        self.state = State::Connecting;
        self.started = now;
        Ok(())
    }

    /// The socket is readable or writable; `is_ending` when its end is there
    /// to be read too.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; the client is absent then.
    pub(crate) fn ready(
        &mut self,
        index: usize,
        is_ending: bool,
        shared: &mut Shared<'_>,
    ) -> Result<Progress, ClientError> {
        let result = self.advance(index, is_ending, shared);
        if result.is_err() || matches!(result, Ok(Progress::Left)) {
            self.stream = None;
            self.state = State::Absent;
            self.partial = Vec::new();
        }
        result
    }

    /// Leaves as a client does that closes its tab.
    pub(crate) fn close(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            let mut frame = Vec::new();
            write_client_frame(Opcode::Close, &1001_u16.to_be_bytes(), &mut frame);
            // It is gone either way.
            let _gone = stream.write(&frame);
        }
        self.forget();
    }

    /// Loses its connection.
    pub(crate) fn cut(&mut self) {
        if let Some(stream) = self.stream.take() {
            socket::cut(stream);
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.state = State::Absent;
        self.partial = Vec::new();
    }

    fn advance(
        &mut self,
        index: usize,
        is_ending: bool,
        shared: &mut Shared<'_>,
    ) -> Result<Progress, ClientError> {
        if matches!(self.state, State::Connecting) {
            self.upgrade(shared.target)?;
        }
        let Some(stream) = &mut self.stream else {
            return Ok(Progress::Nothing);
        };
        let mut progress = Progress::Nothing;
        loop {
            let kept = self.partial.len();
            let read = match stream.read(&mut shared.scratch[kept..]) {
                Ok(0) => return self.ended(),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(progress),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) if self.is_joined() => return Ok(Progress::Left),
                Err(error) => return Err(error.into()),
            };
            let is_drained = kept + read < shared.scratch.len();
            shared.scratch[..kept].copy_from_slice(&self.partial);
            let bytes = &shared.scratch[..kept + read];
            let now = shared.clock.now();
            let mut rest = bytes;
            if matches!(self.state, State::Upgrading) {
                match upgraded(bytes)? {
                    Some(head) => {
                        self.state = State::Opening(ClientSession::new());
                        rest = &bytes[head..];
                    }
                    None => {
                        self.partial = bytes.to_vec();
                        return Ok(progress);
                    }
                }
            }
            while let Some(frame) =
                read_server_frame(rest).map_err(|error| ClientError::Protocol(error.to_string()))?
            {
                rest = &rest[frame.len..];
                let reply = match frame.opcode {
                    Opcode::Text => {
                        match text(&mut self.state, frame.payload, index, shared, now)? {
                            Heard::Nothing => None,
                            Heard::Reply(reply) => Some(reply),
                            Heard::Joined => {
                                progress = Progress::Joined(now.saturating_sub(self.started));
                                None
                            }
                            Heard::Event => {
                                shared.tally.record(frame.payload, &mut self.expected, now);
                                None
                            }
                        }
                    }
                    Opcode::Ping => {
                        let mut pong = Vec::new();
                        write_client_frame(Opcode::Pong, frame.payload, &mut pong);
                        Some(pong)
                    }
                    Opcode::Close => return self.ended(),
                    Opcode::Binary | Opcode::Pong => None,
                };
                if let Some(reply) = reply {
                    write_whole(stream, &reply)?;
                }
            }
            if rest.is_empty() {
                self.partial = Vec::new();
            } else {
                self.partial = rest.to_vec();
            }
            // The events are edges: what comes later is another one.
            if is_drained && !is_ending {
                return Ok(progress);
            }
        }
    }

    fn ended(&self) -> Result<Progress, ClientError> {
        if self.is_joined() {
            Ok(Progress::Left)
        } else {
            Err(ClientError::ClosedEarly)
        }
    }

    fn upgrade(&mut self, target: &Target) -> Result<(), ClientError> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        if let Some(error) = stream.take_error()? {
            return Err(error.into());
        }
        if stream.peer_addr().is_err() {
            // Not connected yet.
            return Ok(());
        }
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             User-Agent: hd-loadgen\r\nOrigin: http://{}\r\n\r\n",
            target.address, target.address
        );
        write_whole(stream, request.as_bytes())?;
        self.state = State::Upgrading;
        Ok(())
    }
}

enum Heard {
    Nothing,
    Reply(Vec<u8>),
    Joined,
    Event,
}

/// Handles a text frame of the server.
fn text(
    state: &mut State,
    payload: &[u8],
    index: usize,
    shared: &Shared<'_>,
    now: Duration,
) -> Result<Heard, ClientError> {
    let protocol = |error: &dyn std::fmt::Display| ClientError::Protocol(error.to_string());
    let (State::Opening(session) | State::Joining(session) | State::Joined(session)) = state else {
        return Ok(Heard::Nothing);
    };
    let text = std::str::from_utf8(payload).map_err(|error| protocol(&error))?;
    let packet = Packet::decode(text).map_err(|error| protocol(&error))?;
    let event = session
        .handle_packet(packet, shared.clock.instant(now))
        .map_err(|error| protocol(&error))?;
    match event {
        Some(ClientEvent::Opened) => {
            let session = std::mem::take(session);
            *state = State::Joining(session);
            let token = shared
                .target
                .token(index)
                .map_err(|error| protocol(&error))?;
            let connect = format!(r#"40{},{{"token":"{token}"}}"#, shared.target.namespace);
            Ok(Heard::Reply(client_text(connect.as_bytes())))
        }
        Some(ClientEvent::Reply(packet)) => Ok(Heard::Reply(client_text(packet.frame().payload()))),
        Some(ClientEvent::Message(Message::Text(message))) => match message.as_bytes().first() {
            Some(b'2') => Ok(Heard::Event),
            Some(b'0') => {
                if let State::Joining(session) = state {
                    let session = std::mem::take(session);
                    *state = State::Joined(session);
                    return Ok(Heard::Joined);
                }
                Ok(Heard::Nothing)
            }
            Some(b'1' | b'4') => Err(ClientError::ConnectError),
            _ => Ok(Heard::Nothing),
        },
        Some(ClientEvent::Message(Message::Binary(_)) | ClientEvent::Closed) | None => {
            Ok(Heard::Nothing)
        }
    }
}

fn client_text(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    write_client_frame(Opcode::Text, payload, &mut frame);
    frame
}

/// Length of the server's answer to the upgrade. `None` while it is incomplete.
fn upgraded(bytes: &[u8]) -> Result<Option<usize>, ClientError> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(head)) if response.code == Some(101) => Ok(Some(head)),
        Ok(httparse::Status::Complete(_)) => Err(ClientError::Refused(
            response.code.unwrap_or_default().to_string(),
        )),
        Err(error) => Err(ClientError::Protocol(error.to_string())),
    }
}

/// Clients write little, and what they write fits into an empty send buffer.
fn write_whole(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    match stream.write(bytes) {
        Ok(written) if written == bytes.len() => Ok(()),
        Ok(_) => Err(io::Error::other("the server does not read")),
        Err(error) => Err(error),
    }
}
