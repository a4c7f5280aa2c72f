//! What a client is sent first: the CONNECT reply, and its recovery state if it requested that.
//!
//! socket.io-client 4.6 and later reads its `pid` from the CONNECT reply and its offset from the last
//! argument of each event. Other clients cannot, and keep both themselves: they get them in an event.

use engineio_proto::EncodedPacket;
use serde::Serialize;
use socketio_proto::{EventName, OutgoingArgs, encode};

use super::Namespace;
use super::dialect::{Dialect, Variant};
use super::emission::Emission;
use super::recovery::Resumed;

/// The event by which a client that requests it is sent its recovery state. An application must not
/// emit it.
pub const RECOVERY_STATE_EVENT: &str = "recovery:state";

/// The payload of [`RECOVERY_STATE_EVENT`].
#[derive(Serialize)]
struct RecoveryState<'a> {
    /// Whether the client has everything up to the offset, and is sent the rest.
    recovered: bool,
    /// What the client has to present when it reconnects; left out where nothing can be recovered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<String>,
}

/// The CONNECT reply; nothing for a plain WebSocket, which is in once it is open.
pub(super) fn connect_reply(
    namespace: &Namespace,
    dialect: Dialect,
    sid: &str,
    pid: Option<&str>,
) -> Vec<EncodedPacket> {
    let name = namespace.name();
    match dialect {
        Dialect::SocketIo | Dialect::Variant(Variant::SocketIoBare | Variant::SocketIoPayload) => {
            namespace
                .parser()
                .connect(name, sid, pid)
                .packets()
                .to_vec()
        }
        Dialect::SocketIo2
        | Dialect::Variant(Variant::SocketIo2Argument | Variant::SocketIo2Payload) => {
            encode::connect_v4(name).packets().to_vec()
        }
        Dialect::Plain | Dialect::Variant(Variant::PlainId) => Vec::new(),
    }
}

/// Adds the recovery state of a client. It has recovered if `is_complete`: what it missed could be
/// encoded for it.
pub(super) fn push_recovery_state(
    namespace: &Namespace,
    dialect: Dialect,
    resumed: &Resumed,
    is_complete: bool,
    packets: &mut Vec<EncodedPacket>,
) {
    let state = RecoveryState {
        recovered: resumed.outcome.has_recovered() && is_complete,
        pid: resumed.pid.as_deref(),
        offset: resumed.from.map(|offset| offset.to_string()),
    };
    let state = serde_json::value::to_raw_value(&state)
        .expect("invariant: texts and truth values are JSON");
    let name = EventName::new(RECOVERY_STATE_EVENT)
        .expect("invariant: Socket.IO does not reserve this name");
    let args = [&*state];
    let emission = Emission::new(namespace, name, OutgoingArgs::new(&args));
    packets.extend_from_slice(emission.packets_in(dialect));
}
