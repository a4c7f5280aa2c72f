//! Socket.IO: events are echoed. Serves `/` and `/custom` on `PORT` (3000). Its
//! times come from the environment, in milliseconds: `PING_INTERVAL` (25000),
//! `PING_TIMEOUT` (20000), `CONNECT_TIMEOUT` (45000). With
//! `ALLOW_EIO3=true` it serves clients of Socket.IO 2 as well, and with
//! `PARSER=msgpack` those with `socket.io-msgpack-parser`.
//!
//! As the official test suite of the Socket.IO protocol wants it:
//!
//! ```sh
//! PING_INTERVAL=300 PING_TIMEOUT=200 CONNECT_TIMEOUT=1000 cargo run -p hd-ws-server --example echo
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::num::ParseIntError;
use std::sync::Arc;
use std::time::Duration;

use hd_ws_server::{
    Admission, ConnectRequest, Engine, NamespaceHandler, NotFound, OriginPolicy, Refusal, Server,
    ServerConfig, Socket, SocketIo,
};
use serde_json::value::RawValue;
use socketio_proto::{Args, ClientConfig, Event, EventName, OutgoingArgs, Parser};

struct Echo;

/// The CONNECT payload of a socket.
struct Auth(Box<RawValue>);

impl NamespaceHandler for Echo {
    async fn connect(&self, request: ConnectRequest<'_>) -> Result<Admission, Refusal> {
        let auth = match request.auth {
            Some(auth) => auth.to_owned(),
            None => RawValue::from_string("{}".into()).expect("invariant: this is JSON"),
        };
        Ok(Admission {
            data: Some(Box::new(Auth(auth))),
            ..Admission::default()
        })
    }

    fn connected(&self, socket: &Socket) {
        if let Some(Auth(auth)) = socket.data() {
            emit(socket, "auth", OutgoingArgs::new(&[&**auth]));
        }
    }

    fn event(&self, socket: &Socket, event: &Event) -> Option<Args> {
        match event.name().as_str() {
            "message" => {
                emit(socket, "message-back", (&event.args).into());
                None
            }
            "message-with-ack" => Some(event.args.clone()),
            _ => None,
        }
    }
}

fn emit(socket: &Socket, name: &str, args: OutgoingArgs<'_>) {
    let name = EventName::new(name).expect("invariant: not reserved");
    // A client that is gone gets no event.
    let _gone = socket.emit(name, args);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = ServerConfig {
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
    let mut io = SocketIo::new(ClientConfig {
        connect_timeout: millis("CONNECT_TIMEOUT", 45_000)?,
        parser: match std::env::var("PARSER").as_deref() {
            Ok("msgpack") => Parser::Msgpack,
            _ => Parser::Text,
        },
        ..ClientConfig::default()
    });
    for name in ["/", "/custom"] {
        io.add_namespace(name.parse()?, Echo);
    }
    let port = std::env::var("PORT").map_or(Ok(3000), |port| port.parse())?;
    let server = Server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let address = server.local_addr()?;
    #[expect(
        clippy::print_stdout,
        reason = "whoever starts the example reads the port here"
    )]
    {
        println!("listening on http://{address}/socket.io/");
    }
    let engine = Arc::new(Engine::new(config, io));
    server.serve(engine, Arc::new(NotFound)).await;
    Ok(())
}

fn millis(name: &str, default: u64) -> Result<Duration, ParseIntError> {
    let millis = std::env::var(name).map_or(Ok(default), |millis| millis.parse())?;
    Ok(Duration::from_millis(millis))
}
