//! An Engine.IO server on a free port that echoes every message, and raw
//! requests to it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use engineio_proto::{CloseReason, EncodedPacket, Frame, Message};
use hd_ws_server::{
    Application, ClientHandshake, Connection, Engine, HttpHandler, NotFound, Server, ServerConfig,
};
use tokio::task::JoinHandle;

use crate::client::{PATIENCE, WebSocket};

/// Echoes text, closes a session that asks for it with `close me`, and reports
/// how sessions end.
pub(crate) struct Echo {
    closed: mpsc::Sender<CloseReason>,
}

impl Application for Echo {
    type Client = ();

    fn opened(&self, _handshake: ClientHandshake, _now: Instant) {}

    fn opened_plain(&self, _handshake: ClientHandshake) {}

    fn message(&self, connection: &Arc<Connection<Self>>, message: Message<'_>) {
        if let Message::Text("close me") = message {
            connection.close(CloseReason::ForcedClose);
        } else if let Message::Text(text) = message {
            // The client may be gone.
            let _gone = connection.send(&[EncodedPacket::message(text)]);
        }
    }

    fn plain_message(&self, connection: &Arc<Connection<Self>>, message: Message<'_>) {
        let frame = match message {
            Message::Text(text) => Frame::text(text),
            Message::Binary(data) => Frame::binary(&data),
        };
        // The client may be gone.
        let _gone = connection.send(&[EncodedPacket::from_frame(frame)]);
    }

    fn closed(&self, _connection: &Arc<Connection<Self>>, reason: CloseReason) {
        // The test may have ended.
        let _unheard = self.closed.send(reason);
    }
}

/// A running server; it stops with its runtime.
pub(crate) struct EchoServer {
    pub(crate) address: SocketAddr,
    pub(crate) engine: Arc<Engine<Echo>>,
    closed: mpsc::Receiver<CloseReason>,
    serving: JoinHandle<()>,
    runtime: tokio::runtime::Runtime,
}

impl EchoServer {
    pub(crate) fn start(config: ServerConfig) -> Self {
        Self::start_with(config, NotFound)
    }

    /// The same, with what answers other requests.
    pub(crate) fn start_with(config: ServerConfig, handler: impl HttpHandler<Echo>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let entered = runtime.enter();
        let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = server.local_addr().expect("an address");
        let (sender, closed) = mpsc::channel();
        let engine = Arc::new(Engine::new(config, Echo { closed: sender }));
        let handler = Arc::new(handler);
        let serving = runtime.spawn(server.serve(Arc::clone(&engine), handler));
        drop(entered);
        Self {
            address,
            engine,
            closed,
            serving,
            runtime,
        }
    }

    /// Waits until the server has stopped, as it was told to.
    pub(crate) fn stopped(&mut self) {
        let stopped = async { tokio::time::timeout(PATIENCE, &mut self.serving).await };
        let stopped = self.runtime.block_on(stopped).expect("it stops in time");
        stopped.expect("it does not panic");
    }

    /// Waits until a drain has closed this many clients.
    pub(crate) fn wait_for_drained(&self, count: u64) {
        let patience = Instant::now() + PATIENCE;
        while self.engine.counts().drained_total() < count {
            assert!(Instant::now() < patience, "they are not closed");
            std::thread::yield_now();
        }
    }

    /// Why the next session to end has ended.
    pub(crate) fn next_end(&self) -> CloseReason {
        self.closed.recv_timeout(PATIENCE).expect("an end")
    }

    /// Why a session has ended, when one has by now.
    pub(crate) fn end(&self) -> Option<CloseReason> {
        self.closed.try_recv().ok()
    }

    /// Checks that the server serves, by a session of its own, and that nobody
    /// else is left.
    pub(crate) fn serves_on(&self) {
        let mut client = WebSocket::open(self.address);
        client.send_text("4still there");
        assert_eq!(client.text(), "4still there");
        drop(client);
        assert_eq!(self.next_end(), CloseReason::TransportClose);
        assert!(self.engine.is_empty());
    }

    /// Opens a session by polling and returns its id.
    pub(crate) fn open_polling(&self) -> String {
        let answer = self.request("GET", "", "");
        let start = answer.find("\"sid\":\"").expect("an open packet") + 7;
        answer[start..start + 20].to_owned()
    }

    /// The whole answer to a request on a connection of its own.
    pub(crate) fn request(&self, method: &str, query: &str, body: &str) -> String {
        let mut stream = self.send(method, query, body);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// Sends a request and leaves it at that.
    pub(crate) fn send(&self, method: &str, query: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        write!(
            stream,
            "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: x\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("a request");
        stream
    }
}
