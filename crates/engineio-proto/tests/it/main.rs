//! Integration tests, one module per topic.

// clippy.toml allows it in `#[test]` functions only, not in what they call.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

mod client;
mod frame;
mod handshake;
mod lossy_polling;
mod outbound;
mod packet;
mod pair;
mod payload;
mod properties;

mod request;
mod revision_3;
mod session;
mod sid;
mod wire;
