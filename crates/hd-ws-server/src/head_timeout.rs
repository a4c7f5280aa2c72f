//! The time in which a request's head arrives.
//!
//! hyper has one timer for two things: a head that trickles in, which an
//! attacker wants to last, and a connection that rests between two requests,
//! which a load balancer wants to keep. Its timer is used for the second. This
//! one starts with the first byte of a head, or with the connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// A connection whose requests' heads must arrive in time.
pub(crate) struct HeadTimeout {
    io: TokioIo<TcpStream>,
    limit: Duration,
    phase: Arc<Phase>,
    /// Runs while a head is read.
    timer: Option<Pin<Box<Sleep>>>,
}

/// The service of such a connection.
pub(crate) struct Answering<S> {
    service: S,
    phase: Arc<Phase>,
}

/// A request that is being answered.
pub(crate) struct Answer<F> {
    future: F,
    phase: Arc<Phase>,
}

/// ```text
///   READING ── head is whole ──► ANSWERING ── answered ──► RESTING
///      ▲                                                      │
///      └────────────────────── first byte ────────────────────┘
/// ```
struct Phase(AtomicU8);

const READING: u8 = 0;
const ANSWERING: u8 = 1;
const RESTING: u8 = 2;

/// Has the heads of a service's requests arrive within `limit`.
pub(crate) fn head_timeout<S>(
    stream: TcpStream,
    service: S,
    limit: Duration,
) -> (HeadTimeout, Answering<S>) {
    let phase = Arc::new(Phase(AtomicU8::new(READING)));
    let io = HeadTimeout {
        io: TokioIo::new(stream),
        limit,
        phase: Arc::clone(&phase),
        timer: None,
    };
    (io, Answering { service, phase })
}

impl HeadTimeout {
    pub(crate) fn into_inner(self) -> TcpStream {
        self.io.into_inner()
    }
}

impl Read for HeadTimeout {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        let phase = self.phase.get();
        if phase != READING {
            // Each head has a time of its own.
            self.timer = None;
            if phase == RESTING && read.is_ready() {
                self.phase.set(READING);
            }
            return read;
        }
        if read.is_ready() {
            return read;
        }
        let limit = self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Write for HeadTimeout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}

impl<R, S: Service<R>> Service<R> for Answering<S>
where
    S::Future: Unpin,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn call(&self, request: R) -> Self::Future {
        self.phase.set(ANSWERING);
        Answer {
            future: self.service.call(request),
            phase: Arc::clone(&self.phase),
        }
    }
}

impl<F: Future + Unpin> Future for Answer<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let answer = Pin::new(&mut self.future).poll(cx);
        if answer.is_ready() {
            self.phase.set(RESTING);
        }
        answer
    }
}

// One task has both ends, so that no order between them is at stake.
impl Phase {
    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }
}
