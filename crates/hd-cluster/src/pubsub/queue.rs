use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::Heard;

/// What hears, at all connections: there is one bound for all of them. A clone
/// is the same.
#[derive(Clone, Debug)]
pub(super) struct Ear {
    sender: mpsc::Sender<Item>,
    waiting: Arc<Waiting>,
}

/// What was heard and waits to be taken, in order.
#[derive(Debug)]
pub(super) struct Queue {
    items: mpsc::Receiver<Item>,
    waiting: Arc<Waiting>,
}

#[derive(Debug)]
enum Item {
    Heard(Heard),
    End,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Of messages.
    bytes: AtomicUsize,
    /// Messages for which there was no room.
    dropped: AtomicU64,
}

pub(super) fn queue() -> (Ear, Queue) {
    let (sender, items) = mpsc::channel(MAX_WAITING);
    let waiting = Arc::new(Waiting::default());
    let ear = Ear {
        sender,
        waiting: Arc::clone(&waiting),
    };
    (ear, Queue { items, waiting })
}

impl Ear {
    /// Takes a message, as long as there is room.
    pub(super) fn hear(&self, message: Heard) {
        let len = len(&message);
        let Waiting { bytes, dropped } = &*self.waiting;
        // Before it can be taken.
        let waits = bytes.fetch_add(len, Ordering::Relaxed);
        let has_room = waits + len <= MAX_WAITING_BYTES;
        if !has_room || self.sender.try_send(Item::Heard(message)).is_err() {
            bytes.fetch_sub(len, Ordering::Relaxed);
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Says what is not heard of Redis, once there is room.
    pub(super) async fn tell(&self, what: Heard) {
        // Who listened may be about to end.
        let _unheard = self.sender.send(Item::Heard(what)).await;
    }

    /// After what was heard so far nothing is taken any more.
    pub(super) async fn end(&self) {
        let _unheard = self.sender.send(Item::End).await;
    }
}

/// Has what waits be taken, until the end.
pub(super) async fn deliver<F>(mut queue: Queue, take: &mut impl FnMut(Heard) -> F)
where
    F: Future<Output = ()>,
{
    while let Some(Item::Heard(heard)) = queue.items.recv().await {
        let Waiting { bytes, dropped } = &*queue.waiting;
        bytes.fetch_sub(len(&heard), Ordering::Relaxed);
        take(heard).await;
        let dropped = dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            take(Heard::Dropped(dropped)).await;
        }
    }
}

fn len(heard: &Heard) -> usize {
    match heard {
        Heard::Message { payload, .. } => payload.len(),
        Heard::Listening | Heard::NoShards | Heard::Dropped(_) | Heard::CutOff => 0,
    }
}

/// Messages that may wait, and their bytes: some seconds of what a help desk
/// sends.
const MAX_WAITING: usize = 4096;
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;
