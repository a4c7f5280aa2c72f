//! Plain WebSocket: every message is echoed, on the frame reader, the queue and
//! the writer that all WebSockets of this crate share. Serves `/` on `PORT`
//! (3000). The Autobahn test suite runs against it: messages of up to
//! `MAX_PAYLOAD` bytes (16 MiB, the largest of that suite) are taken.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use engineio_proto::{CloseReason, EncodedPacket, Frame, Message};
use hd_ws_server::{
    Application, ClientHandshake, Connection, Engine, HttpHandler, HttpReply, OriginPolicy,
    RemoteAddress, Server, ServerConfig,
};
use http::Request;
use hyper::body::Incoming;

struct Echo;

impl Application for Echo {
    type Client = ();

    fn opened(&self, _handshake: ClientHandshake, _now: Instant) {}

    fn opened_plain(&self, _handshake: ClientHandshake) {}

    fn message(&self, _connection: &Arc<Connection<Self>>, _message: Message<'_>) {}

    fn plain_message(&self, connection: &Arc<Connection<Self>>, message: Message<'_>) {
        let frame = match message {
            Message::Text(text) => Frame::text(text),
            Message::Binary(data) => Frame::binary(&data),
        };
        // A client that is gone, or that does not read, gets no echo.
        let _gone = connection.send(&[EncodedPacket::from_frame(frame)]);
    }

    fn closed(&self, _connection: &Arc<Connection<Self>>, _reason: CloseReason) {}
}

/// Every request becomes a WebSocket.
struct Upgrade;

impl HttpHandler<Echo> for Upgrade {
    async fn handle(
        &self,
        request: Request<Incoming>,
        remote_address: RemoteAddress,
    ) -> HttpReply<Echo> {
        let query = request.uri().query();
        let handshake = ClientHandshake::new(remote_address, query, request.headers(), &[], &[]);
        HttpReply::UpgradePlain(handshake, Box::new(|_| ()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let max_payload = number("MAX_PAYLOAD", 16 * 1024 * 1024)?;
    let config = ServerConfig {
        origins: OriginPolicy::any(),
        engine: engineio_proto::Config {
            max_payload,
            send_queue_bytes: 2 * max_payload,
            ..engineio_proto::Config::default()
        },
        ..ServerConfig::default()
    };
    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let server = Server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let address = server.local_addr()?;
    #[expect(
        clippy::print_stdout,
        reason = "whoever starts the example reads the port here"
    )]
    {
        println!("listening on http://{address}/");
    }
    let engine = Arc::new(Engine::new(config, Echo));
    server.serve(engine, Arc::new(Upgrade)).await;
    Ok(())
}

fn number(name: &str, default: usize) -> Result<usize, std::num::ParseIntError> {
    std::env::var(name).map_or(Ok(default), |number| number.parse())
}
