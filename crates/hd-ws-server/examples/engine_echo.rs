//! Plain Engine.IO: every message is echoed. Serves `/engine.io/` on `PORT`
//! (3000). Its times come from the environment, in milliseconds:
//! `PING_INTERVAL` (25000), `PING_TIMEOUT` (20000). With `ALLOW_EIO3=true` it
//! serves clients of revision 3 as well.
//!
//! As the official test suite of the Engine.IO protocol wants it:
//!
//! ```sh
//! PING_INTERVAL=300 PING_TIMEOUT=200 cargo run -p hd-ws-server --example engine_echo
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::num::ParseIntError;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engineio_proto::{CloseReason, EncodedPacket, Message};
use hd_ws_server::{
    Application, ClientHandshake, Connection, Engine, NotFound, OriginPolicy, Server, ServerConfig,
};

struct Echo;

impl Application for Echo {
    type Client = ();

    fn opened(&self, _handshake: ClientHandshake, _now: Instant) {}

    fn opened_plain(&self, _handshake: ClientHandshake) {}

    fn message(&self, connection: &Arc<Connection<Self>>, message: Message<'_>) {
        let packet = match message {
            Message::Text(text) => EncodedPacket::message(text),
            Message::Binary(data) => EncodedPacket::binary_message(&data),
        };
        // A client that is gone, or that does not read, gets no echo.
        let _gone = connection.send(&[packet]);
    }

    fn closed(&self, _connection: &Arc<Connection<Self>>, _reason: CloseReason) {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = ServerConfig {
        path: "/engine.io/".into(),
        origins: OriginPolicy::any(),
        engine: engineio_proto::Config {
            ping_interval: millis("PING_INTERVAL", 25_000)?,
            ping_timeout: millis("PING_TIMEOUT", 20_000)?,
            max_payload: 1_000_000,
            allow_eio3: std::env::var("ALLOW_EIO3").is_ok_and(|allowed| allowed == "true"),
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
        println!("listening on http://{address}/engine.io/");
    }
    let engine = Arc::new(Engine::new(config, Echo));
    server.serve(engine, Arc::new(NotFound)).await;
    Ok(())
}

fn millis(name: &str, default: u64) -> Result<Duration, ParseIntError> {
    let millis = std::env::var(name).map_or(Ok(default), |millis| millis.parse())?;
    Ok(Duration::from_millis(millis))
}
