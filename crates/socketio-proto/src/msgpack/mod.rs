//! MessagePack as notepack.io writes it, to JSON and back. Binary data is an
//! attachment, with a placeholder in its place
//! (`{"_placeholder":true,"num":0}`).
//!
//! notepack.io 2 is what `socket.io-msgpack-parser` 3 speaks, and notepack.io 3
//! what Node's Redis adapters speak; both are read.
//!
//! [MessagePack specification](https://github.com/msgpack/msgpack/blob/master/spec.md)

use bytes::Bytes;
use serde_json::value::RawValue;

mod date;
pub(crate) mod decode;
pub(crate) mod encode;
mod from_json;
mod read;
mod token;
mod write;

use from_json::Values;
use read::Reader;

/// Bounds on one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How deep arrays and maps may be nested.
    pub max_depth: usize,
    /// Most binary values.
    pub max_attachments: usize,
}

/// The bytes are not one value of MessagePack, or one that is more than is
/// taken. Nothing of it is shown: it is what a peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MsgpackError {
    /// They end too early or too late, or are of a type that notepack.io does
    /// not write.
    #[error("malformed MessagePack")]
    Malformed,
    /// Values are nested deeper than [`Limits::max_depth`].
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The setting in force.
        limit: usize,
    },
    /// More binary values than [`Limits::max_attachments`].
    #[error("more than {limit} attachments")]
    TooManyAttachments {
        /// The setting in force.
        limit: usize,
    },
}

/// One value as JSON, and the binary data that its placeholders stand for.
///
/// It allocates by what it has read, never by what is announced: at most some
/// six times the bytes, since a control character is `\u0001` in JSON.
///
/// # Errors
///
/// [`MsgpackError`].
pub fn to_json(bytes: &[u8], limits: &Limits) -> Result<(String, Vec<Bytes>), MsgpackError> {
    let mut reader = Reader::new(bytes, limits);
    reader.value()?;
    reader.finish()
}

/// JSON as MessagePack, in which binary data is in the place of its placeholder.
/// It goes to one place: what would be a second placeholder for it stays a map.
#[must_use]
pub fn from_json(json: &RawValue, attachments: &[Bytes]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.get().len());
    Values::new(json.get(), attachments).write(&mut out);
    out
}
