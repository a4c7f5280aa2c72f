//! The limit: a server that does what the system calls for and nothing else.
//!
//! It accepts, upgrades, answers CONNECT, and writes one encoded frame with one
//! `send(2)` per socket, from one loop over epoll. It verifies no token, sends
//! no ping, keeps no room but a user's, and drops a client that does not read.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::websocket_frame::{Opcode, read_client_frame, write_server_text};

/// Serves until it is killed.
///
/// # Errors
///
/// The address cannot be had.
pub(crate) fn serve(listen: SocketAddr, merge: bool) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    {
        let mut out = io::stdout().lock();
        writeln!(out, "Listening on http://{}", listener.local_addr()?)?;
        out.flush()?;
    }
    let mut server = Limit {
        merge,
        peers: Slab::new(),
        users: HashMap::new(),
        everyone: Vec::new(),
        pending: Vec::new(),
        touched: Vec::new(),
        scratch: vec![0; SCRATCH_BYTES],
    };
    let mut events = Events::with_capacity(1024);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => server.accept(&listener, &poll)?,
                Token(key) => {
                    let is_ending = event.is_read_closed() || event.is_error();
                    if server.ready(key, is_ending).is_err() {
                        server.drop_peer(key);
                    }
                }
            }
        }
        server.flush();
    }
}

fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(listen),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    socket.listen(4096)?;
    Ok(TcpListener::from_std(socket.into()))
}

struct Limit {
    merge: bool,
    peers: Slab<Peer>,
    users: HashMap<u64, Vec<usize>>,
    /// Every client, and where it stands in this list stands in it.
    everyone: Vec<usize>,
    /// Frames to everyone that wait for the end of the turn.
    pending: Vec<u8>,
    /// Clients that have frames of their own waiting for the end of the turn.
    touched: Vec<usize>,
    scratch: Vec<u8>,
}

struct Peer {
    stream: TcpStream,
    /// An incomplete request or frame.
    partial: Vec<u8>,
    pending: Vec<u8>,
    kind: Kind,
}

enum Kind {
    Http,
    WebSocket,
    Client { user: u64, place: usize },
}

impl Limit {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> io::Result<()> {
        loop {
            let (mut stream, _) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let entry = self.peers.vacant_entry();
            poll.registry()
                .register(&mut stream, Token(entry.key()), Interest::READABLE)?;
            entry.insert(Peer {
                stream,
                partial: Vec::new(),
                pending: Vec::new(),
                kind: Kind::Http,
            });
        }
    }

