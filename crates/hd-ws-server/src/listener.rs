//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::{self, HttpService, SilentConnection};
use crate::head_timeout::head_timeout;
use crate::{Application, Engine, HttpHandler};

/// A bound port. Connections wait in the kernel until [`serve`](Self::serve).
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// What the operating system says, such as that the port is taken.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self {
            listener: socket.listen(BACKLOG)?,
        })
    }

    /// The address that is bound.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the engine was told to [`stop`](Engine::stop) and no session
    /// is left, or until the time that it was given is up.
    ///
    /// While the engine drains, the port stays open: clients that poll fetch
    /// what waits for them, other requests are answered, and new clients are
    /// turned away. In the end the port is closed, and requests under way are
    /// answered.
    pub async fn serve<A, H>(self, engine: Arc<Engine<A>>, handler: Arc<H>)
    where
        A: Application,
        H: HttpHandler<A>,
    {
        let sweep = tokio::spawn(Arc::clone(&engine).run_sweep());
        let http_connections = TaskTracker::new();
        let end_http = CancellationToken::new();
        engine.started();
        let accepting = accept(
            &self.listener,
            &engine,
            &handler,
            &end_http,
            &http_connections,
        );
        let deadline = tokio::select! {
            deadline = engine.run_lifecycle() => deadline,
            () = accepting => unreachable!("connections are accepted for ever"),
        };
        drop(self.listener);
        end_http.cancel();
        http_connections.close();
        engine.pumps.close();
        let ended = async {
            http_connections.wait().await;
            engine.emptied().await;
            // A process that ends before a peer has taken its last frames may
            // take them from it.
            engine.pumps.wait().await;
        };
        let deadline = deadline.max(Instant::now() + LAST_CALLBACKS);
        let _timed_out = tokio::time::timeout_at(deadline.into(), ended).await;
        sweep.abort();
    }
}

async fn accept<A: Application, H: HttpHandler<A>>(
    listener: &TcpListener,
    engine: &Arc<Engine<A>>,
    handler: &Arc<H>,
    end_http: &CancellationToken,
    connections: &TaskTracker,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Dropped, the connection is closed.
                let Some(silent) = SilentConnection::new(engine, peer) else {
                    continue;
                };
                let (engine, handler) = (Arc::clone(engine), Arc::clone(handler));
                let service = HttpService {
                    engine,
                    handler,
                    peer,
                    silent,
                    handshakes: AtomicU32::new(0),
                    upgrade: Arc::default(),
                };
                connections.spawn(serve_http(stream, service, end_http.clone()));
            }
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                // Out of files or memory. Connections that end make room.
                tracing::warn!(%error, "cannot accept connections; trying again in {ACCEPT_PAUSE:?}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection for as long as it speaks HTTP.
async fn serve_http<A: Application, H: HttpHandler<A>>(
    stream: TcpStream,
    service: HttpService<A, H>,
    end_http: CancellationToken,
) {
    // Frames are written whole; waiting for more to send would only delay them.
    // Where it fails the connection is dead, and the first read says so.
    let _dead = stream.set_nodelay(true);
    let (engine, peer) = (Arc::clone(&service.engine), service.peer);
    let slot = Arc::clone(&service.upgrade);
    let (io, service) = head_timeout(stream, service, engine.config.header_timeout);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Runs between two requests too.
        .header_read_timeout(engine.config.keep_alive_timeout)
        .max_header_size(engine.config.max_header_bytes)
        // A head that is not whole yet. hyper panics below its least.
        .max_buf_size(engine.config.max_header_bytes.max(HYPER_LEAST_BUFFER))
        .serve_connection(io, service);
    let result = {
        let mut done = std::pin::pin!(std::future::poll_fn(|cx| {
            connection.poll_without_shutdown(cx)
        }));
        end_http.run_until_cancelled(&mut done).await
    };
    let result = match result {
        Some(result) => result,
        None => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    let upgrade = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (result, upgrade) {
        (Ok(()), Some(upgrade)) => {
            let parts = connection.into_parts();
            // A copy: even when empty, it is a slice of hyper's 8 KiB buffer.
            let read_ahead = Bytes::copy_from_slice(&parts.read_buf);
            engine::serve_upgrade(&engine, upgrade, parts.io.into_inner(), read_ahead);
        }
        (Err(_), Some(upgrade)) => engine::abandon_upgrade(upgrade),
        (Ok(()), None) => {
            let mut stream = connection.into_parts().io.into_inner();
            // The peer may be gone already.
            let _gone = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
        }
        (Err(error), None) => tracing::debug!(%peer, %error, "closing an HTTP connection"),
    }
}

/// Whether the error is one of the connection that was to be accepted, and not
/// of the listener.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// Connections that may wait for `accept`: a whole fleet of clients reconnects
/// at once. The kernel caps it at `net.core.somaxconn`, 4096 by default.
const BACKLOG: u32 = 4096;
/// The least that hyper takes, as its `max_buf_size` documents.
const HYPER_LEAST_BUFFER: usize = 8192;
/// For sessions that were ended at the deadline: the application hears of it.
const LAST_CALLBACKS: Duration = Duration::from_millis(100);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
