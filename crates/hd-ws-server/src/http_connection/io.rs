//! The bytes of an HTTP connection: heads that arrive in time and are
//! unambiguous, answers that get on.
//!
//! hyper has one timer for two things: a head that trickles in, which an
//! attacker wants to last, and a connection that rests between two requests,
//! which a load balancer wants to keep. Its timer is used for the second. This
//! one starts with the first byte of a head, or with the connection.
//!
//! hyper is given one head at a time: what follows it is kept back until it
//! asks for more. So it holds no more than one request that is not answered,
//! and each head is looked at from its first byte to its last.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::head_scan::HeadScan;
use super::state::{Activity, FollowingBody, HttpState};
use crate::HttpClose;

/// The reading and the writing side of an HTTP connection.
pub(crate) struct HttpIo {
    stream: TcpStream,
    state: Arc<HttpState>,
    timeouts: Timeouts,
    part: Part,
    /// Read, and of a part that hyper has not asked for.
    kept_back: KeptBack,
    has_had_head: bool,
    /// Runs while a head is read.
    head_timer: Option<Pin<Box<Sleep>>>,
    /// Runs while an answer does not get on.
    write_timer: Option<Pin<Box<Sleep>>>,
}

/// Bytes of the peer's that wait for hyper to ask for them.
#[derive(Default)]
struct KeptBack {
    bytes: Box<[u8]>,
    /// How many of them it has.
    taken: usize,
}

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) header: Duration,
    pub(super) write: Duration,
}

/// What the next byte from the peer belongs to.
enum Part {
    Head(HeadScan),
    /// A body of which so many bytes are left.
    Body(u64),
    /// Whatever it is, it is not looked at until the request is answered.
    Unknown,
}

impl HttpIo {
    pub(super) fn new(stream: TcpStream, state: Arc<HttpState>, timeouts: Timeouts) -> Self {
        Self {
            stream,
            state,
            timeouts,
            part: Part::Head(HeadScan::default()),
            kept_back: KeptBack::default(),
            has_had_head: false,
            head_timer: None,
            write_timer: None,
        }
    }

    /// The stream, and what was read from it and not given to hyper.
    pub(super) fn into_inner(self) -> (TcpStream, Bytes) {
        let KeptBack { bytes, taken } = self.kept_back;
        (self.stream, Bytes::from(bytes).slice(taken..))
    }

    /// Learns from the service what follows the head that it got.
    fn follow(&mut self) {
        match self.state.take_body() {
            None if matches!(self.part, Part::Unknown) && !self.state.is_answering() => {
                self.part = Part::Head(HeadScan::default());
            }
            None => {}
            Some(FollowingBody::Sized(0)) => self.part = Part::Head(HeadScan::default()),
            Some(FollowingBody::Sized(len)) => self.part = Part::Body(len),
            Some(FollowingBody::Chunked | FollowingBody::Upgraded) => self.part = Part::Unknown,
        }
    }

    /// Takes note of bytes that were read. Returns how many of them are hyper's
    /// now.
    fn take(&mut self, bytes: &mut [u8]) -> usize {
        match &mut self.part {
            Part::Head(scan) => {
                let is_first = !scan.has_begun();
                let scanned = scan.scan(bytes);
                // The service is about to see one that is whole already.
                if is_first && !scanned.is_whole && !self.state.is_answering() {
                    self.state.set_activity(Activity::Reading);
                }
                if scanned.has_bare_lf {
                    self.state.set_close(HttpClose::AmbiguousHead);
                }
                if scanned.is_whole {
                    self.state.set_whole_head();
                    self.has_had_head = true;
                    self.head_timer = None;
                    // Until the service says what follows.
                    self.part = Part::Head(HeadScan::default());
                }
                scanned.len
            }
            Part::Body(left) => {
                let len = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= len as u64;
                if *left == 0 {
                    self.part = Part::Head(HeadScan::default());
                }
                len
            }
            Part::Unknown => bytes.len(),
        }
    }

    fn poll_head_timer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_awaited = match &self.part {
            Part::Head(scan) => scan.has_begun() || !self.has_had_head,
            Part::Body(_) | Part::Unknown => false,
        };
        if !is_awaited || self.state.is_answering() {
            self.head_timer = None;
            return Poll::Pending;
        }
        let limit = self.timeouts.header;
        let timer = self
            .head_timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        self.state.set_close(HttpClose::HeaderTimeout);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Takes note of what became of a write. Fails when none got on for too
    /// long.
    fn written(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.write_timer = None;
            if self.state.is_blocked() {
                self.state.set_blocked(false);
                // The service's answer waits for it.
                cx.waker().wake_by_ref();
            }
            return written;
        }
        if !self.state.is_blocked() {
            self.state.set_blocked(true);
        }
        let limit = self.timeouts.write;
        let timer = self
            .write_timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        self.state.set_close(HttpClose::WriteTimeout);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for HttpIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.follow();
        let limit = match this.part {
            Part::Head(_) => MAX_HEAD_PIECE,
            Part::Body(_) | Part::Unknown => SCRATCH_LEN,
        };
        let limit = limit.min(buffer.remaining());
        if !this.kept_back.bytes.is_empty() {
            let KeptBack { mut bytes, taken } = std::mem::take(&mut this.kept_back);
            let rest = &mut bytes[taken..];
            let len = rest.len().min(limit);
            let len = this.take(&mut rest[..len]);
            buffer.put_slice(&rest[..len]);
            if len < rest.len() {
                let taken = taken + len;
                this.kept_back = KeptBack { bytes, taken };
            }
            return Poll::Ready(Ok(()));
        }
        let mut scratch = SCRATCH
            .take()
            .unwrap_or_else(|| vec![0; SCRATCH_LEN].into_boxed_slice());
        let read = poll_read(&mut this.stream, cx, &mut scratch[..limit]);
        let result = match read {
            Poll::Pending => this.poll_head_timer(cx),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(count)) => {
                let bytes = &mut scratch[..count];
                let len = if count == 0 { 0 } else { this.take(bytes) };
                buffer.put_slice(&bytes[..len]);
                if len < count {
                    this.kept_back.bytes = Box::from(&bytes[len..]);
                }
                Poll::Ready(Ok(()))
            }
        };
        SCRATCH.set(Some(scratch));
        result
    }
}

/// Reads with tokio's own `poll_read`: after a read that did not fill the buffer
/// it waits for the next event, and does not ask the kernel once more.
fn poll_read(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    bytes: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(bytes);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

impl Write for HttpIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(written, cx)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(written, cx)
    }
}

thread_local! {
    /// Where the connections of a thread read into.
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// As much as hyper reads of a body at a time.
const SCRATCH_LEN: usize = 16 * 1024;
/// Bytes that are read of a head at a time. What follows the head in them is
/// kept for as long as the request is answered.
const MAX_HEAD_PIECE: usize = 4 * 1024;
