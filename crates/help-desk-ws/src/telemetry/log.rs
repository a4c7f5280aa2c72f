//! The log: lines on stdout, where the NestJS service logged.
//!
//! Strangers decide how often most lines are logged, and whoever reads stdout decides when it takes
//! them. Neither may cost the service anything: lines of a kind that floods are suppressed and
//! summarized ([`sampler`]), and a thread of its own writes what waits in a bounded queue
//! ([`queue`], [`writer`]).

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;

use super::LogCounts;
use crate::settings::LogFormat;

mod layer;
mod line;
mod queue;
mod sampler;
mod writer;

pub(super) use layer::LogLayer;

use line::LogLine;
use queue::{LogQueue, More};
use sampler::{Sampler, Summary};

/// The target of lines about the life of a client that has a token, and of the process. Connections
/// and operators bound how many there are, so that they are sampled only in much larger numbers.
pub(super) const LIFECYCLE: &str = "help_desk_ws::lifecycle";

/// What the layer, the thread that writes and the rest of the process share.
#[derive(Debug)]
pub(super) struct Log {
    format: LogFormat,
    lines_per_second: u32,
    sampler: Mutex<Sampler<Identifier>>,
    queue: LogQueue,
    counts: Arc<LogCounts>,
}

impl Log {
    pub(super) fn new(format: LogFormat, lines_per_second: u32, counts: Arc<LogCounts>) -> Self {
        Self {
            format,
            lines_per_second,
            sampler: Mutex::new(Sampler::new()),
            queue: LogQueue::default(),
            counts,
        }
    }

    fn queue(&self, line: String) {
        if !self.queue.push(line) {
            self.counts.dropped.add(1);
        }
    }

    /// A summary that is due, or, at the end of the log, any.
    fn summary(&self, now: Instant, more: More) -> Option<Summary> {
        match more {
            More::Maybe => self.sampler().poll_summary(now),
            More::No => self.sampler().flush_summary(now),
        }
    }

    fn sampler(&self) -> MutexGuard<'_, Sampler<Identifier>> {
        self.sampler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that the queue has, for tests that have no thread that writes.
    #[cfg(test)]
    pub(super) fn written(&self) -> String {
        let mut output = Vec::new();
        self.queue.close(Duration::ZERO);
        writer::run(self, &mut output);
        String::from_utf8(output).expect("invariant: lines are text")
    }
}

/// The running log. To drop it writes what waits, at most for [`FLUSH_TIMEOUT`].
#[derive(Debug)]
pub(crate) struct LogHandle {
    log: Arc<Log>,
}

impl LogHandle {
    /// Starts the thread that writes.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub(super) fn start(log: &Arc<Log>) -> io::Result<Self> {
        let writer = Arc::clone(log);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer::run(&writer, io::stdout()))?;
        Ok(Self {
            log: Arc::clone(log),
        })
    }

    /// Puts text that is no log line between the lines.
    pub(crate) fn print(&self, text: String) {
        self.log.queue(text);
    }

    /// Summarizes what has been suppressed so far, so that the last line can be the last.
    pub(crate) fn summarize(&self) {
        let log = &self.log;
        while let Some(summary) = log.summary(Instant::now(), More::No) {
            log.queue(LogLine::of_summary(summary).render(log.format));
        }
    }

    pub(crate) fn counts(&self) -> Arc<LogCounts> {
        Arc::clone(&self.log.counts)
    }
}

impl Drop for LogHandle {
    fn drop(&mut self) {
        self.log.queue.close(FLUSH_TIMEOUT);
    }
}

/// For what waits at the end of the process. It comes after `SHUTDOWN_TIMEOUT` and the second for
/// Redis, which together have to stay below the 10 s of `docker stop`.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);
