//! Clients that send whatever they are told, over blocking sockets.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

/// How long a test waits for what must come. Only a failing test waits it out.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Connects.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a read timeout");
    stream
}

/// What the server says to `bytes` until it closes the connection.
pub(crate) fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = connect(address);
    // The server may answer and close before it has read all.
    let _refused = stream.write_all(bytes.as_ref());
    rest(&mut stream)
}

/// What comes until the server closes the connection, or resets it.
pub(crate) fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the server does not close: {error}"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until `end` has come.
pub(crate) fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = String::new();
    let mut byte = [0];
    while !answer.ends_with(end) {
        stream.read_exact(&mut byte).expect("more of the answer");
        answer.push(char::from(byte[0]));
    }
    answer
}

/// Sends a request. Returns the head of the answer, and the connection.
pub(crate) fn request(address: SocketAddr, request: &str) -> (String, TcpStream) {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).expect("a request");
    (read_until(&mut stream, "\r\n\r\n"), stream)
}

/// Closes a connection by a reset.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .expect("a linger time");
    drop(stream);
}

/// The head of a request for a WebSocket.
pub(crate) fn websocket_head(query: &str, headers: &str) -> String {
    format!(
        "GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1\r\nhost: x\r\n\
         upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// A WebSocket client without manners.
pub(crate) struct WebSocket(pub(crate) TcpStream);

impl WebSocket {
    /// Opens a session by WebSocket and takes its open packet.
    pub(crate) fn open(address: SocketAddr) -> Self {
        let mut client = Self::upgrade(address, "").expect("101");
        assert!(client.text().starts_with("0{"));
        client
    }

    /// Asks for a WebSocket. The answer, when that is no.
    pub(crate) fn upgrade(address: SocketAddr, query: &str) -> Result<Self, String> {
        let (head, mut stream) = request(address, &websocket_head(query, ""));
        if head.starts_with("HTTP/1.1 101 ") {
            Ok(Self(stream))
        } else {
            Err(head + &rest(&mut stream))
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("bytes");
    }

    /// Sends a text frame.
    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(&frame(0x81, text.as_bytes()));
    }

    /// The next frame: its first byte and its payload. `None` at the end.
    pub(crate) fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        if let Err(error) = self.0.read_exact(&mut head) {
            let is_end = matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
            );
            assert!(is_end, "nothing comes: {error}");
            return None;
        }
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.0.read_exact(&mut len).expect("a length");
                usize::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.0.read_exact(&mut len).expect("a length");
                usize::try_from(u64::from_be_bytes(len)).expect("a length")
            }
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).expect("a payload");
        Some((head[0], payload))
    }

    /// The next frame, which is text. Pings are answered on the way: on a slow
    /// machine one may come at any time.
    pub(crate) fn text(&mut self) -> String {
        let patience = Instant::now() + PATIENCE;
        while Instant::now() < patience {
            let (first, payload) = self.next().expect("a frame");
            assert_eq!(first, 0x81, "{payload:?}");
            if payload != b"2" {
                return String::from_utf8(payload).expect("text");
            }
            self.send_text("3");
        }
        panic!("nothing comes but pings");
    }

    /// Reads on to the close frame, which has to come, and to the end of the
    /// stream after it. Returns the frame's payload.
    pub(crate) fn closed(&mut self) -> Vec<u8> {
        loop {
            let (first, payload) = self.next().expect("a close frame");
            if first == 0x88 {
                // Whatever it says must fit into a control frame.
                assert!(payload.len() <= 125, "{} bytes", payload.len());
                assert_eq!(self.next(), None, "a frame after the close frame");
                return payload;
            }
        }
    }

    /// As [`closed`](Self::closed): the status in the close frame.
    pub(crate) fn close_code(&mut self) -> Option<u16> {
        let payload = self.closed();
        let code = payload.first_chunk()?;
        Some(u16::from_be_bytes(*code))
    }
}

/// A frame as clients send it, under a mask of zero.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}
