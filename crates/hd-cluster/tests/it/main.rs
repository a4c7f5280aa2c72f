//! Tests of the public API, against a Redis of their own.

mod appending;
mod channels;
mod following;
mod places;
mod redis_server;
