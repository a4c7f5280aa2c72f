//! Revisions of the protocol.

use engineio_proto::payload::v3::form_decode;
use serde_json::value::RawValue;

/// Revision of the Socket.IO protocol. A client's follows from its revision of
/// Engine.IO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Revision {
    /// Clients of Socket.IO 3 and 4.
    #[default]
    V5,
    /// Clients of Socket.IO 2 (Engine.IO revision 3). A server lets them into `/`
    /// without being asked, and the name of a namespace in CONNECT may have a
    /// query, which stands for `auth`.
    V4,
}

impl From<engineio_proto::Revision> for Revision {
    fn from(revision: engineio_proto::Revision) -> Self {
        match revision {
            engineio_proto::Revision::V3 => Self::V4,
            engineio_proto::Revision::V4 | _ => Self::V5,
        }
    }
}

/// The name of a namespace, and the query after it.
pub(crate) fn split_query(name: &str) -> (&str, Option<&str>) {
    match name.split_once('?') {
        Some((name, query)) => (name, Some(query)),
        None => (name, None),
    }
}

/// The `auth` that a query stands for: an object of strings. When a key occurs
/// twice the last one counts, as in Node.
pub(crate) fn auth_of_query(query: &str) -> Option<Box<RawValue>> {
    let mut auth = serde_json::Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        auth.insert(form_decode(key).into(), form_decode(value).into());
    }
    // An object of strings is JSON.
    RawValue::from_string(serde_json::Value::Object(auth).to_string()).ok()
}
