//! The process's open files: each connection is one.

use std::io;

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
    let most = limit.maximum.unwrap_or(u64::MAX);
    if limit.current.is_some_and(|current| current < most) {
        let current = Some(most);
        setrlimit(Resource::Nofile, Rlimit { current, ..limit })?;
    }
    let last = i32::try_from(most.min(ROOM) - 1).unwrap_or(i32::MAX);
    // The table grows to hold the number that is asked for, and stays so.
    drop(fcntl_dupfd_cloexec(io::stdout(), last)?);
    Ok(most)
}

/// Room that is made at the start. 8 bytes of the kernel's memory for each:
/// half a MiB, where a container's limit may be a million files. Fargate's
/// limit is 65,535.
const ROOM: u64 = 65_536;
