//! What clients speak: the protocol, and where each wants the offset of an event.

use serde::Deserialize;
use serde_json::value::RawValue;
use socketio_proto::Revision;

use engineio_proto::payload::v3::form_decode;

/// What the client at the other end speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Socket.IO, with the offset as the last argument of an event.
    SocketIo,
    /// Socket.IO 2, whose clients know no offset.
    SocketIo2,
    /// WebSocket alone: each event is a text frame of JSON.
    Plain,
    /// What a client has to request.
    Variant(Variant),
}

/// A dialect that no client speaks unless it requests that when it connects. Events are encoded in one
/// only where such a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// Socket.IO without offsets.
    SocketIoBare,
    /// Socket.IO with the offset in the payload.
    SocketIoPayload,
    /// Socket.IO 2 with the offset as the last argument.
    SocketIo2Argument,
    /// Socket.IO 2 with the offset in the payload.
    SocketIo2Payload,
    /// WebSocket alone, with the offset as the `id` of the frame.
    PlainId,
}

/// Where a client wants the offset of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OffsetPlace {
    Argument,
    Payload,
    None,
}

/// What a client says about recovery when it connects.
#[derive(Debug)]
pub(super) struct RecoveryRequest {
    pub(super) dialect: Dialect,
    /// Whether the client is to be sent its recovery state as an event, since it cannot read that in the
    /// CONNECT reply.
    pub(super) wants_state: bool,
    pub(super) pid: Option<String>,
    pub(super) offset: Option<String>,
}

impl Variant {
    pub(super) const ALL: [Self; 5] = [
        Self::SocketIoBare,
        Self::SocketIoPayload,
        Self::SocketIo2Argument,
        Self::SocketIo2Payload,
        Self::PlainId,
    ];

    /// Its position in [`ALL`](Self::ALL).
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl Dialect {
    fn of(revision: Revision, wants_state: bool, place: Option<OffsetPlace>) -> Self {
        let place = place.unwrap_or(OffsetPlace::Argument);
        match (revision, place) {
            (Revision::V5, OffsetPlace::Argument) => Self::SocketIo,
            (Revision::V5, OffsetPlace::Payload) => Self::Variant(Variant::SocketIoPayload),
            (Revision::V5, OffsetPlace::None) => Self::Variant(Variant::SocketIoBare),
            (Revision::V4, OffsetPlace::Argument) if wants_state => {
                Self::Variant(Variant::SocketIo2Argument)
            }
            (Revision::V4, OffsetPlace::Payload) if wants_state => {
                Self::Variant(Variant::SocketIo2Payload)
            }
            (Revision::V4, _) => Self::SocketIo2,
        }
    }

    /// Whether the client speaks WebSocket and nothing above it.
    pub(super) const fn is_plain(self) -> bool {
        matches!(self, Self::Plain | Self::Variant(Variant::PlainId))
    }

    /// Whether clients are given offsets, without which nothing can be recovered.
    const fn has_offsets(self) -> bool {
        !matches!(
            self,
            Self::SocketIo2 | Self::Plain | Self::Variant(Variant::SocketIoBare)
        )
    }
}

impl RecoveryRequest {
    /// Reads the `auth` of CONNECT leniently, as Node.js does: what is not there as text is not there,
    /// and a value that is not one of the allowed ones is ignored.
    pub(super) fn from_auth(revision: Revision, auth: Option<&RawValue>) -> Self {
        #[derive(Default, Deserialize)]
        struct Auth<'a> {
            #[serde(borrow)]
            pid: Option<&'a RawValue>,
            #[serde(borrow)]
            offset: Option<&'a RawValue>,
            #[serde(borrow)]
            recovery: Option<&'a RawValue>,
            #[serde(borrow)]
            offsets: Option<&'a RawValue>,
        }
        fn value<'a, T: Deserialize<'a>>(value: Option<&'a RawValue>) -> Option<T> {
            serde_json::from_str(value?.get()).ok()
        }
        let auth: Auth<'_> = auth
            .and_then(|auth| serde_json::from_str(auth.get()).ok())
            .unwrap_or_default();
        // Some clients can send texts only.
        let wants_state = auth
            .recovery
            .is_some_and(|value| value.get() == "true" || is_yes(value.get().trim_matches('"')));
        Self {
            dialect: Dialect::of(revision, wants_state, value(auth.offsets)),
            wants_state,
            pid: value(auth.pid),
            offset: value(auth.offset),
        }
    }

