//! Names of namespaces and of events.

use std::sync::Arc;

/// The longest name of a namespace, in bytes. Socket.IO has no such limit; 256
/// is far more than any name in use, and a client may ask for several.
pub const MAX_NAMESPACE_BYTES: usize = 256;

/// The name of a namespace: `/`, or `/notifications`. A clone is a reference
/// count.
///
/// A namespace of this name need not exist: a client may ask for any.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// A namespace from its name, with or without the slash that it begins
    /// with.
    ///
    /// # Errors
    ///
    /// [`InvalidNamespace`] for a name that no packet can carry, or that is
    /// longer than [`MAX_NAMESPACE_BYTES`].
    pub fn new(name: &str) -> Result<Self, InvalidNamespace> {
        if name.contains(',') {
            return Err(InvalidNamespace::Comma);
        }
        let is_complete = name.starts_with('/');
        if name.len() + usize::from(!is_complete) > MAX_NAMESPACE_BYTES {
            return Err(InvalidNamespace::TooLong);
        }
        Ok(Self(if is_complete {
            name.into()
        } else {
            format!("/{name}").into()
        }))
    }

    /// The name, beginning with a slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `/`, which packets do not name.
impl Default for Namespace {
    fn default() -> Self {
        Self("/".into())
    }
}

impl std::str::FromStr for Namespace {
    type Err = InvalidNamespace;

    fn from_str(name: &str) -> Result<Self, InvalidNamespace> {
        Self::new(name)
    }
}

impl std::fmt::Display for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not the name of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNamespace {
    /// It holds a comma, with which the name ends on the wire.
    #[error("the namespace holds a comma")]
    Comma,
    /// It is longer than [`MAX_NAMESPACE_BYTES`].
    #[error("the namespace is longer than {MAX_NAMESPACE_BYTES} bytes")]
    TooLong,
}

/// The name of an event: any text but those that Socket.IO reserves. A client
/// that receives a reserved one gives up its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventName<'a>(&'a str);

impl<'a> EventName<'a> {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`ReservedEventName`] for one of [`RESERVED_EVENTS`].
    pub fn new(name: &'a str) -> Result<Self, ReservedEventName> {
        if RESERVED_EVENTS.contains(&name) {
            return Err(ReservedEventName);
        }
        Ok(Self(name))
    }

    /// A name that was checked when it was received.
    pub(crate) const fn received(name: &'a str) -> Self {
        Self(name)
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl std::fmt::Display for EventName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// The event name is one of [`RESERVED_EVENTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event name is reserved by Socket.IO")]
pub struct ReservedEventName;

/// The names that Socket.IO keeps for itself: socket.io-parser's
/// `RESERVED_EVENTS`.
pub const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];