    fn ready(&mut self, key: usize, is_ending: bool) -> io::Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let result = self.read(key, is_ending, &mut scratch);
        self.scratch = scratch;
        result
    }

    fn read(&mut self, key: usize, is_ending: bool, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            let Some(peer) = self.peers.get_mut(key) else {
                return Ok(());
            };
            let kept = peer.partial.len();
            let read = match peer.stream.read(&mut scratch[kept..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            scratch[..kept].copy_from_slice(&peer.partial);
            peer.partial.clear();
            let is_drained = kept + read < scratch.len();
            let bytes = &mut scratch[..kept + read];
            let mut at = 0;
            while at < bytes.len() {
                let taken = self.handle(key, &mut bytes[at..])?;
                if taken == 0 {
                    break;
                }
                at += taken;
            }
            if let Some(peer) = self.peers.get_mut(key) {
                peer.partial.extend_from_slice(&bytes[at..]);
            }
            if is_drained && !is_ending {
                return Ok(());
            }
        }
    }

    /// Handles the request or frame that `bytes` begin with. Returns its
    /// length; 0 while it is incomplete.
    fn handle(&mut self, key: usize, bytes: &mut [u8]) -> io::Result<usize> {
        match self.peers[key].kind {
            Kind::Http => self.request(key, bytes),
            Kind::WebSocket | Kind::Client { .. } => {
                let Some(frame) = read_client_frame(bytes).map_err(io::Error::other)? else {
                    return Ok(0);
                };
                match frame.opcode {
                    Opcode::Text if frame.payload.starts_with(b"40") => {
                        self.connect(key, frame.payload)?;
                    }
                    Opcode::Close => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Opcode::Text | Opcode::Binary | Opcode::Ping | Opcode::Pong => {}
                }
                Ok(frame.len)
            }
        }
    }

    fn request(&mut self, key: usize, bytes: &[u8]) -> io::Result<usize> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let head = match request.parse(bytes).map_err(io::Error::other)? {
            httparse::Status::Partial => return Ok(0),
            httparse::Status::Complete(head) => head,
        };
        let header = |name: &str| {
            let found = request
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| header.value)
        };
        if let Some(accepted) = header("sec-websocket-key") {
            let mut answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {}\r\n\r\n",
                derive_accept_key(accepted)
            )
            .into_bytes();
            write_server_text(&[OPEN], &mut answer);
            self.peers[key].kind = Kind::WebSocket;
            self.send(key, &answer)?;
            return Ok(head);
        }
        let length = header("content-length")
            .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
            .unwrap_or(0);
        let Some(body) = bytes[head..].get(..length) else {
            return Ok(0);
        };
        self.emit(body);
        self.send(key, CREATED)?;
        Ok(head + length)
    }

    /// Emits: the payload is cut out of the body, as the last of its fields.
    fn emit(&mut self, body: &[u8]) {
        let (Some(event), Some(payload)) =
            (after(body, br#""event":""#), after(body, br#""payload":"#))
        else {
            return;
        };
        let event = &event[..memchr::memchr(b'"', event).unwrap_or(event.len())];
        let payload = &payload[..payload.len().saturating_sub(1)];
        let mut frame = Vec::with_capacity(body.len() + 32);
        write_server_text(
            &[b"42/notifications,[\"", event, b"\",", payload, b"]"],
            &mut frame,
        );
        let Some(user) = after(body, br#""userId":"#).map(number) else {
            if self.merge {
                self.pending.extend_from_slice(&frame);
            } else {
                self.broadcast(&frame);
            }
            return;
        };
        let clients = self.users.get(&user).cloned().unwrap_or_default();
        for client in clients {
            if self.merge {
                let pending = &mut self.peers[client].pending;
                if pending.is_empty() {
                    self.touched.push(client);
                }
                pending.extend_from_slice(&frame);
            } else if self.send(client, &frame).is_err() {
                self.drop_peer(client);
            }
        }
    }

    fn broadcast(&mut self, frames: &[u8]) {
        // From the back, since one that is dropped is replaced by the last.
        for place in (0..self.everyone.len()).rev() {
            let client = self.everyone[place];
            if self.send(client, frames).is_err() {
                self.drop_peer(client);
            }
        }
    }

    /// The end of a turn: what is pending leaves.
    fn flush(&mut self) {
        if !self.pending.is_empty() {
            let frames = std::mem::take(&mut self.pending);
            self.broadcast(&frames);
            self.pending = frames;
            self.pending.clear();
        }
        for client in std::mem::take(&mut self.touched) {
            let Some(peer) = self.peers.get_mut(client) else {
                continue;
            };
            let frames = std::mem::take(&mut peer.pending);
            if self.send(client, &frames).is_err() {
                self.drop_peer(client);
            }
        }
    }

    fn connect(&mut self, key: usize, payload: &[u8]) -> io::Result<()> {
        let user = user(payload).ok_or_else(|| io::Error::other("no token with a user"))?;
        let place = self.everyone.len();
        self.everyone.push(key);
        self.users.entry(user).or_default().push(key);
        self.peers[key].kind = Kind::Client { user, place };
        let mut frame = Vec::with_capacity(CONNECTED.len() + 2);
        write_server_text(&[CONNECTED], &mut frame);
        self.send(key, &frame)
    }

    fn send(&mut self, key: usize, bytes: &[u8]) -> io::Result<()> {
        match self.peers[key].stream.write(bytes) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) => Err(io::Error::other("a client that does not read")),
            Err(error) => Err(error),
        }
    }

    fn drop_peer(&mut self, key: usize) {
        let Some(peer) = self.peers.try_remove(key) else {
            return;
        };
        let Kind::Client { user, place } = peer.kind else {
            return;
        };
        self.everyone.swap_remove(place);
        if let Some(moved) = self.everyone.get(place)
            && let Kind::Client {
                place: its_place, ..
            } = &mut self.peers[*moved].kind
        {
            *its_place = place;
        }
        if let Some(clients) = self.users.get_mut(&user) {
            clients.retain(|client| *client != key);
            if clients.is_empty() {
                self.users.remove(&user);
            }
        }
    }
}

/// What follows a key.
fn after<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    memmem::find(bytes, key).map(|start| &bytes[start + key.len()..])
}

fn number(digits: &[u8]) -> u64 {
    digits
        .iter()
        .take_while(|digit| digit.is_ascii_digit())
        .fold(0, |number: u64, digit| {
            number
                .wrapping_mul(10)
                .wrapping_add(u64::from(digit - b'0'))
        })
}

/// The user of a token that nobody verifies.
fn user(connect: &[u8]) -> Option<u64> {
    let claims = connect.split(|byte| *byte == b'.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    after(&claims, br#""usu_id":"#).map(number)
}

const LISTENER: Token = Token(usize::MAX - 1);
const SCRATCH_BYTES: usize = 256 * 1024;
/// It pings never, so the client must be patient.
const OPEN: &[u8] = br#"0{"sid":"AAAAAAAAAAAAAAAAAAAA","upgrades":[],"pingInterval":86400000,"pingTimeout":20000,"maxPayload":1000000}"#;
const CONNECTED: &[u8] = br#"40/notifications,{"sid":"AAAAAAAAAAAAAAAAAAAB"}"#;
const CREATED: &[u8] = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"success\":true}";
