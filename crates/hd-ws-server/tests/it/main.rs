//! Tests of the server over real sockets.

mod acks;
mod client;
mod connecting;
mod drain;
mod echo_server;
mod fanout;
#[cfg(target_os = "linux")]
mod file_descriptors;
mod floods;
mod heartbeat;
mod http_limits;
mod inbound_limits;
mod max_connections;
mod membership;
mod memory;
mod msgpack;
mod origin;
mod packets;
mod plain_messages;
mod polling;
mod polling_abuse;
mod recovery;
mod rejections;
mod security_page;
mod shared_log;
mod shutdown;
mod slow_clients;
mod socket_server;
mod sockets;
mod upgrade;
mod user_limits;
mod websocket;
