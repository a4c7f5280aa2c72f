//! Tests of the server over real sockets.

mod client;
mod echo_server;
mod heartbeat;
mod http_limits;
mod memory;
mod origin;
mod polling;
mod polling_abuse;
mod upgrade;
mod websocket;
