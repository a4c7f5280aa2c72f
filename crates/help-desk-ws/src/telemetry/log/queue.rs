//! The lines that wait to be written.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A bounded queue between the threads that log and the one that writes. To put a line into it
/// never waits for stdout: a line that does not fit is dropped and counted.
#[derive(Debug, Default)]
pub(super) struct LogQueue {
    state: Mutex<State>,
    /// For the thread that writes.
    changed: Condvar,
    /// For whoever waits for the end.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    lines: usize,
    bytes: usize,
    /// Lines are dropped until half of what waits is written: a reader that is a little too slow
    /// would find a note between any two lines.
    is_overflowing: bool,
    /// Lines dropped since the last [`Entry::Dropped`].
    dropped: u64,
    /// Whether the thread that writes waits; a notification costs a system call.
    is_awaited: bool,
    is_woken: bool,
    is_closed: bool,
    has_ended: bool,
}

/// What is written, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// With its line feed.
    Line(String),
    /// So many lines would have been here.
    Dropped(u64),
}

/// Whether there will be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Maybe,
    No,
}

impl LogQueue {
    /// False when the line is dropped.
    pub(super) fn push(&self, line: String) -> bool {
        let mut state = self.lock();
        let is_full =
            state.lines >= MAX_QUEUED_LINES || state.bytes + line.len() > MAX_QUEUED_BYTES;
        if is_full || state.is_overflowing {
            state.is_overflowing = true;
            state.dropped += 1;
            self.notify(state);
            return false;
        }
        state.lines += 1;
        state.bytes += line.len();
        state.entries.push_back(Entry::Line(line));
        self.notify(state);
        true
    }

    /// Lets [`take`](Self::take) return, although there may be no line.
    pub(super) fn wake(&self) {
        let mut state = self.lock();
        state.is_woken = true;
        self.notify(state);
    }

    /// Waits for lines, until the deadline if there is one, and moves some of them into `batch`.
    pub(super) fn take(&self, deadline: Option<Instant>, batch: &mut Vec<Entry>) -> More {
        let mut state = self.lock();
        while state.entries.is_empty()
            && !state.is_overflowing
            && !state.is_woken
            && !state.is_closed
        {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            state.is_awaited = true;
            state = match left {
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
            state.is_awaited = false;
        }
        state.is_woken = false;
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            let Some(entry) = state.entries.pop_front() else {
                break;
            };
            if let Entry::Line(line) = &entry {
                bytes += line.len();
                state.lines -= 1;
                state.bytes -= line.len();
            }
            batch.push(entry);
        }
        let is_half_empty =
            state.lines <= MAX_QUEUED_LINES / 2 && state.bytes <= MAX_QUEUED_BYTES / 2;
        if state.is_overflowing && is_half_empty {
            state.is_overflowing = false;
            let dropped = std::mem::take(&mut state.dropped);
            state.entries.push_back(Entry::Dropped(dropped));
        }
        if state.is_closed && state.entries.is_empty() {
            More::No
        } else {
            More::Maybe
        }
    }

    /// Nothing more will be written.
    pub(super) fn end(&self) {
        self.lock().has_ended = true;
        self.ended.notify_all();
    }

    /// Has what waits written, and waits for it for so long.
    pub(super) fn close(&self, timeout: Duration) {
        let mut state = self.lock();
        state.is_closed = true;
        self.changed.notify_one();
        let is_open = |state: &mut State| !state.has_ended;
        let waited = self.ended.wait_timeout_while(state, timeout, is_open);
        // Whether it was written or not, the process ends.
        drop(waited);
    }

    fn notify(&self, mut state: MutexGuard<'_, State>) {
        let is_awaited = std::mem::take(&mut state.is_awaited);
        drop(state);
        if is_awaited {
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines that wait: what a burst of connects leaves while a disk or a terminal hesitates for some
/// seconds.
const MAX_QUEUED_LINES: usize = 8_192;
/// Bytes of them: 512 a line, where an ordinary one has 150.
const MAX_QUEUED_BYTES: usize = 4 * 1024 * 1024;
/// Written at a time: as much as a pipe holds on Linux.
const BATCH_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn take(queue: &LogQueue) -> Vec<Entry> {
        let mut batch = Vec::new();
        // A deadline that has passed: nothing is waited for.
        let _more = queue.take(Some(Instant::now()), &mut batch);
        batch
    }

    fn take_all(queue: &LogQueue) -> Vec<Entry> {
        let batches = std::iter::repeat_with(|| take(queue));
        batches
            .take_while(|batch| !batch.is_empty())
            .flatten()
            .collect()
    }

    #[test]
    fn lines_leave_in_their_order() {
        let queue = LogQueue::default();
        for number in 0..10_000 / 4 {
            assert!(queue.push(format!("{number}\n")));
        }
        let lines = take_all(&queue).into_iter().enumerate();
        for (number, entry) in lines {
            assert_eq!(entry, Entry::Line(format!("{number}\n")));
        }
    }

    /// Fills the queue, and returns how many lines it has taken.
    fn fill(queue: &LogQueue, line: &str) -> usize {
        let taken = (0..).take_while(|_| queue.push(line.to_owned())).count();
        // The one that ended it, and more.
        for _ in 0..9 {
            assert!(!queue.push("x\n".to_owned()), "until half is written");
        }
        taken
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_told_in_its_place() {
        for (line, most) in [
            ("x\n".to_owned(), MAX_QUEUED_LINES),
            ("x".repeat(1024 * 1024), 4),
            ("x".repeat(1024 * 1024 + 1), 3),
        ] {
            let queue = LogQueue::default();
            assert_eq!(fill(&queue, &line), most);
            let (mut dropped, mut written) = (10, 0);
            while !queue.push("after\n".to_owned()) {
                dropped += 1;
                written += take(&queue).len();
            }
            let rest = take_all(&queue);
            let note = Entry::Dropped(dropped);
            let position = rest.iter().position(|entry| *entry == note).unwrap();
            assert_eq!(written + position, most);
            assert_eq!(rest[position + 1..], [Entry::Line("after\n".to_owned())]);
        }
    }

    #[test]
    fn a_line_larger_than_the_queue_is_dropped() {
        let queue = LogQueue::default();
        assert!(!queue.push("x".repeat(MAX_QUEUED_BYTES + 1)));
        assert_eq!(take(&queue), []);
        assert_eq!(take(&queue), [Entry::Dropped(1)]);
        assert!(queue.push("x\n".to_owned()));
    }
}
