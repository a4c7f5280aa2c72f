use std::{borrow::Borrow, fmt, ops::Deref, str::FromStr};

use compact_str::CompactString;

use crate::RoomNameError;

/// Most bytes of UTF-8 in a [`RoomName`].
///
/// Socket.IO sets no bound; this one is ours, so that room names that arrive
/// from outside cannot grow a registry without limit.
pub const MAX_ROOM_NAME_BYTES: usize = 256;

/// The name of a room: any text of at most [`MAX_ROOM_NAME_BYTES`], the empty
/// one included, as in Socket.IO.
///
/// Up to 24 bytes, such as `user_123`, are held inline and never allocated. To
/// build a name without allocating either, format into a [`CompactString`] and
/// convert that: `RoomName::try_from(format_compact!("user_{id}"))`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName(CompactString);

impl RoomName {
    /// Checks `name` and copies it.
    ///
    /// # Errors
    ///
    /// [`RoomNameError::TooLong`] above [`MAX_ROOM_NAME_BYTES`].
    pub fn new(name: &str) -> Result<Self, RoomNameError> {
        check_len(name)?;
        Ok(Self(CompactString::new(name)))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a vacant place in the room table holds; owns no memory.
    pub(crate) const fn vacant() -> Self {
        Self(CompactString::const_new(""))
    }
}

impl TryFrom<CompactString> for RoomName {
    type Error = RoomNameError;

    fn try_from(name: CompactString) -> Result<Self, RoomNameError> {
        check_len(&name)?;
        Ok(Self(name))
    }
}

impl TryFrom<&str> for RoomName {
    type Error = RoomNameError;

    fn try_from(name: &str) -> Result<Self, RoomNameError> {
        Self::new(name)
    }
}

impl FromStr for RoomName {
    type Err = RoomNameError;

    fn from_str(name: &str) -> Result<Self, RoomNameError> {
        Self::new(name)
    }
}

impl Deref for RoomName {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for RoomName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for RoomName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

fn check_len(name: &str) -> Result<(), RoomNameError> {
    if name.len() > MAX_ROOM_NAME_BYTES {
        return Err(RoomNameError::TooLong {
            len: name.len(),
            max: MAX_ROOM_NAME_BYTES,
        });
    }
    Ok(())
}
