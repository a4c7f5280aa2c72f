//! How much may be kept of messages that have come in part, from all clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Rejection;

/// The memory of half-received input: unfinished frames, fragments, attachments
/// and bodies. Whoever keeps some [holds](Self::hold) a part of it.
#[derive(Debug)]
pub(crate) struct PartialInput {
    used: AtomicUsize,
    most: usize,
}

/// What one holder keeps. It is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    input: Arc<PartialInput>,
    bytes: usize,
}

/// There is no room for more: whoever asks is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl PartialInput {
    pub(crate) fn new(most: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            most: most.unwrap_or(usize::MAX),
        })
    }

    pub(crate) const fn hold(input: Arc<Self>) -> Held {
        Held { input, bytes: 0 }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Held {
    /// Has the holder keep so many bytes from now on. When there is no room it
    /// keeps what it did.
    ///
    /// Those that have joined nothing come second: they get no more than a
    /// [small](SMALL) part each once half of the room is taken.
    pub(crate) fn set(&mut self, bytes: usize, has_joined: bool) -> Result<(), NoRoom> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            self.input
                .used
                .fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            self.bytes = bytes;
            return Ok(());
        };
        let most = if has_joined || bytes <= SMALL {
            self.input.most
        } else {
            self.input.most / 2
        };
        let before = self.input.used.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > most {
            self.input.used.fetch_sub(more, Ordering::Relaxed);
            return Err(NoRoom);
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.input.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What may be kept for one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputBounds<'a> {
    /// Whether it has joined something. That changes while it is read.
    pub(crate) has_joined: &'a AtomicBool,
    pub(crate) max_message: usize,
    pub(crate) max_unjoined_message: usize,
    pub(crate) partial_input: &'a Arc<PartialInput>,
}

impl InputBounds<'_> {
    /// Most bytes of a message, now.
    pub(crate) fn max_message(&self) -> usize {
        if self.has_joined() {
            self.max_message
        } else {
            self.max_unjoined_message
        }
    }

    /// The bound that a message was over which is larger than
    /// [`max_message`](Self::max_message).
    pub(crate) fn too_large(&self) -> Rejection {
        if self.has_joined() || self.max_unjoined_message == self.max_message {
            Rejection::MessageBytes
        } else {
            Rejection::UnjoinedMessageBytes
        }
    }

    pub(crate) fn has_joined(&self) -> bool {
        self.has_joined.load(Ordering::Relaxed)
    }
}

/// Appends with no more memory than the double of what has come, nor than what
/// is to come in all.
pub(crate) fn append(kept: &mut Vec<u8>, bytes: &[u8], whole: usize) {
    let len = kept.len() + bytes.len();
    if len > kept.capacity() {
        let capacity = kept.capacity().saturating_mul(2).min(whole).max(len);
        kept.reserve_exact(capacity - kept.len());
    }
    kept.extend_from_slice(bytes);
}

/// A part of a CONNECT packet that a network has cut in two: a good client's
/// finds room as long as there is any.
const SMALL: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_have_joined_nothing_come_second() {
        let input = PartialInput::new(Some(100_000));
        let hold = || PartialInput::hold(Arc::clone(&input));
        let (mut stranger, mut another, mut client) = (hold(), hold(), hold());
        stranger.set(50_000, false).unwrap();
        assert_eq!(another.set(SMALL + 1, false), Err(NoRoom));
        another.set(SMALL, false).unwrap();
        client.set(40_000, true).unwrap();
        assert_eq!(client.set(50_000, true), Err(NoRoom));
        assert_eq!(input.used(), 90_000 + SMALL);
        // It keeps what it did, and what is let go makes room.
        drop(stranger);
        client.set(90_000, true).unwrap();
        client.set(10, true).unwrap();
        assert_eq!(input.used(), SMALL + 10);
        drop((another, client));
        assert_eq!(input.used(), 0);
    }
}
