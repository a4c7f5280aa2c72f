//! HTTP/1.1, WebSocket and Engine.IO as far as clients and attackers speak them, byte by byte: an attacker
//! says what no library lets it say.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// A TCP connection whose halves can be used side by side.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) reader: Reader,
    pub(crate) writer: OwnedWriteHalf,
}

/// What a connection receives.
#[derive(Debug)]
pub(crate) struct Reader {
    half: OwnedReadHalf,
    buffer: Vec<u8>,
}

/// An HTTP response, its head in lower case.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// A frame from the server.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// Opcodes of RFC 6455.
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
const PING: u8 = 9;

/// The page that good clients are on.
pub(crate) const ORIGIN: &str = "https://help.example.com";
/// What one response, or one frame, may hold; the largest event is 256 KiB.
const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// On the stack of each of thousands.
const READ_BYTES: usize = 512;

impl Connection {
    /// Connects from an address of its own, or from any.
    pub(crate) async fn open(to: SocketAddr, from: Option<Ipv4Addr>) -> io::Result<Self> {
        Self::open_with(to, from, None).await
    }

    /// Connects with a receive buffer of this size, for those who do not read.
    pub(crate) async fn open_with(
        to: SocketAddr,
        from: Option<Ipv4Addr>,
        receive_buffer: Option<u32>,
    ) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(from) = from {
            socket.bind(SocketAddr::V4(SocketAddrV4::new(from, 0)))?;
        }
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        let (half, writer) = stream.into_split();
        Ok(Self {
            reader: Reader {
                half,
                buffer: Vec::new(),
            },
            writer,
        })
    }

    /// Has the connection end with a reset, so that its port is free at once.
    pub(crate) fn reset_at_end(&self) {
        let socket = SockRef::from(self.writer.as_ref());
        // It is gone otherwise, which is as good.
        socket.set_linger(Some(Duration::ZERO)).ok();
    }

    /// Writes all of it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await
    }

    /// Asks and waits for the response.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Response> {
        self.write(request).await?;
        self.reader.response().await
    }

    /// Writes a whole frame.
    pub(crate) async fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let mut bytes = frame_head(0x80 | opcode, payload.len());
        bytes.extend_from_slice(payload);
        self.write(&bytes).await
    }

    /// Opens a WebSocket; another status than 101 is an error.
    pub(crate) async fn upgrade(&mut self, path: &str, headers: &str) -> io::Result<()> {
        let response = self.ask(upgrade(path, headers).as_bytes()).await?;
        match response.status {
            101 => Ok(()),
            status => Err(refused(status)),
        }
    }

    /// Opens an Engine.IO session by a WebSocket, and reads its handshake.
    pub(crate) async fn open_session(&mut self, headers: &str) -> io::Result<()> {
        self.upgrade("/socket.io/?EIO=4&transport=websocket", headers)
            .await?;
        let frame = self.reader.frame().await?;
        match frame.payload.first() {
            Some(b'0') if frame.opcode == TEXT => Ok(()),
            _ => Err(io::Error::other("no handshake")),
        }
    }

    /// Joins the namespace; errors when the answer is not CONNECT.
    pub(crate) async fn join(&mut self, token: &str) -> io::Result<()> {
        let connect = format!(r#"40{NAMESPACE},{{"token":"{token}"}}"#);
        self.send(TEXT, connect.as_bytes()).await?;
        loop {
            let frame = self.reader.frame().await?;
            match frame.payload.get(..2) {
                _ if frame.opcode == CLOSE => return Err(io::ErrorKind::ConnectionReset.into()),
                Some(b"40") => return Ok(()),
                Some(b"44" | b"41") => return Err(io::Error::other("CONNECT was refused")),
                Some(_) | None => {}
            }
        }
    }
}

