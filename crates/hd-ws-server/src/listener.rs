//! Accepting connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::engine::{TcpConnection, random_number};
use crate::http_connection::serve_http;
use crate::{Application, Engine, HttpClose, HttpHandler};

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
        // In a task, and so by the threads that serve the connections: what they
        // free is not taken again by another one.
        let mut accepting = AbortOnDropHandle::new(tokio::spawn(accept(
            self.listener,
            Arc::clone(&engine),
            handler,
            end_http.clone(),
            http_connections.clone(),
        )));
        let deadline = tokio::select! {
            deadline = engine.run_lifecycle() => deadline,
            ended = &mut accepting => unreachable!("connections are accepted for ever: {ended:?}"),
        };
        accepting.abort();
        // The port is closed then.
        let _aborted = accepting.await;
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
    listener: TcpListener,
    engine: Arc<Engine<A>>,
    handler: Arc<H>,
    end_http: CancellationToken,
    connections: TaskTracker,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Dropped, the connection is closed.
                let Some(tcp) = TcpConnection::new(&engine, peer) else {
                    continue;
                };
                let sockets = Arc::clone(&engine.sockets);
                let Some(socket) = sockets.open(random_number) else {
                    engine.http_closed(HttpClose::Evicted, peer);
                    continue;
                };
                let handler = Arc::clone(&handler);
                let end_http = end_http.clone();
                connections.spawn(serve_http(stream, tcp, socket, handler, end_http));
                if sockets.are_evictions_due() {
                    let settled = sockets.evictions_settled();
                    let _timed_out = tokio::time::timeout(ACCEPT_PAUSE, settled).await;
                }
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
/// For sessions that were ended at the deadline: the application hears of it.
const LAST_CALLBACKS: Duration = Duration::from_millis(100);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
