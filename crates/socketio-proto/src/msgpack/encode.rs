//! Packets to send, as `socket.io-msgpack-parser` writes them: one map, `{type,
//! data, nsp, id}`, in which binary data is in its place. The keys are in the
//! order of Node's server.

use serde_json::value::RawValue;

use super::from_json::Values;
use super::write::Writer;
use crate::{Encoded, EventName, Namespace, OutgoingArgs, PacketType};

pub(crate) fn connect(namespace: &Namespace, sid: &str, pid: Option<&str>) -> Encoded {
    let capacity = HEAD + namespace.as_str().len() + sid.len() + pid.map_or(0, str::len) + 16;
    Encoded::binary(capacity, |out| {
        let mut out = Writer(out);
        packet_type(&mut out, 3, PacketType::Connect);
        out.text("data");
        out.map(1 + usize::from(pid.is_some()));
        out.text("sid");
        out.text(sid);
        if let Some(pid) = pid {
            out.text("pid");
            out.text(pid);
        }
        nsp(&mut out, namespace);
    })
}

pub(crate) fn connect_request(namespace: &Namespace, auth: Option<&RawValue>) -> Encoded {
    let auth = auth.map(|auth| Values::new(auth.get(), &[]));
    Encoded::binary(HEAD + namespace.as_str().len(), |out| {
        let fields = 2 + usize::from(auth.is_some());
        packet_type(&mut Writer(out), fields, PacketType::Connect);
        if let Some(auth) = auth {
            Writer(out).text("data");
            auth.write(out);
        }
        nsp(&mut Writer(out), namespace);
    })
}

pub(crate) fn connect_error(
    namespace: &Namespace,
    message: &str,
    data: Option<&RawValue>,
) -> Encoded {
    let data = data.map(|data| Values::new(data.get(), &[]));
    Encoded::binary(HEAD + namespace.as_str().len() + message.len(), |out| {
        let mut writer = Writer(out);
        packet_type(&mut writer, 3, PacketType::ConnectError);
        writer.text("data");
        writer.map(1 + usize::from(data.is_some()));
        writer.text("message");
        writer.text(message);
        if let Some(data) = data {
            writer.text("data");
            data.write(out);
        }
        nsp(&mut Writer(out), namespace);
    })
}

pub(crate) fn disconnect(namespace: &Namespace) -> Encoded {
    Encoded::binary(HEAD + namespace.as_str().len(), |out| {
        let mut out = Writer(out);
        packet_type(&mut out, 2, PacketType::Disconnect);
        nsp(&mut out, namespace);
    })
}

pub(crate) fn event(
    namespace: &Namespace,
    id: Option<u64>,
    name: EventName<'_>,
    args: &OutgoingArgs<'_>,
) -> Encoded {
    let elements = args.elements();
    let values = Values::new(&elements, args.attachments());
    Encoded::binary(capacity(namespace, args) + name.as_str().len(), |out| {
        let mut writer = Writer(out);
        packet_type(
            &mut writer,
            3 + usize::from(id.is_some()),
            PacketType::Event,
        );
        writer.text("data");
        writer.array(1 + values.len());
        writer.text(name.as_str());
        values.write(out);
        let mut writer = Writer(out);
        if let Some(id) = id {
            writer.text("id");
            writer.unsigned(id);
        }
        nsp(&mut writer, namespace);
    })
}

pub(crate) fn ack(namespace: &Namespace, id: u64, args: &OutgoingArgs<'_>) -> Encoded {
    let elements = args.elements();
    let values = Values::new(&elements, args.attachments());
    Encoded::binary(capacity(namespace, args), |out| {
        let mut writer = Writer(out);
        writer.map(4);
        writer.text("id");
        writer.unsigned(id);
        writer.text("type");
        writer.unsigned(number(PacketType::Ack));
        writer.text("data");
        writer.array(values.len());
        values.write(out);
        nsp(&mut Writer(out), namespace);
    })
}

/// The head of a packet with so many fields, and the first of them.
fn packet_type(out: &mut Writer<'_>, fields: usize, packet_type: PacketType) {
    out.map(fields);
    out.text("type");
    out.unsigned(number(packet_type));
}

fn nsp(out: &mut Writer<'_>, namespace: &Namespace) {
    out.text("nsp");
    out.text(namespace.as_str());
}

fn number(packet_type: PacketType) -> u64 {
    packet_type.digit().to_digit(10).map_or(0, u64::from)
}

/// About what a packet with these arguments takes.
fn capacity(namespace: &Namespace, args: &OutgoingArgs<'_>) -> usize {
    let attachments = args.attachments().iter().map(|data| data.len() + 5);
    HEAD + namespace.as_str().len() + args.json_bytes() + attachments.sum::<usize>()
}

/// A map, four keys, a type, heads, and an id of 2^53 − 1.
const HEAD: usize = 48;
