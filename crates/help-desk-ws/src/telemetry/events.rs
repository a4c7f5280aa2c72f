//! What happens, one struct for each kind of event. `emit` logs and counts: nothing else does
//! either.
//!
//! Events carry ids and codes, never tokens, payloads or e-mails. The texts of connects and
//! disconnects are those of the NestJS service, to the letter. Fields under `told.` are in the
//! message already, so only JSON lines repeat them.

use hd_auth::{UserId, VerifyError};
use hd_ws_server::{RecoveryRefusal, RemoteAddress};
use tracing::{debug, info, warn};

use super::Counters;
use super::log::LIFECYCLE;

mod cluster;
mod emits;
mod http_closes;
mod peers;
mod process;
mod rejections;

pub(crate) use cluster::{
    EntryRejected, LogBack, LogCutOff, LogGap, LogMoved, LogOpened, LogProvenLost, PresenceRefused,
    RecordUnreadable, RedisEvicts, RedisRelieved, WaitingForLog,
};
pub(crate) use emits::{
    EmitAccepted, EmitLocal, EmitNotKept, EmitRefused, EmitRepeated, EventDelivered, IdForgotten,
};
pub(crate) use http_closes::http_closed;
pub(crate) use peers::{
    PeerEventLost, PeerEventTaken, PeerMessageRefused, PeerMessagesDropped, PeerRequestTaken,
    PeersCutOff, PeersHeard, PublishedToPeers, RoomsNotHandedOver, ShardsMissing,
};
pub(crate) use process::{
    DrainCancelled, DrainProgress, Drained, Draining, Hurried, Started, Stopped, Stopping,
};
pub(crate) use rejections::rejected;

/// A client has joined its private room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientConnected<'a> {
    /// The Socket.IO id, or the connection's id for a plain WebSocket.
    pub(crate) sid: &'a str,
    pub(crate) user_id: UserId,
    pub(crate) room: &'a str,
}

impl ClientConnected<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { sid, user_id, room } = self;
        counters.clients_connected.add(1);
        info!(
            target: LIFECYCLE,
            context = GATEWAY,
            told.sid = sid,
            told.user_id = user_id.get(),
            told.room = room,
            "Client connected: {sid}, User ID: {user_id}, Room: {room}"
        );
    }
}

/// A client that came back was sent what it had missed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientRecovered<'a> {
    pub(crate) sid: &'a str,
    /// Events that it had missed.
    pub(crate) events: u32,
}

impl ClientRecovered<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { sid, events } = self;
        counters.recoveries.add(1);
        counters.events_replayed.add(events.into());
        debug!(
            context = GATEWAY,
            told.sid = sid,
            told.events = events,
            "Client recovered: {sid}, events: {events}"
        );
    }
}

/// A client that came back was told that it may have missed something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecoveryRefused<'a> {
    /// Its new one.
    pub(crate) sid: &'a str,
    pub(crate) reason: RecoveryRefusal,
}

impl RecoveryRefused<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { sid, reason } = self;
        counters.recoveries_refused(reason).add(1);
        info!(
            context = GATEWAY,
            told.sid = sid,
            reason = reason.code(),
            "Client may have missed events: {sid}, {reason}"
        );
    }
}

/// A client that had joined its room is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientDisconnected<'a> {
    pub(crate) sid: &'a str,
    /// Socket.IO's name for it, such as `transport close`.
    pub(crate) reason: &'a str,
}

impl ClientDisconnected<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { sid, reason } = self;
        counters.clients_disconnected.add(1);
        info!(
            target: LIFECYCLE,
            context = GATEWAY,
            told.sid = sid,
            reason,
            "Client disconnected: {sid}"
        );
    }
}

/// A client's token was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuthenticationFailed<'a> {
    /// `None` when the client was refused before it had one.
    pub(crate) sid: Option<&'a str>,
    pub(crate) reason: VerifyError,
    pub(crate) remote_address: RemoteAddress,
}

