//! Where events become log lines.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::line::LogLine;
use super::sampler::{Kind, Reason, Verdict};
use super::{LIFECYCLE, Log};

/// Judges each event by its kind, and queues it as a line unless it is suppressed. Neither waits
/// for anything but two short locks.
#[derive(Debug)]
pub(in crate::telemetry) struct LogLayer {
    log: Arc<Log>,
}

impl LogLayer {
    pub(in crate::telemetry) const fn new(log: Arc<Log>) -> Self {
        Self { log }
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let log = &self.log;
        let metadata = event.metadata();
        let lines_per_second = if metadata.target() == LIFECYCLE {
            LIFECYCLE_LINES_PER_SECOND.max(log.lines_per_second)
        } else {
            log.lines_per_second
        };
        let kind = Kind {
            callsite: metadata.callsite(),
            reason: reason(event),
        };
        let title = || LogLine::of_event(event).into_title();
        let verdict = log
            .sampler()
            .handle_line(kind, lines_per_second, Instant::now(), title);
        match verdict {
            // Formatted only now: a suppressed line costs next to nothing.
            Verdict::Write => log.queue(LogLine::of_event(event).render(log.format)),
            Verdict::Suppress { is_first } => {
                log.counts.suppressed.add(1);
                if is_first {
                    log.queue.wake();
                }
            }
        }
    }
}

/// The event's reason, if it has one. Other fields are not formatted for it.
fn reason(event: &Event<'_>) -> Option<Reason> {
    let fields = event.metadata().fields();
    REASON_FIELDS
        .iter()
        .any(|name| fields.field(name).is_some())
        .then(|| {
            let mut reason = ReasonOf(None);
            event.record(&mut reason);
            reason.0
        })?
}

struct ReasonOf(Option<Reason>);

impl Visit for ReasonOf {
    fn record_str(&mut self, field: &Field, value: &str) {
        if REASON_FIELDS.contains(&field.name()) {
            self.0 = Reason::new(field.name(), value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

const REASON_FIELDS: [&str; 2] = ["reason", "code"];

/// Each is of a connection of a client that has a token, or of the operator: these lines cannot
/// be made at will, and operators look clients up in them. 150 kB a second, with 150 bytes a line.
const LIFECYCLE_LINES_PER_SECOND: u32 = 1_000;
