//! What the back end emits.

use hd_auth::UserId;
use hd_cluster::AppendError;
use hd_ws_server::RemoteAddress;
use tracing::{debug, warn};

use super::super::Counters;
use crate::http_api::EmitLimit;

/// A command of the back end was carried out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmitAccepted<'a> {
    pub(crate) event: &'a str,
    /// `None` unless one user was all that was named.
    pub(crate) user_id: Option<UserId>,
    /// Sockets of this instance that it went to.
    pub(crate) delivered_locally: usize,
}

impl EmitAccepted<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self {
            event,
            user_id,
            delivered_locally,
        } = self;
        counters.emits_accepted.add(1);
        // The busiest event of all: a line for each would cost more than the delivery.
        debug!(
            context = CONTROLLER,
            event,
            user_id = user_id.map(UserId::get),
            delivered_locally,
            "Notification emitted"
        );
    }
}

/// A command of the back end was carried out for the clients of this process
/// only, and is not kept: Redis is away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmitLocal<'a> {
    pub(crate) event: &'a str,
    /// As for [`EmitAccepted`].
    pub(crate) user_id: Option<UserId>,
    /// Sockets of this instance that it went to.
    pub(crate) delivered_locally: usize,
}

impl EmitLocal<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self {
            event,
            user_id,
            delivered_locally,
        } = self;
        counters.emits_local.add(1);
        warn!(
            context = CONTROLLER,
            event,
            user_id = user_id.map(UserId::get),
            delivered_locally,
            "Emitted to the clients of this process only: Redis does not answer"
        );
    }
}

/// An event went to sockets of this instance, whichever instance accepted it. It has no line of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventDelivered {
    pub(crate) sockets: usize,
}

impl EventDelivered {
    pub(crate) fn emit(self, counters: &Counters) {
        counters.notifications_delivered.add(self.sockets as u64);
    }
}

/// A command of the back end came again, and was not sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmitRepeated<'a> {
    pub(crate) event: &'a str,
    /// As for [`EmitAccepted`].
    pub(crate) user_id: Option<UserId>,
}

impl EmitRepeated<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self { event, user_id } = self;
        counters.emits_repeated.add(1);
        debug!(
            context = CONTROLLER,
            event,
            user_id = user_id.map(UserId::get),
            "Notification not emitted again: its id has come before"
        );
    }
}

/// The id of an emit was forgotten before its time, for that of another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdForgotten;

impl IdForgotten {
    pub(crate) fn emit(self, counters: &Counters) {
        // Counted only: once there are too many, each emit forgets one.
        counters.ids_forgotten.add(1);
    }
}

/// Redis did not take an event. The answer to the back end does not say why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmitNotKept<'a> {
    pub(crate) error: &'a AppendError,
}

impl EmitNotKept<'_> {
    pub(crate) fn emit(self) {
        warn!(
            context = CONTROLLER,
            reason = "log_unavailable",
            error = %self.error,
            "Event not kept: Redis did not take it; the emit is answered with 503"
        );
    }
}

/// A command of the back end was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmitRefused<'a> {
    /// The HTTP status of the answer.
    pub(crate) status: http::StatusCode,
    /// The `error.code` of the answer.
    pub(crate) code: &'a str,
    /// The limit that it is refused for.
    pub(crate) limit: Option<EmitLimit>,
    pub(crate) remote_address: RemoteAddress,
}

impl EmitRefused<'_> {
    pub(crate) fn emit(self, counters: &Counters) {
        let Self {
            status,
            code,
            limit,
            remote_address,
        } = self;
        counters.emits_refused.add(1);
        if let Some(limit) = limit {
            counters.emits_limited(limit).add(1);
        }
        // The limit, of which several answer with the same code.
        let reason = limit.map(|limit| limit.code());
        warn!(
            context = CONTROLLER,
            status = status.as_u16(),
            code,
            reason,
            %remote_address,
            "Emit refused"
        );
    }
}

const CONTROLLER: &str = "NotificationsController";
