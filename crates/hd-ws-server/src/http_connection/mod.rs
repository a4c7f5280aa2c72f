//! One connection for as long as it speaks HTTP, and how it ends.

mod answering;
mod head_scan;
mod io;
mod open_sockets;
mod state;

use std::io as std_io;
use std::net::Shutdown;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio_util::sync::CancellationToken;

pub(crate) use open_sockets::{HttpSocket, OpenSockets, Socket};
pub(crate) use state::HttpState;

use self::answering::Answering;
use self::io::{HttpIo, Timeouts};
use crate::engine::{self, HttpService, TcpConnection};
use crate::{Application, Engine, HttpHandler};

/// Serves one connection for as long as it speaks HTTP.
///
/// All is made before the future, which is kept for each connection: what an
/// `async fn` is given takes its place twice.
pub(crate) fn serve_http<A: Application, H: HttpHandler<A>>(
    stream: TcpStream,
    tcp: TcpConnection<A>,
    mut socket: HttpSocket,
    handler: Arc<H>,
    end_http: CancellationToken,
) -> impl Future<Output = ()> + Send {
    let (engine, peer) = (Arc::clone(tcp.engine()), tcp.peer);
    let config = &engine.config;
    let max_silence = config.engine.ping_interval + config.engine.ping_timeout;
    prepare(&stream, max_silence);
    let slot = Arc::new(Mutex::new(None));
    let state = Arc::clone(socket.state());
    let service = Answering {
        service: HttpService {
            handler,
            tcp,
            handshakes: AtomicU32::new(0),
            upgrade: Arc::clone(&slot),
            state: Arc::clone(&state),
        },
        state: Arc::clone(&state),
        max_requests: config.max_requests_per_connection,
    };
    let timeouts = Timeouts {
        header: config.header_timeout,
        write: config.http_write_timeout,
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Runs between two requests too.
        .header_read_timeout(config.keep_alive_timeout)
        .max_header_size(config.max_header_bytes)
        // A head that is not whole yet. hyper panics below its least.
        .max_buf_size(config.max_header_bytes.max(HYPER_LEAST_BUFFER))
        .serve_connection(HttpIo::new(stream, state, timeouts), service);
    async move {
        let result = tokio::select! {
            biased;
            // Done once all is written, or the connection stops speaking HTTP.
            result = &mut connection => Some(result),
            () = end_http.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                tokio::select! {
                    result = &mut connection => Some(result),
                    () = socket.state().evicted() => None,
                }
            }
            () = socket.state().evicted() => None,
        };
        let parts = connection.into_parts();
        let (stream, kept_back) = parts.io.into_inner();
        let ended = Ended {
            stream,
            read_ahead: read_ahead(&parts.read_buf, &kept_back),
            result,
            upgrade: slot.lock().unwrap_or_else(PoisonError::into_inner).take(),
        };
        let state = Arc::clone(socket.state());
        if let Some(reason) = state.close() {
            engine.http_closed(reason, peer);
        }
        let stream = match ended.upgrade(&engine, &mut socket) {
            Next::Upgraded => return,
            Next::Close(stream) => stream,
            // Not when the server stops: there may be many, and little time.
            Next::Linger(stream) if end_http.is_cancelled() => stream,
            Next::Linger(stream) => {
                Box::pin(linger(&stream, &state, engine.config.close_linger)).await;
                stream
            }
        };
        if state.is_blocked() {
            // A reset: what the peer does not take would stay in the kernel.
            let _gone = stream.set_zero_linger();
        }
    }
}

/// A connection that does not speak HTTP any more.
struct Ended<A: Application> {
    stream: TcpStream,
    read_ahead: Bytes,
    /// `None` if it was to make room.
    result: Option<hyper::Result<()>>,
    upgrade: Option<engine::Upgrade<A>>,
}

/// What becomes of it.
enum Next {
    Upgraded,
    Close(TcpStream),
    /// It is closed once the peer has had a moment to read the last answer.
    Linger(TcpStream),
}

impl<A: Application> Ended<A> {
    /// Has the connection become a WebSocket, if that was its last answer.
    fn upgrade(self, engine: &Arc<Engine<A>>, socket: &mut HttpSocket) -> Next {
        match (self.result, self.upgrade) {
            (Some(Ok(())), Some(upgrade)) => {
                // As much as may be queued here: many events leave in one piece.
                let max = engine.config.engine.send_queue_bytes;
                let max = u32::try_from(max).unwrap_or(u32::MAX);
                let _dead = SockRef::from(&self.stream).set_tcp_notsent_lowat(max);
                let (stream, read_ahead) = (self.stream, self.read_ahead);
                engine::serve_upgrade(engine, upgrade, stream, read_ahead, socket.upgraded());
                Next::Upgraded
            }
            (None | Some(Err(_)), Some(upgrade)) => {
                engine::abandon_upgrade(upgrade);
                Next::Close(self.stream)
            }
            (Some(Ok(())), None) => Next::Linger(self.stream),
            // The answer to what was no request is out.
            (Some(Err(error)), None) if error.is_parse() => Next::Linger(self.stream),
            (None | Some(Err(_)), None) => Next::Close(self.stream),
        }
    }
}

/// Bounds what the kernel holds for a peer, and for how long.
fn prepare(stream: &TcpStream, max_silence: Duration) {
    // Frames are written whole; waiting for more to send would only delay them.
    // Where one fails the connection is dead, and the first read says so.
    let _dead = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _dead = socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
    // Of a WebSocket too, and after it is closed: what its peer does not take
    // would stay in the kernel for minutes, and for ever if the peer has pongs
    // to send.
    let _dead = socket.set_tcp_user_timeout(Some(max_silence));
}

/// What was read behind the request for a WebSocket. A copy: even when empty,
/// it is a slice of hyper's 8 KiB buffer.
fn read_ahead(read: &[u8], kept_back: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(read.len() + kept_back.len());
    bytes.extend_from_slice(read);
    bytes.extend_from_slice(kept_back);
    bytes.freeze()
}

/// Ends the stream, and reads on for a moment what the peer still sends: a
/// connection that is closed before all was read is reset, and a reset may take
/// the last answer from the peer.
async fn linger(stream: &TcpStream, state: &HttpState, timeout: Duration) {
    // hyper may have done it, and the peer may be gone.
    let _gone = SockRef::from(stream).shutdown(Shutdown::Write);
    let drain = async {
        let mut left = MAX_LINGER_BYTES;
        let mut buffer = [0; 4096];
        while left > 0 && stream.readable().await.is_ok() {
            // `readable` never yields to a peer that sends without a pause.
            consume_budget().await;
            match stream.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => left = left.saturating_sub(count),
                Err(error) if error.kind() == std_io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    tokio::select! {
        _timed_out = tokio::time::timeout(timeout, drain) => {}
        () = state.evicted() => {}
    }
}

/// The least that hyper takes, as its `max_buf_size` documents.
const HYPER_LEAST_BUFFER: usize = 8192;
/// Bytes of answers that the kernel holds and cannot send: below it a fast
/// client finds the next ones ready.
const MAX_UNSENT_BYTES: u32 = 16 * 1024;
/// A body over the default limit that a client sends by mistake.
const MAX_LINGER_BYTES: usize = 4 * 1024 * 1024;
