/// Bounds on one message of another server. Node's adapters have none; these are
/// what clients and our other ways in allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes. 1 MB, `maxHttpBufferSize`, which no client is sent more than.
    pub max_bytes: usize,
    /// How deep values may be nested. 100: serde_json reads to 128, and an event
    /// is some levels down in its message.
    pub max_depth: usize,
    /// Most rooms in one list. 1,000.
    pub max_rooms: usize,
    /// Most attachments of one event. 10, socket.io-parser's `maxAttachments`: a
    /// client closes its connection for more.
    pub max_attachments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 1_000_000,
            max_depth: 100,
            max_rooms: 1000,
            max_attachments: 10,
        }
    }
}