impl Reader {
    /// The next response.
    pub(crate) async fn response(&mut self) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.fill().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| io::Error::other("a response without a status"))?;
        let length = if status == 101 || status == 204 {
            0
        } else {
            header(&head, "content-length")
                .and_then(|length| length.parse().ok())
                .unwrap_or(0)
        };
        while self.buffer.len() < end + length {
            self.fill().await?;
        }
        let body = self.buffer[end..end + length].to_vec();
        self.buffer.drain(..end + length);
        Ok(Response { status, head, body })
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> io::Result<Frame> {
        loop {
            if let Some((head, length)) = frame_size(&self.buffer)
                && self.buffer.len() >= head + length
            {
                let opcode = self.buffer[0] & 0x0f;
                let payload = self.buffer[head..head + length].to_vec();
                self.buffer.drain(..head + length);
                return Ok(Frame { opcode, payload });
            }
            self.fill().await?;
        }
    }

    /// Reads and forgets until the connection ends.
    pub(crate) async fn drain(&mut self) {
        self.buffer = Vec::new();
        let mut scratch = [0; READ_BYTES];
        while matches!(self.half.read(&mut scratch).await, Ok(1..)) {}
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.buffer.len() > MAX_MESSAGE_BYTES {
            return Err(io::Error::other("a message that does not end"));
        }
        self.buffer.reserve(1024);
        match self.half.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Whether a frame asks for a pong, or a packet for one, and which.
pub(crate) fn pong(frame: &Frame) -> Option<(u8, &[u8])> {
    match (frame.opcode, &frame.payload[..]) {
        (PING, payload) => Some((PING + 1, payload)),
        (TEXT, b"2") => Some((TEXT, b"3")),
        _ => None,
    }
}

/// The namespace of notifications.
pub(crate) const NAMESPACE: &str = "/notifications";

/// The head of a client's frame of `length`; its mask is zero, so that the payload goes as it is.
pub(crate) fn frame_head(first: u8, length: usize) -> Vec<u8> {
    let mut head = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..=125), _) => head.push(0x80 | length),
        (_, Ok(length)) => {
            head.push(0x80 | 126);
            head.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    head.extend_from_slice(&[0; 4]);
    head
}

/// A POST with a body.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: help\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The opening handshake of a WebSocket.
pub(crate) fn upgrade(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: help\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n"
    )
}

/// A GET.
pub(crate) fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: help\r\n{headers}\r\n")
}

/// A polling handshake's `sid`.
pub(crate) fn sid(response: &Response) -> io::Result<String> {
    if response.status != 200 {
        return Err(refused(response.status));
    }
    let body = String::from_utf8_lossy(&response.body);
    let (_, rest) = body
        .split_once(r#""sid":""#)
        .ok_or_else(|| io::Error::other("no sid"))?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

/// The value of a header in a head of lower case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

fn refused(status: u16) -> io::Error {
    io::Error::other(format!("answered with {status}"))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Bytes of a server's frame head, and of its payload.
fn frame_size(bytes: &[u8]) -> Option<(usize, usize)> {
    match (*bytes.get(1)? & 0x7f, bytes) {
        (length @ ..=125, _) => Some((2, usize::from(length))),
        (126, [_, _, a, b, ..]) => Some((4, usize::from(u16::from_be_bytes([*a, *b])))),
        (127, [_, _, _, _, _, _, a, b, c, d, ..]) => {
            Some((10, u32::from_be_bytes([*a, *b, *c, *d]) as usize))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_head_says_its_length() {
        assert_eq!(frame_head(0x81, 5), [0x81, 0x85, 0, 0, 0, 0]);
        assert_eq!(frame_head(0x81, 300)[..4], [0x81, 0xfe, 1, 44]);
        assert_eq!(frame_head(0x82, 1 << 20)[1], 0xff);
    }

    #[test]
    fn a_frame_is_whole_or_waited_for() {
        assert_eq!(frame_size(&[0x81]), None);
        assert_eq!(frame_size(&[0x81, 3, b'a']), Some((2, 3)));
        assert_eq!(frame_size(&[0x81, 126, 1]), None);
        assert_eq!(frame_size(&[0x81, 126, 1, 44]), Some((4, 300)));
    }

    #[test]
    fn headers_are_found_by_their_names() {
        let head = "http/1.1 200 ok\r\ncontent-length: 12\r\nretry-after: 1\r\n\r\n";
        assert_eq!(header(head, "content-length"), Some("12"));
        assert_eq!(header(head, "content"), None);
    }
}
