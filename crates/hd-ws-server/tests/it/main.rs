//! Tests of the server over real sockets.

mod acks;
mod client;
mod connecting;
mod echo_server;
mod floods;
mod heartbeat;
mod http_limits;
mod memory;
mod origin;
mod polling;
mod polling_abuse;
mod socket_server;
mod sockets;
mod upgrade;
mod websocket;
