//! MessagePack as notepack.io 3 writes it, to JSON and back. Binary data is an
//! attachment, with a placeholder in its place.
//!
//! [MessagePack specification](https://github.com/msgpack/msgpack/blob/master/spec.md)

mod date;
mod read;
mod write;

pub(crate) use read::to_json;
pub(crate) use write::from_json;
