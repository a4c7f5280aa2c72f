//! The frames that wait for a transport.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::Frame;

/// A queue of frames, bounded in bytes, that a WebSocket is written from.
///
/// A session has one. It holds no memory while it is empty.
#[derive(Debug, Default)]
pub struct Outbound {
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that are written already.
    written: usize,
    /// Bytes of all frames, the written ones included.
    bytes: usize,
}

impl Outbound {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether a part of the first frame is written already.
    #[must_use]
    pub const fn is_partly_written(&self) -> bool {
        self.written > 0
    }

    /// Bytes that wait, in whole frames.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory that the queue takes: [`bytes`](Self::bytes), and for each frame
    /// what it costs to keep it. A bound on bytes alone would let tiny frames
    /// take many times the memory.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes + self.frames.len() * FRAME_COST
    }

    /// The bytes to write next, for one vectored write. Returns how many of
    /// `slices` are filled.
    pub fn fill_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut skip = self.written;
        for (slice, frame) in slices.iter_mut().zip(&self.frames) {
            *slice = IoSlice::new(&frame.bytes()[skip..]);
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// Takes note that `count` bytes of what [`fill_slices`](Self::fill_slices)
    /// gave are written.
    pub fn advance(&mut self, count: usize) {
        let mut written = self.written + count;
        while let Some(first) = self.frames.front() {
            if written < first.len() {
                break;
            }
            written -= first.len();
            self.bytes -= first.len();
            self.frames.pop_front();
        }
        self.written = written;
        if self.frames.is_empty() {
            debug_assert_eq!(self.written, 0, "no more can be written than was queued");
            *self = Self::default();
        }
    }

    /// Queues a frame. The caller keeps the bound; see [`memory`](Self::memory).
    pub fn push(&mut self, frame: Frame) {
        if self.frames.capacity() == 0 {
            // VecDeque would begin with room for four.
            self.frames.reserve_exact(1);
        }
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Queues a frame of which the first `written` bytes are out already, and
    /// before which nothing waits.
    pub fn push_partial(&mut self, frame: Frame, written: usize) {
        debug_assert!(self.is_empty() && written < frame.len());
        self.written = written;
        self.push(frame);
    }

    /// Whether the last thing that waits is a close frame.
    pub(crate) fn ends_with_close(&self) -> bool {
        self.frames.back().is_some_and(Frame::is_close)
    }

    /// Queues a frame before all others, for a transport that takes whole
    /// frames.
    pub(crate) fn push_first(&mut self, frame: Frame) {
        debug_assert_eq!(self.written, 0, "a poll takes whole packets");
        self.bytes += frame.len();
        self.frames.push_front(frame);
    }

    /// Takes up to `count` frames.
    pub(crate) fn take(&mut self, count: usize) -> Self {
        debug_assert_eq!(self.written, 0, "a poll takes whole packets");
        if count >= self.frames.len() {
            return std::mem::take(self);
        }
        let frames: VecDeque<Frame> = self.frames.drain(..count).collect();
        let bytes = frames.iter().map(Frame::len).sum();
        self.bytes -= bytes;
        Self {
            frames,
            written: 0,
            bytes,
        }
    }

    /// What waits, in order; a part of the first may be written already.
    pub fn frames(&self) -> impl Iterator<Item = &Frame> + Clone {
        self.frames.iter()
    }

    /// Drops all but a frame that is partly written, since the peer could make
    /// nothing of what follows half a frame.
    pub fn discard(&mut self) {
        let partial = (self.written > 0)
            .then(|| self.frames.pop_front())
            .flatten();
        let written = self.written;
        *self = Self::default();
        if let Some(frame) = partial {
            self.push_partial(frame, written);
        }
    }
}

/// A place in the queue takes 40 bytes; a reference count and the allocator's
/// own needs are the rest.
const FRAME_COST: usize = 64;
