//! Socket.IO and Engine.IO server on hyper, tokio and tungstenite.
//!
//! A [`Server`] accepts connections for an [`Engine`], which holds the Engine.IO
//! sessions of an [`Application`]. [`SocketIo`] is the application that speaks
//! Socket.IO; a service gives it its namespaces, each with a
//! [`NamespaceHandler`]. Requests outside of the Engine.IO path go to an
//! [`HttpHandler`].
//!
//! The protocols themselves are in [`engineio_proto`] and [`socketio_proto`].
//! This crate knows nothing of tokens, users or notifications. There is no TLS
//! and no HTTP/2: a load balancer stands in front.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use hd_ws_server::{
//!     Admission, ConnectRequest, Engine, NamespaceHandler, NotFound, Refusal, Server,
//!     ServerConfig, SocketIo,
//! };
//! use socketio_proto::ClientConfig;
//!
//! struct Chat;
//!
//! impl NamespaceHandler for Chat {
//!     async fn connect(&self, _request: ConnectRequest<'_>) -> Result<Admission, Refusal> {
//!         Ok(Admission::default())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut io = SocketIo::new(ClientConfig::default());
//! io.add_namespace("/chat".parse()?, Chat);
//! let engine = Arc::new(Engine::new(ServerConfig::default(), io));
//! let server = Server::bind("127.0.0.1:0".parse()?)?;
//! // What a signal handler calls, and what makes this example end.
//! engine.stop(Duration::from_secs(10));
//! server.serve(Arc::clone(&engine), Arc::new(NotFound)).await;
//! assert_eq!(engine.counts().lost_total(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/echo.rs` and `examples/engine_echo.rs` are whole servers.

mod admission;

mod body;
pub use body::{BodyError, read_body};

mod config;
pub use config::ServerConfig;

mod engine;
#[cfg(fuzzing)]
pub use engine::read_frames;
pub use engine::{Application, Connection, Counts, Engine, Sent};

mod http_close;
mod http_connection;

mod handshake;
pub use handshake::ClientHandshake;

mod http_handler;
pub use http_close::{HttpClose, HttpCloseHook, HttpClosed};
pub use http_handler::{HttpHandler, HttpReply, NotFound, PlainOpened};

mod lifecycle;
pub use lifecycle::{CancelDrain, Drain, DrainPlan, Phase};

mod listener;
pub use listener::Server;

mod origin;
pub use origin::{AllowedOrigins, OriginPolicy, is_cross_site_without_origin};

mod rejection;
pub use rejection::{Rejected, Rejection, RejectionHook};

mod remote_address;
pub use remote_address::{Network, NetworkError, RemoteAddress, TrustedProxies};

mod socketio;
pub use socketio::{
    AckError, Admission, Answers, Clock, ConnectRequest, CursorMac, DisconnectReason, Emitted,
    Moved, Namespace, NamespaceConfig, NamespaceHandler, PendingAck, Publication, Published,
    RECOVERY_STATE_EVENT, RecoveryConfig, RecoveryOutcome, RecoveryRefusal, Refusal, ReplayCounts,
    RoomChange, RoomChanges, Socket, SocketIo, SocketIoClient, system_clock,
};

mod token_bucket;
pub use token_bucket::{BucketTime, Rate, TokenBucket};