impl AuthenticationFailed<'_> {
    /// Counts it, where the limit of its address has a log line for it.
    pub(crate) fn count(self, counters: &Counters) {
        counters.authentication_failures(self.reason).add(1);
    }

    pub(crate) fn emit(self, counters: &Counters) {
        let Self {
            sid,
            reason,
            remote_address,
        } = self;
        counters.authentication_failures(reason).add(1);
        warn!(
            context = GATEWAY,
            reason = reason.reason(),
            sid,
            %remote_address,
            "Authentication failed: {reason}"
        );
    }
}

/// A client has handed in a new token for the one it came with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenRefreshed<'a> {
    pub(crate) sid: &'a str,
}

impl TokenRefreshed<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { sid } = self;
        counters.refreshes_accepted.add(1);
        debug!(context = GATEWAY, sid, "Token refreshed");
    }
}

/// A client's new token was refused; the one it came with stays in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenRefreshRefused<'a> {
    pub(crate) sid: &'a str,
    /// The `code` of the answer.
    pub(crate) reason: &'a str,
}

impl TokenRefreshRefused<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { sid, reason } = self;
        counters.refreshes_refused.add(1);
        warn!(context = GATEWAY, sid, reason, "Token refresh refused");
    }
}

/// The token of a connected client has expired; the client is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenExpired<'a> {
    pub(crate) sid: &'a str,
}

impl TokenExpired<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { sid } = self;
        counters.tokens_expired.add(1);
        info!(context = GATEWAY, sid, "Token expired");
    }
}

/// A client gave its token in the query string, where proxies log it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueryTokenUsed {
    pub(crate) remote_address: RemoteAddress,
}

impl QueryTokenUsed {
    pub(crate) fn emit(self, counters: &Counters) {
        counters.query_tokens.add(1);
        // For every connection of a wscat user: worth a count, not a line by default.
        debug!(
            context = GATEWAY,
            remote_address = %self.remote_address,
            "Token taken from the query string, which access logs of proxies keep"
        );
    }
}

/// A client did not read what waited for it, and was closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowConsumerClosed<'a> {
    pub(crate) sid: &'a str,
}

impl SlowConsumerClosed<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { sid } = self;
        counters.slow_consumers.add(1);
        warn!(
            context = GATEWAY,
            sid, "Client closed: it reads more slowly than it is sent"
        );
    }
}

