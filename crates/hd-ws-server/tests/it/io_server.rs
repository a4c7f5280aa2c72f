//! A Socket.IO server on a free port, with the namespaces `/n` and `/other`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hd_ws_server::{
    Admission, ConnectRequest, DisconnectReason, Engine, Namespace, NamespaceHandler, NotFound,
    Refusal, Server, ServerConfig, Socket, SocketIo,
};
use socketio_proto::{Args, ClientConfig, Event};
use tokio_util::sync::CancellationToken;

use crate::client::{PATIENCE, WebSocket};

/// Lets everyone in, acks each event with its arguments, and reports how
/// sockets leave.
struct Handler {
    left: mpsc::Sender<DisconnectReason>,
}

impl NamespaceHandler for Handler {
    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<Admission, Refusal> {
        Ok(Admission::default())
    }

    fn event(&self, _socket: &Socket, event: &Event) -> Option<Args> {
        Some(event.args.clone())
    }

    fn disconnected(&self, _socket: &Socket, reason: DisconnectReason) {
        // The test may have ended.
        let _unheard = self.left.send(reason);
    }
}

/// A running server; it stops with its runtime.
pub(crate) struct IoServer {
    pub(crate) address: SocketAddr,
    /// `/n`
    pub(crate) namespace: Namespace,
    engine: Arc<Engine<SocketIo>>,
    left: mpsc::Receiver<DisconnectReason>,
    runtime: tokio::runtime::Runtime,
}

impl IoServer {
    pub(crate) fn start(config: ServerConfig, client_config: ClientConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let entered = runtime.enter();
        let (sender, left) = mpsc::channel();
        let mut io = SocketIo::new(client_config);
        let handler = |left| Handler { left };
        let name = |name: &str| name.parse().expect("a name");
        let namespace = io.add_namespace(name("/n"), handler(sender.clone()));
        io.add_namespace(name("/other"), handler(sender));
        let engine = Arc::new(Engine::new(config, io));
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = server.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let served = server.serve(
            Arc::clone(&engine),
            Arc::new(NotFound),
            stop,
            Duration::ZERO,
        );
        runtime.spawn(served);
        drop(entered);
        Self {
            address,
            namespace,
            engine,
            left,
            runtime,
        }
    }

    /// Opens a session by WebSocket and joins `/n`.
    pub(crate) fn join(&self) -> WebSocket {
        let mut client = WebSocket::open(self.address);
        client.send_text("40/n,");
        let reply = client.text();
        assert!(reply.starts_with("40/n,{\"sid\":"), "{reply}");
        client
    }

    /// Why the next socket to leave has left.
    pub(crate) fn next_left(&self) -> DisconnectReason {
        self.left.recv_timeout(PATIENCE).expect("a socket leaves")
    }

    /// Waits until no session is left.
    pub(crate) fn emptied(&self) {
        let emptied = async { tokio::time::timeout(PATIENCE, self.engine.emptied()).await };
        self.runtime.block_on(emptied).expect("sessions are left");
    }
}
