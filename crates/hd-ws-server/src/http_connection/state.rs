//! What the parts of one HTTP connection know of each other.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

use futures_util::task::AtomicWaker;

use crate::HttpClose;

/// What one HTTP connection does. Its task has the reading side, the writing
/// side and the service, so that no order between them is at stake; whoever
/// looks for a connection to close reads it from elsewhere.
///
/// ```text
///   Reading ── head is whole ──► Answering ──► Polling
///      ▲                             │            │
///      └── first byte ── Resting ◄───┴─ answered ─┘
/// ```
#[derive(Debug)]
pub(crate) struct HttpState {
    opened: Instant,
    activity: AtomicU8,
    /// An answer waits for the kernel to take more of it.
    is_blocked: AtomicBool,
    /// When that, or the activity, began, or last got on: milliseconds after
    /// `opened`.
    since: AtomicU64,
    requests: AtomicU32,
    /// A head went through the reading side that the service has not seen yet.
    has_whole_head: AtomicBool,
    /// The body that follows the head that the service saw last.
    body: AtomicU64,
    close: AtomicU8,
    is_evicted: AtomicBool,
    /// Of the task that has the connection.
    evicted: AtomicWaker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// A head is awaited or read.
    Reading,
    /// Nothing is awaited.
    Resting,
    Answering,
    /// A poll of a session waits for packets.
    Polling,
}

/// The body that follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FollowingBody {
    /// So many bytes, and then a head.
    Sized(u64),
    /// Where it ends is hyper's to find: it is chunked.
    Chunked,
    /// What follows is no HTTP any more.
    Upgraded,
}

impl HttpState {
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            activity: AtomicU8::new(Activity::Reading as u8),
            is_blocked: AtomicBool::new(false),
            since: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            has_whole_head: AtomicBool::new(false),
            body: AtomicU64::new(NO_NEW_BODY),
            close: AtomicU8::new(NO_CLOSE),
            is_evicted: AtomicBool::new(false),
            evicted: AtomicWaker::new(),
        }
    }

    pub(super) fn activity(&self) -> Activity {
        let activity = self.activity.load(Ordering::Relaxed);
        [
            Activity::Reading,
            Activity::Resting,
            Activity::Answering,
            Activity::Polling,
        ]
        .into_iter()
        .find(|candidate| *candidate as u8 == activity)
        .unwrap_or(Activity::Answering)
    }

    pub(super) fn is_answering(&self) -> bool {
        matches!(self.activity(), Activity::Answering | Activity::Polling)
    }

    pub(super) fn set_activity(&self, activity: Activity) {
        self.activity.store(activity as u8, Ordering::Relaxed);
        self.touch();
    }

    /// The request that is being answered is a poll, which waits.
    pub(crate) fn set_polling(&self) {
        self.set_activity(Activity::Polling);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Relaxed)
    }

    pub(super) fn set_blocked(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
        self.touch();
    }

    fn touch(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(since, Ordering::Relaxed);
    }

    /// When the connection last got on.
    pub(super) fn since(&self) -> Instant {
        let since = std::time::Duration::from_millis(self.since.load(Ordering::Relaxed));
        self.opened.checked_add(since).unwrap_or(self.opened)
    }

    /// Counts a request. Returns how many that are.
    pub(super) fn count_request(&self) -> u32 {
        self.requests
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1)
    }

    pub(super) fn set_whole_head(&self) {
        self.has_whole_head.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_whole_head(&self) -> bool {
        self.has_whole_head.swap(false, Ordering::Relaxed)
    }

    pub(super) fn set_body(&self, body: FollowingBody) {
        let body = match body {
            FollowingBody::Sized(len) => len.min(UPGRADED - 1),
            FollowingBody::Upgraded => UPGRADED,
            FollowingBody::Chunked => CHUNKED,
        };
        self.body.store(body, Ordering::Relaxed);
    }

    pub(super) fn take_body(&self) -> Option<FollowingBody> {
        match self.body.swap(NO_NEW_BODY, Ordering::Relaxed) {
            NO_NEW_BODY => None,
            CHUNKED => Some(FollowingBody::Chunked),
            UPGRADED => Some(FollowingBody::Upgraded),
            len => Some(FollowingBody::Sized(len)),
        }
    }

    /// The connection is to be closed for this reason, unless there is one.
    pub(super) fn set_close(&self, reason: HttpClose) {
        // Two may say so at once, and either is true.
        let _has_one = self.close.compare_exchange(
            NO_CLOSE,
            reason as u8,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    pub(super) fn close(&self) -> Option<HttpClose> {
        let close = usize::from(self.close.load(Ordering::Relaxed));
        HttpClose::ALL.get(close).copied()
    }

    /// Has the connection closed. Returns whether it was not before.
    pub(super) fn evict(&self) -> bool {
        let is_first = !self.is_evicted.swap(true, Ordering::Relaxed);
        if is_first {
            self.evicted.wake();
        }
        is_first
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.is_evicted.load(Ordering::Relaxed)
    }

    /// Waits until it is to make room for another.
    pub(super) async fn evicted(&self) {
        std::future::poll_fn(|cx| {
            self.evicted.register(cx.waker());
            // Not before: it may be just now.
            if self.is_evicted() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

const NO_NEW_BODY: u64 = u64::MAX;
const CHUNKED: u64 = u64::MAX - 1;
const UPGRADED: u64 = u64::MAX - 2;
const NO_CLOSE: u8 = u8::MAX;
