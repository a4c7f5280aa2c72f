//! Many attackers side by side, and what they count together.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::{task::JoinSet, time::sleep};

use super::field::{Field, Findings};

/// What attackers got, counted by all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    refused: AtomicU64,
    /// What is open now.
    open: AtomicU64,
}

impl Count {
    pub(crate) fn accept(&self) {
        self.0.accepted.fetch_add(1, Relaxed);
    }

    pub(crate) fn refuse(&self) {
        self.0.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn open(&self) {
        self.0.open.fetch_add(1, Relaxed);
    }

    pub(crate) fn close(&self) {
        self.0.open.fetch_sub(1, Relaxed);
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.0.accepted.load(Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    pub(crate) fn is_open(&self) -> u64 {
        self.0.open.load(Relaxed)
    }

    pub(crate) fn findings(&self) -> Findings {
        Findings {
            accepted: self.accepted(),
            refused: self.refused(),
            ..Findings::default()
        }
    }
}

/// Runs `size` attackers until the attack is over; then they lose their connections.
pub(crate) async fn swarm<Life>(
    field: &Field,
    size: usize,
    count: &Count,
    life: impl Fn(Field, usize, Count) -> Life,
) where
    Life: Future<Output = ()> + Send + 'static,
{
    let mut attackers = JoinSet::new();
    for number in 0..size {
        attackers.spawn(life(field.clone(), number, count.clone()));
    }
    sleep(field.left()).await;
    attackers.shutdown().await;
}
