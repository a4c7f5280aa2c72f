//! The process's open files: each connection is one.

use std::io;
use std::num::NonZeroUsize;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, as Node does, and has the kernel
/// make room for that many files. Returns the limit.
///
/// To be called before the process has a second thread. The kernel doubles the
/// table of open files whenever it is full; with more than one thread it then
/// waits until every core has passed through the scheduler, some 15 ms, and
/// whoever was accepting waits with it: nine times while 20,000 clients
/// reconnect.
///
/// # Errors
///
/// What the operating system says.
pub(crate) fn make_room() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let most = hard_limit();
    if limit.current.is_some_and(|current| current < most) {
        let current = Some(most);
        setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
    }
    let last = i32::try_from(most.min(ROOM) - 1).unwrap_or(i32::MAX);
    // The table grows to hold the number that is asked for, and stays so.
    drop(fcntl_dupfd_cloexec(io::stdout(), last)?);
    Ok(most)
}

/// How many clients the limit of open files leaves room for.
pub(crate) fn room_for_clients() -> NonZeroUsize {
    clients_within(hard_limit())
}

/// How many TCP connections it leaves room for: those of clients, and those of
/// whoever else sends requests.
pub(crate) fn room_for_sockets() -> NonZeroUsize {
    sockets_within(hard_limit())
}

fn sockets_within(limit: u64) -> NonZeroUsize {
    within(limit, (limit / OWN_SHARE).clamp(LEAST_OWN, MOST_OWN))
}

fn clients_within(limit: u64) -> NonZeroUsize {
    let reserve = (limit / RESERVE_SHARE).clamp(LEAST_RESERVE, MOST_RESERVE);
    within(limit, reserve)
}

fn within(limit: u64, reserve: u64) -> NonZeroUsize {
    // File numbers are ints.
    let room = limit.saturating_sub(reserve).min(i32::MAX as u64);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    NonZeroUsize::new(room).unwrap_or(NonZeroUsize::MIN)
}

fn hard_limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// A tenth of all files is for what is no client: requests of the back end and
/// of load balancers, clients that are being turned away or have just been
/// closed, Redis, and a dozen of the process itself.
const RESERVE_SHARE: u64 = 10;
const LEAST_RESERVE: u64 = 32;
/// As many as may wait to be accepted.
const MOST_RESERVE: u64 = 4096;

/// A hundredth is for what is no connection to the port: Redis, a dozen of the
/// process itself, and connections that are closed and not gone yet.
const OWN_SHARE: u64 = 100;
const LEAST_OWN: u64 = 24;
const MOST_OWN: u64 = 256;

/// Room that is made at the start. 8 bytes of the kernel's memory for each:
/// half a MiB, where a container's limit may be a million files. Fargate's
/// limit is 65,535.
const ROOM: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_kept_back_within_bounds() {
        for (limit, clients) in [
            (0, 1),
            (32, 1),
            (40, 8),
            (1024, 922),
            (20_000, 18_000),
            (65_535, 61_439),
            (1_048_576, 1_044_480),
            (u64::MAX, i32::MAX as usize),
        ] {
            assert_eq!(clients_within(limit).get(), clients, "{limit}");
        }
    }

    #[test]
    fn there_is_room_for_requests_beside_all_clients() {
        for (limit, sockets) in [
            (0, 1),
            (40, 16),
            (300, 276),
            (1024, 1000),
            (65_535, 65_279),
            (u64::MAX, i32::MAX as usize),
        ] {
            assert_eq!(sockets_within(limit).get(), sockets, "{limit}");
            let clients = clients_within(limit);
            assert!(clients <= sockets_within(limit), "{limit}");
        }
    }
}
