//! Socket.IO and Engine.IO server on hyper, tokio and tungstenite.

mod body;
pub use body::{BodyError, read_body};

mod config;
pub use config::ServerConfig;

mod engine;
pub use engine::{Application, Connection, Counts, Engine, Sent};

mod handshake;
pub use handshake::ClientHandshake;

mod http_handler;
pub use http_handler::{HttpHandler, HttpReply, NotFound, PlainOpened};

mod listener;
pub use listener::Server;

mod origin;
pub use origin::{AllowedOrigins, OriginPolicy};

mod socketio;
pub use socketio::{
    Admission, ConnectRequest, DisconnectReason, Namespace, NamespaceHandler, Refusal, Socket,
    SocketIo, SocketIoClient,
};
