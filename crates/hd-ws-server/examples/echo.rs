//! Socket.IO: events are echoed. Serves `/` and `/custom` on `PORT` (3000),
//! with the short times that conformance tests use, and with MessagePack when
//! `PARSER` is `msgpack`. What a client has to do in
//! time, it has time for on a busy machine.

use std::net::{Ipv4Addr, SocketAddr};
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
            ping_interval: Duration::from_millis(300),
            ping_timeout: Duration::from_millis(2000),
            max_payload: 1_000_000,
            ..engineio_proto::Config::default()
        },
        ..ServerConfig::default()
    };
    let mut io = SocketIo::new(ClientConfig {
        connect_timeout: Duration::from_millis(3000),
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
