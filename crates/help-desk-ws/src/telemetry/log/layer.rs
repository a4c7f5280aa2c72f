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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tracing::{info, warn};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::settings::LogFormat;
    use crate::telemetry::LogCounts;

    /// What is in the log after this, of which at most a line of a kind is written in a second.
    fn logged(emit: impl FnOnce()) -> (String, Arc<LogCounts>) {
        let counts = Arc::new(LogCounts::default());
        let log = Arc::new(Log::new(LogFormat::Text, 1, Arc::clone(&counts)));
        let subscriber = tracing_subscriber::registry().with(LogLayer::new(Arc::clone(&log)));
        tracing::subscriber::with_default(subscriber, emit);
        (log.written(), counts)
    }

    /// Counts how often it is formatted.
    struct Formatted<'a>(&'a Cell<u64>);

    impl fmt::Display for Formatted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.set(self.0.get() + 1);
            f.write_str("a stranger wrote this")
        }
    }

    #[test]
    fn a_suppressed_line_is_counted_and_not_formatted() {
        let formatted = Cell::new(0);
        let (log, counts) = logged(|| {
            for _ in 0..1_000 {
                let text = Formatted(&formatted);
                warn!(
                    context = "Server",
                    reason = "bad_request",
                    "Request rejected: {text}"
                );
            }
        });
        let suppressed = counts.suppressed.get();
        let written = log.matches("rejected: a stranger wrote this reason=bad_request\n");
        let written = written.count() as u64;
        assert_eq!(written + suppressed, 1_000);
        // Once more for the kind, whose summary has nothing of what the stranger wrote.
        assert_eq!(formatted.get(), written + 1);
        let summary = format!(
            "WARN  [Server] Request rejected: {suppressed} more lines were suppressed \
             reason=bad_request elapsed="
        );
        assert!(log.contains(&summary), "{log}");
    }

    #[test]
    fn reasons_are_sampled_apart_and_one_that_is_no_code_is_none() {
        let (log, _) = logged(|| {
            for reason in ["bad_request", "draining", "https://a", "https://b"] {
                info!(context = "Server", reason, "Request rejected");
            }
        });
        let (whole, summaries): (Vec<_>, Vec<_>) =
            log.lines().partition(|line| !line.contains("suppressed"));
        assert_eq!(whole.len(), 3, "{log}");
        assert_eq!(summaries.len(), 1, "{log}");
        assert!(!summaries[0].contains("reason="), "{log}");
    }

    #[test]
    fn connects_and_disconnects_have_an_allowance_of_their_own() {
        let (log, counts) = logged(|| {
            for client in 0..500 {
                info!(target: LIFECYCLE, context = "Gateway", "Client connected: {client}");
            }
        });
        assert_eq!(log.lines().count(), 500);
        assert_eq!(counts.suppressed.get(), 0);
    }
}
