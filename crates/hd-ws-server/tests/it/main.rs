//! Tests of the server over real sockets.

mod echo_server;
mod memory;
mod polling;
