//! Sockets that come from addresses of our choice.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

/// Begins to connect. It is done when the socket is writable.
///
/// # Errors
///
/// The system's, for instance when no file or port is left.
pub(crate) fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// Drops the connection without a goodbye, as a network does that fails: the
/// server gets a reset, and no port is kept waiting.
pub(crate) fn cut(stream: TcpStream) {
    // A socket that is no more has nothing to be cut.
    let _gone = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

/// Linux' number; std has no name for it that is stable.
const EINPROGRESS: i32 = 115;
