use crate::{Event, Options};

/// A message of another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its sender's `uid`: one of the server's, of six or sixteen characters, or
    /// `emitter`. Requests of the emitter have none.
    pub sender: Option<String>,
    /// What it asks.
    pub request: Request,
}

/// What another server asks. The numbers are the classic adapter's and the
/// sharded adapter's types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Send an event (a broadcast; 3).
    Broadcast {
        /// The event.
        event: Event,
        /// To whom.
        options: Options,
    },
    /// Send an event and hand on what clients answer (7; 3 with a `requestId`):
    /// first [`ClientCount`](crate::Response::ClientCount), and then
    /// [`Ack`](crate::Response::Ack) for each answer.
    BroadcastWithAck {
        /// For the responses.
        request_id: String,
        /// The event.
        event: Event,
        /// To whom.
        options: Options,
    },
    /// Put sockets into rooms (2; 4).
    Join {
        /// The sockets.
        options: Options,
        /// The rooms.
        rooms: Vec<String>,
        /// In the old form, which names one socket: its server answers
        /// [`Done`](crate::Response::Done).
        request_id: Option<String>,
    },
    /// Take sockets out of rooms (3; 5).
    Leave {
        /// The sockets.
        options: Options,
        /// The rooms.
        rooms: Vec<String>,
        /// As for [`Join`](Self::Join).
        request_id: Option<String>,
    },
    /// Disconnect sockets (4; 6).
    Disconnect {
        /// The sockets.
        options: Options,
        /// Whether their connections end too.
        close: bool,
        /// As for [`Join`](Self::Join).
        request_id: Option<String>,
    },
    /// Say who is there (5; 7): [`Sockets`](crate::Response::Sockets).
    FetchSockets {
        /// For the response.
        request_id: String,
        /// The sockets.
        options: Options,
    },
    /// Say whose ids are in these rooms (0):
    /// [`SocketIds`](crate::Response::SocketIds).
    SocketIds {
        /// For the response.
        request_id: String,
        /// The sockets; it has no exceptions and no flags.
        options: Options,
    },
    /// Say which rooms there are (1): [`Rooms`](crate::Response::Rooms).
    AllRooms {
        /// For the response.
        request_id: String,
    },
    /// Nothing for this server: of another namespace, a response, a heartbeat, or
    /// an event among servers, which one without a listener does not answer.
    None,
}
