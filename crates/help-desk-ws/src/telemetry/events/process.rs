//! The life of the process: its start, the drain, its end.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{info, warn};

/// The service listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started<'a> {
    /// The address that was bound, with its real port.
    pub(crate) address: SocketAddr,
    pub(crate) workers: usize,
    /// How many files, and so connections, the process may have open.
    pub(crate) max_open_files: u64,
    /// What other processes know it by.
    pub(crate) node: &'a str,
}

impl Started<'_> {
    pub(crate) fn emit(self) {
        let Self {
            address,
            workers,
            max_open_files,
            node,
        } = self;
        info!(
            context = SERVICE,
            version = env!("CARGO_PKG_VERSION"),
            told.address = %address,
            workers,
            max_open_files,
            node,
            "Listening on http://{address}"
        );
    }
}

/// Clients are being moved away, and the service stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draining {
    /// Clients connected now.
    pub(crate) clients: usize,
    /// Time over which they are closed.
    pub(crate) window: Duration,
}

impl Draining {
    pub(crate) fn emit(self) {
        let Self { clients, window } = self;
        info!(
            context = SERVICE,
            clients,
            window = %time(window),
            "Draining as asked at /admin/drain"
        );
    }
}

/// A drain was taken back: whoever is still connected stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainCancelled {
    /// Clients when it began.
    pub(crate) clients: usize,
    /// Clients connected now.
    pub(crate) left: usize,
}

impl DrainCancelled {
    pub(crate) fn emit(self) {
        let Self { clients, left } = self;
        info!(
            context = SERVICE,
            told.left = left,
            told.clients = clients,
            "Drain cancelled as asked at /admin/drain: {left} of {clients} clients left; admitting \
             new clients"
        );
    }
}

/// The service was told to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopping {
    /// What told it.
    pub(crate) signal: &'static str,
    /// Clients still connected.
    pub(crate) clients: usize,
    /// Time over which they are closed.
    pub(crate) window: Duration,
    /// Time after which it ends in any case.
    pub(crate) timeout: Duration,
}

impl Stopping {
    pub(crate) fn emit(self) {
        let Self {
            signal,
            clients,
            window,
            timeout,
        } = self;
        info!(
            context = SERVICE,
            signal,
            clients,
            window = %time(window),
            timeout = %time(timeout),
            "Stopping"
        );
    }
}

/// The service was told to end once more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hurried {
    /// What told it.
    pub(crate) signal: &'static str,
    /// Clients still connected.
    pub(crate) clients: usize,
}

impl Hurried {
    pub(crate) fn emit(self) {
        let Self { signal, clients } = self;
        warn!(
            context = SERVICE,
            signal, clients, "Told to stop again: closing the rest at once"
        );
    }
}

/// A drain is under way, or a stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainProgress {
    /// Clients when it began.
    pub(crate) clients: usize,
    /// Clients connected now.
    pub(crate) left: usize,
}

impl DrainProgress {
    pub(crate) fn emit(self) {
        let Self { clients, left } = self;
        info!(
            context = SERVICE,
            told.left = left,
            told.clients = clients,
            "Draining: {left} of {clients} clients left"
        );
    }
}

/// All clients have been moved away, and the service stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drained {
    /// Clients when it began.
    pub(crate) clients: usize,
    /// Of these, the ones that ended with messages queued for them.
    pub(crate) lost: u64,
    /// Time since it began.
    pub(crate) elapsed: Duration,
}

impl Drained {
    pub(crate) fn emit(self) {
        let Self {
            clients,
            lost,
            elapsed,
        } = self;
        log_end("Drained", clients, lost, elapsed);
    }
}

/// The service has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped {
    /// Clients when it began to drain.
    pub(crate) clients: usize,
    /// Of these, the ones that ended with messages queued for them.
    pub(crate) lost: u64,
    /// Time since then.
    pub(crate) elapsed: Duration,
}

impl Stopped {
    pub(crate) fn emit(self) {
        let Self {
            clients,
            lost,
            elapsed,
        } = self;
        log_end("Stopped", clients, lost, elapsed);
    }
}

fn log_end(what: &str, clients: usize, lost: u64, elapsed: Duration) {
    let moved = (clients as u64).saturating_sub(lost);
    info!(
        context = SERVICE,
        told.moved = moved,
        told.clients = clients,
        told.lost = lost,
        elapsed = %time(elapsed),
        "{what}: moved {moved} of {clients}, lost {lost}"
    );
}

/// Without what is finer than a millisecond.
fn time(time: Duration) -> humantime::FormattedDuration {
    let millis = time.as_millis().try_into().unwrap_or(u64::MAX);
    humantime::format_duration(Duration::from_millis(millis))
}

const SERVICE: &str = "HelpDeskWs";
