use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use crate::Offset;

/// Bytes of the code that seals a cursor: HMAC-SHA-256, cut in half as RFC 2104
/// §5 allows.
pub const MAC_BYTES: usize = 16;

/// Tells one log from another: offsets mean something in their own log only. Of
/// logs that follow each other, the later one's is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId(pub u64);

/// Where a client stands, before it has been sent anything: the `pid` of
/// Socket.IO's connection state recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Whose it is.
    pub identity: u64,
    /// The log that its offsets are of.
    pub log: LogId,
    /// What the client has not got is after it.
    pub start: Offset,
    /// The offset that the client showed when it was given this cursor, where
    /// that does not count. The client goes on showing it until it is sent
    /// something.
    pub stale: Option<Offset>,
    /// The rooms that the client was admitted to, as [`room_set_key`](crate::room_set_key); `None`
    /// in a cursor of an earlier version.
    pub rooms: Option<u64>,
    /// The public id that the client keeps, at most 255 bytes.
    pub sid: String,
}

/// A text is no cursor that was made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It is not in the form of a cursor, or of a later version.
    #[error("not a cursor")]
    Malformed,
    /// Its code is wrong: it was made up, changed, or sealed with a key that is
    /// not used any more.
    #[error("the cursor's seal is broken")]
    Forged,
}

impl Cursor {
    /// The cursor of a client that begins anew, at the end of a log. It showed
    /// `before`, unless that was no cursor, and `shown`.
    #[must_use]
    pub fn anew(
        identity: u64,
        rooms: u64,
        (log, last): (LogId, Offset),
        sid: String,
        before: Option<&Self>,
        shown: Option<Offset>,
    ) -> Self {
        let is_own = before.is_some_and(|before| {
            let is_same = before.identity == identity && before.rooms == Some(rooms);
            is_same && before.log == log && before.stale != shown
        });
        let (start, stale) = match shown {
            // It is ahead of the log, and of another log, or of what somebody
            // else or other rooms were sent. When the client shows it again, it was sent
            // nothing, or an event of this log at that very offset. Nobody
            // knows: it is before any log.
            Some(shown) if shown > last && !is_own => (Offset::default(), Some(shown)),
            _ => (last, None),
        };
        Self {
            identity,
            log,
            start,
            stale,
            rooms: Some(rooms),
            sid,
        }
    }

    /// After which offset the client has got nothing, when it shows this one as
    /// the last that it was sent.
    #[must_use]
    pub fn after(&self, shown: Option<Offset>) -> Offset {
        match shown {
            Some(shown) if self.stale != Some(shown) => shown.max(self.start),
            _ => self.start,
        }
    }

    /// The cursor as text, with a code over it by `mac`.
    ///
    /// # Panics
    ///
    /// When the sid is longer than 255 bytes.
    #[must_use]
    pub fn seal(&self, mac: impl FnOnce(&[u8]) -> [u8; MAC_BYTES]) -> String {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.sid.len() + MAC_BYTES);
        bytes.push(if self.rooms.is_some() {
            VERSION
        } else {
            VERSION_WITHOUT_ROOMS
        });
        let stale = self.stale.unwrap_or_default();
        for number in [
            self.identity,
            self.log.0,
            self.start.millis(),
            self.start.count(),
            stale.millis(),
            stale.count(),
        ] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        if let Some(rooms) = self.rooms {
            bytes.extend_from_slice(&rooms.to_be_bytes());
        }
        bytes.push(u8::try_from(self.sid.len()).expect("a sid is short"));
        bytes.extend_from_slice(self.sid.as_bytes());
        let code = mac(&bytes);
        bytes.extend_from_slice(&code);
        BASE64_URL_SAFE_NO_PAD.encode(&bytes)
    }

    /// Reads a cursor whose code is what `mac` makes of it.
    ///
    /// # Errors
    ///
    /// [`CursorError`]. Nothing of the cursor is read before its code is known
    /// to be good.
    pub fn open(
        text: &str,
        mac: impl FnOnce(&[u8]) -> [u8; MAC_BYTES],
    ) -> Result<Self, CursorError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(CursorError::Malformed);
        }
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| CursorError::Malformed)?;
        let (sealed, code) = bytes
            .split_last_chunk::<MAC_BYTES>()
            .ok_or(CursorError::Malformed)?;
        if !bool::from(mac(sealed).ct_eq(code)) {
            return Err(CursorError::Forged);
        }
        Self::parse(sealed).ok_or(CursorError::Malformed)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (&version, bytes) = bytes.split_first()?;
        if version != VERSION && version != VERSION_WITHOUT_ROOMS {
            return None;
        }
        let (identity, bytes) = number(bytes)?;
        let (log, bytes) = number(bytes)?;
        let (millis, bytes) = number(bytes)?;
        let (count, bytes) = number(bytes)?;
        let (stale_millis, bytes) = number(bytes)?;
        let (stale_count, bytes) = number(bytes)?;
        let stale = Offset::new(stale_millis, stale_count);
        let (rooms, bytes) = if version == VERSION {
            let (rooms, bytes) = number(bytes)?;
            (Some(rooms), bytes)
        } else {
            (None, bytes)
        };
        let (&len, sid) = bytes.split_first()?;
        if sid.len() != usize::from(len) {
            return None;
        }
        Some(Self {
            identity,
            log: LogId(log),
            start: Offset::new(millis, count),
            stale: (stale != Offset::default()).then_some(stale),
            rooms,
            sid: String::from_utf8(sid.to_vec()).ok()?,
        })
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), rest))
}

const VERSION: u8 = 3;
/// The version before, which instances still make during an update.
const VERSION_WITHOUT_ROOMS: u8 = 2;
/// Version, seven numbers, and the length of the sid.
const FIXED_BYTES: usize = 1 + 7 * 8 + 1;
/// The longest text that a cursor can be: base64 without padding has four characters for three bytes.
const MAX_TEXT_BYTES: usize = (4 * (FIXED_BYTES + 255 + MAC_BYTES)).div_ceil(3);
