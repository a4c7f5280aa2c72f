//! What a server answers to CONNECT, as a client reads it.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The server has let the client in: the data of its CONNECT.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Connected {
    /// The id of the socket.
    pub sid: String,
    /// The id for connection state recovery, when the server offers it.
    #[serde(default)]
    pub pid: Option<String>,
}

impl Connected {
    /// Reads the data of a CONNECT from a server.
    ///
    /// # Errors
    ///
    /// What serde says when it is something else.
    pub fn from_json(auth: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(auth.get())
    }
}

/// The server has kept the client out: the data of its CONNECT_ERROR.
#[derive(Clone, Debug, Deserialize)]
pub struct ConnectError {
    /// Why.
    pub message: String,
    /// What else the server says.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
}

impl ConnectError {
    /// Reads the data of a CONNECT_ERROR. Servers before socket.io 3 send the
    /// message alone, as a string.
    ///
    /// # Errors
    ///
    /// What serde says when it is something else.
    pub fn from_json(error: &RawValue) -> Result<Self, serde_json::Error> {
        if error.get().starts_with('"') {
            return Ok(Self {
                message: serde_json::from_str(error.get())?,
                data: None,
            });
        }
        serde_json::from_str(error.get())
    }
}