const GATEWAY: &str = "NotificationsGateway";

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::settings::LogFormat;
    use crate::telemetry::log::{Log, LogLayer};

    /// The line that `emit` writes, without the time that it begins with.
    pub(super) fn line(format: LogFormat, emit: impl FnOnce(&Counters)) -> (String, Counters) {
        let counters = Counters::default();
        let log = Arc::new(Log::new(format, 10, Arc::clone(&counters.log)));
        let subscriber = tracing_subscriber::registry().with(LogLayer::new(Arc::clone(&log)));
        tracing::subscriber::with_default(subscriber, || emit(&counters));
        let line = log.written();
        let line = line.strip_suffix('\n').unwrap().to_owned();
        assert!(!line.contains('\n'), "one line: {line}");
        let line = match format {
            LogFormat::Text => line.split_once(' ').unwrap().1.to_owned(),
            LogFormat::Json => {
                let mut fields: serde_json::Map<_, _> = serde_json::from_str(&line).unwrap();
                assert!(fields.remove("timestamp").unwrap().is_string());
                serde_json::to_string(&fields).unwrap()
            }
        };
        (line, counters)
    }

    fn user(id: u64) -> UserId {
        UserId::new(id).unwrap()
    }

    pub(super) fn remote_address() -> RemoteAddress {
        RemoteAddress::direct("10.0.0.9:5000".parse().unwrap())
    }

    #[test]
    fn connects_read_as_those_of_the_nestjs_service() {
        let emit = |counters: &Counters| {
            ClientConnected {
                sid: "x9_Lk-3vQ2aPzR7tAAAB",
                user_id: user(42),
                room: "user_42",
            }
            .emit(counters);
        };
        let (text, counters) = line(LogFormat::Text, emit);
        assert_eq!(
            text,
            "INFO  [NotificationsGateway] Client connected: x9_Lk-3vQ2aPzR7tAAAB, \
             User ID: 42, Room: user_42"
        );
        assert_eq!(counters.clients_connected.get(), 1);

        let (json, _) = line(LogFormat::Json, emit);
        assert_eq!(
            json,
            r#"{"context":"NotificationsGateway","level":"info","message":"Client connected: x9_Lk-3vQ2aPzR7tAAAB, User ID: 42, Room: user_42","room":"user_42","sid":"x9_Lk-3vQ2aPzR7tAAAB","user_id":42}"#
        );
    }

    #[test]
    fn disconnects_read_as_those_of_the_nestjs_service() {
        let (text, counters) = line(LogFormat::Text, |counters| {
            ClientDisconnected {
                sid: "x9",
                reason: "transport close",
            }
            .emit(counters);
        });
        assert_eq!(
            text,
            "INFO  [NotificationsGateway] Client disconnected: x9 reason=\"transport close\""
        );
        assert_eq!(counters.clients_disconnected.get(), 1);
    }

    #[test]
    fn refused_tokens_are_counted_by_reason() {
        for reason in VerifyError::ALL {
            let (text, counters) = line(LogFormat::Text, |counters| {
                AuthenticationFailed {
                    sid: None,
                    reason,
                    remote_address: remote_address(),
                }
                .emit(counters);
            });
            assert_eq!(
                text,
                format!(
                    "WARN  [NotificationsGateway] Authentication failed: {reason} reason={} \
                     remote_address=10.0.0.9",
                    reason.reason()
                )
            );
            for other in VerifyError::ALL {
                assert_eq!(
                    counters.authentication_failures(other).get(),
                    u64::from(other == reason)
                );
            }
        }
    }

    #[test]
    fn emits_are_counted_with_what_they_reached() {
        let (text, counters) = line(LogFormat::Text, |counters| {
            EmitAccepted {
                event: "a\nb",
                user_id: Some(user(7)),
                delivered_locally: 3,
            }
            .emit(counters);
            EventDelivered { sockets: 3 }.emit(counters);
        });
        // An event's name is the back end's: it must not begin a line of its own.
        assert_eq!(
            text,
            "DEBUG [NotificationsController] Notification emitted event=\"a\\nb\" user_id=7 delivered_locally=3"
        );
        assert_eq!(counters.emits_accepted.get(), 1);
        assert_eq!(counters.notifications_delivered.get(), 3);

        let (text, counters) = line(LogFormat::Text, |counters| {
            EmitRepeated {
                event: "x",
                user_id: None,
            }
            .emit(counters);
            IdForgotten.emit(counters);
        });
        assert_eq!(
            text,
            "DEBUG [NotificationsController] Notification not emitted again: its id has come before event=x"
        );
        assert_eq!(counters.emits_repeated.get(), 1);
        assert_eq!(counters.ids_forgotten.get(), 1);

        let (text, counters) = line(LogFormat::Text, |counters| {
            EmitRefused {
                limit: None,
                status: http::StatusCode::UNAUTHORIZED,
                code: "unauthorized",
                remote_address: remote_address(),
            }
            .emit(counters);
        });
        assert_eq!(
            text,
            "WARN  [NotificationsController] Emit refused status=401 code=unauthorized \
             remote_address=10.0.0.9"
        );
        assert_eq!(counters.emits_refused.get(), 1);
    }

    #[test]
    fn events_that_stay_here_are_counted_and_logged() {
        let (text, counters) = line(LogFormat::Text, |counters| {
            EmitLocal {
                event: "ticket_closed",
                user_id: UserId::new(42).ok(),
                delivered_locally: 2,
            }
            .emit(counters);
        });
        assert_eq!(
            text,
            "WARN  [NotificationsController] Emitted to the clients of this process only: Redis does \
             not answer event=ticket_closed user_id=42 delivered_locally=2"
        );
        assert_eq!(counters.emits_local.get(), 1);
    }

    #[test]
    fn rarer_events_are_logged_and_counted() {
        let (text, counters) = line(LogFormat::Text, |counters| {
            SlowConsumerClosed { sid: "x9" }.emit(counters);
        });
        assert!(text.ends_with("it is sent sid=x9"), "{text}");
        assert_eq!(counters.slow_consumers.get(), 1);

        let (text, counters) = line(LogFormat::Text, |counters| {
            QueryTokenUsed {
                remote_address: remote_address(),
            }
            .emit(counters);
        });
        assert!(
            text.starts_with("DEBUG [NotificationsGateway] Token taken"),
            "{text}"
        );
        assert_eq!(counters.query_tokens.get(), 1);
    }

    #[test]
    fn what_becomes_of_tokens_is_logged_and_counted() {
        let (text, counters) = line(LogFormat::Text, |counters| {
            TokenRefreshed { sid: "x9" }.emit(counters);
        });
        assert_eq!(text, "DEBUG [NotificationsGateway] Token refreshed sid=x9");
        assert_eq!(counters.refreshes_accepted.get(), 1);

        let (text, counters) = line(LogFormat::Text, |counters| {
            TokenRefreshRefused {
                sid: "x9",
                reason: "token_expired",
            }
            .emit(counters);
        });
        assert_eq!(
            text,
            "WARN  [NotificationsGateway] Token refresh refused sid=x9 reason=token_expired"
        );
        assert_eq!(counters.refreshes_refused.get(), 1);

        let (text, counters) = line(LogFormat::Text, |counters| {
            TokenExpired { sid: "x9" }.emit(counters);
        });
        assert_eq!(text, "INFO  [NotificationsGateway] Token expired sid=x9");
        assert_eq!(counters.tokens_expired.get(), 1);
    }

    #[test]
    fn start_and_end_are_logged() {
        let (text, _) = line(LogFormat::Text, |_| {
            Started {
                address: "0.0.0.0:3001".parse().unwrap(),
                workers: 2,
                max_open_files: 65_535,
                node: "host-3fa9",
            }
            .emit();
        });
        assert!(
            text.starts_with("INFO  [HelpDeskWs] Listening on http://0.0.0.0:3001 version="),
            "{text}"
        );
        let (text, _) = line(LogFormat::Text, |_| {
            Stopping {
                signal: "SIGTERM",
                clients: 5,
                window: Duration::from_millis(500),
                timeout: Duration::from_secs(8),
            }
            .emit();
        });
        assert_eq!(
            text,
            "INFO  [HelpDeskWs] Stopping signal=SIGTERM clients=5 window=500ms timeout=8s"
        );
        let stopped = |_: &Counters| {
            Stopped {
                clients: 5,
                lost: 1,
                elapsed: Duration::from_micros(1_234_567),
            }
            .emit();
        };
        let (text, _) = line(LogFormat::Text, stopped);
        assert_eq!(
            text,
            "INFO  [HelpDeskWs] Stopped: moved 4 of 5, lost 1 elapsed=\"1s 234ms\""
        );
        let (json, _) = line(LogFormat::Json, stopped);
        assert!(json.contains(r#""clients":5"#), "{json}");
        assert!(json.contains(r#""moved":4"#), "{json}");
    }

    #[test]
    fn a_drain_is_logged_from_its_beginning_to_its_end() {
        let lines = [
            line(LogFormat::Text, |_| {
                let (clients, window) = (3, Duration::from_secs(90));
                Draining { clients, window }.emit();
            }),
            line(LogFormat::Text, |_| {
                let (clients, left) = (3, 2);
                DrainProgress { clients, left }.emit();
            }),
            line(LogFormat::Text, |_| {
                let (clients, lost, elapsed) = (3, 0, Duration::from_secs(88));
                Drained {
                    clients,
                    lost,
                    elapsed,
                }
                .emit();
            }),
            line(LogFormat::Text, |_| {
                let (signal, clients) = ("SIGINT", 2);
                Hurried { signal, clients }.emit();
            }),
        ];
        assert_eq!(
            lines.map(|(text, _)| text),
            [
                "INFO  [HelpDeskWs] Draining as asked at /admin/drain clients=3 window=\"1m 30s\"",
                "INFO  [HelpDeskWs] Draining: 2 of 3 clients left",
                "INFO  [HelpDeskWs] Drained: moved 3 of 3, lost 0 elapsed=\"1m 28s\"",
                "WARN  [HelpDeskWs] Told to stop again: closing the rest at once signal=SIGINT clients=2",
            ]
        );
    }
}
