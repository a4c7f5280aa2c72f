//! Tests of the server over real sockets.

mod client;
mod echo_server;
mod http_limits;
mod memory;
mod origin;
mod polling;
mod upgrade;
mod websocket;
