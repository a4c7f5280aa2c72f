//! The numbers of the service in Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write as _};
use std::time::{Duration, SystemTime};

use hd_auth::VerifyError;
use hd_ws_server::{HttpClose, RecoveryRefusal, Rejection, ReplayCounts};

use super::Counters;
use super::counters::RejectedRecord;
use crate::http_api::EmitLimit;

/// What is measured where it is, and not counted by events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauges<'a> {
    /// Sessions by their transport.
    pub(crate) polling: usize,
    pub(crate) websocket: usize,
    pub(crate) plain: usize,
    /// Those of them that have joined nothing.
    pub(crate) unjoined: usize,
    /// Kept of messages that have come in part.
    pub(crate) partial_input_bytes: usize,
    /// Clients in `/notifications`.
    pub(crate) sockets: usize,
    pub(crate) sessions_opened: u64,
    pub(crate) upgrades: u64,
    /// Requests that were rejected, by the code of the reason.
    pub(crate) rejected: [(&'static str, u64); Rejection::ALL.len()],
    /// HTTP connections that were closed, likewise.
    pub(crate) http_closed: [(&'static str, u64); HttpClose::ALL.len()],
    /// TCP connections, of HTTP and of WebSockets.
    pub(crate) open_sockets: usize,
    pub(crate) replay: ReplayCounts,
    /// Whether the log that several processes share does not reach this one.
    pub(crate) is_cut_off: bool,
    pub(crate) drain_closes: u64,
    pub(crate) drain_losses: u64,
    pub(crate) too_old: u64,
    pub(crate) throttled: u64,
    pub(crate) user_evictions: u64,
    /// Bytes that wait for all clients.
    pub(crate) queued_bytes: usize,
    /// Whether new clients are turned away.
    pub(crate) is_draining: bool,
    pub(crate) started: SystemTime,
    /// Routes, and whether they answer without a token.
    pub(crate) open_doors: [(&'static str, bool); 5],
    /// Names of settings whose values open a door or weaken a check.
    pub(crate) insecure: &'a [&'static str],
}

/// The media type of [`page`].
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All numbers, each with its help.
pub(crate) fn page(counters: &Counters, gauges: &Gauges<'_>) -> String {
    let mut page = Page(String::with_capacity(4096));
    page.gauge(
        "sessions",
        "Sessions connected now, by transport; plain is a WebSocket without Socket.IO.",
        [
            (r#"{transport="polling"}"#, gauges.polling),
            (r#"{transport="websocket"}"#, gauges.websocket),
            (r#"{transport="plain"}"#, gauges.plain),
        ],
    );
    page.gauge(
        "unjoined_sessions",
        "Sessions that have joined nothing, of which MAX_UNJOINED_CONNECTIONS may be.",
        [("", gauges.unjoined)],
    );
    page.gauge(
        "partial_input_bytes",
        "Memory for messages that have come in part, of which there may be \
         MAX_PARTIAL_INPUT_BYTES.",
        [("", gauges.partial_input_bytes)],
    );
    page.gauge(
        "sockets",
        "Clients that are in /notifications now.",
        [("", gauges.sockets)],
    );
    page.gauge(
        "send_queue_bytes",
        "Bytes that wait for all clients, each event with what it costs to keep it.",
        [("", gauges.queued_bytes)],
    );
    page.gauge(
        "open_sockets",
        "TCP connections open now, whether they speak HTTP or WebSocket.",
        [("", gauges.open_sockets)],
    );
    page.gauge(
        "replay_events",
        "Events that are kept for clients that are away.",
        [("", gauges.replay.events)],
    );
    page.gauge(
        "replay_bytes",
        "Bytes that they count for.",
        [("", gauges.replay.bytes)],
    );
    page.gauge(
        "cut_off",
        "1 while Redis, in which several processes share what is replayed, does not answer.",
        [("", u8::from(gauges.is_cut_off))],
    );
    page.gauge(
        "idempotency_ids",
        "Ids of emits that are remembered.",
        [("", gauges.replay.ids)],
    );
    page.gauge(
        "draining",
        "1 while new clients are turned away, 0 otherwise.",
        [("", u8::from(gauges.is_draining))],
    );
    page.gauge(
        "open_doors",
        "1 where a route answers without a token, everybody or this machine only.",
        gauges.open_doors.map(|(door, is_open)| {
            let label = format!(r#"{{door="{door}"}}"#);
            (label, u8::from(is_open))
        }),
    );
    page.gauge(
        "insecure_settings",
        "1 for each setting whose value opens a door or weakens a check.",
        gauges
            .insecure
            .iter()
            .map(|setting| (format!(r#"{{setting="{setting}"}}"#), 1)),
    );
    page.gauge(
        "build_info",
        "1, with the version that runs.",
        [(
            concat!(r#"{version=""#, env!("CARGO_PKG_VERSION"), r#""}"#),
            1,
        )],
    );
    let started = gauges.started.duration_since(SystemTime::UNIX_EPOCH);
    let uptime = gauges.started.elapsed();
    page.gauge(
        "start_time_seconds",
        "When the process started, in seconds since 1970.",
        [("", seconds(started.unwrap_or_default()))],
    );
    page.gauge(
        "uptime_seconds",
        "Time since the process started.",
        [("", seconds(uptime.unwrap_or_default()))],
    );

    page.counter(
        "sessions_opened_total",
        "Sessions opened.",
        [("", gauges.sessions_opened)],
    );
    page.counter(
        "upgrades_total",
        "Sessions that moved from polling to WebSocket.",
        [("", gauges.upgrades)],
    );
    page.counter(
        "requests_rejected_total",
        "Requests for a session or a WebSocket that were rejected, and clients closed for a limit, \
         by reason.",
        gauges
            .rejected
            .map(|(reason, count)| (format!(r#"{{reason="{reason}"}}"#), count)),
    );
    page.counter(
        "http_closes_total",
        "HTTP connections that the server closed, by reason.",
        gauges
            .http_closed
            .map(|(reason, count)| (format!(r#"{{reason="{reason}"}}"#), count)),
    );
    page.counter(
        "drain_closes_total",
        "Sessions closed by a drain or a stop.",
        [("", gauges.drain_closes)],
    );
    page.counter(
        "drain_losses_total",
        "Sessions that ended in a drain or a stop with messages still queued for them.",
        [("", gauges.drain_losses)],
    );
    page.counter(
        "too_old_closes_total",
        "Sessions closed because they reached MAX_CONNECTION_AGE.",
        [("", gauges.too_old)],
    );
    page.counter(
        "clients_throttled_total",
        "Times that a client was read more slowly, since it or its user sent more than they may.",
        [("", gauges.throttled)],
    );
    page.counter(
        "user_evictions_total",
        "Connections closed because their user has MAX_CONNECTIONS_PER_USER newer ones.",
        [("", gauges.user_evictions)],
    );
    page.counter(
        "connects_total",
        "Clients that joined /notifications.",
        [("", counters.clients_connected.get())],
    );
    page.counter(
        "disconnects_total",
        "Clients that left /notifications.",
        [("", counters.clients_disconnected.get())],
    );
    page.counter(
        "authentication_failures_total",
        "Clients refused for their token, by the code that they were given.",
        VerifyError::ALL.map(|reason| {
            let label = format!(r#"{{reason="{}"}}"#, reason.reason());
            (label, counters.authentication_failures(reason).get())
        }),
    );
    page.counter(
        "query_tokens_total",
        "Tokens taken from the query string, which access logs keep.",
        [("", counters.query_tokens.get())],
    );
    page.counter(
        "token_refreshes_total",
        "New tokens of connected clients, by what became of them.",
        [
            (ACCEPTED, counters.refreshes_accepted.get()),
            (REFUSED, counters.refreshes_refused.get()),
        ],
    );
    page.counter(
        "tokens_expired_total",
        "Clients closed because their token expired.",
        [("", counters.tokens_expired.get())],
    );
    page.counter(
        "emits_total",
        "Emit and broadcast commands, by what became of them; local is to this process only.",
        [
            (ACCEPTED, counters.emits_accepted.get()),
            (LOCAL, counters.emits_local.get()),
            (REFUSED, counters.emits_refused.get()),
        ],
    );
    page.counter(
        "emits_limited_total",
        "Requests to emit that were answered with 429 or 503 for a limit, by reason.",
        EmitLimit::ALL.map(|limit| {
            let label = format!(r#"{{reason="{}"}}"#, limit.code());
            (label, counters.emits_limited(limit).get())
        }),
    );
    page.counter(
        "deliveries_total",
        "Clients of this instance that events were written to, or queued for, whichever instance accepted them.",
        [("", counters.notifications_delivered.get())],
    );
    page.counter(
        "emits_repeated_total",
        "Emits whose id had come before, and that were not sent again.",
        [("", counters.emits_repeated.get())],
    );
    page.counter(
        "idempotency_ids_forgotten_total",
        "Ids of emits that were forgotten before their time, since there were too many.",
        [("", counters.ids_forgotten.get())],
    );
    page.counter(
        "recoveries_total",
        "Clients that came back and were sent what they had missed.",
        [("", counters.recoveries.get())],
    );
    page.counter(
        "events_replayed_total",
        "Events that these had missed.",
        [("", counters.events_replayed.get())],
    );
    page.counter(
        "recoveries_refused_total",
        "Clients that came back and were told that they may have missed something, by why.",
        RecoveryRefusal::ALL.map(|reason| {
            let label = format!(r#"{{reason="{}"}}"#, reason.code());
            (label, counters.recoveries_refused(reason).get())
        }),
    );
    page.counter(
        "log_records_rejected_total",
        "Entries of the log in Redis that did not count, by reason.",
        RejectedRecord::ALL.map(|reason| {
            let label = format!(r#"{{reason="{}"}}"#, reason.reason());
            (label, counters.records_rejected(reason).get())
        }),
    );
    page.counter(
        "log_records_relieved_total",
        "Records of the log in Redis that were trimmed early, since Redis was full.",
        [("", counters.records_relieved.get())],
    );
    page.counter(
        "peer_messages_total",
        "What came from Node's servers over pub/sub, by what became of it.",
        [
            (r#"{result="event"}"#, counters.peer_events.get()),
            (r#"{result="request"}"#, counters.peer_requests.get()),
            (REFUSED, counters.peer_messages_refused.get()),
            (r#"{result="lost"}"#, counters.peer_messages_lost.get()),
        ],
    );
    page.counter(
        "peer_publishes_total",
        "Events for clients of Node's servers, by what became of them.",
        [
            (r#"{result="published"}"#, counters.peer_publishes.get()),
            (r#"{result="failed"}"#, counters.peer_publishes_failed.get()),
        ],
    );
    page.counter(
        "slow_consumers_total",
        "Clients closed because they read more slowly than they were sent.",
        [("", counters.slow_consumers.get())],
    );
    page.counter(
        "log_lines_suppressed_total",
        "Log lines that a summary counts, since more than LOG_LINES_PER_SECOND were of their kind.",
        [("", counters.log.suppressed.get())],
    );
    page.counter(
        "log_lines_dropped_total",
        "Log lines that were dropped, since stdout was not read in time.",
        [("", counters.log.dropped.get())],
    );
    page.0
}

struct Page(String);

impl Page {
    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (impl Display, impl Display)>,
    ) {
        self.family(name, "gauge", help, samples);
    }

    fn counter(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (impl Display, u64)>,
    ) {
        self.family(name, "counter", help, samples);
    }

    fn family(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (impl Display, impl Display)>,
    ) {
        let write = || {
            writeln!(self.0, "# HELP helpdesk_ws_{name} {help}")?;
            writeln!(self.0, "# TYPE helpdesk_ws_{name} {kind}")?;
            for (labels, value) in samples {
                writeln!(self.0, "helpdesk_ws_{name}{labels} {value}")?;
            }
            Ok::<_, std::fmt::Error>(())
        };
        write().expect("invariant: a String can be written to");
    }
}

/// With three decimals.
fn seconds(time: Duration) -> impl Display {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

const ACCEPTED: &str = r#"{result="accepted"}"#;
const LOCAL: &str = r#"{result="local"}"#;
const REFUSED: &str = r#"{result="refused"}"#;
