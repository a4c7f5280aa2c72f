//! Tests of the server over real sockets.

mod echo_server;
mod polling;
