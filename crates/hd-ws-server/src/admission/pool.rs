//! The sessions that have joined nothing, by address and age.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Sessions that have joined nothing. `S` names a session.
///
/// Each call takes O(log n), and each session costs some 100 bytes.
#[derive(Debug)]
pub(crate) struct Pool<S> {
    /// The sessions of an address stand together, the oldest first.
    sessions: BTreeMap<(IpAddr, Ticket), S>,
    /// No hash table: those never shrink by themselves, and floods end.
    addresses: BTreeMap<IpAddr, Tally>,
    /// The last is the address that has most sessions; of those that have
    /// equally many, the one whose oldest session is the oldest.
    ranking: BTreeSet<(usize, Reverse<Ticket>, IpAddr)>,
    next: u64,
}

/// The place of one session in a [`Pool`]. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

#[derive(Clone, Copy, Debug)]
struct Tally {
    count: usize,
    oldest: Ticket,
}

impl<S> Pool<S> {
    pub(crate) fn new() -> Self {
        Self {
            sessions: BTreeMap::new(),
            addresses: BTreeMap::new(),
            ranking: BTreeSet::new(),
            next: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn len_of(&self, address: IpAddr) -> usize {
        self.addresses.get(&address).map_or(0, |tally| tally.count)
    }

    pub(crate) fn insert(&mut self, address: IpAddr, session: S) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.sessions.insert((address, ticket), session);
        let mut before = None;
        let tally = self
            .addresses
            .entry(address)
            .and_modify(|tally| {
                before = Some(*tally);
                tally.count += 1;
            })
            .or_insert(Tally {
                count: 1,
                oldest: ticket,
            });
        let after = Some(*tally);
        self.rank(address, before, after);
        ticket
    }

    /// Returns the session, unless it has gone before.
    pub(crate) fn remove(&mut self, address: IpAddr, ticket: Ticket) -> Option<S> {
        let session = self.sessions.remove(&(address, ticket))?;
        let oldest = self
            .sessions
            .range((address, Ticket(0))..=(address, Ticket(u64::MAX)))
            .next()
            .map(|((_, oldest), _)| *oldest);
        if let Entry::Occupied(mut entry) = self.addresses.entry(address) {
            let before = *entry.get();
            let after = oldest.map(|oldest| Tally {
                count: before.count - 1,
                oldest,
            });
            if let Some(after) = after {
                entry.insert(after);
            } else {
                entry.remove();
            }
            self.rank(address, Some(before), after);
        }
        Some(session)
    }

    /// Takes out the oldest session of the address that has most of them.
    pub(crate) fn evict(&mut self) -> Option<S> {
        let &(_, Reverse(oldest), address) = self.ranking.last()?;
        self.remove(address, oldest)
    }

    /// Takes out the oldest session of this address.
    pub(crate) fn evict_of(&mut self, address: IpAddr) -> Option<S> {
        let oldest = self.addresses.get(&address)?.oldest;
        self.remove(address, oldest)
    }

    /// The oldest session of this address.
    pub(crate) fn oldest_of(&self, address: IpAddr) -> Option<&S> {
        let oldest = self.addresses.get(&address)?.oldest;
        self.sessions.get(&(address, oldest))
    }

    fn rank(&mut self, address: IpAddr, before: Option<Tally>, after: Option<Tally>) {
        if let Some(Tally { count, oldest }) = before {
            self.ranking.remove(&(count, Reverse(oldest), address));
        }
        if let Some(Tally { count, oldest }) = after {
            self.ranking.insert((count, Reverse(oldest), address));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn the_oldest_session_of_the_address_that_has_most_goes() {
        let mut pool = Pool::new();
        for (of, session) in [(1, "a"), (2, "b"), (2, "c"), (1, "d"), (2, "e"), (3, "f")] {
            pool.insert(address(of), session);
        }
        let mut gone = Vec::new();
        while let Some(session) = pool.evict() {
            gone.push(session);
        }
        // Of those that have equally many, whose oldest is the oldest.
        assert_eq!(gone, ["b", "a", "c", "d", "e", "f"]);
        assert_eq!(pool.len(), 0);
        assert_eq!(pool.len_of(address(2)), 0);
    }

    #[test]
    fn a_newcomer_is_not_the_one_while_others_are_there() {
        let mut pool = Pool::new();
        for last in 1..=100 {
            pool.insert(address(last), u32::from(last));
        }
        let newcomer = pool.insert(address(200), 200);
        for last in 1..=100 {
            assert_eq!(pool.evict(), Some(last));
        }
        assert_eq!(pool.remove(address(200), newcomer), Some(200));
        assert_eq!(pool.remove(address(200), newcomer), None);
    }

    #[test]
    fn one_address_makes_room_for_itself() {
        let mut pool = Pool::new();
        let first = pool.insert(address(1), "a");
        pool.insert(address(1), "b");
        pool.insert(address(2), "c");
        assert_eq!(pool.oldest_of(address(1)), Some(&"a"));
        assert_eq!(pool.remove(address(1), first), Some("a"));
        assert_eq!(pool.oldest_of(address(1)), Some(&"b"));
        assert_eq!(pool.evict_of(address(1)), Some("b"));
        assert_eq!(pool.evict_of(address(1)), None);
        assert_eq!(pool.oldest_of(address(1)), None);
        assert_eq!(pool.len_of(address(2)), 1);
    }

    /// Whatever order things happen in, it is as a list that is searched.
    #[test]
    fn it_is_as_a_plain_list() {
        let mut pool = Pool::new();
        let mut list: Vec<(IpAddr, Ticket, u64)> = Vec::new();
        let mut random = 7_u64;
        for step in 0..20_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let choice = random >> 33;
            let of = address((choice / 8 % 7) as u8);
            match choice % 8 {
                0..=3 => {
                    let ticket = pool.insert(of, step);
                    list.push((of, ticket, step));
                }
                4 | 5 if !list.is_empty() => {
                    let at = (choice / 64) as usize % list.len();
                    let (of, ticket, session) = list.remove(at);
                    assert_eq!(pool.remove(of, ticket), Some(session));
                }
                6 => {
                    let count = |of: IpAddr| list.iter().filter(|(other, ..)| *other == of).count();
                    // The first of those that are in the largest address.
                    let most = list.iter().map(|(of, ..)| count(*of)).max();
                    let at = list.iter().position(|(of, ..)| Some(count(*of)) == most);
                    let expected = at.map(|at| list.remove(at).2);
                    assert_eq!(pool.evict(), expected);
                }
                _ => {
                    let at = list.iter().position(|(other, ..)| *other == of);
                    let expected = at.map(|at| list.remove(at).2);
                    assert_eq!(pool.evict_of(of), expected);
                }
            }
            assert_eq!(pool.len(), list.len());
        }
    }
}