    /// Reads the query of a plain WebSocket.
    pub(super) fn from_query(query: &str) -> Self {
        let value = |name: &str| {
            let pairs = query.rsplit('&').filter_map(|pair| pair.split_once('='));
            let mut named = pairs.filter(|(key, _)| *key == name);
            named.next().map(|(_, value)| form_decode(value))
        };
        let wants_state = value("recovery").is_some_and(|value| is_yes(&value));
        let requested = |name| value(name).filter(|_| wants_state).map(Into::into);
        Self {
            dialect: match wants_state {
                true => Dialect::Variant(Variant::PlainId),
                false => Dialect::Plain,
            },
            wants_state,
            pid: requested("pid"),
            offset: requested("offset"),
        }
    }

    /// Whether anything that the client is sent lets it recover.
    pub(super) const fn can_recover(&self) -> bool {
        self.dialect.has_offsets() && (self.wants_state || self.reads_reply())
    }

    /// Whether the client takes its `pid` from the CONNECT reply, and its offset from the last argument.
    pub(super) const fn reads_reply(&self) -> bool {
        matches!(self.dialect, Dialect::SocketIo)
    }
}

fn is_yes(text: &str) -> bool {
    matches!(text, "true" | "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(revision: Revision, auth: &str) -> RecoveryRequest {
        let auth = RawValue::from_string(auth.to_owned()).expect("JSON");
        RecoveryRequest::from_auth(revision, Some(&auth))
    }

    #[test]
    fn variants_are_numbered_in_order() {
        for (index, variant) in Variant::ALL.into_iter().enumerate() {
            assert_eq!(variant.index(), index);
        }
    }

    #[test]
    fn a_client_that_requests_nothing_has_the_dialect_of_its_revision() {
        for auth in [
            "{}",
            r#"{"recovery":false,"offsets":"sideways"}"#,
            r#"{"recovery":"yes","offsets":7}"#,
            r#"{"recovery":{},"pid":7,"offset":[]}"#,
            "[]",
        ] {
            let request = of(Revision::V5, auth);
            assert_eq!(request.dialect, Dialect::SocketIo, "{auth}");
            assert!(!request.wants_state, "{auth}");
            assert_eq!((request.pid, request.offset), (None, None), "{auth}");
            assert_eq!(of(Revision::V4, auth).dialect, Dialect::SocketIo2, "{auth}");
        }
    }

    #[test]
    fn recovery_is_requested_by_a_truth_value_or_its_text() {
        for value in ["true", r#""true""#, r#""1""#, "1"] {
            let request = of(Revision::V4, &format!(r#"{{"recovery":{value}}}"#));
            assert!(request.wants_state, "{value}");
            assert_eq!(
                request.dialect,
                Dialect::Variant(Variant::SocketIo2Argument)
            );
        }
    }

    #[test]
    fn a_query_is_read_where_it_requests_recovery() {
        let request = RecoveryRequest::from_query("token=a.b&recovery=1&pid=x%2Dy&offset=7-0");
        assert_eq!(request.dialect, Dialect::Variant(Variant::PlainId));
        assert_eq!(request.pid.as_deref(), Some("x-y"));
        assert_eq!(request.offset.as_deref(), Some("7-0"));
        for query in [
            "",
            "token=a&pid=x&offset=7-0",
            "recovery=0&pid=x",
            "recovery",
            "&=&",
        ] {
            let request = RecoveryRequest::from_query(query);
            assert_eq!(request.dialect, Dialect::Plain, "{query}");
            assert_eq!((request.pid, request.offset), (None, None), "{query}");
        }
    }
}
