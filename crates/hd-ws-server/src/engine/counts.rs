//! Numbers of sessions and transports.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use engineio_proto::Transport;

use crate::{HttpClose, Rejection};

/// Sessions by their transport, now and in all.
#[derive(Debug, Default)]
pub struct Counts {
    polling: AtomicUsize,
    websocket: AtomicUsize,
    plain: AtomicUsize,
    opened: AtomicU64,
    upgraded: AtomicU64,
    rejected: [AtomicU64; Rejection::ALL.len()],
    http_closed: [AtomicU64; HttpClose::ALL.len()],
    drained: AtomicU64,
    lost: AtomicU64,
    too_old: AtomicU64,
    throttled: AtomicU64,
}

impl Counts {
    /// Sessions on HTTP long-polling now.
    #[must_use]
    pub fn polling(&self) -> usize {
        self.polling.load(Ordering::Relaxed)
    }

    /// Engine.IO sessions on a WebSocket now.
    #[must_use]
    pub fn websocket(&self) -> usize {
        self.websocket.load(Ordering::Relaxed)
    }

    /// Plain WebSocket clients now.
    #[must_use]
    pub fn plain(&self) -> usize {
        self.plain.load(Ordering::Relaxed)
    }

    /// Sessions opened since the start.
    #[must_use]
    pub fn opened_total(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Sessions that moved from polling to a WebSocket since the start.
    #[must_use]
    pub fn upgraded_total(&self) -> u64 {
        self.upgraded.load(Ordering::Relaxed)
    }

    /// Requests rejected, and clients closed, for this reason since the start.
    #[must_use]
    pub fn rejected_total(&self, reason: Rejection) -> u64 {
        self.rejected[reason.index()].load(Ordering::Relaxed)
    }

    /// HTTP connections that the server closed for this reason since the start.
    #[must_use]
    pub fn http_closed_total(&self, reason: HttpClose) -> u64 {
        self.http_closed[reason.index()].load(Ordering::Relaxed)
    }

    /// Sessions closed by a drain or a stop, each at its moment.
    #[must_use]
    pub fn drained_total(&self) -> u64 {
        self.drained.load(Ordering::Relaxed)
    }

    /// Sessions that ended during a drain or a stop with messages still queued
    /// for them.
    #[must_use]
    pub fn lost_total(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Sessions closed for their age.
    #[must_use]
    pub fn too_old_total(&self) -> u64 {
        self.too_old.load(Ordering::Relaxed)
    }

    /// Times that clients were read more slowly, since they sent too much.
    #[must_use]
    pub fn throttled_total(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    pub(super) fn opened(&self, kind: Kind) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.now(kind).fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn upgraded(&self) {
        self.upgraded.fetch_add(1, Ordering::Relaxed);
        self.polling.fetch_sub(1, Ordering::Relaxed);
        self.websocket.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self, kind: Kind) {
        self.now(kind).fetch_sub(1, Ordering::Relaxed);
    }

    const fn now(&self, kind: Kind) -> &AtomicUsize {
        match kind {
            Kind::EngineIo(Transport::Polling) => &self.polling,
            Kind::EngineIo(Transport::WebSocket) => &self.websocket,
            Kind::Plain => &self.plain,
        }
    }

    pub(super) fn rejected(&self, reason: Rejection) {
        self.rejected[reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn http_closed(&self, reason: HttpClose) {
        self.http_closed[reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn drained(&self) {
        self.drained.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn too_old(&self) {
        self.too_old.fetch_add(1, Ordering::Relaxed);
    }
}

/// As what a connection is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    EngineIo(Transport),
    Plain,
}
