//! The order of all events, whichever rooms hold them.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crate::Offset;
use crate::room_log::Entry;

/// Every event that a log has, the oldest first.
///
/// Rooms drop events for themselves; one that none holds any more is a shell
/// here, some hundred bytes. Where there are many, a few places are looked
/// through with each event that comes, so that nobody waits for all of them:
///
/// ```text
///  the oldest ─► │ swept: no shells │ rest │ ◄─ the latest
///                                 ◄─ one after the other; again from the
///                                    oldest when the rest is empty
/// ```
#[derive(Debug)]
pub(crate) struct Order<E> {
    swept: VecDeque<Place<E>>,
    rest: VecDeque<Place<E>>,
}

type Place<E> = (Offset, Weak<Entry<E>>);

impl<E> Order<E> {
    pub(crate) const fn new() -> Self {
        Self {
            swept: VecDeque::new(),
            rest: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, entry: &Arc<Entry<E>>) {
        self.rest.push_back((entry.offset, Arc::downgrade(entry)));
    }

    /// The offset of the oldest place.
    pub(crate) fn oldest(&self) -> Option<Offset> {
        let oldest = self.swept.front().or_else(|| self.rest.front())?;
        Some(oldest.0)
    }

    pub(crate) fn pop_oldest(&mut self) -> Option<Place<E>> {
        self.swept.pop_front().or_else(|| self.rest.pop_front())
    }

    /// Looks through some places if there are many shells. `held` is how many
    /// are none.
    pub(crate) fn sweep(&mut self, held: usize) {
        let places = self.swept.len() + self.rest.len();
        if places <= held + held / 2 + FEW_SHELLS {
            return;
        }
        if self.rest.is_empty() {
            // Whatever it had room for is given up.
            self.rest = std::mem::take(&mut self.swept);
        }
        for place in self.rest.drain(..self.rest.len().min(PLACES_AT_ONCE)) {
            if place.1.strong_count() > 0 {
                self.swept.push_back(place);
            }
        }
    }
}

/// Not worth looking for.
const FEW_SHELLS: usize = 8;
/// More than one, so that it ends while events come; few, since each is
/// somewhere else in memory.
const PLACES_AT_ONCE: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smallvec::SmallVec;

    use super::*;

    fn entry(number: u64) -> Arc<Entry<()>> {
        Arc::new(Entry {
            offset: Offset::new(number, 0),
            stale_at: u64::MAX,
            rooms: SmallVec::new(),
            except: Box::default(),
            bytes: 1,
            event: (),
        })
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Push,
        /// A room drops one of those that are held.
        Drop(prop::sample::Index),
        Pop,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => Just(Step::Push),
            4 => any::<prop::sample::Index>().prop_map(Step::Drop),
            1 => Just(Step::Pop),
        ]
    }

    proptest! {
        #[test]
        fn what_is_held_comes_out_in_order(steps in prop::collection::vec(step(), 1..400)) {
            let mut order = Order::new();
            let mut held: Vec<Arc<Entry<()>>> = Vec::new();
            for (number, step) in (0..).zip(steps) {
                match step {
                    Step::Push => {
                        held.push(entry(number));
                        order.push(held.last().unwrap());
                        order.sweep(held.len());
                    }
                    Step::Drop(index) => if !held.is_empty() {
                        held.remove(index.index(held.len()));
                    }
                    Step::Pop => {
                        let oldest = order.oldest();
                        let popped = order.pop_oldest();
                        prop_assert_eq!(oldest, popped.as_ref().map(|(offset, _)| *offset));
                        if let Some(entry) = popped.and_then(|(_, entry)| entry.upgrade()) {
                            prop_assert_eq!(held.remove(0).offset, entry.offset);
                        }
                    }
                }
            }
            let left = std::iter::from_fn(|| order.pop_oldest());
            let left: Vec<Offset> = left.filter_map(|(_, entry)| Some(entry.upgrade()?.offset)).collect();
            prop_assert_eq!(left, held.iter().map(|entry| entry.offset).collect::<Vec<_>>());
        }
    }

    #[test]
    fn shells_are_no_more_than_what_is_held() {
        for held in [0, 10, 1000] {
            let mut order = Order::new();
            let keep: Vec<_> = (0..held).map(entry).collect();
            keep.iter().for_each(|entry| order.push(entry));
            for number in 0..100_000 {
                order.push(&entry(held + number));
                order.sweep(keep.len());
                let places = order.swept.len() + order.rest.len();
                assert!(places <= 2 * keep.len() + 2 * FEW_SHELLS, "{places} places");
            }
        }
    }

    #[test]
    fn few_shells_beside_what_is_held_are_not_looked_for() {
        let mut order = Order::new();
        let keep: Vec<_> = (0..100).map(entry).collect();
        keep.iter().for_each(|entry| order.push(entry));
        for number in 100..158 {
            order.push(&entry(number));
            order.sweep(keep.len());
            assert!(order.swept.is_empty(), "{number}");
        }
        order.push(&entry(158));
        order.sweep(keep.len());
        assert!(!order.swept.is_empty());
    }
}
