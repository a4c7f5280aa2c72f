use serde::{Serialize, Serializer};
use socketio_proto::Args;

/// What is answered to a [`Request`](crate::Request). The numbers are the classic
/// adapter's and the sharded adapter's types.
#[derive(Clone, Copy, Debug)]
pub enum Response<'a> {
    /// So many clients were sent the event, and will be waited for (8; 11).
    ClientCount(usize),
    /// A client's answer (9; 12). Node's servers take its first argument.
    Ack(&'a Args),
    /// Who is there (8 in the sharded adapter).
    Sockets(&'a [SocketDetails]),
    /// Whose ids these are; classic only.
    SocketIds(&'a [String]),
    /// Which rooms there are; classic only.
    Rooms(&'a [String]),
    /// It is done; classic only.
    Done,
}

/// What another server is told of a socket.
///
/// Its handshake has no headers, no query and no `auth`: those of Node's servers
/// hold the clients' tokens. Its `data` is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketDetails {
    /// The public id.
    pub id: String,
    /// Its rooms. Node's servers count the id among them.
    pub rooms: Vec<String>,
}

impl Serialize for SocketDetails {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Redacted {
            id: &self.id,
            handshake: Handshake::default(),
            rooms: &self.rooms,
            data: Empty {},
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct Redacted<'a> {
    id: &'a str,
    handshake: Handshake,
    rooms: &'a [String],
    data: Empty,
}

/// With what programs look into.
#[derive(Default, Serialize)]
struct Handshake {
    headers: Empty,
    query: Empty,
    auth: Empty,
}

/// `{}`
#[derive(Default, Serialize)]
struct Empty {}
